import { sha256, sha256Latin1 } from './primitives.ts';

export const HASH_BYTES = 32;
const LEAF = Buffer.of(0);
const NO_SALT = new Uint8Array();
/** Up to so many bytes it costs less to join what is hashed. */
const MAX_JOINED_BYTES = 4096;
/** What is hashed now; used within one call. */
const joined = Buffer.alloc(MAX_JOINED_BYTES);
const PAIR_BYTES = 1 + 2 * HASH_BYTES;
const pair = Buffer.alloc(PAIR_BYTES, 1);

/** RFC 6962 §2.1: SHA-256(0x00 ‖ data). */
export function leafHash(data: Uint8Array): Buffer {
  return saltedLeafHash(NO_SALT, data);
}

/** The same of a record behind its salt, without which nobody can try what the record was: SHA-256(0x00 ‖ salt ‖ record). */
export function saltedLeafHash(salt: Uint8Array, data: Uint8Array): Buffer {
  return Buffer.from(saltedLeaf(salt, data), 'latin1');
}

function saltedLeaf(salt: Uint8Array, data: Uint8Array): string {
  const length = 1 + salt.length + data.length;
  if (length > MAX_JOINED_BYTES) return sha256(LEAF, salt, data).toString('latin1');
  joined[0] = 0;
  joined.set(salt, 1);
  joined.set(data, 1 + salt.length);
  return sha256Latin1(joined.subarray(0, length));
}

/** The leaf hashes of records behind their salts, one behind the other. There are as many salts. */
export function saltedLeafHashes(salts: readonly Buffer[], records: readonly Buffer[]): Buffer {
  const hashes = Buffer.allocUnsafe(HASH_BYTES * records.length);
  for (const [at, record] of records.entries()) hashes.write(saltedLeaf(salts[at] ?? LEAF, record), HASH_BYTES * at, 'latin1');
  return hashes;
}

/** RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right). Throws RangeError for what is no hash: who reads proofs has looked at their lengths. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) throw new RangeError('a hash of a tree has 32 bytes');
  pair.set(left, 1);
  pair.set(right, 1 + HASH_BYTES);
  return Buffer.from(sha256Latin1(pair), 'latin1');
}

/** Merkle tree hash over leaf hashes (RFC 6962 §2.1); the empty tree's is SHA-256 of nothing. */
export function merkleRoot(leaves: readonly Buffer[]): Buffer {
  return rootOf(Buffer.concat(leaves));
}

/** {@link merkleRoot} of leaf hashes that stand one behind the other. */
export function merkleRootOf(leaves: Buffer): Buffer {
  return rootOf(Buffer.from(leaves));
}

/** Writes each level of the tree over the one below. */
function rootOf(hashes: Buffer): Buffer {
  let count = hashes.length / HASH_BYTES;
  if (count === 0) return Buffer.from(sha256Latin1(NO_SALT), 'latin1');
  for (; count > 1; count = Math.ceil(count / 2)) {
    const pairs = Math.floor(count / 2);
    for (let at = 0; at < pairs; at++) {
      hashes.copy(pair, 1, 2 * HASH_BYTES * at, 2 * HASH_BYTES * (at + 1));
      hashes.write(sha256Latin1(pair), HASH_BYTES * at, 'latin1');
    }
    if (count % 2 === 1) hashes.copy(hashes, HASH_BYTES * pairs, HASH_BYTES * (count - 1), HASH_BYTES * count);
  }
  // Of its own, so that what is kept is a hash and not all of them.
  return Buffer.from(hashes.subarray(0, HASH_BYTES));
}
