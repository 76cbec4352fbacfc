import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { HASH_BYTES, merkleRootOf, saltedLeafHashes } from './merkle.ts';
import { sha256, unpackZstd } from './primitives.ts';
import { decodeRecord, type SessionRecord } from './record.ts';
import { RECORD_SALT_BYTES, SegmentKeys } from './sealing.ts';
import { SegmentHeader } from './segment-header.ts';

/*
 * magic 8 │ u32 length, header JSON │ Ed25519 signature 64 │ u32 length, registration JSON │ u32 count, leaf hashes 32·n │ payload
 *
 * The signature covers the header; the header covers everything else: the registration and the payload by digest, the leaf
 * hashes by their root. The payload is AES-256-GCM (ciphertext, tag 16) of zstd over (u32 length, record)·n, a record being what
 * encodeRecord makes of it. A leaf hash is SHA-256(0x00 ‖ salt ‖ record). Keys and salts come from the session's data key: without
 * it all but the records can be verified, and nothing of them be tried. The leaf hashes let a verifier say which record was changed,
 * and prove single records without the others. Integers are big-endian. To the byte: docs/evidence.md.
 */
export const SEGMENT_MAGIC = Buffer.from('CHEVSEG\x02', 'latin1');
export const SEGMENT_CONTEXT = Buffer.from('chaperone/segment/v2\0');
export const SIGNATURE_BYTES = 64;

/** A segment stays below NATS's default max_payload (1 MiB) with room for the message's headers. */
export const MAX_SEGMENT_BYTES = 1008 * 1024;
export const MAX_HEADER_BYTES = 4096;
const MAX_REGISTRATION_BYTES = 4096;
/** Records of one segment with their length prefixes, before compression: what is decompressed is never larger. */
export const MAX_PLAIN_BYTES = 960 * 1024;
/** One record. */
export const MAX_RECORD_BYTES = 896 * 1024;
/** Bounds the leaf hashes to 32 KiB. */
export const MAX_RECORDS = 1024;

/** SHA-256 (hex) of what these are one behind the other: a segment's name, or what is in its header. */
export function digestOf(...parts: readonly Uint8Array[]): string {
  return sha256(...parts).toString('hex');
}

/** What the next segment's `prev` must be. */
export function linkOf(header: Uint8Array, signature: Uint8Array): string {
  return digestOf(header, signature);
}

/** A segment taken apart; nothing of it has been checked against a key or a digest yet. */
export interface SegmentParts {
  readonly header: SegmentHeader;
  /** The header's JSON text, as it was signed. */
  readonly headerText: Buffer;
  /** The bytes that the signature is over, its context included. */
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly registration: Buffer;
  /** The hashes of the records, one behind the other. */
  readonly leaves: Buffer;
  readonly payload: Buffer;
  readonly digest: string;
  readonly link: string;
  /** Bytes of the whole segment. */
  readonly size: number;
}

/** Splits a segment along its lengths. Throws EvidenceError MalformedSegment, UnsupportedVersion or LimitExceeded. */
export function parseSegment(bytes: Buffer): SegmentParts {
  if (bytes.length > MAX_SEGMENT_BYTES) throw new EvidenceError('LimitExceeded', 'the segment is too large');
  let at = 0;
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw new EvidenceError('MalformedSegment', 'the segment ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const takeSized = (most: number, what: string): Buffer => {
    const length = take(4).readUInt32BE();
    if (length > most) throw new EvidenceError('LimitExceeded', `the ${what} is too large`);
    return take(length);
  };
  const magic = take(SEGMENT_MAGIC.length);
  if (!magic.equals(SEGMENT_MAGIC))
    throw magic.subarray(0, 7).equals(SEGMENT_MAGIC.subarray(0, 7))
      ? new EvidenceError('UnsupportedVersion', 'the segment is of a version that this program does not know')
      : new EvidenceError('MalformedSegment', 'this is not a segment');
  const headerBytes = takeSized(MAX_HEADER_BYTES, 'header');
  const signature = take(SIGNATURE_BYTES);
  const registration = takeSized(MAX_REGISTRATION_BYTES, 'registration');
  const count = take(4).readUInt32BE();
  if (count > MAX_RECORDS) throw new EvidenceError('LimitExceeded', 'the segment has too many records');
  const leaves = take(HASH_BYTES * count);
  return {
    header: parseHeader(headerBytes),
    headerText: headerBytes,
    signed: Buffer.concat([SEGMENT_CONTEXT, headerBytes]),
    signature,
    registration,
    leaves,
    payload: bytes.subarray(at),
    digest: digestOf(bytes),
    link: linkOf(headerBytes, signature),
    size: bytes.length,
  };
}

function parseHeader(bytes: Buffer): SegmentHeader {
  try {
    return SegmentHeader.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new EvidenceError('MalformedSegment', 'the header does not have the expected shape', { cause: error });
  }
}

/** Throws EvidenceError where what is beside the payload is not what the header says. */
export function checkFrame({ header, registration, leaves }: SegmentParts): void {
  if (digestOf(registration) !== header.registration)
    throw new EvidenceError('RegistrationUntrusted', 'the registration is not the one that the header names');
  if (leaves.length !== HASH_BYTES * header.records.count || merkleRootOf(leaves).toString('hex') !== header.root)
    throw new EvidenceError('RecordAltered', 'the leaf hashes do not give the root in the header');
  const first = header.number === 0;
  const sound =
    header.flags.includes('open') === first &&
    first === (header.records.first === 0) &&
    first === (header.prev === null) &&
    header.records.last === header.records.first + header.records.count - 1 &&
    (header.records.count > 0 || header.flags.includes('torn'));
  if (!sound) throw new EvidenceError('MalformedSegment', 'number, flags and records do not fit each other');
}

/** Throws EvidenceError PayloadAltered where the payload is not the one that the header says, encrypted as it is. */
export function checkPayload({ header, payload }: SegmentParts): void {
  if (payload.length !== header.payload.length || digestOf(payload) !== header.payload.digest)
    throw new EvidenceError('PayloadAltered', 'the payload does not match its digest');
}

/** What a segment says, to who has its session's data key. */
export interface SegmentContent {
  readonly records: readonly SessionRecord[];
  /** The records as encodeRecord has them: what the leaf hashes are of, each behind its salt. */
  readonly texts: readonly Buffer[];
}
export type OpenedSegment = SegmentParts & SegmentContent;

/**
 * Takes a segment apart and checks everything that its header says of the rest: digests, lengths, root, numbers, flags, records.
 * Whether the header itself is genuine is for {@link verifySegment}. Throws EvidenceError; its `record` names the first
 * record that does not match where the payload can still be read.
 */
export function openSegment(bytes: Buffer, key: DataKey): OpenedSegment {
  const parts = parseSegment(bytes);
  checkFrame(parts);
  // First, since it may say which record is another one.
  const content = readContent(parts, key);
  checkPayload(parts);
  return { ...parts, ...content };
}

/**
 * The records of a segment, as its leaf hashes prove them; the rest is for {@link checkFrame} and {@link checkPayload}.
 * Throws EvidenceError: KeyUnusable where the key is not the one that sealed it.
 */
export function readContent({ header, leaves, payload }: SegmentParts, key: DataKey): SegmentContent {
  if (key.session !== header.session || key.id !== header.key.id)
    throw new EvidenceError('KeyUnusable', 'the segment was sealed under another data key');
  const keys = new SegmentKeys(key, header.number, Buffer.from(header.key.salt, 'hex'));
  const texts = unpack(keys.decrypt(payload), header);
  const hashes = saltedLeafHashes(keys.salts(texts.length), RECORD_SALT_BYTES, texts);
  if (!hashes.equals(leaves.subarray(0, hashes.length))) {
    const index = firstDifference(hashes, leaves);
    throw new EvidenceError('RecordAltered', `record ${index} does not match its leaf hash`, { record: index });
  }
  if (hashes.length !== leaves.length)
    throw new EvidenceError('RecordAltered', `the payload ends before record ${texts.length}`, { record: texts.length });
  const records = texts.map((text, index) => parseRecord(text, index, header.records.first + index));
  checkFlags(header, records);
  return { records, texts };
}

/** Which hash is another one. */
function firstDifference(some: Buffer, others: Buffer): number {
  let at = 0;
  const end = (): number => HASH_BYTES * (at + 1);
  while (some.subarray(HASH_BYTES * at, end()).equals(others.subarray(HASH_BYTES * at, end()))) at++;
  return at;
}

function unpack(packed: Buffer, header: SegmentHeader): Buffer[] {
  if (header.payload.plain > MAX_PLAIN_BYTES) throw new EvidenceError('LimitExceeded', 'the payload is too large');
  let plain: Buffer;
  try {
    plain = unpackZstd(packed, Math.max(1, header.payload.plain));
  } catch (error) {
    throw new EvidenceError('PayloadAltered', 'the payload cannot be decompressed', { cause: error });
  }
  const texts: Buffer[] = [];
  for (let at = 0; at < plain.length; ) {
    const length = at + 4 <= plain.length ? plain.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (length > plain.length - at - 4 || texts.length === header.records.count)
      throw new EvidenceError('RecordAltered', `record ${texts.length} has a wrong length`, { record: texts.length });
    texts.push(plain.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return texts;
}

function parseRecord(text: Buffer, index: number, seq: number): SessionRecord {
  let record: SessionRecord;
  try {
    record = decodeRecord(text);
  } catch (error) {
    throw new EvidenceError('MalformedSegment', `record ${index} does not have the expected shape`, {
      cause: error,
      record: index,
    });
  }
  if (record.seq !== seq)
    throw new EvidenceError('MalformedSegment', `record ${index} has number ${record.seq}, not ${seq}`, { record: index });
  return record;
}

/** open and close are exactly where the records say so, so that a session's ends can be trusted from headers alone. */
function checkFlags(header: SegmentHeader, records: readonly SessionRecord[]): void {
  const opens = records.findIndex((record) => record.type === 'session.open');
  const closes = records.findIndex((record) => record.type === 'session.close');
  const sound =
    header.flags.includes('open') === (opens === 0) &&
    records.every((record, index) => record.type !== 'session.open' || index === 0) &&
    header.flags.includes('close') === closes >= 0 &&
    (closes < 0 || closes === records.length - 1);
  if (!sound) throw new EvidenceError('MalformedSegment', 'flags and records do not fit each other');
}
