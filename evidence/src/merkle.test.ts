import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inclusionPath, leafHash, merkleRoot, verifyInclusion } from './merkle.ts';

/** The reference inputs and roots of the Certificate Transparency implementations' own tests (RFC 6962). */
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const LEAVES = INPUTS.map((input) => leafHash(Buffer.from(input, 'hex')));

describe('the RFC 6962 tree', () => {
  test.each(ROOTS.map((root, size) => ({ size, root })))('of $size published leaves has its published root', ({ size, root }) => {
    expect(merkleRoot(LEAVES.slice(0, size)).toString('hex')).toBe(root);
  });

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
  ])('gives the published path of leaf $index of $size', ({ index, size, path }) => {
    expect(inclusionPath(LEAVES.slice(0, size), index).map((hash) => hash.toString('hex'))).toEqual(path);
  });

  test('proves every leaf of every small tree at its own place and nowhere else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.nat(), (size, a, b) => {
        const leaves = Array.from({ length: size }, (_, at) => leafHash(Buffer.from(`leaf ${at}`)));
        const index = a % size;
        const elsewhere = b % size;
        const leaf = leaves[index] ?? Buffer.alloc(32);
        const path = inclusionPath(leaves, index);
        expect(verifyInclusion(leaf, { index, size }, path, merkleRoot(leaves))).toBe(true);
        if (elsewhere !== index) expect(verifyInclusion(leaf, { index: elsewhere, size }, path, merkleRoot(leaves))).toBe(false);
        expect(verifyInclusion(leaf, { index, size }, [...path, leaf], merkleRoot(leaves))).toBe(false);
        if (path.length > 0) expect(verifyInclusion(leaf, { index, size }, path.slice(1), merkleRoot(leaves))).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test('refuses a path outside the tree', () => {
    expect(() => inclusionPath(LEAVES, 8)).toThrow(RangeError);
    expect(verifyInclusion(Buffer.alloc(32), { index: 3, size: 3 }, [], Buffer.alloc(32))).toBe(false);
  });
});
