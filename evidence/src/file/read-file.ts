import { DataKey } from '../data-key.ts';
import { parseRangeProof } from '../log/range.ts';
import type { SessionRecord } from '../record.ts';
import { openSegment } from '../segment.ts';
import { readArchive } from './archive.ts';
import { mostOf, placeOf } from './layout.ts';

export interface StoredSegment {
  readonly session: string;
  readonly number: number;
  readonly segment: Buffer;
}

/** The segments of an evidence file, of which nothing is verified. Throws EvidenceError MalformedBundle, LimitExceeded. */
export async function* readSegments(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<StoredSegment> {
  for await (const { name, bytes } of readArchive(source, mostOf)) {
    const place = placeOf(name);
    if (place?.kind === 'segment') yield { session: place.session, number: place.number, segment: bytes };
  }
}

/** What one segment of a file holds; `records` is absent where the file has no key to read it with. */
export interface StoredRecords {
  readonly session: string;
  readonly number: number;
  readonly records?: readonly SessionRecord[];
}

/**
 * The records of an evidence file, segment by segment. They are those that each segment's header names; who signed that, and whether
 * segments are missing, is not verified. Throws EvidenceError.
 */
export async function* readRecords(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<StoredRecords> {
  let key: DataKey | undefined;
  for await (const { name, bytes } of readArchive(source, mostOf)) {
    const place = placeOf(name);
    if (place?.kind === 'key') key = new DataKey(place.session, bytes);
    if (place?.kind !== 'segment') continue;
    const { session, number } = place;
    if (key?.session !== session) yield { session, number };
    else yield { session, number, records: openSegment(bytes, key).records };
  }
}

/** What is in a file, as it says itself. */
export interface Survey {
  readonly bytes: number;
  readonly sessions: number;
  readonly segments: number;
  /** Sessions whose data key is in it: whoever has the file reads what these recorded. */
  readonly keys: number;
  /** Sessions whose data key is in it as it was wrapped: its recipients alone read what these recorded. */
  readonly wrapped: number;
  /** Entries of the log, the end excluded. */
  readonly range?: { readonly from: number; readonly to: number };
}

/** Reads a file to its end and says what is in it; nothing is verified. Throws EvidenceError MalformedBundle, MalformedProof, LimitExceeded. */
export async function surveyEvidence(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Survey> {
  let [bytes, segments, sessions, keys, wrapped] = [0, 0, 0, 0, 0];
  let last = '';
  let range: Survey['range'];
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  for await (const member of readArchive(counted(), mostOf)) {
    const place = placeOf(member.name);
    if (place?.kind === 'range') {
      const { from, to } = parseRangeProof(member.bytes);
      range = { from, to };
    }
    if (place?.kind === 'key') keys++;
    if (place?.kind === 'wrapped') wrapped++;
    if (place?.kind !== 'segment') continue;
    segments++;
    if (place.session !== last) sessions++;
    last = place.session;
  }
  return { bytes, sessions, segments, keys, wrapped, ...(range === undefined ? {} : { range }) };
}
