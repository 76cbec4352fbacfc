import { z } from 'zod';
import { EvidenceError } from '../errors.ts';
import { SESSION_ID } from '../ids.ts';
import { MAX_HEADER_BYTES, type SegmentParts, SIGNATURE_BYTES } from '../segment.ts';
import { SegmentHeader } from '../segment-header.ts';

/*
 * u8 version = 1 │ u8 kind │ Ed25519 signature 64 │ JSON text
 *
 * An entry of the log is a statement as it was signed, to the byte. It names nobody and nothing: keys, session ids and digests.
 * Entries stay when payloads are erased and are given to auditors whole, so that nobody can leave one out.
 */
const VERSION = 1;
const HEAD_BYTES = 2;

const Digest = z.string().regex(/^[0-9a-f]{64}$/);
const Session = z.string().regex(SESSION_ID);
const Number32 = z.int().min(0).max(0xffff_ffff);

/** A pod's key was enrolled: whose it is says the registration with this digest. Signed by the enrolment key. */
export const RegistrationLeaf = z.strictObject({ nkey: z.string().max(64), registration: Digest, issuedAt: z.number() });
/** The payloads of a session were made unreadable: who wanted it and why says the order with this digest. Signed by the log's key. */
export const ErasureLeaf = z.strictObject({ session: Session, order: Digest, at: z.number() });
/** Segments that are known to be missing, the last included. Signed by the log's key. */
export const GapLeaf = z
  .strictObject({ session: Session, first: Number32, last: Number32, at: z.number() })
  .refine(({ first, last }) => first <= last);

/** A session must not be erased, or may be again: who said so and why says the order with this digest. Signed by the log's key. */
export const HoldLeaf = z.strictObject({ session: Session, order: Digest, at: z.number(), state: z.enum(['hold', 'release']) });

/**
 * What somebody was given of evidence, the least first: what commands of sessions a search found · a session without its results · all that
 * was recorded of it · the same as a file, to verify it · as a file, to take it away.
 */
export const READ_WAYS = ['search', 'view', 'replay', 'verify', 'export'] as const;
export type ReadWay = (typeof READ_WAYS)[number];
/** A person read evidence of a session, or of those that they may read: who it was says the text with this digest. Signed by the log's key. */
export const ReadLeaf = z.strictObject({ session: Session.nullable(), order: Digest, at: z.number(), way: z.enum(READ_WAYS) });

/** Numbers are never given again. */
const KINDS = {
  segment: { number: 1, schema: SegmentHeader },
  registration: { number: 2, schema: RegistrationLeaf },
  erasure: { number: 3, schema: ErasureLeaf },
  gap: { number: 4, schema: GapLeaf },
  hold: { number: 5, schema: HoldLeaf },
  read: { number: 6, schema: ReadLeaf },
} as const;
export type LeafKind = keyof typeof KINDS;

/** A statement with what signs it. `text` is what the signature is over, behind the context of its kind. */
export interface LeafParts {
  readonly kind: LeafKind;
  readonly text: Buffer;
  readonly signature: Buffer;
}

export type Leaf = LeafParts &
  { readonly [K in LeafKind]: { readonly kind: K; readonly statement: z.infer<(typeof KINDS)[K]['schema']> } }[LeafKind];

/** The entry as the log has it. Throws EvidenceError MalformedLeaf for what {@link decodeLeaf} would not take. */
export function encodeLeaf({ kind, text, signature }: LeafParts): Buffer {
  if (signature.length !== SIGNATURE_BYTES) throw new EvidenceError('MalformedLeaf', 'the signature of an entry has 64 bytes');
  const bytes = Buffer.concat([Buffer.of(VERSION, KINDS[kind].number), signature, text]);
  decodeLeaf(bytes);
  return bytes;
}

/** The leaf of a segment: its header and signature, to the byte. By digests and root they fix all the rest of the segment. */
export function segmentLeaf({ headerText, signature }: Pick<SegmentParts, 'headerText' | 'signature'>): Buffer {
  return encodeLeaf({ kind: 'segment', text: headerText, signature });
}

/** Reads an entry; its signature is not verified here. Throws EvidenceError MalformedLeaf, UnsupportedVersion or LimitExceeded. */
export function decodeLeaf(bytes: Buffer): Leaf {
  const [version, number] = bytes;
  if (version === undefined || number === undefined) throw new EvidenceError('MalformedLeaf', 'the entry of the log ends early');
  const kind = (Object.keys(KINDS) as LeafKind[]).find((each) => KINDS[each].number === number);
  if (version !== VERSION || kind === undefined)
    throw new EvidenceError('UnsupportedVersion', 'the entry of the log is of a kind that this program does not know');
  const text = bytes.subarray(HEAD_BYTES + SIGNATURE_BYTES);
  if (text.length > MAX_HEADER_BYTES) throw new EvidenceError('LimitExceeded', 'the entry of the log is too large');
  const parts = { text, signature: bytes.subarray(HEAD_BYTES, HEAD_BYTES + SIGNATURE_BYTES) };
  // The pair of kind and statement is right: the schema is chosen by the kind.
  return { ...parts, kind, statement: parseStatement(kind, text) } as Leaf;
}

function parseStatement(kind: LeafKind, text: Buffer): Leaf['statement'] {
  try {
    return KINDS[kind].schema.parse(JSON.parse(text.toString()));
  } catch (error) {
    throw new EvidenceError('MalformedLeaf', 'the entry of the log does not have the expected shape', { cause: error });
  }
}
