import { EvidenceError, readBundleTile, readTile, type Tree, writeBundleTile } from '@chaperone/evidence';

/** What a log is beside its full tiles. */
export interface LogState {
  /** The signed checkpoint, of `base` with the loose entries. */
  readonly note: Buffer;
  /** The tree whose leaves are in full tiles, a multiple of 256. */
  readonly base: Tree;
  readonly loose: readonly Buffer[];
}

/*
 * magic 8 │ u32 length, note │ u64 size of the base │ u8 levels │ for each from level 1 up: u16 count, hashes │ u32 count, entries
 * each behind a u16 length. Level 0 of the base has nothing that is not in a full tile.
 */
const MAGIC = Buffer.from('CHLOG\0\0\x01', 'latin1');
const HASH_BYTES = 32;

export function encodeState({ note, base, loose }: LogState): Buffer {
  const above = base.levels.slice(1);
  const pieces: Buffer[] = [MAGIC, u32(note.length), note, u64(base.size), Buffer.of(above.length)];
  for (const hashes of above) pieces.push(u16(hashes.length), ...hashes);
  return Buffer.concat([...pieces, u32(loose.length), writeBundleTile(loose)]);
}

/** The inverse of {@link encodeState}. Throws EvidenceError MalformedTile, RangeError. */
export function decodeState(bytes: Buffer): LogState {
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new EvidenceError('MalformedTile', 'the state of the log ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  if (!take(MAGIC.length).equals(MAGIC)) throw new EvidenceError('MalformedTile', 'this is not the state of a log');
  const note = take(take(4).readUInt32BE());
  const size = Number(take(8).readBigUInt64BE());
  const levels: Buffer[][] = size === 0 ? [] : [[]];
  for (let above = take(1)[0] ?? 0; above > 0; above--) {
    const width = take(2).readUInt16BE();
    levels.push(readTile({ level: levels.length, index: 0, width }, take(width * HASH_BYTES)));
  }
  const count = take(4).readUInt32BE();
  const loose = readBundleTile({ level: 'entries', index: 0, width: count }, take(bytes.length - at));
  return { note, base: { size, levels, entries: [] }, loose };
}

/** The signed checkpoint of a state as it is stored; whether it is genuine is for others to say. Throws EvidenceError, RangeError. */
export function checkpointOf(state: Buffer): Buffer {
  return decodeState(state).note;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
