import { createCipheriv } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import type { Epoch, Signed } from './keys.ts';
import { merkleRootOf, saltedLeafHashes } from './merkle.ts';
import { randomBytes } from './primitives.ts';
import { NONCE, RECORD_SALT_BYTES, SALT_BYTES, SegmentKeys } from './sealing.ts';
import {
  digestOf,
  linkOf,
  SEGMENT_MAGIC,
  MAX_HEADER_BYTES,
  MAX_PLAIN_BYTES,
  MAX_RECORDS,
  MAX_SEGMENT_BYTES,
  SEGMENT_CONTEXT,
} from './segment.ts';
import { type Counters, type SegmentFlag, SegmentHeader } from './segment-header.ts';

/** All that comes out in one piece, in place of many that are joined in the end. */
const COMPRESSION = { params: { [constants.ZSTD_c_compressionLevel]: 1 }, chunkSize: 512 * 1024 };

export interface SegmentInput {
  readonly origin: string;
  readonly session: string;
  readonly number: number;
  readonly prev: string | null;
  readonly policy: string;
  readonly key: DataKey;
  readonly registration: Signed;
  readonly epoch: Epoch;
  /** `seq` of the first record, or of the next one where there is none. */
  readonly firstSeq: number;
  /** The records in order, each as encodeRecord has it. */
  readonly records: readonly Buffer[];
  readonly clock: {
    readonly wall: readonly [number, number];
    readonly mono: readonly [number, number];
    /** Now; within the epoch. */
    readonly sealed: number;
  };
  readonly counters: Counters;
  readonly flags: readonly SegmentFlag[];
}

export interface SealedSegment {
  readonly bytes: Buffer;
  /** SHA-256 (hex) of `bytes`: the name it is stored and receipted under. */
  readonly digest: string;
  /** What the next segment's `prev` must be. */
  readonly link: string;
}

/** Packs, encrypts and signs records as one segment. Throws EvidenceError LimitExceeded where they do not fit into one. */
export function sealSegment(input: SegmentInput): SealedSegment {
  const plain = framed(input.records);
  const plainBytes = plain.length;
  if (input.records.length > MAX_RECORDS || plain.length > MAX_PLAIN_BYTES)
    throw new EvidenceError('LimitExceeded', 'the records do not fit into one segment');
  const packed = zstdCompressSync(plain, COMPRESSION);
  free(plain);
  const salt = randomBytes(SALT_BYTES);
  const keys = new SegmentKeys(input.key, input.number, salt);
  const [payload, tag] = encryptPayload(keys, packed);
  free(packed);
  const registration = Buffer.from(JSON.stringify(input.registration));
  const count = input.records.length;
  const leaves = saltedLeafHashes(keys.salts(count), RECORD_SALT_BYTES, input.records);
  const header = encodeHeader({
    version: 2,
    origin: input.origin,
    session: input.session,
    number: input.number,
    prev: input.prev,
    certificate: input.epoch.certificate,
    registration: digestOf(registration),
    records: { first: input.firstSeq, last: input.firstSeq + count - 1, count },
    root: merkleRootOf(leaves).toString('hex'),
    key: { id: input.key.id, salt: salt.toString('hex') },
    payload: {
      codec: 'zstd+aes-256-gcm',
      digest: digestOf(payload, tag),
      length: payload.length + tag.length,
      plain: plainBytes,
    },
    policy: input.policy,
    clock: { wall: [...input.clock.wall], mono: [...input.clock.mono], sealed: input.clock.sealed },
    counters: input.counters,
    flags: [...input.flags],
  });
  const signature = input.epoch.signer.sign(Buffer.concat([SEGMENT_CONTEXT, header]));
  const bytes = Buffer.concat([
    SEGMENT_MAGIC,
    u32(header.length),
    header,
    signature,
    u32(registration.length),
    registration,
    u32(count),
    leaves,
    payload,
    tag,
  ]);
  free(payload);
  if (bytes.length > MAX_SEGMENT_BYTES) throw new EvidenceError('LimitExceeded', 'the sealed segment is too large');
  return { bytes, digest: digestOf(bytes), link: linkOf(header, signature) };
}

/** AES-256-GCM, in the pieces that stand one behind the other: ciphertext and tag. */
export function encryptPayload({ payload }: SegmentKeys, plain: Buffer): [Buffer, Buffer] {
  const cipher = createCipheriv('aes-256-gcm', payload, NONCE);
  const body = cipher.update(plain);
  cipher.final();
  return [body, cipher.getAuthTag()];
}

function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.from(JSON.stringify(SegmentHeader.parse(header)));
  if (bytes.length > MAX_HEADER_BYTES) throw new EvidenceError('LimitExceeded', 'the segment header is too large');
  return bytes;
}

function framed(records: readonly Buffer[]): Buffer {
  const plain = Buffer.allocUnsafe(records.reduce((sum, { length }) => sum + 4 + length, 0));
  let end = 0;
  for (const record of records) {
    end = plain.writeUInt32BE(record.length, end);
    end += record.copy(plain, end);
  }
  return plain;
}

/** Twice what Node's pool of small buffers is cut out of. */
const FREED_BYTES = 128 * 1024;

/**
 * Frees large memory that nobody else looks at, at once. Left to the garbage collector it counts as if it were on the heap, all of which
 * is marked again for every few megabytes.
 */
function free({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= FREED_BYTES) buffer.transfer(0);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
