import {
  appendEntries,
  EMPTY_TREE,
  formatCheckpoint,
  formatNote,
  formatReceipt,
  generateSigner,
  type NoteSigner,
  noteSigner,
  parseSegment,
  proveConsistency,
  proveInclusion,
  type SegmentPlace,
  segmentLeaf,
  signNote,
  type Tile,
  tilePath,
  tilesReader,
  type Tree,
  treeRoot,
  trustIn,
  type TrustPolicy,
} from '@chaperone/evidence';

/** A log in memory that takes segments and gives receipts, and can be told to lie. */
export class MemoryLog {
  readonly signer: NoteSigner;
  readonly #places = new Map<string, number>();
  readonly #tiles = new Map<string, Buffer>();
  readonly #heads: Tree[] = [EMPTY_TREE];
  #tree = EMPTY_TREE;

  constructor(signer = noteSigner('test', generateSigner())) {
    this.signer = signer;
  }

  get policy(): TrustPolicy {
    return trustIn(this.signer.key);
  }

  get size(): number {
    return this.#tree.size;
  }

  /** Takes a segment in, once. */
  add(segment: Buffer): void {
    const parts = parseSegment(segment);
    const key = `${parts.header.session}/${parts.header.number}`;
    if (this.#places.has(key)) return;
    this.#places.set(key, this.size);
    this.addEntry(segmentLeaf(parts));
  }

  addEntry(entry: Buffer): void {
    const { tree, writes } = appendEntries(this.#tree, [entry]);
    for (const { tile, bytes } of writes) this.#tiles.set(`${tile.level}/${tile.index}`, bytes);
    this.#tree = tree;
    this.#heads.push(tree);
  }

  /** The signed checkpoint of the first so many entries. */
  note(size = this.size, signers: readonly NoteSigner[] = [this.signer], origin = this.signer.key.name): string {
    const root = treeRoot(this.#heads[size] ?? EMPTY_TREE);
    return formatNote(signNote({ text: formatCheckpoint({ origin, size, root, extensions: [] }), signatures: [] }, signers));
  }

  /** Proves places, and an older tree, in the tree of the first `size` entries. */
  proofs(places: readonly SegmentPlace[], older: number, size = this.size): Parameters<typeof formatReceipt>[0] {
    const read = tilesReader(size, (tile) => this.#tile(tile));
    const isProved = older > 0 && older < size;
    return {
      checkpoint: this.note(size),
      consistency: isProved ? [{ older, path: proveConsistency(older, size, read) }] : [],
      entries: places.map((place) => {
        const index = this.#places.get(`${place.session}/${place.number}`) ?? 0;
        return { ...place, index, path: proveInclusion(index, size, read) };
      }),
    };
  }

  receipt(places: readonly SegmentPlace[], older: number): Buffer {
    return formatReceipt(this.proofs(places, older));
  }

  /** As narrow as it was. */
  #tile(tile: Tile): Buffer {
    const bytes = this.#tiles.get(`${tile.level}/${tile.index}`);
    if (bytes === undefined) throw new Error(`no tile ${tilePath(tile)}`);
    return bytes.subarray(0, tile.width * 32);
  }
}
