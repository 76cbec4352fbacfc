import { EvidenceError } from '../errors.ts';
import { leafHash, merkleRoot } from '../merkle.ts';
import type { TreeHead } from './checkpoint.ts';
import { edgeTiles, levelsOf, readBundleTile, readTile, TILE_WIDTH, type Tile, tileOf, tilePath } from './tiles.ts';
import { treeRoot } from './tree.ts';

/**
 * A tile or bundle that is not what the head was signed over. `entry` is the log's number of the entry, where one can be named.
 * Without a tile: none of them speaks against another, and their root is another one.
 */
export interface TileFault {
  readonly tile?: Tile;
  readonly code: 'missing' | 'altered';
  readonly entry?: number;
}

/** Asks for tiles and is given them, so that they can be read in any way. */
export type Audit<T> = Generator<Tile, T, Buffer | undefined>;
type Hashes = readonly Buffer[];

interface Run {
  readonly size: number;
  readonly faults: TileFault[];
  readonly absent: Set<string>;
}

/**
 * Compares every tile and entry of a log with a head that was signed. From the root down each tile is proved by the one above it;
 * one that is not is made anew from those below, so that a change is found where it is and not wherever it shows.
 */
export function* auditLog(head: TreeHead): Audit<TileFault[]> {
  const run: Run = { size: head.size, faults: [], absent: new Set() };
  const edge = edgeTiles(head.size).filter(({ level }) => level !== 'entries');
  for (const [tile, hashes] of yield* provedEdge(run, head, edge)) yield* below(run, tile, hashes);
  return run.faults;
}

/** {@link auditLog} of tiles that are at hand. */
export function auditTiles(head: TreeHead, read: (tile: Tile) => Buffer | undefined): TileFault[] {
  const audit = auditLog(head);
  let step = audit.next();
  while (!step.done) step = audit.next(read(step.value));
  return step.value;
}

/** The last tiles as the root proves them: each as it is stored or, where that has another root, as those below it say. */
function* provedEdge(run: Run, head: TreeHead, edge: readonly Tile[]): Audit<(readonly [Tile, Hashes | undefined])[]> {
  const stored: (Hashes | undefined)[] = [];
  const hasRoot = (choice: readonly (Hashes | undefined)[]): boolean => {
    if (choice.includes(undefined)) return false;
    const levels = levelsOf(head.size).map((level) => choice[edge.findIndex((tile) => tile.level === level)] ?? []);
    return treeRoot({ size: head.size, levels, entries: [] }).equals(head.root);
  };
  for (const tile of edge) stored.push(yield* storedHashes(run, tile));
  if (hasRoot(stored)) return edge.map((tile, at) => [tile, stored[at]]);
  const made: (Hashes | undefined)[] = [];
  for (const tile of edge) made.push(yield* hashesBelow(run, tile));
  // The fewest that have to be made anew, of at most eight levels.
  const choices = Array.from({ length: 2 ** edge.length }, (_, bits) => edge.map((_tile, at) => (bits >> at) % 2 === 1));
  choices.sort((a, b) => a.filter(Boolean).length - b.filter(Boolean).length);
  const right = choices.find((choice) => hasRoot(choice.map((anew, at) => (anew ? made[at] : stored[at]))));
  const wrong = right ?? edge.map((_, at) => !agree(stored[at], made[at]));
  for (const tile of edge.filter((_, at) => wrong[at])) run.faults.push(faultOf(run, tile));
  if (right === undefined && run.faults.length === 0) run.faults.push({ code: 'altered' });
  return edge.map((tile, at) => [tile, wrong[at] ? right && made[at] : stored[at]]);
}

/** Everything below a tile with these hashes; undefined where nobody knows them any more. */
function* below(run: Run, tile: Tile, hashes: Hashes | undefined): Audit<void> {
  if (tile.level === 0 || tile.level === 'entries') {
    yield* bundleOf(run, tile, hashes);
    return;
  }
  for (let at = 0; at < tile.width; at++) {
    const child = tileOf(tile.level - 1, tile.index * TILE_WIDTH + at, run.size);
    yield* below(run, child, yield* proved(run, child, hashes?.[at]));
  }
}

/** A full tile's hashes as the hash above it proves them. */
function* proved(run: Run, tile: Tile, hash: Buffer | undefined): Audit<Hashes | undefined> {
  const stored = yield* storedHashes(run, tile);
  if (stored !== undefined && hash !== undefined && merkleRoot(stored).equals(hash)) return stored;
  const made = yield* hashesBelow(run, tile);
  if (hash === undefined && agree(stored, made)) return stored;
  run.faults.push(faultOf(run, tile));
  return made !== undefined && (hash === undefined || merkleRoot(made).equals(hash)) ? made : undefined;
}

/** The entries below a tile of level 0. */
function* bundleOf(run: Run, tile: Tile, hashes: Hashes | undefined): Audit<void> {
  const bundle = tileOf('entries', tile.index, run.size);
  const entries = yield* storedEntries(run, bundle);
  if (entries === undefined || hashes === undefined) {
    run.faults.push(faultOf(run, bundle));
    return;
  }
  entries.forEach((entry, at) => {
    if (!hashes[at]?.equals(leafHash(entry))) run.faults.push({ ...faultOf(run, bundle), entry: tile.index * TILE_WIDTH + at });
  });
}

/** What a tile must be, going by what is stored below it. */
function* hashesBelow(run: Run, { level, index, width }: Tile): Audit<Hashes | undefined> {
  if (level === 0 || level === 'entries') return (yield* storedEntries(run, tileOf('entries', index, run.size)))?.map(leafHash);
  const hashes: Buffer[] = [];
  for (let at = 0; at < width; at++) {
    const child = yield* storedHashes(run, tileOf(level - 1, index * TILE_WIDTH + at, run.size));
    if (child === undefined) return undefined;
    hashes.push(merkleRoot(child));
  }
  return hashes;
}

function* storedHashes(run: Run, tile: Tile): Audit<Hashes | undefined> {
  return apart(run, tile, yield tile, readTile);
}

function* storedEntries(run: Run, bundle: Tile): Audit<Hashes | undefined> {
  return apart(run, bundle, yield bundle, readBundleTile);
}

/** Undefined where it is missing or cannot be taken apart, which the caller reports. */
function apart({ absent }: Run, tile: Tile, bytes: Buffer | undefined, read: typeof readTile): Hashes | undefined {
  if (bytes === undefined) {
    absent.add(tilePath(tile));
    return undefined;
  }
  try {
    return read(tile, bytes);
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

function faultOf({ absent }: Run, tile: Tile): TileFault {
  return { tile, code: absent.has(tilePath(tile)) ? 'missing' : 'altered' };
}

/** Whether nothing that is below a tile speaks against it. */
function agree(stored: Hashes | undefined, made: Hashes | undefined): boolean {
  return stored !== undefined && (made === undefined || Buffer.concat(stored).equals(Buffer.concat(made)));
}
