import {
  appendEntries,
  EMPTY_TREE,
  formatCheckpoint,
  formatNote,
  formatReceipt,
  generateSigner,
  noteSigner,
  parseSegment,
  proveConsistency,
  proveInclusion,
  segmentLeaf,
  signNote,
  tilesReader,
  treeRoot,
  trustIn,
} from '@chaperone/evidence';

/** A log in memory, as honest as a collector's: each segment is an entry, and has its receipt at once. */
export class MemoryLog {
  readonly #signer;
  readonly #tiles = new Map<string, Buffer>();
  #tree = EMPTY_TREE;

  constructor(origin: string) {
    this.#signer = noteSigner(origin, generateSigner());
  }

  get policy(): ReturnType<typeof trustIn> {
    return trustIn(this.#signer.key);
  }

  receiptOf(segment: Buffer): Buffer {
    const parts = parseSegment(segment);
    const { session, number } = parts.header;
    const older = this.#tree.size;
    const { tree, writes } = appendEntries(this.#tree, [segmentLeaf(parts)]);
    for (const { tile, bytes } of writes) this.#tiles.set(`${tile.level}/${tile.index}`, bytes);
    this.#tree = tree;
    const { size } = tree;
    const text = formatCheckpoint({ origin: this.#signer.key.name, size, root: treeRoot(tree), extensions: [] });
    const read = tilesReader(size, ({ level, index, width }) =>
      (this.#tiles.get(`${level}/${index}`) ?? Buffer.alloc(0)).subarray(0, width * 32),
    );
    return formatReceipt({
      checkpoint: formatNote(signNote({ text, signatures: [] }, [this.#signer])),
      consistency: [{ older, path: proveConsistency(older, size, read) }],
      entries: [{ session, number, index: older, path: proveInclusion(older, size, read) }],
    });
  }
}
