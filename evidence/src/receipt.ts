import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import type { Checkpoint } from './log/checkpoint.ts';
import { parseCheckpoint } from './log/checkpoint.ts';
import { parseNote } from './log/note.ts';
import { openCheckpoint, type TrustPolicy } from './log/policy.ts';
import { MAX_PROOF_HASHES, verifyConsistency, verifyInclusion } from './log/proof.ts';
import { readBase64 } from './log/text.ts';

const HASH_BYTES = 32;
/** Segments that one receipt proves at most. */
export const MAX_RECEIPT_ENTRIES = 64;
/** Older checkpoints that one receipt goes on from at most. */
export const MAX_RECEIPT_OLDER = 2;
/** {@link MAX_RECEIPT_ENTRIES} with the longest proofs have 152 KiB; the rest is for cosignatures. */
export const MAX_RECEIPT_BYTES = 256 * 1024;

/** Hashes one behind the other, in base64. */
const Path = z
  .string()
  .max(Math.ceil((MAX_PROOF_HASHES * HASH_BYTES) / 3) * 4)
  .transform((text, context): Buffer[] => {
    const bytes = readBase64(text);
    if (bytes !== undefined && bytes.length % HASH_BYTES === 0) return split(bytes);
    context.addIssue({ code: 'custom', message: 'not hashes in base64' });
    return z.NEVER;
  });
const Whole = z.int().min(0);

/**
 * The log's word that segments are in it. `checkpoint` is the signed note; each of `consistency` proves that its tree has one of
 * `older` leaves as its beginning, each of `entries` that one segment is leaf `index` of it.
 */
const Receipt = z.strictObject({
  checkpoint: z.string().max(MAX_RECEIPT_BYTES),
  consistency: z.array(z.strictObject({ older: Whole, path: Path })).max(MAX_RECEIPT_OLDER),
  entries: z
    .array(z.strictObject({ session: z.string().regex(SESSION_ID), number: Whole.max(0xffff_ffff), index: Whole, path: Path }))
    .min(1)
    .max(MAX_RECEIPT_ENTRIES),
});
export type Receipt = z.infer<typeof Receipt>;

/** Which segment of which session. */
export interface SegmentPlace {
  readonly session: string;
  readonly number: number;
}

export function formatReceipt({ checkpoint, consistency, entries }: Receipt): Buffer {
  return Buffer.from(JSON.stringify({ checkpoint, consistency: consistency.map(joined), entries: entries.map(joined) }));
}

function joined({ path, ...rest }: { readonly path: readonly Buffer[] }): object {
  return { ...rest, path: Buffer.concat(path).toString('base64') };
}

/** The inverse of {@link formatReceipt}; verifies nothing. Throws EvidenceError MalformedReceipt or LimitExceeded. */
export function parseReceipt(bytes: Uint8Array): Receipt {
  if (bytes.length > MAX_RECEIPT_BYTES) throw new EvidenceError('LimitExceeded', 'the receipt is too large');
  try {
    return Receipt.parse(JSON.parse(Buffer.from(bytes).toString()));
  } catch (cause) {
    throw new EvidenceError('MalformedReceipt', 'the receipt does not have the expected shape', { cause });
  }
}

/** The newest checkpoint that was believed, and the note that it is in. */
export interface HeldCheckpoint {
  readonly note: Buffer;
  readonly checkpoint: Checkpoint;
}

/** What was verified before it was written down. Throws EvidenceError MalformedNote or LimitExceeded. */
export function readHeldCheckpoint(note: Buffer): HeldCheckpoint {
  return { note, checkpoint: parseCheckpoint(parseNote(note).text) };
}

export interface ReceiptTrust {
  /** The log that the segments were signed for. */
  readonly origin: string;
  readonly policy: TrustPolicy;
  /** Undefined where no receipt was verified before. */
  readonly held: HeldCheckpoint | undefined;
  /** The leaf hash of a segment that was sent and has no receipt; undefined of others, which are passed over. */
  readonly leafOf: (place: SegmentPlace) => Buffer | undefined;
}

export interface VerifiedReceipt {
  /** What is held from now on. */
  readonly held: HeldCheckpoint;
  readonly proved: readonly SegmentPlace[];
  /** The proof is not of what was sent. */
  readonly unproved: readonly SegmentPlace[];
}

/** The log showed a checkpoint that does not go on from the one that is held. Both are signed by its key. */
export class CheckpointError extends EvidenceError {
  readonly held: HeldCheckpoint;
  readonly shown: HeldCheckpoint;
  constructor(code: 'CheckpointOlder' | 'ConsistencyMissing' | 'LogForked', held: HeldCheckpoint, shown: HeldCheckpoint) {
    super(code, SAID[code]);
    this.held = held;
    this.shown = shown;
  }
}
const SAID = {
  CheckpointOlder: 'the log shows a tree that is smaller than one that it has shown before',
  ConsistencyMissing: 'the log does not prove that it goes on from what it has shown before',
  LogForked: 'the log has signed two trees of which one does not go on from the other',
} as const;

/**
 * Says which segments a receipt proves to be in the log that is trusted, as it was shown before. Throws EvidenceError
 * MalformedReceipt, LimitExceeded, {@link CheckpointError}, and what {@link openCheckpoint} throws.
 */
export function verifyReceipt(bytes: Uint8Array, { origin, policy, held, leafOf }: ReceiptTrust): VerifiedReceipt {
  const { checkpoint: note, consistency, entries } = parseReceipt(bytes);
  const shown = believed(Buffer.from(note), origin, policy);
  if (held !== undefined) demandGoesOn(held, shown, consistency);
  const proved: SegmentPlace[] = [];
  const unproved: SegmentPlace[] = [];
  for (const { session, number, index, path } of entries) {
    const leaf = leafOf({ session, number });
    if (leaf === undefined) continue;
    (verifyInclusion(leaf, index, shown.checkpoint, path) ? proved : unproved).push({ session, number });
  }
  return { held: shown, proved, unproved };
}

function believed(note: Buffer, origin: string, policy: TrustPolicy): HeldCheckpoint {
  const { checkpoint } = openCheckpoint(note, policy);
  if (checkpoint.origin !== origin) throw new EvidenceError('OriginMismatch', 'the checkpoint is of another log');
  return { note, checkpoint };
}

function demandGoesOn(held: HeldCheckpoint, shown: HeldCheckpoint, consistency: Receipt['consistency']): void {
  const [before, after] = [held.checkpoint, shown.checkpoint];
  if (before.origin !== after.origin) throw new EvidenceError('OriginMismatch', 'the checkpoint that is held is of another log');
  if (after.size < before.size) throw new CheckpointError('CheckpointOlder', held, shown);
  const path =
    after.size === before.size || before.size === 0 ? [] : consistency.find(({ older }) => older === before.size)?.path;
  if (path === undefined) throw new CheckpointError('ConsistencyMissing', held, shown);
  if (!verifyConsistency(before, after, path)) throw new CheckpointError('LogForked', held, shown);
}

function split(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
}
