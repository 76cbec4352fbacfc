import { EvidenceError } from '../errors.ts';
import { type Signer, verifySignature } from '../keys.ts';
import { readBase64, readUtf8 } from './text.ts';
import { hasControl, isKeyName, KEY_TYPE, type VerifierKey, verifierKey } from './vkey.ts';

/*
 * C2SP signed-note: text that ends in a newline, an empty line, then a line for each signature:
 *
 *     — NAME base64(u32 key id ‖ signature)
 */
const PREFIX = '— ';
/** C2SP asks for 16 at least; an ML-DSA-44 line is 3.3 kB. Bounds what a stranger can make us verify. */
export const MAX_SIGNATURES = 64;
export const MAX_NOTE_BYTES = 512 * 1024;

export interface NoteSignature {
  readonly name: string;
  readonly id: number;
  /** Without the key id. */
  readonly signature: Buffer;
}

/** Text and signatures. Which of them have been verified, if any, says where it comes from. */
export interface Note {
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Checks signatures of one key: over the text as it is or, where it cosigns, over what C2SP says of that. */
export interface NoteVerifier {
  readonly key: VerifierKey;
  verify(text: string, signature: Buffer): boolean;
}

export interface NoteSigner {
  readonly key: VerifierKey;
  sign(text: string): Buffer;
}

/** Signs notes with Ed25519 as C2SP signed-note, “Ed25519 signatures”, says. Throws EvidenceError MalformedKey for a bad name. */
export function noteSigner(name: string, signer: Signer): NoteSigner {
  return { key: verifierKey(name, KEY_TYPE.ed25519, signer.publicKey), sign: (text) => signer.sign(Buffer.from(text)) };
}

export function noteVerifier(key: VerifierKey): NoteVerifier {
  return { key, verify: (text, signature) => verifySignature(key.key, Buffer.from(text), signature) };
}

/** Takes a note apart and verifies nothing. Throws EvidenceError MalformedNote or LimitExceeded. */
export function parseNote(bytes: Uint8Array): Note {
  if (bytes.length > MAX_NOTE_BYTES) throw new EvidenceError('LimitExceeded', 'the note is too large');
  const note = readUtf8(bytes);
  if (note === undefined || hasControl(note)) throw malformed('the note has bytes that no note may have');
  // The last empty line ends the text, which may have empty lines of its own.
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || end + 2 === note.length) throw malformed('the note has no signatures');
  return { text: note.slice(0, end + 1), signatures: parseSignatures(note.slice(end + 2)) };
}

/** Lines of signatures, as a note ends with and a witness answers. Throws EvidenceError MalformedNote or LimitExceeded. */
export function parseSignatures(text: string): NoteSignature[] {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw malformed('the last signature has no end');
  if (lines.length > MAX_SIGNATURES) throw new EvidenceError('LimitExceeded', 'the note has too many signatures');
  return lines.map(parseSignature);
}

function parseSignature(line: string): NoteSignature {
  const [name = '', encoded = '', ...more] = line.slice(PREFIX.length).split(' ');
  const bytes = readBase64(encoded);
  const sound = line.startsWith(PREFIX) && isKeyName(name) && more.length === 0 && bytes !== undefined && bytes.length > 4;
  if (!sound) throw malformed('a line of the note is not a signature');
  return { name, id: bytes.readUInt32BE(), signature: bytes.subarray(4) };
}

/** A signature's line, with its end. */
export function formatSignature({ name, id, signature }: NoteSignature): string {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(id);
  return `${PREFIX}${name} ${Buffer.concat([head, signature]).toString('base64')}\n`;
}

/** What a note is written as. Throws EvidenceError MalformedNote where no reader would take it. */
export function formatNote({ text, signatures }: Note): string {
  const note = `${text}\n${signatures.map(formatSignature).join('')}`;
  const sound =
    text.endsWith('\n') && note.isWellFormed() && !hasControl(note) && signatures.every(({ name }) => isKeyName(name));
  if (!sound || signatures.length === 0) throw malformed('this text cannot be a note');
  return note;
}

/** The note with signatures of these keys, in the place of older ones of the same keys, behind the others that it has. */
export function signNote({ text, signatures }: Note, signers: readonly NoteSigner[]): Note {
  const others = signatures.filter((signature) => !signers.some(({ key }) => isBy(signature, key)));
  const added = signers.map((signer) => ({ name: signer.key.name, id: signer.key.id, signature: signer.sign(text) }));
  return { text, signatures: [...others, ...added] };
}

export function isBy(signature: Pick<NoteSignature, 'name' | 'id'>, key: VerifierKey): boolean {
  return signature.name === key.name && signature.id === key.id;
}

/**
 * The text of a note, and those of its signatures that known keys made: one for each key, never none. Signatures of other keys
 * are passed over, as C2SP signed-note, “Signatures”, demands; a bad one of a known key spoils the note. Throws EvidenceError
 * MalformedNote, LimitExceeded, SignatureInvalid or NoteUnsigned.
 */
export function openNote(bytes: Uint8Array, known: readonly NoteVerifier[]): Note {
  const { text, signatures } = parseNote(bytes);
  const verified: NoteSignature[] = [];
  for (const signature of signatures) {
    const [verifier, ...same] = known.filter(({ key }) => isBy(signature, key));
    if (verifier === undefined) continue;
    if (same.length > 0) throw new EvidenceError('MalformedKey', 'two keys have the same name and id');
    if (!verifier.verify(text, signature.signature))
      throw new EvidenceError('SignatureInvalid', 'a known key did not sign this note, though it says so');
    if (!verified.some((before) => isBy(before, verifier.key))) verified.push(signature);
  }
  if (verified.length === 0) throw new EvidenceError('NoteUnsigned', 'no known key has signed the note');
  return { text, signatures: verified };
}

function malformed(message: string): EvidenceError {
  return new EvidenceError('MalformedNote', message);
}
