import { verifyMlDsa44 } from '../primitives.ts';

export const ML_DSA_KEY_BYTES = 1312;
export const ML_DSA_SIGNATURE_BYTES = 2420;

/** ML-DSA-44 over `message` with a raw public key; false for anything malformed. */
export function verifyMlDsa(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ML_DSA_KEY_BYTES || signature.length !== ML_DSA_SIGNATURE_BYTES) return false;
  return verifyMlDsa44(publicKey, message, signature);
}
