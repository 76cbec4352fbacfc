import { EvidenceError, orUndefined } from '../errors.ts';
import { merkleRoot } from '../merkle.ts';
import type { HashReader, Subtree } from './proof.ts';

/*
 * C2SP tlog-tiles: a tile of level L has up to 256 hashes, each of a complete subtree of 256^L leaves; a bundle has the entries
 * of a tile of level 0, each behind its length as a u16.
 */
export const TILE_WIDTH = 256;
/** log2 of {@link TILE_WIDTH}. */
const TILE_HEIGHT = 8;
const HASH_BYTES = 32;
export const MAX_ENTRY_BYTES = 0xffff;

/** One file of the log. `width` is 256, or less for the last one of its level. */
export interface Tile {
  readonly level: number | 'entries';
  readonly index: number;
  readonly width: number;
}

/** `tile/L/N[.p/W]`: N in groups of three digits, all but the last behind an x. */
export function tilePath({ level, index, width }: Tile): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? [];
  const number = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${number}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The inverse of {@link tilePath}; undefined for every text that it does not give. */
export function parseTilePath(path: string): Tile | undefined {
  const [, level = '', number = '', width = '256'] =
    /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path) ?? [];
  const tile: Tile = {
    level: level === 'entries' ? level : Number(level),
    index: Number(number.replaceAll(/[x/]/g, '')),
    width: Number(width),
  };
  const known = Number.isSafeInteger(tile.index) && tile.width >= 1 && tile.width <= TILE_WIDTH;
  return known && tilePath(tile) === path && (tile.level === 'entries' || tile.level < 64) ? tile : undefined;
}

/** Entries or hashes of a level that a tree of this size has. */
function countAt(level: Tile['level'], size: number): number {
  return level === 'entries' ? size : Math.floor(size / TILE_WIDTH ** level);
}

/** The tile with this number in a tree. Throws RangeError where the tree has none. */
export function tileOf(level: Tile['level'], index: number, size: number): Tile {
  const width = Math.min(TILE_WIDTH, countAt(level, size) - index * TILE_WIDTH);
  if (!Number.isSafeInteger(index) || index < 0 || width < 1) throw new RangeError('the tree has no such tile');
  return { level, index, width };
}

/** Levels of hashes, from 0, that a tree has tiles of. */
export function levelsOf(size: number): number[] {
  const levels: number[] = [];
  while (countAt(levels.length, size) > 0) levels.push(levels.length);
  return levels;
}

/** Every tile that a tree has and an older one has not, bundles first, then from the leaves up. */
export function* tilesSince(older: number, size: number): Generator<Tile> {
  for (const level of ['entries', ...levelsOf(size)] as const) {
    const [before, after] = [countAt(level, older), countAt(level, size)];
    if (before === after) continue;
    for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < after; index++) yield tileOf(level, index, size);
  }
}

/** The last tiles of a tree, where they are not full: what it takes to go on, and with full ones beside them to know its root. */
export function edgeTiles(size: number): Tile[] {
  return (['entries', ...levelsOf(size)] as const).flatMap((level) => {
    const count = countAt(level, size);
    return count % TILE_WIDTH === 0 ? [] : [tileOf(level, Math.floor(count / TILE_WIDTH), size)];
  });
}

/** Takes the hashes of a tile apart. Throws EvidenceError MalformedTile for another length. */
export function readTile({ level, index, width }: Tile, bytes: Buffer): Buffer[] {
  if (bytes.length !== width * HASH_BYTES)
    throw new EvidenceError('MalformedTile', `tile ${index} of level ${level} has a wrong length`);
  return Array.from({ length: width }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
}

/** Entries as a bundle. Throws EvidenceError LimitExceeded for an entry that is too large. */
export function writeBundleTile(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > MAX_ENTRY_BYTES) throw new EvidenceError('LimitExceeded', 'the entry of the log is too large');
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** Takes entries apart, however many there are. Throws EvidenceError MalformedTile where they do not end with the bytes. */
export function readBundleEntries(bytes: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 2 <= bytes.length ? at + 2 + bytes.readUInt16BE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw new EvidenceError('MalformedTile', 'the entries end within one of them');
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

/** Takes the entries of a bundle apart. Throws EvidenceError MalformedTile where these are not as many as it must have. */
export function readBundleTile({ index, width }: Tile, bytes: Buffer): Buffer[] {
  const entries = orUndefined(() => readBundleEntries(bytes));
  if (entries?.length !== width) throw new EvidenceError('MalformedTile', `bundle ${index} does not have its ${width} entries`);
  return entries;
}

/** The tile of a tree from whose hashes a complete subtree's hash is made. */
export function tileOfSubtree({ level, index }: Subtree, size: number): Tile {
  const row = Math.floor(level / TILE_HEIGHT);
  const first = index * 2 ** (level % TILE_HEIGHT);
  return tileOf(row, Math.floor(first / TILE_WIDTH), size);
}

/** Reads hashes from the tiles of a tree. Throws EvidenceError MalformedTile. */
export function tilesReader(size: number, read: (tile: Tile) => Buffer): HashReader {
  return (subtree) => {
    const tile = tileOfSubtree(subtree, size);
    const width = 2 ** (subtree.level % TILE_HEIGHT);
    const first = subtree.index * width - tile.index * TILE_WIDTH;
    return merkleRoot(readTile(tile, read(tile)).slice(first, first + width));
  };
}
