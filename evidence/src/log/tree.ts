import { EvidenceError } from '../errors.ts';
import { leafHash, merkleRoot } from '../merkle.ts';
import type { TreeHead } from './checkpoint.ts';
import {
  edgeTiles,
  levelsOf,
  MAX_ENTRY_BYTES,
  readBundleTile,
  readTile,
  TILE_WIDTH,
  type Tile,
  writeBundleTile,
} from './tiles.ts';

/** What must be known of a log to append to it: what its last tiles hold, where they are not full. */
export interface Tree {
  readonly size: number;
  /** Hashes of the last tile of each level, from the leaves up; none where it is full. */
  readonly levels: readonly (readonly Buffer[])[];
  /** Entries of the last bundle. */
  readonly entries: readonly Buffer[];
}

export const EMPTY_TREE: Tree = { size: 0, levels: [], entries: [] };

export interface TileWrite {
  readonly tile: Tile;
  readonly bytes: Buffer;
}

/** RFC 6962 tree hash: each level's hashes, and behind them the hash of what is not complete below. */
export function treeRoot({ levels }: Tree): Buffer {
  let below: readonly Buffer[] = [];
  for (const hashes of levels) {
    const row = [...hashes, ...below];
    below = row.length === 0 ? [] : [merkleRoot(row)];
  }
  return merkleRoot(below);
}

/**
 * The tree with these entries behind its own, and the tiles that it has and the older one had not, bundles first, then from the
 * leaves up. Throws EvidenceError LimitExceeded for an entry over 65,535 bytes.
 */
export function appendEntries(
  tree: Tree,
  added: readonly Buffer[],
): { readonly tree: Tree; readonly writes: readonly TileWrite[] } {
  if (added.length === 0) return { tree, writes: [] };
  if (added.some((entry) => entry.length > MAX_ENTRY_BYTES))
    throw new EvidenceError('LimitExceeded', 'the entry of the log is too large');
  const writes: TileWrite[] = [];
  const bundles = cut([...tree.entries, ...added], Math.floor(tree.size / TILE_WIDTH));
  for (const { index, items } of bundles.all)
    writes.push({ tile: { level: 'entries', index, width: items.length }, bytes: writeBundleTile(items) });
  const levels: (readonly Buffer[])[] = [];
  let hashes = added.map(leafHash);
  for (let level = 0; hashes.length > 0; level++) {
    const tiles = cut([...(tree.levels[level] ?? []), ...hashes], Math.floor(tree.size / TILE_WIDTH ** (level + 1)));
    for (const { index, items } of tiles.all)
      writes.push({ tile: { level, index, width: items.length }, bytes: Buffer.concat(items) });
    levels.push(tiles.rest);
    hashes = tiles.full.map(({ items }) => merkleRoot(items));
  }
  return {
    tree: {
      size: tree.size + added.length,
      levels: [...levels, ...tree.levels.slice(levels.length)],
      entries: bundles.rest,
    },
    writes,
  };
}

interface Piece {
  readonly index: number;
  readonly items: readonly Buffer[];
}

/** Items in tiles, the first of which has this number. */
function cut(items: readonly Buffer[], first: number): { all: Piece[]; full: Piece[]; rest: readonly Buffer[] } {
  const all = Array.from({ length: Math.ceil(items.length / TILE_WIDTH) }, (_, at) => ({
    index: first + at,
    items: items.slice(at * TILE_WIDTH, (at + 1) * TILE_WIDTH),
  }));
  const full = all.filter((piece) => piece.items.length === TILE_WIDTH);
  return { all, full, rest: all[full.length]?.items ?? [] };
}

/**
 * Takes up a tree from its last tiles and a head that was signed. Throws EvidenceError MalformedTile, and TreeAltered where the
 * tiles are missing or have another root, or the bundle has other entries than its tile.
 */
export function openTree(head: TreeHead, read: (tile: Tile) => Buffer | undefined): Tree {
  const edge = new Map(edgeTiles(head.size).map((tile) => [tile.level, { tile, bytes: read(tile) }]));
  const take = (level: Tile['level'], apart: typeof readTile): Buffer[] => {
    const found = edge.get(level);
    if (found === undefined) return [];
    if (found.bytes === undefined) throw new EvidenceError('TreeAltered', `the last tile of level ${level} is missing`);
    return apart(found.tile, found.bytes);
  };
  const entries = take('entries', readBundleTile);
  const tree = { size: head.size, levels: levelsOf(head.size).map((level) => take(level, readTile)), entries };
  if (!treeRoot(tree).equals(head.root))
    throw new EvidenceError('TreeAltered', 'the last tiles do not have the root that was signed');
  if (!entries.every((entry, at) => tree.levels[0]?.[at]?.equals(leafHash(entry))))
    throw new EvidenceError('TreeAltered', 'the last bundle has other entries than its tile has hashes of');
  return tree;
}
