import type { Access } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import type { SessionRecorder } from '../../recording/recorder.ts';
import { ActionRecords } from '../../session/action-records.ts';
import { Quota, type Taken } from './limits.ts';
import { Run, type RunResult } from './run.ts';
import type { Portal } from './steps.ts';

const CUT_OFF: RunResult = {
  error: { code: 'SessionEnded', message: 'the session ended before the database told how the statement did' },
};

/** Turns what happens on one connection into records, as far as the policy wants them. */
export class Recorder extends ActionRecords {
  readonly #clock: Clock;
  readonly #taken: Taken = { rows: 0 };
  /** What ran and has not ended, by action. */
  readonly #open = new Map<number, { readonly run: Run; readonly since: number }>();
  readonly #owed: { readonly run: Run; readonly end: RunResult; readonly durationMs: number }[] = [];

  constructor(session: SessionRecorder, access: () => Access, clock: Clock, onFailure: (error: Error) => void) {
    super(session, access, onFailure);
    this.#clock = clock;
  }

  override judged(said: Parameters<ActionRecords['judged']>[0]): Promise<number> {
    this.settle();
    return super.judged(said);
  }

  run(action: number, portal: Portal): Run {
    const { recording, limits } = this.access();
    const keep = recording.content === 'results' ? { rows: recording.rows, bytes: recording.bytes } : { rows: 0, bytes: 0 };
    const run = new Run(action, portal, keep, new Quota(limits, this.#taken, portal.prepared.handed ?? portal));
    this.#open.set(action, { run, since: this.#clock.monotonic() });
    return run;
  }

  finished(run: Run, end: RunResult): void {
    this.finishing(run, end);
    this.settle();
  }

  /** It did not run: its Bind failed, or what stood before it in its group did, with this SQLSTATE. */
  skipped(run: Run, code: string): void {
    if (this.#open.has(run.action))
      this.finishing(run, { error: { code, message: 'not run: it was refused, or what stood before it' } });
  }

  /** As `finished`, but its record is written by `settle`, so that the agent does not wait for it. */
  finishing(run: Run, end: RunResult): void {
    const now = this.#clock.monotonic();
    const since = this.#open.get(run.action)?.since ?? now;
    this.#open.delete(run.action);
    this.totals.maskedValues += run.maskedValues;
    this.#owed.push({ run, end, durationMs: now - since });
    run.onEnd?.(end);
  }

  /** The session is over: what runs has no other end than that. */
  end(): void {
    for (const { run } of this.#open.values()) this.finishing(run, CUT_OFF);
    this.settle();
  }

  /** Writes the records of what has finished. Called before any other record is written, and before the read buffer is reused. */
  settle(): void {
    if (this.#owed.length === 0) return;
    for (const { run, end, durationMs } of this.#owed.splice(0)) this.note(run.done(end, durationMs));
  }
}
