import type { Leaf, SegmentHeader, SessionRecord } from '@chaperone/evidence';
import { type Draft, finding, type RecordOf } from './actions.ts';
import { CONTROLS, eventOf, type OcsfEvent } from './classes.ts';
import { mapRecord } from './records.ts';
import { type MapOptions, nameOf, type Subject } from './subject.ts';

/** The events of an entry: their ids name the log, the entry and the record, so that the same ones come again under the same ids. */
function idOf(origin: string, leaf: number, ...rest: readonly number[]): string {
  return `${origin}#${[leaf, ...rest].join('.')}`;
}

interface Place {
  readonly origin: string;
  readonly leaf: number;
  readonly session: string;
  readonly at: number;
  /** Of the record; undefined where the event is about the entry. */
  readonly seq?: number;
  readonly nth?: number;
}

function finish({ of, activity, severity, control, message, code, fields, untruncated }: Draft, place: Place): OcsfEvent {
  const { origin, leaf, session, at, seq, nth = 0 } = place;
  const uid = idOf(origin, leaf, ...(seq === undefined ? [] : [seq]), ...(nth === 0 ? [] : [nth]));
  return eventOf({
    of,
    activity,
    at,
    severity,
    control,
    message,
    metadata: {
      uid,
      log_name: origin,
      correlation_uid: session,
      event_code: code,
      ...(seq === undefined ? {} : { sequence: seq }),
      ...(untruncated === undefined ? {} : { is_truncated: true, untruncated_size: untruncated }),
    },
    fields: {
      ...fields,
      ...(of === 'finding' ? { finding_info: { ...(fields['finding_info'] as object), uid } } : {}),
      unmapped: { ...(fields['unmapped'] as object | undefined), leaf },
    },
  });
}

export interface SegmentParts {
  readonly leaf: number;
  readonly header: SegmentHeader;
  readonly subject: Subject;
}

/** A segment's events: those of its records, in their order, then what its header says of it. */
export function mapSegment(
  { leaf, header, subject }: SegmentParts,
  records: readonly SessionRecord[],
  options: MapOptions,
): OcsfEvent[] {
  const actions = new Map(
    records.filter((record): record is RecordOf<'action'> => record.type === 'action').map((record) => [record.action, record]),
  );
  const { origin } = options;
  const { session } = header;
  const events = records.flatMap((record) =>
    mapRecord(record, { subject, options, actions }).map((draft, nth) =>
      finish(draft, { origin, leaf, session, at: record.at, seq: record.seq, nth }),
    ),
  );
  return [...events, ...tornOf({ leaf, header, subject }, options)];
}

function tornOf({ leaf, header, subject }: SegmentParts, { origin }: MapOptions): OcsfEvent[] {
  if (!header.flags.includes('torn')) return [];
  const { dropped } = header.counters;
  const message = `the recording of a session was interrupted; ${dropped} of its records are known to be lost`;
  const draft = finding(subject, {
    kind: 'gap',
    severity: dropped > 0 ? 4 : 2,
    code: 'Interrupted',
    message,
    unmapped: { dropped },
  });
  return [finish(draft, { origin, leaf, session: header.session, at: header.clock.wall[1] })];
}

/** In place of a segment whose session was erased: that something was there, and nothing of what it said. */
export function mapErased({ leaf, header, subject }: SegmentParts, { origin }: MapOptions): OcsfEvent {
  const { count } = header.records;
  const draft = aboutSession(subject, 4, 'Erased', `${count} records of a session were erased before they were delivered`, {
    records: count,
  });
  return finish(draft, { origin, leaf, session: header.session, at: header.clock.wall[1] });
}

/** In place of a segment that cannot be read. `code` says why. */
export function mapUnreadable({ leaf, header, subject }: SegmentParts, code: string, { origin }: MapOptions): OcsfEvent {
  const message = `${header.records.count} records of a session cannot be read from the store (${code})`;
  const draft = finding(subject, { kind: 'altered', severity: 5, code, message, unmapped: { records: header.records.count } });
  return finish(draft, { origin, leaf, session: header.session, at: header.clock.wall[1] });
}

function aboutSession({ session }: Subject, activity: number, code: string, message: string, unmapped: Draft['fields']): Draft {
  return {
    of: 'entity',
    activity,
    severity: 2,
    control: CONTROLS.observed,
    message,
    code,
    fields: {
      entity: { uid: session, name: session, type_id: 99, type: 'session' },
      actor: { session: { uid: session } },
      unmapped,
    },
  };
}

/** Who ordered it and why, where that was not destroyed. */
export type OrderWords = { readonly by?: string | undefined; readonly reason?: string | undefined };

/** An entry that is no segment. */
export function mapEntry(
  leaf: number,
  entry: Exclude<Leaf, { kind: 'segment' }>,
  words: OrderWords,
  options: MapOptions,
): OcsfEvent {
  const { origin } = options;
  if (entry.kind === 'registration') {
    const { nkey, registration, issuedAt } = entry.statement;
    const draft: Draft = {
      of: 'entity',
      activity: 6,
      severity: 1,
      control: CONTROLS.observed,
      message: 'the key of a pod was enrolled',
      code: 'registration',
      fields: { entity: { uid: nkey, type_id: 99, type: 'key' }, unmapped: { registration } },
    };
    return finish(draft, { origin, leaf, session: nkey, at: issuedAt });
  }
  if (entry.kind === 'read') return mapRead(leaf, entry.statement, words, options);
  const { session, at } = entry.statement;
  if (entry.kind === 'gap') {
    const { first, last } = entry.statement;
    const message = `segments ${first} to ${last} of a session are known to be missing`;
    const draft = finding({ session }, { kind: 'gap', severity: 4, code: 'SegmentMissing', message, unmapped: { first, last } });
    return finish(draft, { origin, leaf, session, at });
  }
  const what = entry.kind === 'erasure' ? 'erasure' : entry.statement.state;
  const said = { erasure: 'was erased', hold: 'must not be erased', release: 'may be erased again' }[what];
  const draft = aboutSession({ session }, what === 'erasure' ? 4 : 3, what, `a session ${said}`, {
    order: entry.statement.order,
  });
  const { by, reason } = words;
  return finish(
    {
      ...draft,
      fields: {
        ...draft.fields,
        ...(by === undefined ? {} : { actor: { user: { name: nameOf(by), type_id: 1, type: 'User' } } }),
        ...(reason === undefined ? {} : { comment: nameOf(reason) }),
      },
    },
    { origin, leaf, session, at },
  );
}

type ReadStatement = Extract<Leaf, { kind: 'read' }>['statement'];

/** That a person read evidence: who reads what agents did is watched as agents are. */
function mapRead(
  leaf: number,
  { session, at, way, order }: ReadStatement,
  { by }: OrderWords,
  { origin }: MapOptions,
): OcsfEvent {
  const about = session ?? 'sessions';
  const draft = aboutSession({ session: about }, 2, 'read', `a person read evidence (${way})`, { order, way });
  const actor = by === undefined ? {} : { actor: { user: { name: nameOf(by), type_id: 1, type: 'User' } } };
  return finish({ ...draft, fields: { ...draft.fields, ...actor } }, { origin, leaf, session: about, at });
}

/** An entry of a kind that a later version wrote. */
export function mapUnknown(leaf: number, options: MapOptions): OcsfEvent {
  const message = 'the log has an entry that this version does not know';
  const draft = finding({ session: 'unknown' }, { kind: 'note', severity: 2, code: 'UnsupportedVersion', message });
  return finish(draft, { origin: options.origin, leaf, session: 'unknown', at: 0 });
}
