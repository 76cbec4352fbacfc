import { EvidenceError } from '../errors.ts';
import { merkleRoot } from '../merkle.ts';
import { readDecimal, readHash } from './text.ts';

/** How many leaves a tree has, and its RFC 6962 tree hash. */
export interface TreeHead {
  readonly size: number;
  readonly root: Buffer;
}

/** C2SP tlog-checkpoint: the head of the log that `origin` names. Logs of ours have no extensions; other logs' are kept. */
export interface Checkpoint extends TreeHead {
  readonly origin: string;
  readonly extensions: readonly string[];
}

/** The text of a checkpoint: a line each for origin, size, root and extensions. What is signed is this text. */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  return [origin, String(size), root.toString('base64'), ...extensions, ''].join('\n');
}

/** The inverse of {@link formatCheckpoint}, which gives the same text again. Throws EvidenceError MalformedNote. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', decimal = '', encoded = '', ...rest] = text.split('\n');
  const end = rest.pop();
  const size = readDecimal(decimal);
  const root = readHash(encoded);
  if (end !== '' || origin === '' || size === undefined || root === undefined || rest.includes(''))
    throw new EvidenceError('MalformedNote', 'the note is not a checkpoint: origin, size and root, a line each');
  if (size === 0 && !root.equals(merkleRoot([])))
    throw new EvidenceError('MalformedNote', 'the root of the empty tree is another one');
  return { origin, size, root, extensions: rest };
}
