import { SESSION_ID } from '@chaperone/evidence';
import { RecordingError } from './recorder.ts';

/*
 * What a frame of the journal holds, one behind the other:
 *
 *   u32 length of the body │ u8 kind │ session 18, ASCII │ u32 number of its segment │ body
 */
const SESSION_BYTES = 18;
export const ENTRY_HEAD_BYTES = 4 + 1 + SESSION_BYTES + 4;

/** begin: a segment that records are collected for, the body is its TailHead as JSON · record: the JSON text of one of them. */
const KINDS = ['begin', 'record'] as const;
export type EntryKind = (typeof KINDS)[number];

export interface Entry {
  readonly kind: EntryKind;
  readonly session: string;
  readonly number: number;
  readonly body: Buffer;
}

/** An entry whose body is a part of something larger: a view of it for each record would cost more than to write it. */
export interface EntryWithin extends Entry {
  /** Where its body begins and ends. Absent: with the whole. */
  readonly from?: number;
  readonly to?: number;
}

/** Bytes that an entry takes. */
export function entryBytes({ body, from = 0, to = body.length }: EntryWithin): number {
  return ENTRY_HEAD_BYTES + to - from;
}

/** Writes an entry, for which there must be room, and returns where it ends. */
export function writeEntry(into: Buffer, at: number, entry: EntryWithin): number {
  const { kind, session, number, body, from = 0, to = body.length } = entry;
  let end = into.writeUInt32BE(to - from, at);
  end = into.writeUInt8(KINDS.indexOf(kind), end);
  end += into.write(session, end, SESSION_BYTES, 'latin1');
  end = into.writeUInt32BE(number, end);
  return end + body.copy(into, end, from, to);
}

/** The entries of a frame. Throws RecordingError where they have another form; a frame that was written by `writeEntry` has not. */
export function readEntries(frame: Buffer): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at < frame.length; ) {
    const head = frame.subarray(at, at + ENTRY_HEAD_BYTES);
    const kind = head.length === ENTRY_HEAD_BYTES ? KINDS[head.readUInt8(4)] : undefined;
    if (kind === undefined) throw malformed();
    const [length, from] = [head.readUInt32BE(), at + ENTRY_HEAD_BYTES];
    const session = head.toString('latin1', 5, 5 + SESSION_BYTES);
    if (length > frame.length - from || !SESSION_ID.test(session)) throw malformed();
    const number = head.readUInt32BE(5 + SESSION_BYTES);
    entries.push({ kind, session, number, body: frame.subarray(from, from + length) });
    at = from + length;
  }
  return entries;
}

function malformed(): RecordingError {
  return new RecordingError('RecordingFailed', 'a frame of the journal has a wrong form');
}
