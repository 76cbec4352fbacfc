import { randomBytes } from 'node:crypto';
import {
  decodeLeaf,
  EvidenceError,
  type GivenReading,
  openReading,
  READ_WAYS,
  type ReadWay,
  type Reading,
  sealReading,
  type Signer,
} from '@chaperone/evidence';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import type { ReadRow } from '../evidence-index/leaves.ts';
import type { Logger } from '../ingest.ts';
import type { Sequencer } from '../log/sequencer.ts';
import type { TransparencyLog } from '../log/transparency-log.ts';
import type { ObjectStore } from '../objects/index.ts';

/** For so long an entry stands for all that the same person reads of the same, be it as much or less. */
export const WINDOW_MS = 10 * 60_000;
/** Entries of one person in that time: a person opens tens of sessions, a script exports periods; each entry stays in the log for ever. */
export const MAX_READS = 600;
/** Readings that are remembered; whoever is forgotten is looked up. */
const MAX_REMEMBERED = 10_000;
/** Of a session's entries of the window, those that are looked through. */
const MAX_LOOKED = 50;

/** ReadNotRecorded: the log does not take that it was read · TooManyReads: the person has had as many entries as fit a time. */
export class ReadingError extends Error {
  override readonly name = 'ReadingError';
  readonly code: 'ReadNotRecorded' | 'TooManyReads';
  constructor(code: ReadingError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface ReadingsOptions {
  readonly store: ObjectStore;
  readonly index: EvidenceIndex;
  readonly sequencer: Pick<Sequencer, 'log' | 'addOrder'>;
  /** The log's. */
  readonly signer: Signer;
  readonly now: () => number;
  readonly logger: Logger;
}

type What = Pick<Reading, 'session' | 'way' | 'period'>;

interface Remembered {
  readonly at: number;
  readonly rank: number;
  /** Rejects with ReadingError. */
  readonly done: Promise<void>;
}

/** That people read evidence, as entries of the log: what somebody reads is shown when its entry is in, and not otherwise. */
export class Readings {
  readonly #o: ReadingsOptions;
  /** The newest of a person and what they read, the oldest first. */
  readonly #known = new Map<string, Remembered>();
  /** Entries of a person since the beginning of a window. */
  readonly #counts = new Map<string, { readonly since: number; count: number }>();

  constructor(options: ReadingsOptions) {
    this.#o = options;
  }

  /**
   * Resolves when the log says that this person read this, or more of it, within {@link WINDOW_MS}.
   * @throws ReadingError
   */
  async note(by: string, what: What): Promise<void> {
    const name = JSON.stringify([by, what.session, what.period]);
    const [at, rank] = [this.#o.now(), rankOf(what.way)];
    const known = this.#known.get(name);
    if (known !== undefined && covers(known, at, rank)) return known.done;
    const done = this.#recorded(by, what, at);
    // Kept before it is done, so that what is asked for at once makes one entry.
    this.#remember(name, { at, rank, done });
    return done.catch((error: unknown) => {
      if (this.#known.get(name)?.done === done) this.#known.delete(name);
      throw error;
    });
  }

  #remember(name: string, entry: Remembered): void {
    this.#known.delete(name);
    if (this.#known.size >= MAX_REMEMBERED) this.#known.delete(this.#known.keys().next().value ?? '');
    this.#known.set(name, entry);
  }

  async #recorded(by: string, what: What, at: number): Promise<void> {
    try {
      if (await this.#isThere(by, what, at)) return;
      this.#count(by, at);
      const reading: Reading = { kind: 'read', ...what, by, at, salt: randomBytes(16).toString('hex') };
      const { text, digest, leaf } = sealReading(reading, this.#o.signer);
      await this.#o.store.replace(nameOf(digest), text, at, undefined);
      await this.#o.sequencer.addOrder(leaf);
    } catch (cause) {
      if (cause instanceof ReadingError) throw cause;
      this.#uncount(by);
      this.#o.logger.error('evidence was not shown, since the log does not take that it was read', {
        cause: cause instanceof Error ? cause.name : 'unknown',
      });
      throw new ReadingError('ReadNotRecorded', 'the log does not take that this was read, so it is not shown', { cause });
    }
  }

  /** Of a process that began since: what the log has of this window. */
  async #isThere(by: string, { session, way, period }: What, at: number): Promise<boolean> {
    const log = await this.#o.sequencer.log();
    for (const row of await this.#o.index.leaves.readsOf(session, at - WINDOW_MS + 1, MAX_LOOKED)) {
      const found = await this.#read(row, log);
      const isSame = found?.by === by && found.period?.from === period?.from && found.period?.to === period?.to;
      if (isSame && covers({ at: found.at, rank: rankOf(found.way) }, at, rankOf(way))) return true;
    }
    return false;
  }

  #count(by: string, at: number): void {
    const known = this.#counts.get(by);
    if (known === undefined || at - known.since >= WINDOW_MS || at < known.since) {
      for (const [name, { since }] of this.#counts) if (at - since >= WINDOW_MS) this.#counts.delete(name);
      this.#counts.set(by, { since: at, count: 1 });
      return;
    }
    if (known.count >= MAX_READS)
      throw new ReadingError(
        'TooManyReads',
        `you have read ${MAX_READS} sessions or periods within ten minutes; export a period`,
      );
    known.count++;
  }

  /** What is in no log has flooded none. */
  #uncount(by: string): void {
    const known = this.#counts.get(by);
    if (known !== undefined && known.count > 0) known.count--;
  }

  /** Who read a session, the newest first. */
  async of(session: string, limit: number): Promise<GivenReading[]> {
    return this.#given(await this.#o.index.leaves.readsOf(session, 0, limit));
  }

  /** Who read sessions of these namespaces, and, where `all`, several at once, the newest first. */
  async newest(namespaces: readonly string[], all: boolean, limit: number): Promise<GivenReading[]> {
    return this.#given(await this.#o.index.leaves.newestReads(namespaces, all, limit));
  }

  /** The text of a reading, which was not verified; undefined where it was destroyed. */
  async textOf(digest: string): Promise<Buffer | undefined> {
    return (await this.#o.store.get(nameOf(digest)))?.bytes;
  }

  async #given(rows: readonly ReadRow[]): Promise<GivenReading[]> {
    const log = await this.#o.sequencer.log();
    const found = await Promise.all(rows.map((row) => this.#read(row, log)));
    return found.filter((each) => each !== undefined);
  }

  /** What the entry says, and its text where that is there and the one that it names. */
  async #read({ leaf: entry, digest }: ReadRow, log: TransparencyLog): Promise<GivenReading | undefined> {
    const text = await this.textOf(digest);
    for await (const { entry: bytes } of log.entries(entry)) {
      const leaf = decodeLeaf(bytes);
      return leaf.kind === 'read' ? this.#told(entry, leaf.statement, text) : undefined;
    }
    return undefined;
  }

  #told(entry: number, statement: Parameters<typeof openReading>[1], text: Buffer | undefined): GivenReading {
    const { session, way, at } = statement;
    const said = { ...(session === null ? {} : { session }), way, at, entry };
    if (text === undefined) return said;
    try {
      const { by, period } = openReading(text, statement);
      return { ...said, by, ...(period === undefined ? {} : { period }) };
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#o.logger.error('the text of a reading is not what the log says', { entry, code: error.code });
      return said;
    }
  }
}

function rankOf(way: ReadWay): number {
  return READ_WAYS.indexOf(way);
}

function covers(known: Pick<Remembered, 'at' | 'rank'>, at: number, rank: number): boolean {
  return known.rank >= rank && at >= known.at && at - known.at < WINDOW_MS;
}

/** Not created but replaced: what is created may be locked, and who it was may have to be forgotten. */
function nameOf(digest: string): string {
  return `reads/${digest.slice(0, 2)}/${digest}`;
}
