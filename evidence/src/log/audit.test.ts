import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leafHash, merkleRoot } from '../merkle.ts';
import { auditTiles, type TileFault } from './audit.ts';
import { aLog, flipped, type TestLog } from './log.test-support.ts';
import { readTile, tilePath, tilesSince, writeBundleTile } from './tiles.ts';

const said = (faults: readonly TileFault[]): string[] =>
  faults.map(
    ({ tile, code, entry }) => `${tile === undefined ? 'all' : tilePath(tile)} ${code}${entry === undefined ? '' : ` ${entry}`}`,
  );
/** What is found where these files are others; undefined for one that is gone. */
const audit = ({ head, files }: Pick<TestLog, 'head' | 'files'>, changed: Readonly<Record<string, Buffer | undefined>> = {}) =>
  said(
    auditTiles(head, (tile) => (Object.hasOwn(changed, tilePath(tile)) ? changed[tilePath(tile)] : files.get(tilePath(tile)))),
  );

const log = aLog([66_000]);
const file = (path: string): Buffer => log.files.get(path) ?? Buffer.alloc(0);

describe('an audit of a whole log', () => {
  test.each([[[0]], [[1]], [[255]], [[256]], [[257]], [[65_536]], [[66_000]], [[3, 250, 3, 700]]])(
    'finds nothing in one that grew by %j',
    (batches) => {
      expect(audit(aLog(batches))).toEqual([]);
    },
  );

  test.each(['tile/0/000', 'tile/0/256', 'tile/0/257.p/208', 'tile/1/000', 'tile/1/001.p/1', 'tile/2/000.p/1'])(
    'names %s where it was changed or is gone, and nothing else',
    (path) => {
      for (const at of [0, file(path).length - 1])
        expect(audit(log, { [path]: flipped(file(path), at) })).toEqual([`${path} altered`]);
      expect(audit(log, { [path]: undefined })).toEqual([`${path} missing`]);
    },
  );

  test.each([
    { path: 'tile/entries/000', first: 0 },
    { path: 'tile/entries/257.p/208', first: 65_792 },
  ])('names the entries of $path that are others', ({ path, first }) => {
    const entries = log.entries.slice(first, first + 256);
    const changed = entries.with(7, Buffer.from('another'));
    expect(audit(log, { [path]: writeBundleTile(changed) })).toEqual([`${path} altered ${first + 7}`]);
    const [third = Buffer.alloc(0), second = Buffer.alloc(0)] = [entries[3], entries[2]];
    expect(audit(log, { [path]: writeBundleTile(entries.with(2, third).with(3, second)) })).toEqual([
      `${path} altered ${first + 2}`,
      `${path} altered ${first + 3}`,
    ]);
  });

  test('names one that is cut or longer', () => {
    const small = aLog([20, 300, 213]);
    for (const path of [...tilesSince(0, small.head.size)].map(tilePath)) {
      const bytes = small.files.get(path) ?? Buffer.alloc(0);
      for (const wrong of [bytes.subarray(1), bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.alloc(32)])])
        expect(audit(small, { [path]: wrong })).toEqual([`${path} altered`]);
    }
  });

  test('names all of several files', () => {
    const changed = ['tile/entries/003', 'tile/0/200', 'tile/1/000', 'tile/2/000.p/1'];
    const found = audit(log, Object.fromEntries(changed.map((path) => [path, undefined])));
    expect(new Set(found)).toEqual(new Set(changed.map((path) => `${path} missing`)));
  });

  test('names a tile and one above it that was changed too', () => {
    const below = flipped(file('tile/0/100'), 5);
    const row = readTile({ level: 1, index: 0, width: 256 }, file('tile/1/000'));
    const hashes = readTile({ level: 0, index: 100, width: 256 }, below);
    const above = Buffer.concat(row.with(100, merkleRoot(hashes)));
    expect(new Set(audit(log, { 'tile/0/100': below, 'tile/1/000': above }))).toEqual(
      new Set(['tile/0/100 altered', 'tile/1/000 altered']),
    );
  });

  test('tells where an entry was changed together with every tile that leads to it', () => {
    const rewritten = aLog([66_000], 9);
    const mixed = { head: log.head, files: rewritten.files };
    expect(audit(mixed)).toEqual(['all altered']);
    // Up to the tile whose hash is in one that stayed.
    const entries = log.entries.slice(25_600, 25_856).with(0, Buffer.from('another'));
    const changed = { 'tile/entries/100': writeBundleTile(entries), 'tile/0/100': Buffer.concat(entries.map(leafHash)) };
    expect(audit(log, changed)).toEqual(['tile/0/100 altered', 'tile/entries/100 altered']);
  });

  test('passes over no change of any byte of any file', () => {
    const small = aLog([20, 300, 213]);
    const paths = [...tilesSince(0, small.head.size)].map(tilePath);
    fc.assert(
      fc.property(fc.nat({ max: paths.length - 1 }), fc.nat(), (which, change) => {
        const path = paths[which] ?? '';
        const bytes = small.files.get(path) ?? Buffer.alloc(0);
        const found = audit(small, { [path]: flipped(bytes, change % bytes.length, change % 8) });
        expect(found.length).toBeGreaterThan(0);
        expect(found.every((fault) => fault.startsWith(`${path} altered`))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
