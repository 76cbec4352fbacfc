import { isRefused, type RecordBody } from '@chaperone/evidence';
import type { Access, Verdict } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import type { Durability, SessionRecorder } from '../../recording/recorder.ts';
import { Quota, type Taken } from './limits.ts';
import { Run, type RunResult } from './run.ts';
import type { Portal } from './steps.ts';

/** Characters of a statement that evidence keeps; its whole length is in `bytes`. */
const MAX_TEXT = 32 * 1024;

/** Written out before anybody could change them. */
type RecordedEffects = Extract<RecordBody, { type: 'action' }>['effects'];

const CUT_OFF: RunResult = {
  error: { code: 'SessionEnded', message: 'the session ended before the database told how the statement did' },
};

export interface Totals {
  actions: number;
  denied: number;
  maskedValues: number;
}

/** Turns what happens on one connection into records, as far as the policy wants them. */
export class Recorder {
  readonly totals: Totals = { actions: 0, denied: 0, maskedValues: 0 };
  readonly #session: SessionRecorder;
  readonly #access: () => Access;
  readonly #clock: Clock;
  readonly #onFailure: (error: Error) => void;
  readonly #taken: Taken = { rows: 0 };
  /** What ran and has not ended, by action. */
  readonly #open = new Map<number, { readonly run: Run; readonly since: number }>();
  readonly #owed: { readonly run: Run; readonly end: RunResult; readonly durationMs: number }[] = [];

  constructor(session: SessionRecorder, access: () => Access, clock: Clock, onFailure: (error: Error) => void) {
    this.#session = session;
    this.#access = access;
    this.#clock = clock;
    this.#onFailure = onFailure;
  }

  /** Writes the verdict on an action; resolves once it is as durable as the mode asks. Rejects: the action must not run. */
  async judged(said: {
    text: string | undefined;
    bytes: number;
    verdict: Verdict;
    writes: boolean;
    parameters?: readonly (string | null)[] | undefined;
  }): Promise<number> {
    this.settle();
    const action = this.totals.actions++;
    if (said.verdict.verdict === 'deny') this.totals.denied++;
    const shown = this.#access().recording.content !== 'metadata';
    const record: RecordBody = {
      type: 'action',
      action,
      bytes: said.bytes,
      ...(shown && said.text !== undefined ? { text: said.text.slice(0, MAX_TEXT) } : {}),
      ...(shown && said.parameters !== undefined ? { parameters: [...said.parameters] } : {}),
      verdict: said.verdict.verdict,
      code: said.verdict.code,
      reason: said.verdict.reason,
      effects: said.verdict.effects as RecordedEffects,
      ...(said.verdict.rule === undefined ? {} : { rule: said.verdict.rule }),
      ...(said.verdict.wouldDeny === undefined ? {} : { wouldDeny: { ...said.verdict.wouldDeny } }),
    };
    await this.#session.append(record, this.#durability(said.writes));
    return action;
  }

  /** Writes what people said of an action; resolves once it is as durable as the mode asks. Rejects: the action must not run. */
  async approval(said: Omit<Extract<RecordBody, { type: 'approval' }>, 'type'>): Promise<void> {
    if (isRefused(said)) this.totals.denied++;
    await this.#session.append({ type: 'approval', ...said }, this.#durability(true));
  }

  run(action: number, portal: Portal): Run {
    const { recording, limits } = this.#access();
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

  /** Records that nothing waits for; should one fail, the session ends. */
  note(records: readonly RecordBody[]): void {
    for (const record of records) this.#session.append(record, 'soon').catch(this.#onFailure);
  }

  #durability(writes: boolean): Durability {
    const { mode } = this.#access().recording;
    if (mode === 'strict') return 'stored';
    return writes && mode === 'durable' ? 'synced' : 'written';
  }
}
