import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { EvidenceError } from '../errors.ts';
import type { Signer } from '../keys.ts';

// RFC 9881: the parts of these structures that are the same for every ML-DSA-44 key.
const PKCS8_PREFIX = Buffer.from('3034020100300b060960864801650304031104228020', 'hex');
const SPKI_PREFIX = Buffer.from('30820532300b06096086480165030403110382052100', 'hex');
const SEED_BYTES = 32;
export const ML_DSA_KEY_BYTES = 1312;
export const ML_DSA_SIGNATURE_BYTES = 2420;

/** An ML-DSA-44 signer (FIPS 204, empty context) of its 32-byte seed. Throws EvidenceError MalformedKey for another length. */
export function mlDsaSigner(seed: Uint8Array): Signer {
  if (seed.length !== SEED_BYTES) throw new EvidenceError('MalformedKey', 'an ML-DSA-44 seed has 32 bytes');
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-ML_DSA_KEY_BYTES);
  return { publicKey, sign: (message) => sign(null, message, key) };
}

/** ML-DSA-44 over `message` with a raw public key; false for anything malformed. */
export function verifyMlDsa(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ML_DSA_KEY_BYTES || signature.length !== ML_DSA_SIGNATURE_BYTES) return false;
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}
