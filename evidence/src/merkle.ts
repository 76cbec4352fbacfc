import { sha256, sha256Latin1 } from './primitives.ts';

export const HASH_BYTES = 32;
const LEAF = Buffer.of(0);
const NO_SALT = new Uint8Array();
/** Up to so many bytes it costs less to join what is hashed. */
const MAX_JOINED_BYTES = 4096;
/** What is hashed now; used within one call. */
const joined = Buffer.alloc(MAX_JOINED_BYTES);
/** Its beginnings by their lengths, made when they are needed: one for each hash would cost a tenth of what the hash does. */
const beginnings = Array.from<Buffer | undefined>({ length: MAX_JOINED_BYTES + 1 });
const PAIR_BYTES = 1 + 2 * HASH_BYTES;
const pair = Buffer.alloc(PAIR_BYTES, 1);

/** RFC 6962 §2.1: SHA-256(0x00 ‖ data). */
export function leafHash(data: Uint8Array): Buffer {
  return saltedLeafHash(NO_SALT, data);
}

/** The same of a record behind its salt, without which nobody can try what the record was: SHA-256(0x00 ‖ salt ‖ record). */
export function saltedLeafHash(salt: Uint8Array, data: Uint8Array): Buffer {
  return Buffer.from(saltedLeaf(salt, 0, salt.length, data), 'latin1');
}

/** The salt is what lies in `salts` from one place to another: no view is made of it. */
function saltedLeaf(salts: Uint8Array, from: number, to: number, data: Uint8Array): string {
  const behind = 1 + to - from;
  const length = behind + data.length;
  if (length > MAX_JOINED_BYTES) return sha256(LEAF, salts.subarray(from, to), data).toString('latin1');
  joined[0] = 0;
  for (let at = 1; at < behind; at++) joined[at] = salts[from + at - 1] as number;
  joined.set(data, behind);
  return sha256Latin1((beginnings[length] ??= joined.subarray(0, length)));
}

/** The leaf hashes of records behind their salts, one behind the other. So are the salts, each of `saltBytes`; there are as many. */
export function saltedLeafHashes(salts: Uint8Array, saltBytes: number, records: readonly Buffer[]): Buffer {
  const hashes = Buffer.allocUnsafe(HASH_BYTES * records.length);
  if (salts.length !== saltBytes * records.length) throw new RangeError('each record has one salt');
  let [salt, end] = [0, 0];
  for (const record of records) {
    end += hashes.write(saltedLeaf(salts, salt, salt + saltBytes, record), end, 'latin1');
    salt += saltBytes;
  }
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
