import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leafHash, merkleRoot } from '../merkle.ts';
import { aLog } from './log.test-support.ts';
import { leavesReader, proveConsistency, proveInclusion } from './proof.ts';
import {
  edgeTiles,
  parseTilePath,
  readBundleTile,
  readTile,
  type Tile,
  tileOf,
  tilePath,
  tilesReader,
  tilesSince,
  writeBundleTile,
} from './tiles.ts';
import { appendEntries, EMPTY_TREE, openTree, treeRoot } from './tree.ts';

describe('a path of a tile', () => {
  test.each<{ path: string; tile: Tile }>([
    { path: 'tile/0/001', tile: { level: 0, index: 1, width: 256 } },
    { path: 'tile/0/001.p/5', tile: { level: 0, index: 1, width: 5 } },
    // From C2SP tlog-tiles, “Merkle Tree”.
    { path: 'tile/0/x001/x234/067', tile: { level: 0, index: 1234067, width: 256 } },
    { path: 'tile/5/x123/x456/078.p/2', tile: { level: 5, index: 123456078, width: 2 } },
    { path: 'tile/entries/x003/x057/500', tile: { level: 'entries', index: 3057500, width: 256 } },
    { path: 'tile/entries/000.p/255', tile: { level: 'entries', index: 0, width: 255 } },
    { path: 'tile/63/000', tile: { level: 63, index: 0, width: 256 } },
  ])('$path is written and read', ({ path, tile }) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  test.each([
    'tile/0/1',
    'tile/0/0001',
    'tile/0/x000/001',
    'tile/0/123/456/078',
    'tile/0/x123/x456',
    'tile/-1/001',
    'tile/00/001',
    'tile/64/000',
    'tile/0/001.p/0',
    'tile/0/001.p/256',
    'tile/0/001.p/05',
    'tile/0/001.p/5/',
    'tile/0/../001',
    'tile/data/001',
    'tile/0/001\n',
    '/tile/0/001',
    'tile/0/x999/x999/x999/x999/x999/999',
  ])('%j is none', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });
});

describe('the tiles of a tree', () => {
  test('of 70,000 leaves are as many as C2SP tlog-tiles, “Partial Tiles”, says', () => {
    const tiles = [...tilesSince(0, 70_000)].map(tilePath);
    expect(tiles.filter((path) => /^tile\/0\/[^p]*$/.test(path))).toHaveLength(273);
    expect(tiles.filter((path) => path.includes('.p/') || /^tile\/[12]/.test(path))).toEqual([
      'tile/entries/273.p/112',
      'tile/0/273.p/112',
      'tile/1/000',
      'tile/1/001.p/17',
      'tile/2/000.p/1',
    ]);
    expect([...tilesSince(0, 256)].map(tilePath)).toEqual(['tile/entries/000', 'tile/0/000', 'tile/1/000.p/1']);
    expect([...tilesSince(70_000, 70_000)]).toEqual([]);
    expect(edgeTiles(70_000).map(tilePath)).toEqual([
      'tile/entries/273.p/112',
      'tile/0/273.p/112',
      'tile/1/001.p/17',
      'tile/2/000.p/1',
    ]);
  });

  test('has none beyond its end', () => {
    expect(() => tileOf(0, 1, 256)).toThrow(RangeError);
    expect(() => tileOf(1, 0, 255)).toThrow(RangeError);
    expect(() => tileOf('entries', -1, 255)).toThrow(RangeError);
  });

  test('give the hashes of every subtree, and every proof', () => {
    const { head, leaves, files } = aLog([66_000]);
    const read = tilesReader(head.size, (tile) => files.get(tilePath(tile)) ?? Buffer.alloc(0));
    const plain = leavesReader(leaves);
    for (const index of [0, 255, 256, 65_535, 65_536, 65_999, 4711])
      expect(proveInclusion(index, head.size, read)).toEqual(proveInclusion(index, head.size, plain));
    for (const older of [1, 255, 256, 257, 65_536, 65_537, 12_345])
      expect(proveConsistency(older, head.size, read)).toEqual(proveConsistency(older, head.size, plain));
  });

  test('of another length than their name are refused', () => {
    expect(() => readTile({ level: 0, index: 7, width: 2 }, Buffer.alloc(63))).toThrow('tile 7 of level 0 has a wrong length');
    const read = tilesReader(2, () => Buffer.alloc(32));
    expect(() => read({ level: 1, index: 0 })).toThrow(expect.objectContaining({ code: 'MalformedTile' }) as Error);
  });
});

describe('a bundle', () => {
  const entries = [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(0xffff, 1)];
  const bundle: Tile = { level: 'entries', index: 3, width: 3 };

  test('comes back as it was written', () => {
    expect(readBundleTile(bundle, writeBundleTile(entries))).toEqual(entries);
    expect(writeBundleTile([Buffer.from('ab')]).toString('hex')).toBe('00026162');
  });

  test('with an entry over 65,535 bytes is not written', () => {
    expect(() => writeBundleTile([Buffer.alloc(0x1_0000)])).toThrow(expect.objectContaining({ code: 'LimitExceeded' }) as Error);
  });

  test('that is cut, longer, or has another number of entries is refused', () => {
    const bytes = writeBundleTile([Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')]);
    const refused = { code: 'MalformedTile', message: 'bundle 3 does not have its 3 entries' };
    for (let length = 0; length < bytes.length; length++)
      expect(() => readBundleTile(bundle, bytes.subarray(0, length))).toThrow(expect.objectContaining(refused) as Error);
    for (const more of [[0], [0, 0], [0, 1, 7]])
      expect(() => readBundleTile(bundle, Buffer.concat([bytes, Buffer.from(more)]))).toThrow(
        expect.objectContaining(refused) as Error,
      );
  });
});

describe('a growing tree', () => {
  test('has the same root, tiles and state however it has grown, and goes on from its last tiles', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 600 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 300 }), (batches, more) => {
        const { tree, head, leaves, files } = aLog(batches);
        expect(head.root.equals(merkleRoot(leaves))).toBe(true);
        const opened = openTree(head, (tile) => files.get(tilePath(tile)));
        expect(opened).toEqual(tree);
        const entries = Array.from({ length: more }, (_, at) => Buffer.from(`more ${at}`));
        const appended = appendEntries(opened, entries);
        expect(appended.writes.map(({ tile }) => tile)).toEqual([...tilesSince(head.size, head.size + more)]);
        expect(treeRoot(appended.tree).equals(merkleRoot([...leaves, ...entries.map(leafHash)]))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test('grows by nothing, and not by an entry that is too large', () => {
    expect(appendEntries(EMPTY_TREE, [])).toEqual({ tree: EMPTY_TREE, writes: [] });
    expect(treeRoot(EMPTY_TREE)).toEqual(merkleRoot([]));
    expect(() => appendEntries(EMPTY_TREE, [Buffer.alloc(0x1_0000)])).toThrow(
      expect.objectContaining({ code: 'LimitExceeded' }) as Error,
    );
  });

  test('does not go on from tiles that are missing, changed or of another log', () => {
    const { head, files } = aLog([700]);
    const other = aLog([700], 2);
    const open = (name: string, bytes: Buffer | undefined) => () =>
      openTree(head, (tile) => (tilePath(tile) === name ? bytes : files.get(tilePath(tile))));
    for (const name of ['tile/entries/002.p/188', 'tile/0/002.p/188', 'tile/1/000.p/2']) {
      const altered = expect.objectContaining({ code: 'TreeAltered' }) as Error;
      expect(open(name, files.get(name))).not.toThrow();
      expect(open(name, undefined)).toThrow(altered);
      expect(open(name, other.files.get(name))).toThrow(altered);
    }
  });
});
