import { describe, expect, test } from 'vitest';
import { leafHash, merkleRoot } from '../merkle.ts';
import { formatConsistencyProof, parseConsistencyProof } from './consistency.ts';
import { leavesReader } from './proof.ts';
import { formatRangeProof, MAX_RANGE, parseRangeProof, RangeVerifier, rangeSubtrees } from './range.ts';

const entries = Array.from({ length: 40 }, (_, at) => Buffer.from(`entry ${at}`));
const leaves = entries.map(leafHash);
const proved = (
  from: number,
  to: number,
  size: number,
  list = entries.slice(from, to),
  hashes = hashesOf(from, to, size),
): boolean => {
  const verifier = new RangeVerifier({ from, to, hashes });
  for (const entry of list) verifier.take(entry);
  return verifier.verify({ size, root: merkleRoot(leaves.slice(0, size)) });
};
const hashesOf = (from: number, to: number, size: number): Buffer[] =>
  rangeSubtrees({ from, to }, size).map(leavesReader(leaves.slice(0, size)));

describe('a range of a log', () => {
  test('is proved at every place of trees of every size', () => {
    for (let size = 1; size <= 20; size++)
      for (let from = 0; from < size; from++) for (let to = from + 1; to <= size; to++) expect(proved(from, to, size)).toBe(true);
  });

  test('is not proved with an entry fewer, another, or in another order, nor by hashes fewer, more or other', () => {
    const [from, to, size] = [5, 17, 40];
    const list = entries.slice(from, to);
    const hashes = hashesOf(from, to, size);
    for (let at = 0; at < list.length; at++) {
      expect(proved(from, to, size, list.toSpliced(at, 1))).toBe(false);
      expect(proved(from, to, size, list.with(at, Buffer.from('another')))).toBe(false);
      // Without its last entry it is a shorter range, which says so.
      expect(proved(from, to - 1, size, list.toSpliced(at, 1))).toBe(at === list.length - 1);
    }
    expect(proved(from, to, size, list.toReversed())).toBe(false);
    for (let at = 0; at < hashes.length; at++) {
      expect(proved(from, to, size, list, hashes.toSpliced(at, 1))).toBe(false);
      expect(proved(from, to, size, list, hashes.toSpliced(at, 0, Buffer.alloc(32)))).toBe(false);
      expect(proved(from, to, size, list, hashes.with(at, Buffer.alloc(32)))).toBe(false);
    }
    for (const other of [18, 39]) expect(proved(from, to, other, list, hashes)).toBe(false);
  });

  test.each([
    ['', 'MalformedProof'],
    ['chaperone.dev/log-range/v1\nfrom 1\nto 1\n', 'MalformedProof'],
    ['chaperone.dev/log-range/v1\nfrom 1\nto 2', 'MalformedProof'],
    ['chaperone.dev/log-range/v1\nfrom 01\nto 2\n', 'MalformedProof'],
    ['chaperone.dev/log-range/v1\nfrom 1\nto 2\nAAAA\n', 'MalformedProof'],
    [`chaperone.dev/log-range/v1\nfrom 0\nto ${MAX_RANGE + 1}\n`, 'LimitExceeded'],
  ])('%j is refused as a proof', (text, code) => {
    expect(() => parseRangeProof(Buffer.from(text))).toThrow(expect.objectContaining({ code }));
  });

  test('comes back as it was written, as does a proof that the log goes on', () => {
    const range = { from: 5, to: 17, hashes: hashesOf(5, 17, 40) };
    expect(parseRangeProof(formatRangeProof(range))).toEqual(range);
    const consistency = { older: 7, path: leaves.slice(0, 3) };
    expect(parseConsistencyProof(formatConsistencyProof(consistency))).toEqual(consistency);
    for (const text of ['', 'chaperone.dev/log-consistency/v1\nold x\n', 'chaperone.dev/log-consistency/v1\nold 1\nAAAA\n'])
      expect(() => parseConsistencyProof(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'MalformedProof' }));
  });
});
