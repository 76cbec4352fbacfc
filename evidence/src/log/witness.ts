import { EvidenceError, orUndefined } from '../errors.ts';
import { type Checkpoint, parseCheckpoint, type TreeHead } from './checkpoint.ts';
import { formatSignature, type NoteSigner, type NoteVerifier, openNote, parseNote, signNote } from './note.ts';
import { verifyConsistency } from './proof.ts';
import { readDecimal, readHashes } from './text.ts';

/** C2SP tlog-witness, “add-checkpoint”. */
const MAX_HASHES = 63;

export interface AddCheckpoint {
  /** The size that the sender believes the witness to have cosigned last. */
  readonly older: number;
  readonly path: readonly Buffer[];
  /** The signed note, to the byte. */
  readonly checkpoint: Buffer;
}

/** The body of an add-checkpoint request. */
export function formatAddCheckpoint({ older, path, checkpoint }: AddCheckpoint): Buffer {
  const lines = [`old ${older}`, ...path.map((hash) => hash.toString('base64'))];
  return Buffer.concat([Buffer.from(`${lines.join('\n')}\n\n`), checkpoint]);
}

/** The inverse of {@link formatAddCheckpoint}. Throws EvidenceError MalformedProof. */
export function parseAddCheckpoint(body: Buffer): AddCheckpoint {
  const end = body.indexOf('\n\n');
  const [head = '', ...hashes] = body.toString('latin1', 0, Math.max(0, end)).split('\n');
  const older = head.startsWith('old ') ? readDecimal(head.slice('old '.length)) : undefined;
  const path = readHashes(hashes);
  if (older === undefined || path === undefined || path.length > MAX_HASHES)
    throw new EvidenceError('MalformedProof', 'the request is not one to add a checkpoint');
  return { older, path, checkpoint: body.subarray(end + 2) };
}

/** A log that a witness watches: its keys, and the head that the witness has cosigned last. */
export interface WitnessedLog {
  readonly keys: readonly NoteVerifier[];
  readonly latest?: TreeHead;
}

/**
 * What a witness answers. On 200 it first writes `latest` down for good, in one step with the comparison that was made here;
 * else two requests at once could take it back. `body` is the whole answer; a 409 has the type `text/x.tlog.size`.
 */
export type WitnessAnswer =
  | { readonly status: 200; readonly body: string; readonly origin: string; readonly latest: TreeHead }
  | { readonly status: 409; readonly body: string }
  | { readonly status: 400 | 403 | 404 | 422 };

/**
 * Decides an add-checkpoint request as C2SP tlog-witness says.
 * @param logOf - the log with an origin, where the witness watches it
 * @param signers - what the witness cosigns with, at the time of the request
 */
export function answerAddCheckpoint(
  body: Buffer,
  logOf: (origin: string) => WitnessedLog | undefined,
  signers: readonly NoteSigner[],
): WitnessAnswer {
  const request = readRequest(body);
  if (request === undefined) return { status: 400 };
  const { older, path, checkpoint, text } = request;
  const log = logOf(checkpoint.origin);
  if (log === undefined) return { status: 404 };
  if (!isSigned(request.note, log.keys)) return { status: 403 };
  if (older > checkpoint.size) return { status: 400 };
  const { latest } = log;
  const size = latest?.size ?? 0;
  const conflict = { status: 409, body: `${size}\n` } as const;
  if (older !== size) return conflict;
  // The same size with another root: a split view.
  if (latest !== undefined && size === checkpoint.size && !latest.root.equals(checkpoint.root)) return conflict;
  const consistent = size === 0 ? path.length === 0 : latest !== undefined && verifyConsistency(latest, checkpoint, path);
  if (!consistent) return { status: 422 };
  // With ML-DSA-44 nobody cosigns extension lines.
  const cosigned = orUndefined(() => signNote({ text, signatures: [] }, signers));
  if (cosigned === undefined) return { status: 400 };
  return {
    status: 200,
    body: cosigned.signatures.map(formatSignature).join(''),
    origin: checkpoint.origin,
    latest: { size: checkpoint.size, root: checkpoint.root },
  };
}

interface Request {
  readonly older: number;
  readonly path: readonly Buffer[];
  readonly note: Buffer;
  readonly text: string;
  readonly checkpoint: Checkpoint;
}

/** Undefined where it cannot be read. Nothing of it has been verified. */
function readRequest(body: Buffer): Request | undefined {
  return orUndefined(() => {
    const { older, path, checkpoint: note } = parseAddCheckpoint(body);
    const { text } = parseNote(note);
    return { older, path, note, text, checkpoint: parseCheckpoint(text) };
  });
}

function isSigned(note: Buffer, keys: readonly NoteVerifier[]): boolean {
  return orUndefined(() => openNote(note, keys)) !== undefined;
}
