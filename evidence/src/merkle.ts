import { createHash, hash as digest } from 'node:crypto';

const LEAF = Buffer.of(0);
const NO_SALT = new Uint8Array();
/** Up to so many bytes it costs less to join what is hashed. */
const MAX_JOINED_BYTES = 4096;

/** In one call: an object for each of many small hashes would cost more than the hashing. */
function sha256(data: Uint8Array): Buffer {
  return digest('sha256', data, 'buffer');
}

/** RFC 6962 §2.1: SHA-256(0x00 ‖ data). */
export function leafHash(data: Uint8Array): Buffer {
  return saltedLeafHash(NO_SALT, data);
}

/** The same of a record behind its salt, without which nobody can try what the record was: SHA-256(0x00 ‖ salt ‖ record). */
export function saltedLeafHash(salt: Uint8Array, data: Uint8Array): Buffer {
  if (data.length > MAX_JOINED_BYTES) return createHash('sha256').update(LEAF).update(salt).update(data).digest();
  const joined = Buffer.allocUnsafe(1 + salt.length + data.length);
  joined[0] = 0;
  joined.set(salt, 1);
  joined.set(data, 1 + salt.length);
  return sha256(joined);
}

/** RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  const joined = Buffer.allocUnsafe(1 + left.length + right.length);
  joined[0] = 1;
  joined.set(left, 1);
  joined.set(right, 1 + left.length);
  return sha256(joined);
}

/** Merkle tree hash over leaf hashes (RFC 6962 §2.1); the empty tree's is SHA-256 of nothing. */
export function merkleRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256(Buffer.alloc(0));
  let level = leaves;
  while (level.length > 1) {
    const above: Buffer[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at], level[at + 1]];
      if (left !== undefined) above.push(right === undefined ? left : nodeHash(left, right));
    }
    level = above;
  }
  return level[0] ?? sha256(Buffer.alloc(0));
}
