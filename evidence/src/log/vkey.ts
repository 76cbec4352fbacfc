import { EvidenceError } from '../errors.ts';
import { sha256 } from '../primitives.ts';
import { ML_DSA_KEY_BYTES } from './ml-dsa.ts';
import { readBase64 } from './text.ts';

/** C2SP signed-note, “Signature types”: what signs a note by itself, and what cosigns a checkpoint with the time. */
export const KEY_TYPE = { ed25519: 0x01, cosignature: 0x04, mlDsa44: 0x06 } as const;
export type KeyType = (typeof KEY_TYPE)[keyof typeof KEY_TYPE];
const KEY_BYTES: Readonly<Record<KeyType, number>> = { 0x01: 32, 0x04: 32, 0x06: ML_DSA_KEY_BYTES };

/** Who may have signed a note. Name and id stand in a signature's line and choose the key. */
export interface VerifierKey {
  readonly name: string;
  readonly id: number;
  readonly type: KeyType;
  /** The raw public key. */
  readonly key: Buffer;
}

/** C2SP signed-note, “Format”: not empty, without Unicode spaces and plus signs. A control character could end a note's line. */
export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[\p{White_Space}+]/u.test(name) && !hasControl(name);
}

/** ASCII control characters but for newline, which no note may hold. */
export function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 && code !== 0x0a) return true;
  }
  return false;
}

/** The key with its id: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key). Throws EvidenceError MalformedKey. */
export function verifierKey(name: string, type: KeyType, key: Buffer): VerifierKey {
  if (!isKeyName(name)) throw new EvidenceError('MalformedKey', 'this cannot be the name of a key of notes');
  if (key.length !== KEY_BYTES[type]) throw new EvidenceError('MalformedKey', 'the key has another length than keys of its type');
  return { name, id: sha256(Buffer.from(`${name}\n`), Buffer.of(type), key).readUInt32BE(), type, key };
}

/** `name+id+base64(type ‖ key)`, as C2SP signed-note, “Verifier keys”, writes it. */
export function formatVerifierKey({ name, id, type, key }: VerifierKey): string {
  return `${name}+${id.toString(16).padStart(8, '0')}+${Buffer.concat([Buffer.of(type), key]).toString('base64')}`;
}

/** The inverse of {@link formatVerifierKey}. Throws EvidenceError MalformedKey, also for a type that is not known here. */
export function parseVerifierKey(text: string): VerifierKey {
  const [name = '', id = '', encoded = '', ...more] = text.split('+');
  // Base64 may hold plus signs of its own.
  const bytes = readBase64([encoded, ...more].join('+'));
  if (bytes === undefined || bytes.length === 0 || !/^[0-9a-fA-F]{8}$/.test(id))
    throw new EvidenceError('MalformedKey', 'this is not a key of notes: NAME+ID+KEY');
  const type = Object.values(KEY_TYPE).find((known) => known === bytes[0]);
  if (type === undefined) throw new EvidenceError('MalformedKey', 'the key is of a type that is not known here');
  const key = verifierKey(name, type, bytes.subarray(1));
  if (key.id !== Number.parseInt(id, 16)) throw new EvidenceError('MalformedKey', 'the id is not that of this name and key');
  return key;
}
