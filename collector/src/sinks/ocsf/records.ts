import { isRefused, type SessionRecord } from '@chaperone/evidence';
import { aboutResource, classOf, type Draft, finding, kindOf, mapAction, mapDone, type RecordOf } from './actions.ts';
import { CONTROLS, type JsonObject } from './classes.ts';
import {
  actorOf,
  agentName,
  agentUser,
  behalfOf,
  cut,
  destinationOf,
  type MapOptions,
  nameOf,
  resourceName,
  sourceOf,
  type Subject,
} from './subject.ts';

/** Of one event. */
const MAX_POLICIES = 64;

export interface RecordContext {
  readonly subject: Subject;
  readonly options: MapOptions;
  /** Actions of the same segment, by their numbers. */
  readonly actions: ReadonlyMap<number, RecordOf<'action'>>;
}

type Mappers = { readonly [T in SessionRecord['type']]: (record: RecordOf<T>, context: RecordContext) => readonly Draft[] };

/** What each kind of record is as events. Results are events of those who ask for them alone. */
const MAPPERS: Mappers = {
  'session.open': (record, { subject }) => [opened(record, subject)],
  'session.close': (record, { subject }) => closed(record, subject),
  action: (record, { subject, options }) => mapAction(record, subject, options),
  done: (record, { subject, options, actions }) => [mapDone(record, actions.get(record.action), subject, options)],
  approval: (record, { subject, options }) => approved(record, subject, options),
  file: (record, { subject, options }) => [moved(record, subject, options)],
  bytes: ({ host, sent, received }, { subject }) => [
    {
      of: 'network',
      activity: 6,
      severity: 1,
      control: CONTROLS.observed,
      message: `bytes went to ${nameOf(host)} unread`,
      code: 'bytes',
      fields: {
        ...aboutResource('network', subject),
        dst_endpoint: { svc_name: resourceName(subject), hostname: nameOf(host) },
        traffic: { bytes_out: sent, bytes_in: received },
        unmapped: behalfOf(subject),
      },
    },
  ],
  note: ({ code, message }, { subject, options }) => {
    const [kind, severity] = kindOf(code) ?? ['note', 2];
    const said = options.content === 'metadata' ? nameOf(code) : nameOf(message);
    return [finding(subject, { kind, severity, code, message: said })];
  },
  columns: ({ action, columns }, context) => shown(context, action, { columns: JSON.stringify(columns) }),
  rows: ({ action, rows }, context) => shown(context, action, { rows_text: JSON.stringify(rows) }),
  output: ({ action, stream, data }, context) => shown(context, action, { stream, data }),
  line: ({ action, text }, context) => shown(context, action, { line: text }),
  content: ({ action, file, offset, data }, context) => shown(context, action, { file, offset, data }),
  // The size of a terminal tells nobody anything.
  resize: () => [],
};

export function mapRecord(record: SessionRecord, context: RecordContext): readonly Draft[] {
  return (MAPPERS[record.type] as (record: SessionRecord, context: RecordContext) => readonly Draft[])(record, context);
}

/** Who signed in: the person of a verified token, else the agent. */
function opened(record: RecordOf<'session.open'>, subject: Subject): Draft {
  const { onBehalfOf, agent, resource, policies, mode, purpose } = record;
  const user =
    onBehalfOf === undefined
      ? agentUser(subject.agent ?? agent)
      : {
          name: nameOf(onBehalfOf.user),
          domain: nameOf(onBehalfOf.issuer),
          type_id: 1,
          type: 'User',
          groups: onBehalfOf.groups.slice(0, MAX_POLICIES).map((name) => ({ name: nameOf(name) })),
        };
  return {
    of: 'authentication',
    activity: 1,
    severity: 1,
    control: CONTROLS.allow,
    message: `a session of ${agentName(subject.agent ?? agent)} on ${resourceName(subject)} began`,
    code: record.type,
    fields: {
      user,
      ...session(subject),
      unmapped: {
        protocol: nameOf(resource.protocol),
        purpose: nameOf(purpose),
        mode,
        tls: record.client.tls,
        policies: policies
          .slice(0, MAX_POLICIES)
          .map(({ namespace, name, generation }) => nameOf(`${namespace}/${name}@${generation}`)),
        ...behalfOf(subject),
      },
    },
  };
}

function session(subject: Subject): JsonObject {
  return {
    actor: actorOf(subject),
    src_endpoint: sourceOf(subject),
    dst_endpoint: destinationOf(subject),
    service: { name: resourceName(subject) },
    session: { uid: subject.session },
  };
}

function closed(record: RecordOf<'session.close'>, subject: Subject): Draft[] {
  const { code, reason, by, actions, denied, maskedValues } = record;
  const { agent } = subject;
  const end: Draft = {
    of: 'authentication',
    activity: 2,
    severity: 1,
    control: CONTROLS.observed,
    message: `a session on ${resourceName(subject)} ended (${nameOf(code)})`,
    code: nameOf(code),
    fields: {
      ...session(subject),
      user: agent === undefined ? { uid: subject.session } : agentUser(agent),
      ...(by === undefined
        ? {}
        : { actor: { user: { name: nameOf(by), type_id: 1, type: 'User' }, session: { uid: subject.session } } }),
      status_code: nameOf(code),
      status_detail: nameOf(reason),
      unmapped: { actions, denied, masked_values: maskedValues, ...behalfOf(subject) },
    },
  };
  const kind = kindOf(code);
  if (kind === undefined) return [end];
  return [end, finding(subject, { kind: kind[0], severity: kind[1], code, message: end.message })];
}

/** What became of an approval: an event for each person who decided, or one where nobody did. */
function approved(record: RecordOf<'approval'>, subject: Subject, { content, maxText }: MapOptions): Draft[] {
  const { action, request, digest, grantedBy, state, waitedMs, change, decisions } = record;
  const user = subject.agent === undefined ? { uid: subject.session } : agentUser(subject.agent);
  const unmapped = {
    action,
    state: nameOf(state),
    ...(request === undefined ? {} : { request: nameOf(request) }),
    digest: nameOf(digest),
    ...(grantedBy === undefined ? {} : { granted_by: nameOf(grantedBy) }),
    waited_ms: waitedMs,
    ...(content === 'results' && change !== undefined ? { change: cut(change.join('\n'), maxText) } : {}),
    ...behalfOf(subject),
  };
  const about = {
    user,
    session: { uid: subject.session },
    privileges: [`action ${action} on ${resourceName(subject)}`],
    src_endpoint: sourceOf(subject),
    dst_endpoint: destinationOf(subject),
    status_code: nameOf(state),
  };
  const isOpen = state === 'Pending';
  if (decisions.length === 0)
    return [
      {
        of: 'authorization',
        activity: 99,
        severity: isOpen ? 1 : 2,
        control: isOpen ? CONTROLS.approve : isRefused(record) ? CONTROLS.deny : CONTROLS.allow,
        message: `nobody has decided on an action on ${resourceName(subject)} (${nameOf(state)})`,
        code: nameOf(state),
        fields: { ...about, actor: actorOf(subject), unmapped },
      },
    ];
  return decisions.map(({ by, decision, reason, at, assurance, via }) => ({
    of: 'authorization',
    activity: decision === 'Approve' ? 1 : 99,
    severity: 2,
    control: decision === 'Approve' ? CONTROLS.allow : CONTROLS.deny,
    message: `${nameOf(by)} ${decision === 'Approve' ? 'approved' : 'denied'} an action on ${resourceName(subject)}`,
    code: decision,
    fields: {
      ...about,
      actor: { user: { name: nameOf(by), type_id: 1, type: 'User' }, session: { uid: subject.session } },
      ...(reason === undefined || content === 'metadata' ? {} : { status_detail: cut(reason, maxText) }),
      unmapped: {
        ...unmapped,
        decided_at: nameOf(at),
        ...(assurance === undefined ? {} : { assurance: nameOf(assurance) }),
        ...(via === undefined ? {} : { via: nameOf(via) }),
      },
    },
  }));
}

function moved(record: RecordOf<'file'>, subject: Subject, { content }: MapOptions): Draft {
  const { action, operation, path, to, bytes, digest, outcome } = record;
  const of = classOf(subject) === 'ssh' ? 'ssh' : classOf(subject);
  const isQuiet = content === 'metadata';
  const file = {
    name: nameOf(path.slice(path.lastIndexOf('/') + 1) || path),
    path: nameOf(path),
    type_id: operation === 'list' || operation === 'mkdir' || operation === 'rmdir' ? 2 : 1,
    size: bytes,
    ...(digest === undefined ? {} : { hashes: [{ algorithm_id: 3, algorithm: 'SHA-256', value: digest }] }),
  };
  const isDone = outcome === 'ok';
  return {
    of,
    activity: of === 'ssh' ? 6 : 99,
    severity: 1,
    control: isDone ? CONTROLS.allow : CONTROLS.failed,
    message: `a file on ${resourceName(subject)}: ${operation}`,
    code: `file.${operation}`,
    fields: {
      ...aboutResource(of, subject),
      ...(of === 'api' ? { api: { operation: `file.${operation}`, request: { uid: `${subject.session}.${action}` } } } : {}),
      ...(of === 'ssh' && !isQuiet ? { file } : {}),
      status_detail: isQuiet ? (isDone ? 'ok' : 'failed') : nameOf(outcome),
      unmapped: {
        action,
        operation,
        bytes,
        ...(isQuiet ? {} : { path: nameOf(path), ...(to === undefined ? {} : { to: nameOf(to) }) }),
        ...behalfOf(subject),
      },
    },
  };
}

/** A piece of what was delivered, for those who ask for results. */
function shown({ subject, options }: RecordContext, action: number, piece: JsonObject): Draft[] {
  if (options.content !== 'results') return [];
  const of = classOf(subject);
  const cutPiece = Object.fromEntries(
    Object.entries(piece).map(([key, value]) => [key, typeof value === 'string' ? cut(value, options.maxText) : value]),
  );
  const longest = Math.max(...Object.values(piece).map((value) => (typeof value === 'string' ? value.length : 0)));
  return [
    {
      of,
      activity: 99,
      severity: 1,
      control: CONTROLS.observed,
      message: `what an action on ${resourceName(subject)} delivered`,
      code: 'result',
      fields: {
        ...aboutResource(of, subject),
        ...(of === 'api' ? { api: { operation: 'result', request: { uid: `${subject.session}.${action}` } } } : {}),
        unmapped: { action, ...cutPiece },
      },
      ...(longest > options.maxText ? { untruncated: longest } : {}),
    },
  ];
}
