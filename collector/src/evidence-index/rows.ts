import type { SegmentContent, VerifiedSegment } from '@chaperone/evidence';
import { storable } from './commands.ts';
import type { SegmentRow, SessionRow } from './schema.ts';

/** The class of sessions whose policies name none. */
export const DEFAULT_RETENTION = 'default';

export function rowOf(segment: VerifiedSegment, receivedAt: number): SegmentRow {
  const { header, epoch, digest, link } = segment;
  return {
    session: header.session,
    number: header.number,
    digest,
    link,
    prev: header.prev,
    epoch: epoch.epoch,
    first_seq: header.records.first,
    last_seq: header.records.last,
    bytes: segment.size,
    closes: header.flags.includes('close') ? 1 : 0,
    received_at: receivedAt,
  };
}

export function follows(before: SegmentRow, after: SegmentRow): boolean {
  return (
    after.prev === before.link && after.first_seq === before.last_seq + 1 && after.epoch >= before.epoch && before.closes === 0
  );
}

/** What of a session's row comes from its records, while none was read. */
export const UNREAD = {
  resource_namespace: null,
  resource_name: null,
  protocol: null,
  purpose: null,
  mode: null,
  caller_issuer: null,
  caller_user: null,
  retention: null,
  held: 0,
} as const;

export function newSession(segment: VerifiedSegment): SessionRow {
  const { header, signer } = segment;
  return {
    ...UNREAD,
    session: header.session,
    key_id: header.key.id,
    nkey: signer.nkey,
    namespace: signer.agent.namespace,
    service_account: signer.agent.serviceAccount,
    pod: signer.agent.pod ?? null,
    pod_uid: signer.agent.podUid ?? null,
    erased: 0,
    received_at: 0,
    started_at: header.clock.wall[0],
    last_at: header.clock.wall[1],
    actions: 0,
    denied: 0,
    masked: 0,
    dropped: 0,
    segments: 0,
    records: 0,
    bytes: 0,
    last_number: -1,
    high_water: -1,
    closed: 0,
    torn: 0,
  };
}

/** A session with one more segment; the result does not depend on the order in which segments arrive. */
export function merge(session: SessionRow, segment: VerifiedSegment & Partial<SegmentContent>, row: SegmentRow): SessionRow {
  const { header, records = [] } = segment;
  const next = {
    ...session,
    received_at: Math.max(session.received_at, row.received_at),
    started_at: Math.min(session.started_at, header.clock.wall[0]),
    last_at: Math.max(session.last_at, header.clock.wall[1]),
    segments: session.segments + 1,
    records: session.records + header.records.count,
    bytes: session.bytes + row.bytes,
    closed: Math.max(session.closed, row.closes),
    held: session.held + heldIn(records),
  };
  const [open] = records;
  if (open?.type === 'session.open') {
    next.resource_namespace = open.resource.namespace;
    next.resource_name = open.resource.name;
    next.protocol = open.resource.protocol;
    next.purpose = storable(open.purpose);
    next.mode = open.mode;
    next.retention = open.retention ?? DEFAULT_RETENTION;
    if (open.onBehalfOf !== undefined) {
      next.caller_issuer = storable(open.onBehalfOf.issuer);
      next.caller_user = storable(open.onBehalfOf.user);
    }
  }
  if (row.number > session.last_number)
    Object.assign(next, header.counters, { last_number: row.number, torn: header.flags.includes('torn') ? 1 : 0 });
  return next;
}

/** Held actions of a segment, less what became of such: their sum over a session does not depend on where segments are cut. */
function heldIn(records: SegmentContent['records']): number {
  const held = records.filter((record) => record.type === 'action' && record.verdict === 'approve').length;
  const over = records.filter((record) => record.type === 'approval' && record.state !== 'Pending').length;
  return held - over;
}
