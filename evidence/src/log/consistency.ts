import { EvidenceError } from '../errors.ts';
import { MAX_PROOF_HASHES } from './proof.ts';
import { readDecimal, readHashes } from './text.ts';

/*
 * An RFC 9162 consistency proof as a file:
 *
 *     chaperone.dev/log-consistency/v1
 *     old 512
 *     HASH
 *     …
 */
const HEAD = 'chaperone.dev/log-consistency/v1';

export interface ConsistencyProof {
  /** Size of the older tree. */
  readonly older: number;
  readonly path: readonly Buffer[];
}

export function formatConsistencyProof({ older, path }: ConsistencyProof): Buffer {
  return Buffer.from([HEAD, `old ${older}`, ...path.map((hash) => hash.toString('base64')), ''].join('\n'));
}

/** The inverse of {@link formatConsistencyProof}; verifies nothing. Throws EvidenceError MalformedProof. */
export function parseConsistencyProof(bytes: Buffer): ConsistencyProof {
  const [head, line = '', ...lines] = bytes.toString('latin1').split('\n');
  const older = line.startsWith('old ') ? readDecimal(line.slice('old '.length)) : undefined;
  const isEnded = lines.pop() === '';
  const path = readHashes(lines);
  if (head !== HEAD || !isEnded || older === undefined || path === undefined || path.length > 2 * MAX_PROOF_HASHES)
    throw new EvidenceError('MalformedProof', 'this is not a proof that a log goes on from an older one');
  return { older, path };
}
