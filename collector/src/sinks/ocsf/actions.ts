import type { SessionRecord } from '@chaperone/evidence';
import { type ClassName, CONTROLS, type Json, type JsonObject, type Severity } from './classes.ts';
import {
  actorOf,
  behalfOf,
  cut,
  destinationOf,
  type MapOptions,
  nameOf,
  protocolOf,
  resourceName,
  sourceOf,
  type Subject,
} from './subject.ts';

export type RecordOf<T extends SessionRecord['type']> = Extract<SessionRecord, { type: T }>;
type ActionRecord = RecordOf<'action'>;

/** An event before it has its id and time. */
export interface Draft {
  readonly of: ClassName;
  readonly activity: number;
  readonly severity: Severity;
  readonly control: (typeof CONTROLS)[keyof typeof CONTROLS];
  readonly message: string;
  /** What stands in `metadata.event_code`: the code that decided, or the kind of record. */
  readonly code: string;
  readonly fields: JsonObject;
  /** Characters of a text that was cut. */
  readonly untruncated?: number;
}

/** Of one event; an action has few, and a hostile one has no more than these. */
const MAX_EFFECTS = 64;

/** Which class the actions of a protocol are of; what has no row here is a call. */
const PROTOCOLS: Readonly<Record<string, ClassName>> = {
  postgres: 'datastore',
  mysql: 'datastore',
  ssh: 'ssh',
  kubernetes: 'api',
  http: 'api',
  tcp: 'network',
};

export function classOf(subject: Subject): ClassName {
  const protocol = protocolOf(subject);
  return protocol !== undefined && Object.hasOwn(PROTOCOLS, protocol) ? (PROTOCOLS[protocol] ?? 'api') : 'api';
}

/** The activity of what is done, the gravest first: an action counts as the first of these that it has an effect of. */
const ACTIVITIES: Readonly<Partial<Record<ClassName, readonly (readonly [activity: number, ...verbs: string[]])[]>>> = {
  datastore: [
    [7, 'drop', 'truncate', 'delete'],
    [2, 'update', 'alter', 'merge', 'grant', 'revoke'],
    [5, 'insert', 'copy'],
    [6, 'create'],
    [4, 'select'],
  ],
  api: [
    [4, 'delete', 'deletecollection', 'DELETE'],
    [3, 'update', 'patch', 'PUT', 'PATCH'],
    [1, 'create', 'connect', 'exec', 'POST'],
    [2, 'get', 'list', 'watch', 'GET', 'HEAD'],
  ],
};

function activityOf(of: ClassName, verbs: readonly string[], isDenied: boolean): number {
  if (of === 'ssh') return isDenied ? 5 : 6;
  if (of === 'network') return 6;
  return ACTIVITIES[of]?.find(([, ...known]) => known.some((verb) => verbs.includes(verb)))?.[0] ?? 99;
}

function verbsOf({ effects, kubernetes }: ActionRecord): string[] {
  return [...effects.map(({ verb }) => verb), ...(kubernetes === undefined ? [] : [kubernetes.verb])];
}

/** What the class of a protocol says of the resource that an action is about. */
export function aboutResource(of: ClassName, subject: Subject): JsonObject {
  const both = { src_endpoint: sourceOf(subject), dst_endpoint: destinationOf(subject), actor: actorOf(subject) };
  if (of !== 'datastore') return both;
  const name = resourceName(subject);
  return { ...both, type_id: 1, type: 'Database', database: { name, uid: name, type_id: 1, type: 'Relational' } };
}

/** The call that class API Activity cannot be without. */
function callOf(subject: Subject, record: ActionRecord | undefined, action: number, content: MapOptions['content']): JsonObject {
  const request = { uid: `${subject.session}.${action}` };
  const { kubernetes: call } = record ?? {};
  if (call === undefined) return { api: { operation: nameOf(record?.effects[0]?.verb ?? 'unknown'), request } };
  const { verb, group, version, resource, subresource, namespace, name } = call;
  const type = nameOf([resource, subresource].filter((part) => part !== '').join('/'));
  const api = {
    operation: nameOf(verb),
    version: nameOf(version),
    request,
    service: { name: resourceName(subject) },
    ...(group === '' ? {} : { group: { name: nameOf(group) } }),
  };
  if (content === 'metadata') return { api, resources: [{ name: '*', type }] };
  const about = { name: nameOf(name === '' ? '*' : name), type, ...(namespace === '' ? {} : { namespace: nameOf(namespace) }) };
  return { api, resources: [about] };
}

function effectsOf({ effects }: ActionRecord, { content }: MapOptions): Json {
  return effects.slice(0, MAX_EFFECTS).map(({ verb, object, via, verdict, rule }) => ({
    verb: nameOf(verb),
    ...(content === 'metadata' ? {} : { object: nameOf(object) }),
    via,
    verdict,
    ...(rule === undefined ? {} : { rule: nameOf(rule) }),
  }));
}

/** The text of what was asked, where the class has a place for it. */
function textOf(of: ClassName, text: string, { maxText }: MapOptions): { fields: JsonObject; unmapped: JsonObject } {
  const shown = cut(text, maxText);
  if (of === 'datastore')
    return { fields: { query_info: { query_string: shown, uid: 'statement', bytes: Buffer.byteLength(text) } }, unmapped: {} };
  return { fields: {}, unmapped: { command: shown } };
}

const SEVERITY = { allow: 1, approve: 2, deny: 3 } as const;
const SAID = { allow: 'was allowed', approve: 'was held for approval', deny: 'was denied' } as const;

/** The verdict on an action: an activity of its protocol's class, and a finding where it was refused, or would have been. */
export function mapAction(record: ActionRecord, subject: Subject, options: MapOptions): Draft[] {
  const { action, verdict, code, rule, reason, bytes, parameters, wouldDeny } = record;
  const of = classOf(subject);
  const { content, maxText } = options;
  const isQuiet = content === 'metadata';
  const text = isQuiet ? undefined : record.text;
  const said = text === undefined ? undefined : textOf(of, text, options);
  const control = CONTROLS[verdict];
  const fields = {
    ...aboutResource(of, subject),
    ...(of === 'api' ? callOf(subject, record, action, content) : {}),
    ...said?.fields,
    status_code: nameOf(code),
    ...(isQuiet ? {} : { status_detail: nameOf(reason) }),
    authorizations: [{ decision: verdict, ...(rule === undefined ? {} : { policy: { name: nameOf(rule) } }) }],
    unmapped: {
      action,
      bytes,
      effects: effectsOf(record, options),
      ...said?.unmapped,
      ...(isQuiet || parameters === undefined ? {} : { parameters: cut(JSON.stringify(parameters), maxText) }),
      ...behalfOf(subject),
    },
  };
  const activity: Draft = {
    of,
    activity: activityOf(of, verbsOf(record), verdict === 'deny'),
    severity: SEVERITY[verdict],
    control,
    message: `an action on ${resourceName(subject)} ${SAID[verdict]} (${nameOf(code)})`,
    code: nameOf(code),
    fields,
    ...(text !== undefined && text.length > maxText ? { untruncated: text.length } : {}),
  };
  if (verdict === 'deny') return [activity, findingOf(subject, { code, rule, action, would: false })];
  return wouldDeny === undefined
    ? [activity]
    : [activity, findingOf(subject, { code: wouldDeny.code, rule: wouldDeny.rule, action, would: true })];
}

/** Kinds of findings, as `finding_info.types` has them first; the code comes second. */
type FindingKind = 'denial' | 'laundering' | 'capture' | 'recording' | 'gap' | 'altered' | 'note';

/** Codes that are more than a denial. */
const KINDS: Readonly<Record<string, readonly [FindingKind, Severity]>> = {
  MaskedValueWrite: ['laundering', 4],
  LabelledValueWrite: ['laundering', 4],
  InferenceLimited: ['laundering', 4],
  CaptureNotProven: ['capture', 5],
  CaptureNotInstalled: ['capture', 5],
  RecordingBlocked: ['recording', 4],
  RecordingFailed: ['recording', 4],
  ProtocolViolation: ['denial', 4],
};

export function kindOf(code: string): readonly [FindingKind, Severity] | undefined {
  return Object.hasOwn(KINDS, code) ? KINDS[code] : undefined;
}

interface DenialParts {
  readonly code: string;
  readonly rule: string | undefined;
  readonly action: number;
  /** It ran, since the policy is in Audit. */
  readonly would: boolean;
}

function findingOf(subject: Subject, { code, rule, action, would }: DenialParts): Draft {
  const [kind, severity] = kindOf(code) ?? ['denial', 3];
  return finding(subject, {
    kind,
    severity: would ? 2 : severity,
    code,
    message: `an action on ${resourceName(subject)} ${would ? 'would have been' : 'was'} denied (${nameOf(code)})`,
    control: would ? CONTROLS.observed : CONTROLS.deny,
    rule,
    unmapped: { action },
  });
}

export interface FindingParts {
  readonly kind: FindingKind;
  readonly severity: Severity;
  readonly code: string;
  readonly message: string;
  readonly control?: Draft['control'];
  readonly rule?: string | undefined;
  readonly unmapped?: JsonObject;
}

/** A finding about a session; its `finding_info.uid` is its event's id, which is given later. */
export function finding(subject: Subject, parts: FindingParts): Draft {
  const { kind, severity, message, control = CONTROLS.observed, rule, unmapped = {} } = parts;
  const code = nameOf(parts.code);
  return {
    of: 'finding',
    activity: 1,
    severity,
    control,
    message,
    code,
    fields: {
      finding_info: {
        title: message,
        types: [kind, code],
        analytic: { name: rule === undefined ? code : nameOf(rule), type_id: 1, type: 'Rule' },
      },
      actor: actorOf(subject),
      ...(subject.open === undefined
        ? {}
        : { resources: [{ name: resourceName(subject), type: nameOf(subject.open.resource.protocol) }] }),
      unmapped: { ...unmapped, ...behalfOf(subject) },
    },
  };
}

/** How an action ended. `record` is its verdict, where that is in the same segment. */
export function mapDone(
  done: RecordOf<'done'>,
  record: ActionRecord | undefined,
  subject: Subject,
  { content, maxText }: MapOptions,
): Draft {
  const of = classOf(subject);
  const { action, tag, error, rows, bytes, digest, truncated, maskedValues, durationMs, result } = done;
  return {
    of,
    activity: record === undefined ? 0 : activityOf(of, verbsOf(record), false),
    severity: 1,
    control: error === undefined ? CONTROLS.allow : CONTROLS.failed,
    message: `an action on ${resourceName(subject)} ${error === undefined ? 'ended' : 'failed'}`,
    code: error === undefined ? 'done' : nameOf(error.code),
    fields: {
      ...aboutResource(of, subject),
      ...(of === 'api' ? callOf(subject, record, action, content) : {}),
      duration: Math.trunc(Math.min(Math.max(durationMs, 0), Number.MAX_SAFE_INTEGER)),
      ...(error === undefined ? {} : { status_code: nameOf(error.code) }),
      ...(error === undefined || content === 'metadata' ? {} : { status_detail: nameOf(error.message) }),
      unmapped: {
        action,
        ...(tag === undefined || content === 'metadata' ? {} : { tag: nameOf(tag) }),
        rows,
        bytes,
        ...(digest === undefined ? {} : { digest: nameOf(digest) }),
        truncated,
        masked_values: maskedValues,
        ...(result === undefined ? {} : resultOf(result, content, maxText)),
      },
    },
  };
}

function resultOf(
  { columns, masked, rows }: NonNullable<RecordOf<'done'>['result']>,
  content: MapOptions['content'],
  maxText: number,
): JsonObject {
  const labels = [...new Set(masked.flatMap((each) => each.labels))].slice(0, MAX_EFFECTS).map(nameOf);
  return {
    ...(labels.length === 0 ? {} : { masked_labels: labels }),
    ...(content === 'results'
      ? { columns: cut(JSON.stringify(columns), maxText), rows_text: cut(JSON.stringify(rows), maxText) }
      : {}),
  };
}
