import { createDecipheriv, createCipheriv, createHash, createPublicKey, hash, hkdfSync, randomBytes, verify } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { zstdDecompressSync } from 'node:zlib';

/*
 * All that verifying evidence asks of the platform, so that the same code runs where there is no Node: whoever builds it for a browser puts
 * a module with these functions in the place of this one (console/src/verify/primitives.ts). Each is a function of its arguments alone.
 */
export { isUtf8, randomBytes };

/** Raw public keys behind what is the same for each of their kind (RFC 8410, RFC 9881). */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const ML_DSA_44_SPKI = Buffer.from('30820532300b06096086480165030403110382052100', 'hex');
const GCM_TAG_BYTES = 16;

/** SHA-256 of the parts, one behind the other. */
export function sha256(...parts: readonly Uint8Array[]): Buffer {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

/**
 * SHA-256 in one call: an object for each of many small hashes would cost more than the hashing. As a text with a character for each byte,
 * since memory of its own for each hash costs more too.
 */
export function sha256Latin1(data: Uint8Array): string {
  return hash('sha256', data, 'latin1');
}

/** HKDF-SHA-256 (RFC 5869). */
export function hkdfSha256(secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, length));
}

/** So many bytes of the keystream of AES-256-CTR from a counter of zero. */
export function aes256Keystream(key: Uint8Array, length: number): Buffer {
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** What AES-256-GCM encrypted, the tag behind it, without associated data. Throws where the tag is another one. */
export function openAes256Gcm(key: Uint8Array, nonce: Uint8Array, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES));
  const plain = decipher.update(sealed.subarray(0, -GCM_TAG_BYTES));
  decipher.final();
  return plain;
}

/** What zstd (RFC 8878) compressed, at most so many bytes. Throws where it is more, or is no frame of zstd. */
export function unpackZstd(packed: Buffer, most: number): Buffer {
  // In one piece, with room for its end to be seen.
  return zstdDecompressSync(packed, { maxOutputLength: most, chunkSize: most + 64 });
}

/**
 * Ed25519 (RFC 8032, §5.1.7 without the cofactor: the signature's R is compared to the byte) over a message, with a raw public key of 32
 * bytes and a signature of 64. False for anything malformed.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return verifyWith(ED25519_SPKI, publicKey, message, signature);
}

/** ML-DSA-44 (FIPS 204, empty context) over a message, with a raw public key of 1312 bytes and a signature of 2420. */
export function verifyMlDsa44(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return verifyWith(ML_DSA_44_SPKI, publicKey, message, signature);
}

function verifyWith(prefix: Buffer, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.concat([prefix, publicKey]), format: 'der', type: 'spki' });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}
