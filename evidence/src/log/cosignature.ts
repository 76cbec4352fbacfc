import { EvidenceError, orUndefined } from '../errors.ts';
import { type Signer, verifySignature } from '../keys.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { verifyMlDsa } from './ml-dsa.ts';
import { type NoteSignature, type NoteSigner, type NoteVerifier, noteVerifier } from './note.ts';
import { KEY_TYPE, type VerifierKey, verifierKey } from './vkey.ts';

/*
 * C2SP tlog-cosignature. A signature is u64 time │ signature; what is signed is
 *
 *   0x04  Ed25519    "cosignature/v1\ntime TIME\n" and the checkpoint's text
 *   0x06  ML-DSA-44  "subtree/v1\n\0" │ u8 length, name │ u64 time │ u8 length, origin │ u64 start = 0 │ u64 size │ root 32
 */
const LABEL = Buffer.from('subtree/v1\n\0');
const TIME_BYTES = 8;
/** The length prefixes of names have one byte. */
const MAX_NAME_BYTES = 255;

export type CosignatureType = typeof KEY_TYPE.cosignature | typeof KEY_TYPE.mlDsa44;

/** What is signed; undefined where this key cannot cosign that text, which is then neither signed nor verified. */
function signedMessage({ name, type }: VerifierKey, text: string, time: number): Buffer | undefined {
  const checkpoint = orUndefined(() => parseCheckpoint(text));
  if (checkpoint === undefined || !Number.isSafeInteger(time) || time < 0) return undefined;
  if (type === KEY_TYPE.cosignature) return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
  const [who, origin] = [Buffer.from(name), Buffer.from(checkpoint.origin)];
  // Extension lines would not be under the signature.
  if (who.length > MAX_NAME_BYTES || origin.length > MAX_NAME_BYTES || checkpoint.extensions.length > 0) return undefined;
  return Buffer.concat([LABEL, sized(who), u64(time), sized(origin), u64(0), u64(checkpoint.size), checkpoint.root]);
}

/** Behind its length in one byte. */
function sized(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(TIME_BYTES);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/**
 * Cosigns checkpoints at one time, in seconds since 1970. Signing throws EvidenceError MalformedNote for a text that is no
 * checkpoint, and with ML-DSA-44 for one with extension lines.
 */
export function cosigner(name: string, type: CosignatureType, signer: Signer, time: number): NoteSigner {
  const key = verifierKey(name, type, signer.publicKey);
  return {
    key,
    sign(text) {
      const message = signedMessage(key, text, time);
      if (message === undefined) throw new EvidenceError('MalformedNote', 'this cannot be cosigned');
      return Buffer.concat([u64(time), signer.sign(message)]);
    },
  };
}

function cosignatureVerifier(key: VerifierKey): NoteVerifier {
  const verify = key.type === KEY_TYPE.cosignature ? verifySignature : verifyMlDsa;
  return {
    key,
    verify(text, signature) {
      const time = timeOf(signature);
      const message = time === undefined ? undefined : signedMessage(key, text, time);
      return message !== undefined && verify(key.key, message, signature.subarray(TIME_BYTES));
    },
  };
}

function timeOf(signature: Buffer): number | undefined {
  if (signature.length < TIME_BYTES) return undefined;
  const time = Number(signature.readBigUInt64BE());
  return Number.isSafeInteger(time) ? time : undefined;
}

/** When a verified cosignature says that it was made, in seconds since 1970; undefined where it says nothing of time (zero). */
export function cosignatureTime({ signature }: NoteSignature): number | undefined {
  const time = timeOf(signature);
  return time === 0 ? undefined : time;
}

/** Verifies what a key of any known type signs. */
export function verifierOf(key: VerifierKey): NoteVerifier {
  return key.type === KEY_TYPE.ed25519 ? noteVerifier(key) : cosignatureVerifier(key);
}
