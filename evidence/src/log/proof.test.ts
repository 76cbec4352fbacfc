import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leafHash, merkleRoot } from '../merkle.ts';
import { aLog, flipped } from './log.test-support.ts';
import { leavesReader, MAX_PROOF_HASHES, proveConsistency, proveInclusion, verifyConsistency, verifyInclusion } from './proof.ts';

/** The reference inputs of the Certificate Transparency implementations' own tests (RFC 6962); their roots are in merkle.test.ts. */
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const LEAVES = INPUTS.map((input) => leafHash(Buffer.from(input, 'hex')));
const hex = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('hex'));
const headOf = (leaves: readonly Buffer[]) => ({ size: leaves.length, root: merkleRoot(leaves) });

describe('a proof of inclusion', () => {
  test.each([
    {
      index: 0,
      size: 8,
      path: [
        '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
      ],
    },
    {
      index: 5,
      size: 8,
      path: [
        'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
        'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
        'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      ],
    },
    { index: 2, size: 3, path: ['fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'] },
  ])('of leaf $index of $size is the published one', ({ index, size, path }) => {
    expect(hex(proveInclusion(index, size, leavesReader(LEAVES.slice(0, size))))).toEqual(path);
  });

  test('holds for its own leaf, place, size and hashes, and for nothing else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(), fc.nat(), fc.nat(), (size, a, b, change) => {
        const { leaves, head } = aLog([size]);
        const [index, elsewhere] = [a % size, b % size];
        const leaf = leaves[index] ?? Buffer.alloc(0);
        const path = proveInclusion(index, size, leavesReader(leaves));
        expect(verifyInclusion(leaf, index, head, path)).toBe(true);
        if (elsewhere !== index) expect(verifyInclusion(leaf, elsewhere, head, path)).toBe(false);
        const wrong = flipped(Buffer.concat([leaf, head.root, ...path]), change % ((path.length + 2) * 32), change % 8);
        const hashes = Array.from({ length: path.length + 2 }, (_, at) => wrong.subarray(at * 32, (at + 1) * 32));
        const [changedLeaf = leaf, changedRoot = leaf, ...changedPath] = hashes;
        expect(verifyInclusion(changedLeaf, index, { size, root: changedRoot }, changedPath)).toBe(false);
        expect(verifyInclusion(leaf, index, head, [...path, leaf])).toBe(false);
        if (path.length > 0) expect(verifyInclusion(leaf, index, head, path.slice(1))).toBe(false);
        if (path.length > 0) expect(verifyInclusion(leaf, index, head, path.slice(0, -1))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test('is as long as it says in the largest trees', () => {
    const hash = Buffer.alloc(32, 7);
    for (const size of [2 ** 31, 2 ** 31 + 1, 2 ** 32 + 5, 2 ** 52, Number.MAX_SAFE_INTEGER])
      for (const index of [0, 1, size - 1, Math.floor(size / 3)]) {
        // Every complete subtree has one hash here, and so do all that are joined of two.
        const path = proveInclusion(index, size, ({ level }) => levelHash(level));
        expect(path.length).toBeLessThanOrEqual(MAX_PROOF_HASHES);
        const root = rootOfSame(size);
        expect(verifyInclusion(levelHash(0), index, { size, root }, path)).toBe(true);
        expect(verifyInclusion(hash, index, { size, root }, path)).toBe(false);
      }
  });

  test.each([
    ['an index outside the tree', 3, 3],
    ['a negative one', -1, 3],
    ['half a one', 0.5, 3],
    ['an empty tree', 0, 0],
    ['more than can be counted', 0, 2 ** 53],
  ])('of %s is neither made nor taken', (_, index, size) => {
    expect(() => proveInclusion(index, size, leavesReader([]))).toThrow(RangeError);
    expect(verifyInclusion(Buffer.alloc(32), index, { size, root: Buffer.alloc(32) }, [])).toBe(false);
  });
});

/** Hashes of complete subtrees of equal leaves. */
function levelHash(level: number): Buffer {
  let hash = leafHash(Buffer.from('same'));
  for (let at = 0; at < level; at++) hash = merkleRoot([hash, hash]);
  return hash;
}

function rootOfSame(size: number): Buffer {
  let right: Buffer | undefined;
  for (let [level, rest] = [0, size]; rest > 0; [level, rest] = [level + 1, Math.floor(rest / 2)])
    if (rest % 2 === 1) right = right === undefined ? levelHash(level) : merkleRoot([levelHash(level), right]);
  return right ?? merkleRoot([]);
}

describe('a proof of consistency', () => {
  test.each([
    {
      older: 1,
      size: 8,
      path: [
        '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
      ],
    },
    {
      older: 6,
      size: 8,
      path: [
        '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
        'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
        'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      ],
    },
    {
      older: 2,
      size: 5,
      path: [
        '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
        'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      ],
    },
    { older: 0, size: 5, path: [] },
    { older: 5, size: 5, path: [] },
  ])('of $older and $size leaves is the published one', ({ older, size, path }) => {
    expect(hex(proveConsistency(older, size, leavesReader(LEAVES.slice(0, size))))).toEqual(path);
  });

  test('holds for its own two trees, and for no other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(), fc.nat(), (size, a, change) => {
        const { leaves, head } = aLog([size]);
        const older = headOf(leaves.slice(0, a % (size + 1)));
        const path = proveConsistency(older.size, size, leavesReader(leaves));
        expect(verifyConsistency(older, head, path)).toBe(true);
        const wrong = flipped(Buffer.concat([older.root, head.root, ...path]), change % ((path.length + 2) * 32), change % 8);
        const hashes = Array.from({ length: path.length + 2 }, (_, at) => wrong.subarray(at * 32, (at + 1) * 32));
        const [olderRoot = wrong, root = wrong, ...changed] = hashes;
        // Of nothing the newer root says nothing: any log begins with the empty one.
        if (older.size > 0 || !olderRoot.equals(older.root))
          expect(verifyConsistency({ size: older.size, root: olderRoot }, { size, root }, changed)).toBe(false);
        expect(verifyConsistency(older, head, [...path, head.root])).toBe(false);
        if (path.length > 0) expect(verifyConsistency(older, head, path.slice(1))).toBe(false);
        if (path.length > 0) expect(verifyConsistency(older, head, path.slice(0, -1))).toBe(false);
        if (older.size > 1 && older.size < size)
          expect(verifyConsistency({ ...older, size: older.size - 1 }, head, path)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test('does not hold where an older leaf was changed, taken out or moved', () => {
    const { leaves } = aLog([100]);
    const older = headOf(leaves.slice(0, 60));
    const first = leaves[20] ?? Buffer.alloc(0);
    for (const rewritten of [
      leaves.with(20, leafHash(Buffer.from('another'))),
      leaves.toSpliced(20, 1),
      leaves.toSpliced(20, 1).toSpliced(30, 0, first),
    ])
      expect(verifyConsistency(older, headOf(rewritten), proveConsistency(60, rewritten.length, leavesReader(rewritten)))).toBe(
        false,
      );
  });

  test('of a tree and a smaller one is neither made nor taken', () => {
    expect(() => proveConsistency(4, 3, leavesReader(LEAVES))).toThrow(RangeError);
    expect(verifyConsistency(headOf(LEAVES.slice(0, 4)), headOf(LEAVES.slice(0, 3)), [])).toBe(false);
  });
});
