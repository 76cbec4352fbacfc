import { EvidenceError } from '../errors.ts';
import { openCheckpoint, type TrustedCheckpoint, type TrustPolicy } from './policy.ts';
import { MAX_PROOF_HASHES, verifyInclusion } from './proof.ts';
import { readBase64, readDecimal, readHashes } from './text.ts';

const HEAD = 'c2sp.org/tlog-proof@v1';

/** C2SP tlog-proof: that one entry is in a log, for whoever has a policy and the entry. */
export interface ProofFile {
  readonly index: number;
  readonly path: readonly Buffer[];
  /** The signed note, to the byte. */
  readonly checkpoint: Buffer;
  /** What a program adds; nothing vouches for it. */
  readonly extra?: Buffer;
}

export function formatProofFile({ index, path, checkpoint, extra }: ProofFile): Buffer {
  const lines = [
    HEAD,
    ...(extra === undefined ? [] : [`extra ${extra.toString('base64')}`]),
    `index ${index}`,
    ...path.map((hash) => hash.toString('base64')),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\n')}\n\n`), checkpoint]);
}

/** The inverse of {@link formatProofFile}; verifies nothing. Throws EvidenceError MalformedProof. */
export function parseProofFile(bytes: Buffer): ProofFile {
  const end = bytes.indexOf('\n\n');
  const [head, ...lines] = bytes.toString('latin1', 0, Math.max(0, end)).split('\n');
  const extra = lines[0]?.startsWith('extra ') ? readBase64(lines.shift()?.slice('extra '.length) ?? '') : null;
  const [indexLine = '', ...hashes] = lines;
  const index = indexLine.startsWith('index ') ? readDecimal(indexLine.slice('index '.length)) : undefined;
  const path = readHashes(hashes);
  const sound = head === HEAD && extra !== undefined && path !== undefined && path.length <= MAX_PROOF_HASHES;
  if (!sound || index === undefined) throw new EvidenceError('MalformedProof', 'this is not a proof of an entry of a log');
  return { index, path, checkpoint: bytes.subarray(end + 2), ...(extra === null ? {} : { extra }) };
}

/**
 * The checkpoint and index that prove the entry with this leaf hash, under a policy. Throws EvidenceError MalformedProof,
 * ProofInvalid, and what {@link openCheckpoint} throws.
 */
export function verifyProofFile(
  bytes: Buffer,
  leaf: Buffer,
  policy: TrustPolicy,
): TrustedCheckpoint & { readonly index: number } {
  const { index, path, checkpoint } = parseProofFile(bytes);
  const trusted = openCheckpoint(checkpoint, policy);
  if (!verifyInclusion(leaf, index, trusted.checkpoint, path))
    throw new EvidenceError('ProofInvalid', 'the proof is not of this entry in the log at that size');
  return { ...trusted, index };
}
