import { isRefused, type RecordBody } from '@chaperone/evidence';
import { type Attributes, linkTo, type Link, type Span, spanName, type Tracer } from '@chaperone/policy/tracing';
import type { Clock } from '../platform.ts';
import type { SessionRecorder } from '../recording/recorder.ts';

type OpenRecord = Extract<RecordBody, { type: 'session.open' }>;
type ActionRecord = Extract<RecordBody, { type: 'action' }>;
type RecordOf<T extends RecordBody['type']> = Extract<RecordBody, { type: T }>;

/** Actions of a session that may go on at once; more are not traced. */
const MAX_OPEN = 256;
/** Codes of ours, SQLSTATEs, names of states; what is none of them is told as `_OTHER`, as OpenTelemetry has it. */
const CODE = /^[A-Za-z0-9]{1,40}$/;
const codeOf = (text: string): string => (CODE.test(text) ? text : '_OTHER');
/** OpenTelemetry's name of a database, for protocols that are one ("Semantic Conventions", Database). */
const DATABASES: Readonly<Record<string, string>> = { postgres: 'postgresql' };

interface OpenAction {
  readonly spanId: string;
  readonly startMs: number;
  readonly record: ActionRecord;
  readonly links: readonly Link[];
}

export interface TraceOptions {
  readonly tracer: Tracer;
  readonly clock: Clock;
  /** Since when it opens, ms since 1970. */
  readonly sinceMs: number;
  readonly opened: OpenRecord;
}

/**
 * A recorder that makes spans of what it records: a trace per session, and in it each action with the time that it was held and the time
 * that the upstream took. Spans say codes, rules, verdicts and durations; never a text, a value, or the name of anything that an action
 * touched. The recorder itself where this session is not traced.
 */
export function traced(recorder: SessionRecorder, options: TraceOptions): SessionRecorder {
  const traceId = options.tracer.begin();
  if (traceId === undefined) return recorder;
  const trace = new SessionTrace(traceId, options);
  return {
    session: recorder.session,
    link: (traceparent) => trace.link(traceparent),
    append: (record, durability) => {
      trace.note(record);
      return recorder.append(record, durability);
    },
    close: () => {
      trace.end('SessionEnded');
      return recorder.close();
    },
  };
}

class SessionTrace {
  readonly #o: TraceOptions;
  readonly #traceId: string;
  readonly #spanId: string;
  readonly #shared: Attributes;
  readonly #open = new Map<number, OpenAction>();
  #link: Link | undefined;
  #isOver = false;

  constructor(traceId: string, options: TraceOptions) {
    this.#o = options;
    this.#traceId = traceId;
    this.#spanId = options.tracer.newSpanId();
    const { session, resource } = options.opened;
    this.#shared = {
      'chaperone.session': session,
      'chaperone.resource': `${resource.namespace}/${resource.name}`,
      'chaperone.protocol': resource.protocol,
      'db.system.name': DATABASES[resource.protocol],
    };
  }

  /** What the client says its next request belongs to. */
  link(traceparent: string): void {
    this.#link = linkTo(traceparent);
  }

  note(record: RecordBody): void {
    if (record.type === 'action') this.#began(record);
    else if (record.type === 'approval') this.#held(record);
    else if (record.type === 'done') this.#done(record);
    else if (record.type === 'session.close') this.end(record.code);
  }

  /** Once; what goes on then has no other end. */
  end(code: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const [action, open] of this.#open) this.#ended(action, open, 'SessionEnded');
    const { sinceMs, clock } = this.#o;
    const attributes = { ...this.#shared, 'chaperone.ended': codeOf(code) };
    const times = { startMs: sinceMs, endMs: clock.now() };
    this.#add({ ...times, spanId: this.#spanId, name: 'session', kind: 'server', attributes });
  }

  #began(record: ActionRecord): void {
    const links = this.#link === undefined ? [] : [this.#link];
    this.#link = undefined;
    const { tracer, clock } = this.#o;
    const open = { spanId: tracer.newSpanId(), startMs: clock.now(), record, links };
    if (record.verdict === 'deny') return this.#ended(record.action, open, record.code);
    if (this.#open.size >= MAX_OPEN) tracer.dropped++;
    else this.#open.set(record.action, open);
  }

  #held(record: RecordOf<'approval'>): void {
    const open = this.#open.get(record.action);
    if (open === undefined) return;
    const { request, state, waitedMs } = record;
    const endMs = this.#o.clock.now();
    const error = isRefused(record) ? codeOf(state) : undefined;
    const attributes = { ...this.#shared, 'chaperone.request': request, 'chaperone.approval': codeOf(state) };
    const span = { startMs: endMs - waitedMs, endMs, name: 'approval', kind: 'client', attributes, error } as const;
    this.#add({ ...span, spanId: this.#o.tracer.newSpanId(), parentId: open.spanId });
    if (error !== undefined) this.#ended(record.action, open, error);
  }

  #done({ action, error, durationMs }: RecordOf<'done'>): void {
    const open = this.#open.get(action);
    if (open === undefined) return;
    const code = error && codeOf(error.code);
    const endMs = this.#o.clock.now();
    const startMs = Math.max(open.startMs, endMs - durationMs);
    const spanId = this.#o.tracer.newSpanId();
    this.#add({
      startMs,
      endMs,
      spanId,
      parentId: open.spanId,
      name: 'upstream',
      kind: 'client',
      attributes: this.#shared,
      error: code,
    });
    this.#ended(action, open, code);
  }

  #ended(action: number, { spanId, startMs, record, links }: OpenAction, error: string | undefined): void {
    this.#open.delete(action);
    const decisive = record.effects.find(({ verdict }) => verdict === record.verdict);
    const verb = spanName(decisive?.verb ?? 'OTHER');
    const attributes = {
      ...this.#shared,
      ...(this.#shared['db.system.name'] !== undefined && { 'db.operation.name': verb.toUpperCase() }),
      'chaperone.action': action,
      'chaperone.verdict': record.verdict,
      'chaperone.code': record.code,
      'chaperone.rule': record.rule,
    };
    const times = { startMs, endMs: this.#o.clock.now() };
    const more = links.length === 0 ? {} : { links };
    this.#add({ ...times, spanId, parentId: this.#spanId, name: verb, kind: 'server', attributes, error, ...more });
  }

  #add(span: Omit<Span, 'traceId'>): void {
    this.#o.tracer.add({ traceId: this.#traceId, ...span });
  }
}
