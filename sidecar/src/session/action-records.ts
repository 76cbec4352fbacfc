import { isRefused, type KubernetesCall, type RecordBody } from '@chaperone/evidence';
import type { Access, Verdict } from '@chaperone/policy';
import type { Durability, SessionRecorder } from '../recording/recorder.ts';

/** Characters of an action's text that evidence keeps; its whole length is in `bytes`. */
const MAX_TEXT = 32 * 1024;

/** Written out before anybody could change them. */
type RecordedEffects = Extract<RecordBody, { type: 'action' }>['effects'];

/** What was decided about one action. */
interface Judged {
  readonly text: string | undefined;
  readonly bytes: number;
  readonly verdict: Verdict;
  readonly writes: boolean;
  readonly parameters?: readonly (string | null)[] | undefined;
  readonly kubernetes?: KubernetesCall | undefined;
  /** As its client sent it. */
  readonly traceparent?: string | undefined;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface Totals {
  actions: number;
  denied: number;
  maskedValues: number;
}

/** Turns what is judged on one connection into records, on every protocol. */
export class ActionRecords {
  readonly totals: Totals = { actions: 0, denied: 0, maskedValues: 0 };
  protected readonly session: SessionRecorder;
  protected readonly access: () => Access;
  readonly #onFailure: (error: Error) => void;

  /** `onFailure` is told when a record fails that nothing waits for: the session ends. */
  constructor(session: SessionRecorder, access: () => Access, onFailure: (error: Error) => void) {
    this.session = session;
    this.access = access;
    this.#onFailure = onFailure;
  }

  /** Writes the verdict on an action; resolves once it is as durable as the mode asks. Rejects: the action must not run. */
  judged(said: Judged): Promise<number> {
    const action = this.totals.actions++;
    if (said.verdict.verdict === 'deny') this.totals.denied++;
    const record = this.#recordOf(action, said);
    if (said.traceparent !== undefined) this.session.link?.(said.traceparent);
    return this.session.append(record, this.durability(said.writes)).then(() => action);
  }

  /** As {@link judged}, of what ran or failed already; should that fail, the session ends. */
  judgedMeanwhile(said: Judged): void {
    this.judged(said).catch(this.#onFailure);
  }

  /** Written for every statement, so field by field: spreading what may be absent costs more than all else here. */
  #recordOf(action: number, { text, bytes, verdict, parameters, kubernetes }: Judged): RecordBody {
    const shown = this.access().recording.content !== 'metadata';
    const record: Writable<Extract<RecordBody, { type: 'action' }>> = {
      type: 'action',
      action,
      bytes,
      verdict: verdict.verdict,
      code: verdict.code,
      reason: verdict.reason,
      effects: verdict.effects as RecordedEffects,
    };
    if (shown && text !== undefined) record.text = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
    if (shown && parameters !== undefined) record.parameters = [...parameters];
    if (verdict.rule !== undefined) record.rule = verdict.rule;
    if (kubernetes !== undefined) record.kubernetes = kubernetes;
    if (verdict.wouldDeny !== undefined) record.wouldDeny = { ...verdict.wouldDeny };
    return record;
  }

  /** Writes what people said of an action; resolves once it is as durable as the mode asks. Rejects: the action must not run. */
  async approval(said: Omit<Extract<RecordBody, { type: 'approval' }>, 'type'>): Promise<void> {
    if (isRefused(said)) this.totals.denied++;
    const { change, ...rest } = said;
    const isKept = change !== undefined && this.access().recording.content !== 'metadata';
    await this.session.append({ type: 'approval', ...rest, ...(isKept && { change }) }, this.durability(true));
  }

  /** Records that nothing waits for; should one fail, the session ends. */
  note(records: readonly RecordBody[]): void {
    for (const record of records) this.session.append(record, 'soon').catch(this.#onFailure);
  }

  protected durability(writes: boolean): Durability {
    const { mode } = this.access().recording;
    if (mode === 'strict') return 'stored';
    return writes && mode === 'durable' ? 'synced' : 'written';
  }
}
