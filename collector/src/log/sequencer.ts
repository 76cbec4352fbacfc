import { decodeLeaf, EvidenceError, segmentLeaf, type Trust, type VerifiedSegment, verifySegment } from '@chaperone/evidence';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import type { LeafRow } from '../evidence-index/schema.ts';
import type { Logger } from '../ingest.ts';
import type { Objects } from '../objects/index.ts';
import { LogError, type TransparencyLog } from './transparency-log.ts';

/** Entries of one commit: what a state takes at once. */
const BATCH = 1_024;

interface Waiting {
  readonly leaf: Buffer;
  readonly row: Omit<LeafRow, 'leaf'>;
  /** Its number, where the index knows it already. */
  readonly known: () => Promise<number | undefined>;
  readonly done: PromiseWithResolvers<number>;
}

export interface SequencerOptions {
  readonly index: EvidenceIndex;
  readonly open: () => Promise<TransparencyLog>;
  readonly logger: Logger;
}

/**
 * Puts segments into the log, each once. What waits while entries are being written goes in with the next, so that many segments cost one
 * write. The index knows which segment is which entry; what it does not know of the log it learns before anything more is appended, so a
 * crash between the two makes no second entry.
 */
export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #waiting = new Map<string, Waiting>();
  /** Undefined where it has to be opened anew: it is not known what the last append left. */
  #log: Promise<TransparencyLog> | undefined;
  #running: Promise<void> | undefined;
  #pausing: Promise<unknown> = Promise.resolve();
  readonly #placing = new Set<Promise<unknown>>();

  constructor(options: SequencerOptions) {
    this.#options = options;
  }

  /** The log as it is now, of which the index knows all. Rejects with LogError or StoreError where it cannot be opened. */
  log(): Promise<TransparencyLog> {
    this.#log ??= this.#open();
    return this.#log;
  }

  async #open(): Promise<TransparencyLog> {
    try {
      const log = await this.#options.open();
      const [known, size] = [await this.#options.index.leaves.next(), log.head.size];
      // Whoever was given a receipt for the others would be told of another history.
      if (known > size) throw new LogError('LogAltered', `the index knows ${known} entries of the log, which has ${size}`);
      await catchUp(log, this.#options.index);
      return log;
    } catch (error) {
      this.#log = undefined;
      throw error;
    }
  }

  /** Resolves with the number of the segment's entry, when that is in a signed checkpoint. Rejects where it is not known to be. */
  add(segment: VerifiedSegment): Promise<number> {
    const { session, number } = segment.header;
    return this.#add(`${session}/${number}`, {
      leaf: segmentLeaf(segment),
      row: { kind: 'segment', session, number, digest: null, at: null },
      known: () => this.#options.index.leaves.of(session, number),
    });
  }

  /** The same of an order or a reading; with its kind, the entry names it by its digest. */
  addOrder(leaf: Buffer): Promise<number> {
    const row = placeOf(leaf);
    const { digest } = row;
    if (digest === null) throw new TypeError('this is not an entry of an order');
    return this.#add(`order/${digest}`, { leaf, row, known: () => this.#options.index.leaves.ofOrder(digest) });
  }

  async #add(key: string, waiting: Omit<Waiting, 'done'>): Promise<number> {
    for (let pausing; pausing !== this.#pausing; await pausing) pausing = this.#pausing;
    const entry = this.#place(key, waiting);
    this.#placing.add(entry);
    try {
      return await (await entry).promise;
    } finally {
      this.#placing.delete(entry);
    }
  }

  /** Where the entry's number will be known: it has one, or waits for one. */
  async #place(key: string, entry: Omit<Waiting, 'done'>): Promise<Pick<PromiseWithResolvers<number>, 'promise'>> {
    const known = this.#waiting.has(key) ? undefined : await entry.known();
    if (known !== undefined) return { promise: Promise.resolve(known) };
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return waiting.done;
    const done = Promise.withResolvers<number>();
    this.#waiting.set(key, { ...entry, done });
    this.#running ??= this.#run();
    return done;
  }

  /** Does something while nothing is appended and the index is asked for no entry. */
  paused<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#pausing.then(async () => {
      await Promise.allSettled(this.#placing);
      await this.#running;
      return work();
    });
    this.#pausing = done.catch(() => undefined);
    return done;
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.size > 0) await this.#append([...this.#waiting].slice(0, BATCH));
    } finally {
      this.#running = undefined;
    }
  }

  async #append(batch: readonly (readonly [string, Waiting])[]): Promise<void> {
    try {
      const log = await this.log();
      const { index } = this.#options;
      const fresh: (readonly [string, Waiting])[] = [];
      // What an append that was not known to have succeeded left behind.
      const all = await Promise.all(batch.map(([, each]) => each.known()));
      for (const [at, [key, each]] of batch.entries()) {
        const known = all[at];
        if (known === undefined) fresh.push([key, each]);
        else this.#settle(key, each, known);
      }
      if (fresh.length === 0) return;
      const first = await log.append(fresh.map(([, { leaf }]) => leaf));
      await index.leaves.insert(fresh.map(([, { row }], at) => ({ ...row, leaf: first + at })));
      for (const [at, [key, each]] of fresh.entries()) this.#settle(key, each, first + at);
    } catch (error) {
      this.#log = undefined;
      this.#options.logger.error('segments could not be put into the log; they will be when they come again', {
        segments: batch.length,
        cause: error instanceof Error ? error.message : 'unknown',
      });
      for (const [key, { done }] of batch) {
        this.#waiting.delete(key);
        done.reject(error);
      }
    }
  }

  #settle(key: string, { done }: Waiting, leaf: number): void {
    this.#waiting.delete(key);
    done.resolve(leaf);
  }
}

interface StoredOptions {
  readonly index: EvidenceIndex;
  readonly objects: Objects;
  readonly trust: Trust;
  readonly sequencer: Sequencer;
  readonly logger: Logger;
}

/** Puts into the log what is stored and is not in it: of a collector that stopped in between, or that had no log. */
export async function logStored({ index, objects, trust, sequencer, logger }: StoredOptions): Promise<void> {
  const unusable = new Set<string>();
  for (;;) {
    const rows = (await index.leaves.unlogged(BATCH + unusable.size)).filter(({ digest }) => !unusable.has(digest));
    if (rows.length === 0) return;
    const added: Promise<number>[] = [];
    for (const { session, number, digest } of rows) {
      const segment = readStored(await objects.get('seg', digest), trust);
      if (typeof segment !== 'string') {
        added.push(sequencer.add(segment));
        continue;
      }
      unusable.add(digest);
      logger.error('a stored segment cannot be put into the log', { session, number, code: segment });
    }
    await Promise.all(added);
  }
}

/** The segment, or the code that says why it is none. */
function readStored(bytes: Buffer | undefined, trust: Trust): VerifiedSegment | string {
  if (bytes === undefined) return 'SegmentMissing';
  try {
    return verifySegment(bytes, trust);
  } catch (error) {
    if (error instanceof EvidenceError) return error.code;
    throw error;
  }
}

/** Entries of the log that the index does not have. */
export async function catchUp(log: TransparencyLog, index: EvidenceIndex): Promise<void> {
  let rows: LeafRow[] = [];
  for await (const { index: leaf, entry } of log.entries(await index.leaves.next())) {
    rows.push({ leaf, ...placeOf(entry) });
    if (rows.length < BATCH) continue;
    await index.leaves.insert(rows);
    rows = [];
  }
  await index.leaves.insert(rows);
}

/** What an entry is about; of a kind that another version wrote, that it is there. */
function placeOf(entry: Buffer): Omit<LeafRow, 'leaf'> {
  try {
    const { kind, statement } = decodeLeaf(entry);
    const about = { session: 'session' in statement ? statement.session : null, number: null, digest: null, at: null };
    if (kind === 'segment') return { ...about, kind, number: statement.number };
    if (kind === 'erasure' || kind === 'read') return { ...about, kind, digest: statement.order, at: statement.at };
    if (kind === 'hold') return { ...about, kind: statement.state, digest: statement.order, at: statement.at };
    return { ...about, kind };
  } catch (error) {
    if (error instanceof EvidenceError) return { kind: 'unknown', session: null, number: null, digest: null, at: null };
    throw error;
  }
}
