import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  COUNTER_FILE,
  type Counter,
  CounterStatement,
  type Epoch,
  MAX_PENDING,
  orUndefined,
  type Signed,
  signCounter,
  verifyCounter,
} from '@chaperone/evidence';
import { RecordingError } from './recorder.ts';
import type { Clock } from './session.ts';

/** A session waits so long for its counter to be taken: as long as operators need to change places. */
const PATIENCE_MS = 20_000;
/** Said so often while something is pending or has changed. */
const INTERVAL_MS = 10_000;
/** And so often where nothing is. */
const IDLE_MS = 60_000;
/** First wait before a statement that was not taken is made again while a session waits; doubles up to four times. */
const RETRY_MS = 250;
const MAX_DOUBLINGS = 4;
/** The last statement of a process waits so long at most. */
const STOP_MS = 2_000;

/** Brings a statement to who keeps it; rejects where it was not taken. */
export type TellCounter = (statement: CounterStatement) => Promise<void>;

export interface PodCounterOptions {
  readonly runDirectory: string;
  readonly origin: string;
  readonly nkey: string;
  readonly registration: Signed;
  /** The epoch, and the time by the pod's clock that lies in it, ms. */
  readonly epoch: () => { readonly epoch: Epoch; readonly at: number };
  readonly clock: Clock;
  readonly tell: TellCounter;
  readonly timings?: Partial<Record<'patienceMs' | 'intervalMs' | 'idleMs' | 'stopMs', number>>;
}

interface Waiting {
  /** So many sessions a statement has to have. */
  readonly opened: number;
  readonly taken: () => void;
}

/**
 * Counts what this pod recorded, and says it under the epoch's key where the collector cannot change it: whenever a session opens, and at a
 * steady interval. One statement is under way at a time, and the next has all that came meanwhile, so that many sessions cost few of them.
 */
export class PodCounter {
  readonly #o: PodCounterOptions;
  readonly #intervalMs: number;
  readonly #timer: NodeJS.Timeout;
  /** Sessions that are not whole in the log, with how many segments each has; the order in which they opened. */
  readonly #pending = new Map<string, number>();
  /** Of which something is gone that never had a receipt. */
  readonly #lost = new Set<string>();
  #number = 0;
  #opened = 0;
  #sealed = 0;
  #newest: string | null = null;
  #last: Counter['last'] = null;
  readonly #waiting = new Set<Waiting>();
  /** Sessions of the newest statement that was taken. */
  #taken = 0;
  #retry: NodeJS.Timeout | undefined;
  #isChanged = true;
  #failures = 0;
  #saidAt = Number.NEGATIVE_INFINITY;
  #saying: Promise<void> | undefined;
  #stopped = false;

  constructor(options: PodCounterOptions) {
    this.#o = options;
    this.#resume();
    this.#intervalMs = options.timings?.intervalMs ?? INTERVAL_MS;
    this.#timer = setInterval(() => this.#beat(), this.#intervalMs / 10).unref();
  }

  /** What an earlier process of this pod said last. One that nobody can read is forgotten: who keeps the counters refuses to go back. */
  #resume(): void {
    const { runDirectory, nkey, origin } = this.#o;
    const kept = readStatement(join(runDirectory, COUNTER_FILE));
    const counted = kept && orUndefined(() => verifyCounter(kept, { nkey, origin }));
    if (counted === undefined) return;
    const { number, opened, sealed, newest, last, pending } = counted.counter;
    [this.#number, this.#opened, this.#sealed, this.#newest, this.#last] = [number, opened, sealed, newest, last];
    for (const [session, segments] of pending) this.#pending.set(session, segments);
  }

  opened(session: string): void {
    this.#pending.set(session, 0);
    this.#opened++;
    this.#newest = session;
    this.#isChanged = true;
    this.#say();
  }

  /** A segment is in the spool and will be sent. */
  sealed(session: string, number: number, link: string): void {
    this.#sealed++;
    this.#last = { session, number, link };
    this.found(session, number);
  }

  /** A sealed segment waits for its receipt. */
  found(session: string, number: number): void {
    this.#pending.set(session, Math.max(this.#pending.get(session) ?? 0, number + 1));
    this.#isChanged = true;
  }

  /** Something of the session is gone that had no receipt: it stays pending for good. */
  lost(session: string): void {
    this.#lost.add(session);
  }

  /** The session is over, and all of it is in the log. */
  settled(session: string): void {
    if (!this.#lost.has(session) && this.#pending.delete(session)) this.#isChanged = true;
  }

  /** Resolves once all sessions so far are counted where the collector cannot change it. Rejects with RecordingError where that takes too long. */
  async taken(): Promise<void> {
    if (this.#taken >= this.#opened) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { opened: this.#opened, taken: resolve };
    const late = (): void => reject(new RecordingError('RecordingBlocked', 'the counter of this pod was not taken in time'));
    const timer = setTimeout(late, this.#o.timings?.patienceMs ?? PATIENCE_MS);
    this.#waiting.add(waiting);
    this.#say();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  /** Sends what there is, unless a statement is under way or waits to be sent again: it has what came meanwhile, or another follows it. */
  #say(): void {
    if (this.#stopped || this.#saying !== undefined || this.#retry !== undefined) return;
    this.#saying = this.#sayAndGoOn();
  }

  async #sayAndGoOn(): Promise<void> {
    const isTaken = await this.#sayOnce();
    this.#saying = undefined;
    if (this.#waiting.size === 0) return;
    if (isTaken) this.#say();
    else this.#sayLater();
  }

  #sayLater(): void {
    const wait = RETRY_MS * 2 ** Math.min(this.#failures - 1, MAX_DOUBLINGS);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#say();
    }, wait).unref();
  }

  async #sayOnce(): Promise<boolean> {
    // What opens in the same turn is part of it.
    await Promise.resolve();
    const opened = this.#opened;
    try {
      const statement = this.#state();
      this.#saidAt = this.#o.clock.monotonic();
      this.#isChanged = false;
      await this.#o.tell(statement);
      this.#failures = 0;
      this.#taken = opened;
      for (const waiting of this.#waiting) if (waiting.opened <= opened) waiting.taken();
      return true;
    } catch {
      // The control plane tells of its own trouble; whoever waits for this is told when its time is over.
      this.#failures++;
      this.#isChanged = true;
      return false;
    }
  }

  /** The next statement, written down before anybody hears of it. */
  #state(): CounterStatement {
    const { origin, nkey, registration, clock, epoch, runDirectory } = this.#o;
    const newest = [...this.#pending].slice(-MAX_PENDING);
    const { epoch: signing, at } = epoch();
    const counter: Counter = {
      origin,
      nkey,
      number: this.#number + 1,
      opened: this.#opened,
      newest: this.#newest,
      sealed: this.#sealed,
      last: this.#last,
      pending: newest,
      more: this.#pending.size - newest.length,
      clock: { wall: at, mono: clock.monotonic() },
    };
    const statement = { registration, ...signCounter(counter, signing) };
    const path = join(runDirectory, COUNTER_FILE);
    writeFileSync(`${path}.new`, JSON.stringify(statement), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#number++;
    return statement;
  }

  #beat(): void {
    const silent = this.#o.clock.monotonic() - this.#saidAt;
    const due = this.#isChanged || this.#pending.size > 0 ? this.#intervalMs : (this.#o.timings?.idleMs ?? IDLE_MS);
    if (silent >= due) this.#say();
  }

  /** Says once more what has changed; who does not take it in time has heard most of it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    this.#stopped = true;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, this.#o.timings?.stopMs ?? STOP_MS);
    const last = async (): Promise<void> => {
      await this.#saying;
      if (this.#isChanged) await this.#sayOnce();
    };
    await Promise.race([last(), late.promise]);
    clearTimeout(timer);
  }
}

/** A statement as it is kept in a file; undefined where there is none that can be read. */
export function readStatement(path: string): CounterStatement | undefined {
  try {
    return CounterStatement.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}
