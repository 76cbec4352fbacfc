import {
  EvidenceError,
  formatAddCheckpoint,
  formatNote,
  isBy,
  type NoteSignature,
  openCheckpoint,
  openNote,
  orUndefined,
  parseNote,
  parseSignatures,
  type PolicyParty,
  type TreeHead,
  type TrustPolicy,
} from '@chaperone/evidence';
import type { Logger } from '../ingest.ts';
import type { ObjectStore } from '../objects/index.ts';
import type { Published } from './receipts.ts';
import type { TransparencyLog } from './transparency-log.ts';

/** The newest checkpoint with the cosignatures that the policy asks for. */
const COSIGNED = 'log/cosigned';
const TIMEOUT_MS = 5_000;
/** A few lines of signatures, or a size. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** A witness that does not answer is asked less often: waits double up to this many times. */
const MAX_DOUBLINGS = 5;

export interface WitnessesOptions {
  /** The log's own key, and the witnesses; those without an address are not asked. */
  readonly policy: TrustPolicy;
  /** Time between two rounds. */
  readonly intervalMs: number;
  readonly store: ObjectStore;
  readonly open: () => Promise<TransparencyLog>;
  /** A checkpoint may be shown that could not be shown before. */
  readonly onPublished: () => void;
  readonly now: () => number;
  /** Milliseconds that never go backwards: a clock that is set changes nothing of when a witness is asked again. */
  readonly monotonic: () => number;
  readonly logger: Logger;
}

/** What C2SP tlog-witness means by these. */
const UNKNOWN: Readonly<Record<number, string>> = {
  403: 'it was told of this log with another key; its policy has to have the line log of this one',
  404: 'it was told of no log with this origin; add the line log of this one to its policy',
};

interface Asked {
  /** The size that the witness has cosigned last, as far as is known. */
  size: number;
  failures: number;
  dueAt: number;
  /** When it cosigned last, ms since 1970; 0 where it has not since the start. */
  cosignedAt: number;
  /** Since when it does not, monotonic. */
  failingAt: number | undefined;
}

/** Where witnesses are, for whoever watches over them. */
export interface WitnessState {
  readonly witnesses: readonly {
    readonly name: string;
    readonly size: number;
    readonly cosignedAt: number;
    readonly failingSeconds: number;
  }[];
  /** Since when the newest checkpoint that has enough cosignatures is not the log's, and did not move; 0 where it is. */
  readonly behindSeconds: number;
}

interface Cosigned extends Published {
  readonly text: string;
}

/** Has the log's checkpoints cosigned (C2SP tlog-witness) and knows which of them may be shown. */
export class Witnesses {
  readonly #options: WitnessesOptions;
  readonly #asked = new Map<string, Asked>();
  readonly #timer: NodeJS.Timeout;
  #version: string | undefined;
  /** What has cosignatures, be it enough or not. */
  #newest: Cosigned | undefined;
  /** What has enough of them. */
  #shown: Cosigned | undefined;
  #round: Promise<void> | undefined;
  /** Entries of what may be shown, and since when there are more that may not. */
  #behind: { readonly shown: number; readonly since: number } | undefined;

  private constructor(options: WitnessesOptions, stored: { readonly version: string; readonly cosigned: Cosigned } | undefined) {
    this.#options = options;
    this.#version = stored?.version;
    this.#newest = stored?.cosigned;
    this.#shown = stored?.cosigned;
    this.#timer = setInterval(() => void this.round(), options.intervalMs).unref();
  }

  /** Takes up what was cosigned before; what the policy does not believe any more is cosigned anew. */
  static async open(options: WitnessesOptions): Promise<Witnesses> {
    const found = await options.store.get(COSIGNED);
    if (found === undefined) return new Witnesses(options, undefined);
    const cosigned = orUndefined(() => read(found.bytes, options.policy));
    const witnesses = new Witnesses(options, cosigned && { version: found.version, cosigned });
    witnesses.#version = found.version;
    return witnesses;
  }

  /** The newest checkpoint that may be shown; undefined where it waits for witnesses. */
  published(log: TransparencyLog): Published | undefined {
    const { text } = parseNote(log.checkpoint);
    if (this.#newest?.text === text && this.#isEnough(this.#newest.note)) return this.#newest;
    return this.#isEnough(log.checkpoint) ? { note: log.checkpoint, head: log.head } : this.#shown;
  }

  #isEnough(note: Buffer): boolean {
    return orUndefined(() => openCheckpoint(note, this.#options.policy)) !== undefined;
  }

  /** Asks every witness that is due to cosign the newest checkpoint; one round at a time. Never rejects. */
  round(): Promise<void> {
    this.#round ??= this.#ask()
      .catch((error: unknown) =>
        this.#options.logger.error('the checkpoint could not be cosigned; it will be tried again', { cause: messageOf(error) }),
      )
      .finally(() => {
        this.#round = undefined;
      });
    return this.#round;
  }

  state(): WitnessState {
    const now = this.#options.monotonic();
    const seconds = (since: number | undefined): number => (since === undefined ? 0 : (now - since) / 1_000);
    const asked = [...this.#options.policy.witnesses].filter(([, { url }]) => url !== undefined);
    return {
      witnesses: asked.map(([name]) => {
        const { size = 0, cosignedAt = 0, failingAt } = this.#asked.get(name) ?? {};
        return { name, size: cosignedAt === 0 ? 0 : size, cosignedAt, failingSeconds: seconds(failingAt) };
      }),
      behindSeconds: seconds(this.#behind?.since),
    };
  }

  async #ask(): Promise<void> {
    const log = await this.#options.open();
    try {
      await this.#askDue(log);
    } finally {
      const shown = this.published(log)?.head.size ?? 0;
      if (shown >= log.head.size) this.#behind = undefined;
      else if (this.#behind?.shown !== shown) this.#behind = { shown, since: this.#options.monotonic() };
    }
  }

  async #askDue(log: TransparencyLog): Promise<void> {
    const { policy, monotonic, logger, onPublished } = this.#options;
    const { head, checkpoint: note } = log;
    if (head.size === 0) return;
    const { text, signatures } = parseNote(note);
    const before = this.#newest?.text === text ? parseNote(this.#newest.note).signatures : signatures;
    const due = [...policy.witnesses].filter(([name, { verifier, url }]) => {
      const isDue = (this.#asked.get(name)?.dueAt ?? 0) <= monotonic();
      return url !== undefined && isDue && !before.some((each) => isBy(each, verifier.key));
    });
    if (due.length === 0) return;
    const added = await Promise.all(due.map(([name, witness]) => this.#cosigned(name, witness, { log, head, note, text })));
    const more = added.filter((each) => each !== undefined);
    if (more.length === 0) return;
    const cosigned: Cosigned = { text, head, note: Buffer.from(formatNote({ text, signatures: [...before, ...more] })) };
    this.#newest = cosigned;
    if (!this.#isEnough(cosigned.note)) {
      logger.warn('fewer witnesses than are asked for have cosigned the checkpoint', { size: head.size, cosigned: more.length });
      return;
    }
    await this.#store(cosigned.note);
    this.#shown = cosigned;
    onPublished();
  }

  async #store(note: Buffer): Promise<void> {
    const { store, now } = this.#options;
    const stored = await store.replace(COSIGNED, note, now(), this.#version);
    if (stored !== 'changed') {
      this.#version = stored.version;
      return;
    }
    // The answer to a try before may have been lost.
    this.#version = (await store.get(COSIGNED))?.version;
    throw new Error('what was cosigned could not be stored');
  }

  /** The witness's signature; undefined where it gives none, which is said. */
  async #cosigned(name: string, witness: PolicyParty, about: About): Promise<NoteSignature | undefined> {
    const asked = this.#asked.get(name) ?? { size: 0, failures: 0, dueAt: 0, cosignedAt: 0, failingAt: undefined };
    this.#asked.set(name, asked);
    try {
      const signature = await this.#askOne(witness, asked, about);
      Object.assign(asked, { failures: 0, size: about.head.size, cosignedAt: this.#options.now(), failingAt: undefined });
      return signature;
    } catch (error) {
      const wait = this.#options.intervalMs * 2 ** Math.min(asked.failures++, MAX_DOUBLINGS);
      asked.dueAt = this.#options.monotonic() + wait;
      asked.failingAt ??= this.#options.monotonic();
      this.#options.logger.warn('a witness has not cosigned', {
        witness: name,
        size: about.head.size,
        cause: messageOf(error),
      });
      return undefined;
    }
  }

  async #askOne({ verifier, url = '' }: PolicyParty, asked: Asked, { log, head, note, text }: About): Promise<NoteSignature> {
    for (let isFirst = true; ; isFirst = false) {
      const older = Math.min(asked.size, head.size);
      const path = await log.consistency(older, head);
      const { status, body } = await post(`${url}/add-checkpoint`, formatAddCheckpoint({ older, path, checkpoint: note }));
      if (status === 200) return signatureOf(body, verifier, text);
      const size = status === 409 && /^\d{1,16}\n$/.test(body) ? Number(body) : undefined;
      if (size !== undefined && size > head.size)
        throw new Error(`it has cosigned ${size} entries, and this log has ${head.size}: it was rolled back or forked`);
      if (size === undefined && UNKNOWN[status] !== undefined) throw new Error(`${UNKNOWN[status]} (${status})`);
      if (size === undefined || size === older || !isFirst)
        throw new Error(
          status === 422 || size === older
            ? `it has cosigned another log under this name (${status})`
            : `it answered with ${status}`,
        );
      asked.size = size;
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }
}

interface About {
  readonly log: TransparencyLog;
  readonly head: TreeHead;
  readonly note: Buffer;
  readonly text: string;
}

function read(note: Buffer, policy: TrustPolicy): Cosigned {
  const { checkpoint } = openCheckpoint(note, policy);
  return { note, head: checkpoint, text: parseNote(note).text };
}

/** Throws EvidenceError where the answer is not the witness's signature over this checkpoint. */
function signatureOf(body: string, verifier: PolicyParty['verifier'], text: string): NoteSignature {
  const signatures = parseSignatures(body);
  const [signature] = openNote(Buffer.from(formatNote({ text, signatures })), [verifier]).signatures;
  if (signature === undefined) throw new EvidenceError('NoteUnsigned', 'the witness has not signed');
  return signature;
}

async function post(url: string, body: Buffer): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(url, {
    method: 'POST',
    body: new Uint8Array(body),
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  let text = '';
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_ANSWER_BYTES) throw new Error('its answer is too long');
  }
  return { status: response.status, body: text };
}

/** What it says of itself; of a connection that failed, why. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return `${error.message}${code}`;
}
