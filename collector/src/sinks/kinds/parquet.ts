import { parquetWriteBuffer } from 'hyparquet-writer';
import type { OcsfEvent } from '../ocsf/classes.ts';
import type { Outgoing } from '../sink.ts';

interface Column {
  readonly name: string;
  readonly type: 'STRING' | 'INT32' | 'INT64' | 'TIMESTAMP';
  readonly of: (outgoing: Outgoing) => unknown;
  /** Whether readers are told the least and the largest of it, by which they pass objects over. */
  readonly bounded?: false;
}

/**
 * What analysts look for, beside the whole event. A column is null where an event has no such thing. Columns are only added, at the end: a
 * table over old and new objects stays one.
 */
const COLUMNS: readonly Column[] = [
  { name: 'id', type: 'STRING', of: ({ id }) => id, bounded: false },
  { name: 'leaf', type: 'INT64', of: ({ leaf }) => BigInt(leaf) },
  { name: 'time', type: 'TIMESTAMP', of: ({ event }) => new Date(event.time) },
  { name: 'class_uid', type: 'INT32', of: ({ event }) => event.class_uid },
  { name: 'class_name', type: 'STRING', of: ({ event }) => textAt(event, 'class_name') },
  { name: 'activity', type: 'STRING', of: ({ event }) => event.activity_name },
  { name: 'severity_id', type: 'INT32', of: ({ event }) => event.severity_id },
  { name: 'severity', type: 'STRING', of: ({ event }) => event.severity },
  { name: 'actor', type: 'STRING', of: ({ event }) => textAt(event, 'actor', 'user', 'name') },
  { name: 'on_behalf_of', type: 'STRING', of: ({ event }) => textAt(event, 'unmapped', 'on_behalf_of', 'user') },
  {
    name: 'resource',
    type: 'STRING',
    of: ({ event }) => textAt(event, 'dst_endpoint', 'svc_name') ?? textAt(event, 'resources', 0, 'name'),
  },
  { name: 'verdict', type: 'STRING', of: ({ event }) => textAt(event, 'action') },
  { name: 'code', type: 'STRING', of: ({ event }) => event.metadata.event_code },
  { name: 'session', type: 'STRING', of: ({ event }) => event.metadata.correlation_uid },
  { name: 'event', type: 'STRING', of: ({ text }) => text, bounded: false },
];

/**
 * One Parquet file of these events, a row each in their order, compressed with Snappy, which every reader knows. The same events are the same
 * bytes: neither the time nor anything of this machine is in it.
 */
export function encodeParquet(events: readonly Outgoing[]): Buffer {
  const columnData = COLUMNS.map(({ name, type, of, bounded = true }) => ({
    name,
    type,
    data: events.map(of),
    statistics: bounded,
    nullable: true,
  }));
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: events.length, createdBy: 'chaperone' }));
}

function textAt(event: OcsfEvent, ...path: readonly (string | number)[]): string | null {
  let at: unknown = event;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return null;
    at = (at as Readonly<Record<string | number, unknown>>)[key];
  }
  return typeof at === 'string' ? at : null;
}
