import type { Step } from './steps.ts';

/** For a database to act on a cancel request. */
export const CANCEL_GRACE_MS = 5_000;

/** What setTimeout takes; it makes 1 of more. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface OvertimeOptions {
  readonly monotonic: () => number;
  /** The statement has run for as long as it may. */
  readonly cancel: () => void;
  /** It was cancelled, and runs on. */
  readonly giveUp: () => void;
}

/**
 * Holds what the server works at to `limits.statementDuration`. Parsing (with the locks that it waits for) and running count each by
 * themselves, from when all before is answered. There is one timer, set for no earlier than it can be needed: a statement that ends in
 * time costs a look at the clock, and none where there is no limit.
 */
export class Overtime {
  readonly #o: OvertimeOptions;
  #limitMs: number | undefined;
  #step: Step | undefined;
  #since = 0;
  #cancelledAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OvertimeOptions) {
    this.#o = options;
  }

  /** Puts a limit in force, for what runs already too: from when it was begun where a limit was in force then, else from now. */
  limit(limitMs: number | undefined): void {
    if (limitMs === this.#limitMs) return;
    if (this.#limitMs === undefined) this.#since = this.#o.monotonic();
    this.#limitMs = limitMs;
    this.#disarm();
    if (this.#step !== undefined) this.#arm();
  }

  /** The server's next answer belongs to another step. */
  turn(step: Step | undefined): void {
    const before = this.#step;
    const begun =
      step !== undefined &&
      (before === undefined ||
        step.kind === 'prepare' ||
        step.kind === 'bind' ||
        (step.kind === 'execute' && before.kind === 'execute'));
    this.#step = step;
    if (!begun || this.#limitMs === undefined) return;
    this.#since = this.#o.monotonic();
    if (this.#cancelledAt !== undefined) {
      this.#cancelledAt = undefined;
      this.#disarm();
    }
    // One that is set already is for a statement of before, and comes sooner than this one's.
    if (this.#timer === undefined) this.#arm();
  }

  /** Whether the database was told to cancel what it works at, or what it did last. */
  get cancelled(): boolean {
    return this.#cancelledAt !== undefined;
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Milliseconds until something is due. */
  #left(limitMs: number): number {
    const due = this.#cancelledAt === undefined ? this.#since + limitMs : this.#cancelledAt + CANCEL_GRACE_MS;
    return due - this.#o.monotonic();
  }

  #arm(): void {
    if (this.#limitMs === undefined) return;
    const waitMs = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(this.#left(this.#limitMs))));
    this.#timer = setTimeout(() => this.#due(), waitMs).unref();
  }

  #due(): void {
    this.#timer = undefined;
    if (this.#step === undefined || this.#limitMs === undefined) return;
    if (this.#left(this.#limitMs) <= 0) {
      if (this.#cancelledAt !== undefined) return this.#o.giveUp();
      this.#cancelledAt = this.#o.monotonic();
      this.#o.cancel();
    }
    this.#arm();
  }
}
