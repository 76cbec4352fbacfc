import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { leafHash, merkleRoot, merkleRootOf, nodeHash, saltedLeafHash, saltedLeafHashes } from './merkle.ts';

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
    const joined = Buffer.concat(LEAVES.slice(0, size));
    expect(merkleRootOf(joined).toString('hex')).toBe(root);
    // What it was given is as it was.
    expect(joined.equals(Buffer.concat(LEAVES.slice(0, size)))).toBe(true);
  });

  test('has no node above what is no hash', () => {
    expect(() => nodeHash(Buffer.alloc(31), Buffer.alloc(32))).toThrow(RangeError);
    expect(() => nodeHash(Buffer.alloc(32), Buffer.alloc(33))).toThrow(RangeError);
  });

  test('hashes records of every length behind their salts, one or many at a time', () => {
    const records = [0, 1, 54, 55, 4078, 4079, 4080, 4096, 70_000].map((length) => Buffer.alloc(length, length));
    const salts = records.map((_, at) => Buffer.alloc(16, at));
    const expected = records.map((record, at) =>
      createHash('sha256')
        .update(Buffer.concat([Buffer.of(0), Buffer.alloc(16, at), record]))
        .digest(),
    );
    expect(records.map((record, at) => saltedLeafHash(salts[at] ?? record, record))).toEqual(expected);
    expect(saltedLeafHashes(Buffer.concat(salts), records)).toEqual(Buffer.concat(expected));
    expect(saltedLeafHashes(Buffer.alloc(0), [])).toEqual(Buffer.alloc(0));
  });
});
