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

const NOTHING_KEPT = { rows: 0, bytes: 0 };

/** Turns what happens on one connection into records, as far as the policy wants them. */
export class Recorder extends ActionRecords {
  readonly #clock: Clock;
  readonly #taken: Taken = { rows: 0 };
  /** What runs, mostly in the order in which it is going to end. */
  readonly #open: Run[] = [];
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
    const keep = recording.content === 'results' ? recording : NOTHING_KEPT;
    const quota = new Quota(limits, this.#taken, portal.prepared.handed ?? portal);
    const run = new Run({ action, portal, keep, quota, since: this.#clock.monotonic() });
    this.#open.push(run);
    return run;
  }

  finished(run: Run, end: RunResult): void {
    this.finishing(run, end);
    this.settle();
  }

  /** It did not run: its Bind failed, or what stood before it in its group did, with this SQLSTATE. */
  skipped(run: Run, code: string): void {
    if (this.#open.includes(run))
      this.finishing(run, { error: { code, message: 'not run: it was refused, or what stood before it' } });
  }

  /** As `finished`, but its record is written by `settle`, so that the agent does not wait for it. */
  finishing(run: Run, end: RunResult): void {
    // Mostly it is the only one, or the first.
    if (this.#open[0] === run) this.#open.shift();
    else if (this.#open.includes(run)) this.#open.splice(this.#open.indexOf(run), 1);
    const durationMs = this.#clock.monotonic() - run.since;
    this.totals.maskedValues += run.maskedValues;
    this.#owed.push({ run, end, durationMs });
    run.onEnd?.(end);
  }

  /** The session is over: what runs has no other end than that. */
  end(): void {
    for (let run = this.#open[0]; run !== undefined; run = this.#open[0]) this.finishing(run, CUT_OFF);
    this.settle();
  }

  /** Writes the records of what has finished. Called before any other record is written, and before the read buffer is reused. */
  settle(): void {
    // What a record that fails brings about may come back here.
    for (let next = this.#owed.shift(); next !== undefined; next = this.#owed.shift())
      this.note(next.run.done(next.end, next.durationMs));
  }
}
