import { merkleRoot, nodeHash } from '../merkle.ts';
import type { TreeHead } from './checkpoint.ts';

/*
 * Proofs of RFC 9162 §2.1.3 and §2.1.4, which are those of RFC 6962. Each hash of one is the tree hash of a span of leaves, and
 * that is made of complete subtrees, which tiles hold: first it is told which are needed, then they are read.
 * Sizes go up to 2^53 − 1, further than JavaScript's bit operators.
 */

/** Leaves `from` to `to`, the end excluded. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The complete subtree of 2^`level` leaves that begins with leaf `index` · 2^`level`. */
export interface Subtree {
  readonly level: number;
  readonly index: number;
}

/** The hash of a complete subtree. */
export type HashReader = (subtree: Subtree) => Buffer;

/** A tree of 2^53 leaves has this many levels below its root. */
export const MAX_PROOF_HASHES = 53;

/** The largest power of two that is less than `size`; `size` is at least 2. */
function splitOf(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

/** The complete subtrees that a span of a tree consists of, from left to right. */
export function subtreesOf({ from, to }: Span): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let at = from; at < to; ) {
    let [level, width] = [0, 1];
    while (width * 2 <= to - at) [level, width] = [level + 1, width * 2];
    subtrees.push({ level, index: at / width });
    at += width;
  }
  return subtrees;
}

/** The tree hash of a span. */
export function spanHash(span: Span, read: HashReader): Buffer {
  return subtreesOf(span)
    .map(read)
    .reduceRight((right, left) => nodeHash(left, right));
}

/** The spans whose hashes prove leaf `index` of a tree (RFC 9162 §2.1.3.1), nearest first. Throws RangeError outside the tree. */
export function inclusionSpans(index: number, size: number): Span[] {
  if (!isPlace(index, size)) throw new RangeError('the index is outside the tree');
  const spans: Span[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    spans.unshift(index < middle ? { from: middle, to } : { from, to: middle });
    [from, to] = index < middle ? [from, middle] : [middle, to];
  }
  return spans;
}

/**
 * The spans whose hashes prove that a tree has an older one as its beginning (RFC 9162 §2.1.4.1). The empty tree, and the tree
 * itself, need none. Throws RangeError where `older` is larger.
 */
export function consistencySpans(older: number, size: number): Span[] {
  if (!isSize(older) || !isSize(size) || older > size) throw new RangeError('no tree is consistent with a larger one');
  if (older === 0 || older === size) return [];
  const spans: Span[] = [];
  let [from, to] = [0, size];
  while (to !== older) {
    const middle = from + splitOf(to - from);
    spans.unshift(older <= middle ? { from: middle, to } : { from, to: middle });
    [from, to] = older <= middle ? [from, middle] : [middle, to];
  }
  // The older root itself is known to whoever asks.
  return from === 0 ? spans : [{ from, to }, ...spans];
}

export function proveInclusion(index: number, size: number, read: HashReader): Buffer[] {
  return inclusionSpans(index, size).map((span) => spanHash(span, read));
}

export function proveConsistency(older: number, size: number, read: HashReader): Buffer[] {
  return consistencySpans(older, size).map((span) => spanHash(span, read));
}

/** Reads from the hashes of all leaves, for small trees. */
export function leavesReader(leaves: readonly Buffer[]): HashReader {
  return ({ level, index }) => merkleRoot(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));
}

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 0;
}

function isPlace(index: number, size: number): boolean {
  return isSize(index) && isSize(size) && index < size;
}

/**
 * On which side the hashes of a path stand, from a place of a level, whose last place is `last`, up to the root; undefined for a
 * path of another length.
 */
function sidesOf(position: number, last: number, length: number): ('left' | 'right')[] | undefined {
  const sides: ('left' | 'right')[] = [];
  let [at, end] = [position, last];
  while (end > 0 && sides.length < length) {
    const left = at % 2 === 1 || at === end;
    sides.push(left ? 'left' : 'right');
    // The last one of a level has no hash beside it while its place is even, and stands for itself above.
    if (left) while (at % 2 === 0 && at !== 0) [at, end] = [half(at), half(end)];
    [at, end] = [half(at), half(end)];
  }
  return end === 0 && sides.length === length ? sides : undefined;
}

/** The root that a hash and the path beside it lead to. */
function climb(from: Buffer, path: readonly Buffer[], sides: readonly ('left' | 'right')[]): Buffer {
  return path.reduce((hash, sibling, at) => (sides[at] === 'left' ? nodeHash(sibling, hash) : nodeHash(hash, sibling)), from);
}

/** True when `path` proves that a leaf with this hash stands at `index` of the tree (RFC 9162 §2.1.3.2). */
export function verifyInclusion(leaf: Buffer, index: number, tree: TreeHead, path: readonly Buffer[]): boolean {
  const sides = isPlace(index, tree.size) ? sidesOf(index, tree.size - 1, path.length) : undefined;
  return sides !== undefined && climb(leaf, path, sides).equals(tree.root);
}

/** True when `path` proves that `tree` has `older` as its beginning (RFC 9162 §2.1.4.2); the empty tree is so by no path. */
export function verifyConsistency(older: TreeHead, tree: TreeHead, path: readonly Buffer[]): boolean {
  if (!isSize(older.size) || !isSize(tree.size) || older.size > tree.size) return false;
  if (older.size === tree.size) return path.length === 0 && older.root.equals(tree.root);
  if (older.size === 0) return path.length === 0 && older.root.equals(merkleRoot([]));
  let [position, last] = [older.size - 1, tree.size - 1];
  while (position % 2 === 1) [position, last] = [half(position), half(last)];
  // An older tree that is complete is a part of the newer one itself.
  const [first, ...rest] = position === 0 ? [older.root, ...path] : path;
  const sides = sidesOf(position, last, rest.length);
  if (first === undefined || sides === undefined) return false;
  // What stands to the left is in both trees.
  const both = rest.filter((_, at) => sides[at] === 'left');
  const olderRoot = both.reduce((hash, sibling) => nodeHash(sibling, hash), first);
  return olderRoot.equals(older.root) && climb(first, rest, sides).equals(tree.root);
}

function half(value: number): number {
  return Math.floor(value / 2);
}
