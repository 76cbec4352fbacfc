import { formatReceipt, MAX_RECEIPT_ENTRIES, type SegmentPlace, type TreeHead } from '@chaperone/evidence';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import type { Logger } from '../ingest.ts';
import type { TransparencyLog } from './transparency-log.ts';

/** Segments whose receipts may wait; beyond them a sidecar has to ask again, which it does. */
const MAX_WAITING = 65_536;
/** Pods of which it is remembered how far they were told of the log. */
const MAX_TOLD = 16_384;

/** Somebody wants a receipt. */
export interface Ask extends SegmentPlace {
  /** Whose session it is, and where the receipt goes. */
  readonly nkey: string;
  /** Size of the newest checkpoint that the sidecar held when it asked; 0: none. */
  readonly held: number;
}

/** A checkpoint as it is shown to others, and what it says. */
export interface Published {
  readonly note: Buffer;
  readonly head: TreeHead;
}

export interface ReceiptsOptions {
  readonly index: EvidenceIndex;
  /** The log, and its newest checkpoint that may be shown; undefined while there is none. */
  readonly open: () => Promise<{ readonly log: TransparencyLog; readonly published: Published | undefined }>;
  readonly logger: Logger;
}

interface Waiting extends SegmentPlace {
  readonly leaf: number;
}

/** What one pod waits for. */
interface Pod {
  readonly waiting: Map<string, Waiting>;
  held: number;
}

/**
 * Gives receipts: what was asked for since the last time goes into one for each pod, as soon as the checkpoint that is shown has it. A
 * receipt goes on from the tree of the one before it, and from the one that the pod said it holds, should that one not have arrived.
 */
export class Receipts {
  readonly #options: ReceiptsOptions;
  readonly #listeners = new Set<(nkey: string, receipt: Buffer) => void>();
  readonly #told = new Map<string, number>();
  readonly #pods = new Map<string, Pod>();
  #waiting = 0;
  #isNew = false;
  readonly #asking = new Set<Promise<void>>();
  #running: Promise<void> | undefined;

  constructor(options: ReceiptsOptions) {
    this.#options = options;
  }

  /** Hears every receipt from now on; returns what ends that. */
  onReceipt(listener: (nkey: string, receipt: Buffer) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A receipt is given as soon as it can be; of what is not in the log, or is another pod's, never. */
  ask(ask: Ask): void {
    const asking = this.#ask(ask)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#asking.delete(asking));
    this.#asking.add(asking);
  }

  async #ask({ session, number, nkey, held }: Ask): Promise<void> {
    const { index } = this.#options;
    const leaf = await index.leaves.of(session, number);
    if (leaf === undefined || this.#waiting >= MAX_WAITING || (await index.session(session))?.nkey !== nkey) return;
    const pod = this.#pods.get(nkey) ?? { waiting: new Map<string, Waiting>(), held: 0 };
    this.#pods.set(nkey, pod);
    pod.held = Math.max(pod.held, held);
    const key = `${session}/${number}`;
    if (!pod.waiting.has(key)) this.#waiting++;
    pod.waiting.set(key, { session, number, leaf });
    this.published();
  }

  /** There is a newer checkpoint, or somebody new waits. */
  published(): void {
    this.#isNew = true;
    this.#running ??= this.#run();
  }

  /** Resolves when nobody waits for anything but a newer checkpoint. */
  async idle(): Promise<void> {
    await Promise.all(this.#asking);
    await this.#running;
  }

  async #run(): Promise<void> {
    let given = false;
    do {
      this.#isNew = false;
      // Together with what else is asked for in this turn.
      await new Promise(setImmediate);
      given = await this.#giveAll().catch((error: unknown) => this.#giveUp(error));
    } while (given || this.#isNew);
    this.#running = undefined;
  }

  /** What waits is asked for again. */
  #giveUp(error: unknown): boolean {
    this.#failed(error);
    this.#pods.clear();
    this.#waiting = 0;
    return false;
  }

  /** Whether there was anything to give. */
  async #giveAll(): Promise<boolean> {
    if (this.#pods.size === 0) return false;
    const { log, published } = await this.#options.open();
    if (published === undefined) return false;
    let given = false;
    for (const [nkey, pod] of this.#pods) {
      const due = [...pod.waiting].filter(([, { leaf }]) => leaf < published.head.size).slice(0, MAX_RECEIPT_ENTRIES);
      if (due.length === 0) continue;
      given = true;
      for (const [key] of due) pod.waiting.delete(key);
      this.#waiting -= due.length;
      const entries = due.map(([, each]) => each);
      const { held } = pod;
      if (pod.waiting.size === 0) this.#pods.delete(nkey);
      await this.#give(nkey, { held, entries }, { log, published });
    }
    return given;
  }

  async #give(
    nkey: string,
    { held, entries }: { readonly held: number; readonly entries: readonly Waiting[] },
    { log, published: { note, head } }: { readonly log: TransparencyLog; readonly published: Published },
  ): Promise<void> {
    if (held > head.size)
      this.#options.logger.error('a sidecar was shown a larger log than this one, which was rolled back or forked', {
        nkey,
        held,
        size: head.size,
      });
    const from = [...new Set([this.#told.get(nkey) ?? 0, held])].filter((size) => size > 0 && size < head.size);
    const { inclusion, consistency } = await log.prove({ leaves: entries.map(({ leaf }) => leaf), older: from }, head);
    const receipt = formatReceipt({
      checkpoint: note.toString(),
      consistency: from.map((older, at) => ({ older, path: consistency[at] ?? [] })),
      entries: entries.map(({ session, number, leaf }, at) => ({ session, number, index: leaf, path: inclusion[at] ?? [] })),
    });
    this.#told.delete(nkey);
    if (this.#told.size >= MAX_TOLD) this.#told.delete(this.#told.keys().next().value ?? '');
    this.#told.set(nkey, head.size);
    for (const listener of this.#listeners) listener(nkey, receipt);
  }

  #failed(error: unknown): void {
    this.#options.logger.error('receipts could not be given; they will be when they are asked for again', {
      cause: error instanceof Error ? error.message : 'unknown',
    });
  }
}
