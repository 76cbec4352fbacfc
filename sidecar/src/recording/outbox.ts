import { leafHash, parseSegment, segmentLeaf, segmentOf } from '@chaperone/evidence';
import type { LogView } from './log-view.ts';
import { type Delivery, RecordingError } from './recorder.ts';
import type { PodCounter } from './pod-counter.ts';
import type { Journal } from './journal.ts';
import type { Spool } from './spool.ts';

export interface Logger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Caps on what is under way to the broker; the rest waits in the spool. */
const MAX_INFLIGHT = 64;
const MAX_INFLIGHT_BYTES = 16 * 1024 * 1024;
/** Segments that are sent as they were sealed; others are read from the spool, as all are that are sent again. */
const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** A delivery that has not settled by then counts as failed and is made again. */
const DELIVER_TIMEOUT_MS = 30_000;
/** Waits between attempts double up to this many times. */
const MAX_DOUBLINGS = 6;

interface Entry {
  readonly session: string;
  readonly number: number;
  readonly size: number;
  state: 'ready' | 'inflight' | 'waiting';
  attempts: number;
  /** Attempts in a row that the transport refused. */
  failures: number;
  /** Monotonic time of the next attempt while waiting. */
  dueAt: number;
  /** What proves it in the log; known from when it is first sent. */
  leaf: Buffer | undefined;
  /** What was sealed, until it is sent. */
  bytes: Buffer | undefined;
  delivered: boolean;
  since: number;
}

/** A sealed segment that is in the spool; `bytes` of one that was sealed just now. */
export interface SpooledOrSealed {
  readonly session: string;
  readonly number: number;
  readonly size: number;
  readonly bytes?: Buffer;
}

export interface OutboxOptions {
  readonly spool: Spool;
  readonly journal: Pick<Journal, 'freed'>;
  readonly log: LogView;
  readonly counter: Pick<PodCounter, 'found' | 'lost'>;
  /** Told of a session of which nothing waits any more. */
  readonly onEmpty: (session: string) => void;
  readonly delivery: Delivery;
  readonly logger: Logger;
  readonly monotonic: () => number;
  readonly random: () => number;
  /** First wait for a receipt, or after a failure, before a segment is sent again. */
  readonly redeliverAfterMs: number;
}

/** The sealed segments that have no receipt yet: sends them, again and again, and frees them when their receipt comes. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #entries = new Map<string, Map<number, Entry>>();
  readonly #events = new EventTarget();
  readonly #timer: NodeJS.Timeout;
  #ready: Entry[] = [];
  #inflight = 0;
  #inflightBytes = 0;
  #keptBytes = 0;
  #count = 0;
  #failing = false;
  /** While the transport fails, when one segment tries whether it works again, however long the others still wait. */
  #probeAt = 0;
  /** When a receipt that goes on from another tree may make one segment be sent again. */
  #askAt = 0;
  #stopped = false;
  unreadable = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.delivery.onReceipt((receipt) => void this.#receive(receipt));
    options.delivery.onReturn?.(() => this.sendAgain(options.redeliverAfterMs));
    this.#timer = setInterval(() => this.#sweep(), Math.max(20, options.redeliverAfterMs / 4));
    this.#timer.unref();
  }

  get size(): number {
    return this.#count;
  }

  has(session: string): boolean {
    return this.#entries.has(session);
  }

  /** Age of the oldest segment without a receipt, in milliseconds. */
  get oldestMs(): number {
    let oldest = 0;
    for (const session of this.#entries.values())
      for (const entry of session.values()) oldest = Math.max(oldest, this.#options.monotonic() - entry.since);
    return oldest;
  }

  /** Takes a sealed segment in; one that it has already stays as it is. */
  add({ session: id, number, size, bytes }: SpooledOrSealed): void {
    if (this.#entries.get(id)?.has(number) === true) return;
    const isKept = bytes !== undefined && this.#keptBytes + bytes.length <= MAX_KEPT_BYTES;
    if (isKept) this.#keptBytes += bytes.length;
    const entry: Entry = {
      session: id,
      number,
      size,
      bytes: isKept ? bytes : undefined,
      leaf: undefined,
      state: 'ready',
      attempts: 0,
      failures: 0,
      dueAt: 0,
      delivered: false,
      since: this.#options.monotonic(),
    };
    const session = this.#entries.get(id) ?? new Map<number, Entry>();
    this.#entries.set(id, session.set(number, entry));
    this.#count++;
    this.#options.counter.found(id, number);
    this.#ready.push(entry);
    this.#pump();
  }

  /** Resolves when the transport holds this segment durably (it need not be in the outbox yet). */
  async delivered(session: string, number: number, stored: Promise<void>, timeoutMs: number): Promise<void> {
    await stored;
    // What is not in the outbox any more has its receipt; a segment that could not be stored has failed its session.
    const entry = this.#entries.get(session)?.get(number);
    if (entry !== undefined && !(await this.#until(() => entry.delivered, timeoutMs)))
      throw new RecordingError('RecordingFailed', 'the broker did not take the record in time');
  }

  /** Waits until nothing is without a receipt; false if that takes longer. */
  empty(timeoutMs: number): Promise<boolean> {
    return this.#until(() => this.#count === 0, timeoutMs);
  }

  async #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return true;
    const settled = Promise.withResolvers<boolean>();
    const look = (): void => {
      if (condition()) settled.resolve(true);
    };
    const timer = setTimeout(() => settled.resolve(false), timeoutMs);
    this.#events.addEventListener('change', look);
    try {
      return await settled.promise;
    } finally {
      clearTimeout(timer);
      this.#events.removeEventListener('change', look);
    }
  }

  #changed(): void {
    this.#events.dispatchEvent(new Event('change'));
  }

  #pump(): void {
    while (!this.#stopped && this.#inflight < MAX_INFLIGHT) {
      const next = this.#ready[0];
      if (next === undefined || (this.#inflight > 0 && this.#inflightBytes + next.size > MAX_INFLIGHT_BYTES)) return;
      this.#ready.shift();
      if (this.#current(next)) void this.#send(next);
    }
  }

  #current(entry: Entry): boolean {
    return this.#entries.get(entry.session)?.get(entry.number) === entry;
  }

  async #send(entry: Entry): Promise<void> {
    const { session, number, size } = entry;
    entry.state = 'inflight';
    entry.attempts++;
    this.#inflight++;
    this.#inflightBytes += size;
    try {
      const segment = await this.#load(entry);
      if (segment !== undefined) {
        entry.leaf ??= leafHash(segmentLeaf(parseSegment(segmentOf(segment))));
        const held = this.#options.log.size;
        await withTimeout(this.#options.delivery.deliver(segment, { session, number, held }), DELIVER_TIMEOUT_MS);
        entry.delivered = true;
        // How long its receipt may take has nothing to do with how long the broker was away.
        if (entry.failures > 0) entry.attempts = 1;
        entry.failures = 0;
        this.#retryFailed();
      }
    } catch (error) {
      entry.failures++;
      this.#failing = true;
      this.#probeAt = this.#options.monotonic() + this.#options.redeliverAfterMs;
      this.#options.logger.warn('a segment could not be delivered and will be sent again', {
        session,
        number,
        attempts: entry.attempts,
        cause: error instanceof Error ? error.name : 'unknown',
      });
    } finally {
      this.#inflight--;
      this.#inflightBytes -= size;
      entry.state = 'waiting';
      const doublings = Math.min(entry.attempts - 1, MAX_DOUBLINGS);
      const wait = this.#options.redeliverAfterMs * 2 ** doublings * (0.75 + this.#options.random() / 2);
      entry.dueAt = this.#options.monotonic() + wait;
      this.#changed();
      this.#pump();
    }
  }

  async #load(entry: Entry): Promise<Buffer | undefined> {
    const { session, number } = entry;
    const kept = this.#taken(entry);
    if (kept !== undefined) return kept;
    try {
      return await this.#options.spool.load(session, number);
    } catch (error) {
      // A receipt may have freed the file since the attempt began.
      if (!this.#current(entry)) return undefined;
      if (!(error instanceof RecordingError)) throw error;
      this.#options.logger.error('a spool file cannot be read; it is set aside and will be missing', { session, number });
      this.unreadable++;
      this.#options.counter.lost(session);
      this.#drop(entry);
      await this.#options.spool.setAside(this.#options.spool.segmentPath(session, number));
      return undefined;
    }
  }

  /** The transport works again: what it refused before need not wait any longer. */
  #retryFailed(): void {
    if (!this.#failing) return;
    this.#failing = false;
    for (const session of this.#entries.values())
      for (const entry of session.values()) if (entry.state === 'waiting' && entry.failures > 0) entry.dueAt = 0;
    this.#sweep();
  }

  /** Sends all that waits within that time, at moments by chance, however long it was to wait: the transport may have lost what it took. */
  sendAgain(withinMs: number): void {
    const { monotonic, random } = this.#options;
    for (const session of this.#entries.values())
      for (const entry of session.values()) {
        if (entry.state !== 'waiting') continue;
        entry.attempts = 0;
        entry.dueAt = Math.min(entry.dueAt, monotonic() + withinMs * random());
      }
    this.#sweep();
  }

  /**
   * Receipts were lost, and what is asked for in the stream goes on from a tree that is held no more: one segment, sent again, says
   * from which one the next receipt has to go on.
   */
  #askAgain(): void {
    const now = this.#options.monotonic();
    if (now < this.#askAt) return;
    this.#askAt = now + this.#options.redeliverAfterMs;
    for (const session of this.#entries.values())
      for (const entry of session.values()) {
        if (entry.state !== 'waiting') continue;
        entry.dueAt = 0;
        this.#sweep();
        return;
      }
  }

  #taken(entry: Entry): Buffer | undefined {
    const { bytes } = entry;
    this.#keptBytes -= bytes?.length ?? 0;
    entry.bytes = undefined;
    return bytes;
  }

  #drop(entry: Entry): void {
    this.#taken(entry);
    const session = this.#entries.get(entry.session);
    if (session?.delete(entry.number) === true) this.#count--;
    if (session?.size !== 0) return;
    this.#entries.delete(entry.session);
    this.#options.onEmpty(entry.session);
  }

  #sweep(): void {
    const now = this.#options.monotonic();
    let probes = this.#failing && this.#probeAt <= now;
    for (const session of this.#entries.values())
      for (const entry of session.values())
        if (entry.state === 'waiting' && (entry.dueAt <= now || (probes && entry.failures > 0))) {
          probes &&= entry.failures === 0;
          entry.state = 'ready';
          this.#ready.push(entry);
        }
    this.#pump();
  }

  async #receive(receipt: Uint8Array): Promise<void> {
    const { log, logger, spool, journal } = this.#options;
    const proved = log.verify(receipt, ({ session, number }) => this.#entries.get(session)?.get(number)?.leaf);
    if (proved.length === 0) {
      if (log.status().problem?.code === 'ConsistencyMissing') this.#askAgain();
      return;
    }
    try {
      // What is freed is nowhere but in a log that the next process has to be shown again.
      await log.kept();
      for (const { session, number } of proved) {
        const entry = this.#entries.get(session)?.get(number);
        if (entry === undefined) continue;
        entry.delivered = true;
        this.#drop(entry);
        journal.freed(await spool.empty(session, number));
      }
    } catch (error) {
      logger.error('a receipted segment could not be freed in the spool', {
        cause: error instanceof Error ? error.name : 'unknown',
      });
    }
    this.#changed();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }
}

async function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('timed out')), timeoutMs);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
