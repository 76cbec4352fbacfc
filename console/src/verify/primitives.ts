import type { Primitives } from '@chaperone/evidence/verifier';
import { ctr, gcm } from '@noble/ciphers/aes.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 as Sha256, sha512 } from '@noble/hashes/sha2.js';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';
import { unpackFrames } from './zstd.ts';

/*
 * evidence/src/primitives.ts for a browser: vite.config.ts puts it in the place of that. WebCrypto would answer later, and the verifier asks
 * now; these libraries answer at once. Nothing secret is made with them.
 */
const COUNTER_BYTES = 16;
const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true });
const { Point } = ed25519;

export const sha256: Primitives['sha256'] = (...parts) => {
  const digest = Sha256.create();
  for (const part of parts) digest.update(part);
  return Buffer.from(digest.digest());
};

export const sha256Latin1: Primitives['sha256Latin1'] = (data) => String.fromCharCode(...Sha256(data));

export const hkdfSha256: Primitives['hkdfSha256'] = (secret, salt, info, length) =>
  Buffer.from(hkdf(Sha256, secret, salt, info, length));

export const aes256Keystream: Primitives['aes256Keystream'] = (key, length) =>
  Buffer.from(ctr(key, new Uint8Array(COUNTER_BYTES)).encrypt(new Uint8Array(length)));

export const openAes256Gcm: Primitives['openAes256Gcm'] = (key, nonce, sealed) => Buffer.from(gcm(key, nonce).decrypt(sealed));

export const unpackZstd: Primitives['unpackZstd'] = (packed, most) => Buffer.concat(unpackFrames(packed, most));

/**
 * As Node does it: without the cofactor, by which the library's own check multiplies, and so takes signatures that Node refuses; and without
 * keys and commitments of small order, as WebCrypto has it too.
 */
export const verifyEd25519: Primitives['verifyEd25519'] = (publicKey, message, signature) => {
  try {
    const [commitment, response] = [signature.subarray(0, 32), Point.Fn.fromBytes(signature.slice(32))];
    const challenge = Point.Fn.create(
      fromLittleEndian(sha512.create().update(commitment).update(publicKey).update(message).digest()),
    );
    // Keys whose y is not reduced are keys to Node too.
    const key = Point.fromBytes(publicKey, true);
    const found = Point.BASE.multiplyUnsafe(response).subtract(key.multiplyUnsafe(challenge));
    return Buffer.from(found.toBytes()).equals(commitment) && !key.isSmallOrder() && !found.isSmallOrder();
  } catch {
    return false;
  }
};

function fromLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`);
}

export const verifyMlDsa44: Primitives['verifyMlDsa44'] = (publicKey, message, signature) => {
  try {
    return ml_dsa44.verify(signature, message, publicKey);
  } catch {
    return false;
  }
};

export const isUtf8: Primitives['isUtf8'] = (bytes) => {
  try {
    STRICT_UTF8.decode(bytes);
    return true;
  } catch {
    return false;
  }
};

export const randomBytes = ((length: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(length)))) as Primitives['randomBytes'];
