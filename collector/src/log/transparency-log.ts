import {
  appendEntries,
  type Checkpoint,
  EMPTY_TREE,
  EvidenceError,
  consistencySpans,
  formatCheckpoint,
  formatNote,
  type HashReader,
  inclusionSpans,
  type NoteSigner,
  openNote,
  orUndefined,
  parseCheckpoint,
  proveConsistency,
  proveInclusion,
  readBundleTile,
  readTile,
  type RangeProof,
  rangeSubtrees,
  type Span,
  signNote,
  type Subtree,
  subtreesOf,
  TILE_WIDTH,
  type Tile,
  tileOf,
  tileOfSubtree,
  tilePath,
  tilesReader,
  type TreeHead,
  treeRoot,
  verifierOf,
  verifyConsistency,
  writeBundleTile,
} from '@chaperone/evidence';
import type { ObjectStore } from '../objects/index.ts';
import { decodeState, encodeState, type LogState } from './state.ts';

const STATE = 'log/state';
/** Entries that may wait to be in full tiles. More only pile up while the store takes the state and refuses the tiles. */
const MAX_LOOSE = 16 * TILE_WIDTH;
/** Of full tiles, which never change; 8 KiB each for hashes. */
const MAX_CACHED = 256;

/**
 * LogTaken: another process appends to this log · LogAltered: what is stored is not what was signed · LogBehind: it does not go on from what
 * somebody has seen of it.
 */
export class LogError extends Error {
  override readonly name = 'LogError';
  readonly code: 'LogTaken' | 'LogAltered' | 'LogBehind';
  constructor(code: LogError['code'], message: string, options?: ErrorOptions) {
    super(`${message} (${code})`, options);
    this.code = code;
  }
}

export interface LogOptions {
  readonly store: ObjectStore;
  /** The first line of every checkpoint, and the name of the key that signs it. */
  readonly signer: NoteSigner;
  readonly now: () => number;
  /** A checkpoint that somebody kept, a signed note: the log has to go on from it, or nothing is done with it. */
  readonly since?: Buffer | undefined;
}

/**
 * A log of entries in an object store, as C2SP tlog-tiles describes one to whoever reads it.
 *
 * One object is the log's state: the signed checkpoint, and all that is not in full tiles yet. It is replaced on the condition that it is
 * what was read, and that is the moment at which entries are in the log; whoever else appends loses there. Full tiles are created after it,
 * from what it says alone, so one that is there already is the same one. A crash anywhere leaves a state from which the rest is made again.
 */
export class TransparencyLog {
  readonly #options: LogOptions;
  readonly #cache = new Map<string, Buffer>();
  #state: LogState;
  #version: string | undefined;
  /** Of the state: with its loose entries, and the tiles that these are in. */
  #grown: ReturnType<typeof appendEntries>;

  private constructor(options: LogOptions, state: LogState, version: string | undefined) {
    this.#options = options;
    this.#state = state;
    this.#version = version;
    this.#grown = appendEntries(state.base, state.loose);
  }

  /**
   * Opens the log, and finishes what an earlier process began. Where there is none, it begins: its first checkpoint is of the empty tree.
   * @throws LogError LogAltered where the state is not what the key signed, or is gone while tiles are there
   * @throws LogError LogBehind where it does not go on from `since`, before anything is written
   * @throws StoreError
   */
  static async open(options: LogOptions): Promise<TransparencyLog> {
    const since = sinceOf(options);
    const found = await options.store.get(STATE);
    if (found === undefined) {
      if (since !== undefined && since.size > 0)
        throw new LogError(
          'LogBehind',
          `there is no log, and the checkpoint that it has to go on from is of ${since.size} entries`,
        );
      const tiles = options.store.list('log/tile/')[Symbol.asyncIterator]();
      if ((await tiles.next()).done !== true)
        throw new LogError('LogAltered', 'the state of the log is gone and its tiles are there');
      const log = new TransparencyLog(options, { note: Buffer.alloc(0), base: EMPTY_TREE, loose: [] }, undefined);
      await log.#commit([]);
      return log;
    }
    const log = new TransparencyLog(options, readState(found.bytes), found.version);
    log.#verify();
    if (since !== undefined) await log.#demandSince(since);
    await log.#settle();
    return log;
  }

  async #demandSince(since: Checkpoint): Promise<void> {
    const { head } = this;
    if (since.size > head.size)
      throw new LogError(
        'LogBehind',
        `the log has ${head.size} entries, and the checkpoint that it has to go on from is of ${since.size}`,
      );
    const path = since.size === 0 || since.size === head.size ? [] : await this.consistency(since.size);
    if (!verifyConsistency(since, head, path))
      throw new LogError('LogBehind', 'the log does not go on from the checkpoint that was kept: it went another way');
  }

  #verify(): void {
    try {
      const { key } = this.#options.signer;
      const checkpoint = parseCheckpoint(openNote(this.#state.note, [verifierOf(key)]).text);
      if (
        checkpoint.origin !== key.name ||
        checkpoint.size !== this.#grown.tree.size ||
        !checkpoint.root.equals(treeRoot(this.#grown.tree))
      )
        throw new EvidenceError('TreeAltered', 'the state of the log has another root than was signed');
    } catch (cause) {
      throw new LogError('LogAltered', 'the state of the log is not what its key signed', { cause });
    }
  }

  get head(): TreeHead {
    return { size: this.#grown.tree.size, root: treeRoot(this.#grown.tree) };
  }

  /** The newest checkpoint, a signed note. */
  get checkpoint(): Buffer {
    return this.#state.note;
  }

  /**
   * Appends entries and resolves with the number of the first, when that survives a power loss. One call at a time. After a rejection
   * it is not known whether they are in: open the log anew and look.
   * @throws LogError, StoreError
   */
  async append(entries: readonly Buffer[]): Promise<number> {
    const first = this.#grown.tree.size;
    if (this.#state.loose.length > MAX_LOOSE) await this.#settle();
    await this.#commit(entries);
    await this.#settle();
    return first;
  }

  async #commit(entries: readonly Buffer[]): Promise<void> {
    const { store, signer, now } = this.#options;
    const { base } = this.#state;
    const loose = [...this.#state.loose, ...entries];
    const grown = appendEntries(base, loose);
    const { tree } = grown;
    const checkpoint: Checkpoint = { origin: signer.key.name, size: tree.size, root: treeRoot(tree), extensions: [] };
    const note = Buffer.from(formatNote(signNote({ text: formatCheckpoint(checkpoint), signatures: [] }, [signer])));
    const bytes = encodeState({ note, base, loose });
    const stored = await store.replace(STATE, bytes, now(), this.#version);
    if (stored === 'changed') {
      // The answer to a try before may have been lost.
      const found = await store.get(STATE);
      if (!found?.bytes.equals(bytes)) throw new LogError('LogTaken', 'another process appends to the log');
      this.#version = found.version;
    } else this.#version = stored.version;
    this.#state = { note, base, loose };
    this.#grown = grown;
  }

  /** Stores the tiles that are full; what is in them need not be in the next state. */
  async #settle(): Promise<void> {
    const { base, loose } = this.#state;
    const settled = Math.floor((base.size + loose.length) / TILE_WIDTH) * TILE_WIDTH - base.size;
    if (settled <= 0) return;
    const { tree, writes } = appendEntries(base, loose.slice(0, settled));
    const full = writes.filter(({ tile }) => tile.width === TILE_WIDTH);
    await Promise.all(full.map(({ tile, bytes }) => this.#create(tile, bytes)));
    this.#state = { ...this.#state, base: tree, loose: loose.slice(settled) };
  }

  async #create(tile: Tile, bytes: Buffer): Promise<void> {
    const { store, now } = this.#options;
    const name = `log/${tilePath(tile)}`;
    if ((await store.create(name, bytes, now())) === 'created') return;
    const found = await store.get(name);
    if (!found?.bytes.equals(bytes)) throw new LogError('LogAltered', `${name} is there and is another one`);
  }

  /** A tile or bundle of the log as it is, or as it was when it was narrower; undefined where the log has none. Throws StoreError, EvidenceError. */
  async tile(tile: Tile): Promise<Buffer | undefined> {
    const whole = widest(tile, this.#grown.tree.size);
    if (whole === undefined || whole.width < tile.width) return undefined;
    const bytes = await this.#whole(whole);
    if (bytes === undefined || whole.width === tile.width) return bytes;
    const items = (tile.level === 'entries' ? readBundleTile(whole, bytes) : readTile(whole, bytes)).slice(0, tile.width);
    return tile.level === 'entries' ? writeBundleTile(items) : Buffer.concat(items);
  }

  async #whole(tile: Tile): Promise<Buffer | undefined> {
    const { base } = this.#state;
    const path = tilePath(tile);
    const known = this.#cache.get(path);
    if (known !== undefined) return known;
    const fresh = this.#grown.writes.find((write) => tilePath(write.tile) === path);
    if (fresh !== undefined) return fresh.bytes;
    // What is on the edge, and nothing that is loose has changed.
    if (tile.width < TILE_WIDTH)
      return tile.level === 'entries' ? undefined : Buffer.concat([...(base.levels[tile.level] ?? [])]);
    const found = await this.#options.store.get(`log/${path}`);
    if (found === undefined) return undefined;
    if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value ?? '');
    this.#cache.set(path, found.bytes);
    return found.bytes;
  }

  /** Entries from a number on, in order, up to the size that the log has now. Throws LogError LogAltered where a bundle is gone or altered. */
  async *entries(from: number): AsyncGenerator<{ readonly index: number; readonly entry: Buffer }> {
    const { size } = this.#grown.tree;
    for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < size; index++) {
      const tile = tileOf('entries', index, size);
      const first = index * TILE_WIDTH;
      for (const [at, entry] of readBundleTile(tile, await this.#needed(tile)).entries())
        if (first + at >= from) yield { index: first + at, entry };
    }
  }

  /** Proves that a leaf is in the tree of `head`, which this log has had. Throws RangeError outside of it. */
  async inclusion(index: number, head: TreeHead = this.head): Promise<Buffer[]> {
    return proveInclusion(index, head.size, await this.#reader(inclusionSpans(index, head.size), head.size));
  }

  /** Proves that the tree of `head` has an older one as its beginning. Throws RangeError where that is larger. */
  async consistency(older: number, head: TreeHead = this.head): Promise<Buffer[]> {
    return proveConsistency(older, head.size, await this.#reader(consistencySpans(older, head.size), head.size));
  }

  /** Proves that the entries of a range are all that the tree of `head` has there. Throws RangeError outside of it. */
  async range({ from, to }: Span, head: TreeHead = this.head): Promise<RangeProof> {
    if (from > to || to > head.size) throw new RangeError('the range is outside the tree');
    const subtrees = rangeSubtrees({ from, to }, head.size);
    return { from, to, hashes: subtrees.map(await this.#readerOf(subtrees, head.size)) };
  }

  /** Proves leaves, and older trees, in the tree of `head`. What several proofs need is read once. Throws RangeError outside of it. */
  async prove(
    { leaves, older }: { readonly leaves: readonly number[]; readonly older: readonly number[] },
    { size }: TreeHead = this.head,
  ): Promise<{ readonly inclusion: Buffer[][]; readonly consistency: Buffer[][] }> {
    const spans = [
      ...leaves.flatMap((index) => inclusionSpans(index, size)),
      ...older.flatMap((each) => consistencySpans(each, size)),
    ];
    const read = await this.#reader(spans, size);
    return {
      inclusion: leaves.map((index) => proveInclusion(index, size, read)),
      consistency: older.map((each) => proveConsistency(each, size, read)),
    };
  }

  #reader(spans: readonly Span[], size: number): Promise<HashReader> {
    return this.#readerOf(spans.flatMap(subtreesOf), size);
  }

  async #readerOf(subtrees: readonly Subtree[], size: number): Promise<HashReader> {
    const tiles = subtrees.map((subtree) => tileOfSubtree(subtree, size));
    const read = new Map<string, Buffer>();
    for (const tile of tiles) if (!read.has(tilePath(tile))) read.set(tilePath(tile), await this.#needed(tile));
    const fromTiles = tilesReader(size, (tile) => read.get(tilePath(tile)) ?? Buffer.alloc(0));
    const known = new Map<string, Buffer>();
    return (subtree) => {
      const name = `${subtree.level}/${subtree.index}`;
      const hash = known.get(name) ?? fromTiles(subtree);
      known.set(name, hash);
      return hash;
    };
  }

  async #needed(tile: Tile): Promise<Buffer> {
    const bytes = await this.tile(tile);
    if (bytes === undefined) throw new LogError('LogAltered', `log/${tilePath(tile)} is missing`);
    return bytes;
  }
}

/** Throws LogError LogBehind where what was kept is no checkpoint of this log. */
function sinceOf({ since, signer: { key } }: LogOptions): Checkpoint | undefined {
  if (since === undefined) return undefined;
  const kept = orUndefined(() => parseCheckpoint(openNote(since, [verifierOf(key)]).text));
  if (kept?.origin !== key.name)
    throw new LogError('LogBehind', 'what the log has to go on from is no checkpoint that its key signed');
  return kept;
}

/** The same tile as wide as a tree of this size has it. */
function widest({ level, index }: Tile, size: number): Tile | undefined {
  try {
    return tileOf(level, index, size);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function readState(bytes: Buffer): LogState {
  try {
    return decodeState(bytes);
  } catch (cause) {
    throw new LogError('LogAltered', 'the state of the log cannot be read', { cause });
  }
}
