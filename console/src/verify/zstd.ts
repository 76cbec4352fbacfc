import { Decompress } from 'fzstd';

/*
 * Frames of zstd (RFC 8878, §3.1), one behind the other, as Node's own zstd reads them: frames that may be skipped are, and what follows the
 * last frame and is none is not looked at. Headers are read here, so that what unpacks them gets no more memory than it may need. What
 * libzstd writes is read as libzstd reads it; of corrupt blocks each takes some that the other refuses, and neither reads them differently. Whether
 * what came out is what was signed, the leaf hashes say.
 */
const MAGIC = 0xfd2fb528;
const SKIPPED_MAGIC = 0x184d2a50;
/** The largest window that libzstd takes unless it is told otherwise (ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
const MAX_WINDOW_BYTES = 2 ** 27;
const MAGIC_BYTES = 4;
const RLE_BLOCK = 1;
const BAD_BLOCK = 3;

/**
 * What was packed, at most so many bytes. Throws where it is more, or is no frame. A frame with a checksum or a dictionary is refused: no
 * segment has one, and neither is looked at here.
 */
export function unpackFrames(packed: Uint8Array, most: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let [at, length] = [0, 0];
  const take = (piece: Uint8Array): void => {
    length += piece.length;
    if (length > most) throw new RangeError('it unpacks to more than it may');
    pieces.push(piece);
  };
  do {
    const before = length;
    const frame = frameAt(packed, at);
    if (frame.kind === 'data') new Decompress(take).push(packed.subarray(at, frame.end), true);
    if (frame.kind === 'data' && frame.size !== undefined && length - before !== frame.size)
      throw new RangeError('the frame says that it holds another number of bytes');
    at = frame.end;
  } while (isFrame(packed, at));
  return pieces;
}

type Frame = { readonly kind: 'skipped'; readonly end: number } | ({ readonly kind: 'data'; readonly end: number } & Header);

interface Header {
  /** Of what was packed, where the frame says so. */
  readonly size?: number;
  readonly blocksAt: number;
}

function isFrame(bytes: Uint8Array, at: number): boolean {
  if (bytes.length - at < MAGIC_BYTES) return false;
  const magic = read(bytes, at, MAGIC_BYTES);
  return magic === MAGIC || isSkippedMagic(magic);
}

function isSkippedMagic(magic: number): boolean {
  return magic >= SKIPPED_MAGIC && magic < SKIPPED_MAGIC + 16;
}

function frameAt(bytes: Uint8Array, at: number): Frame {
  const magic = read(bytes, at, MAGIC_BYTES);
  if (isSkippedMagic(magic)) {
    const end = at + 8 + read(bytes, at + MAGIC_BYTES, 4);
    if (end > bytes.length) throw new RangeError('the frame ends early');
    return { kind: 'skipped', end };
  }
  if (magic !== MAGIC) throw new RangeError('this is no frame');
  const header = headerAt(bytes, at + MAGIC_BYTES);
  return { kind: 'data', ...header, end: endOfBlocks(bytes, header.blocksAt) };
}

/** descriptor 1 │ window 0 or 1 │ content size 0, 1, 2, 4 or 8 */
function headerAt(bytes: Uint8Array, at: number): Header {
  const descriptor = read(bytes, at, 1);
  const isSingle = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x0f) !== 0) throw new RangeError('a frame with a checksum, a dictionary or a reserved bit');
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const sizeAt = at + (isSingle ? 1 : 2);
  const size = read(bytes, sizeAt, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  if ((isSingle ? size : windowOf(read(bytes, at + 1, 1))) > MAX_WINDOW_BYTES) throw new RangeError('the window is too large');
  return { ...(sizeBytes === 0 ? {} : { size }), blocksAt: sizeAt + sizeBytes };
}

function windowOf(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}

/** u24 of each block: last 1 │ type 2 │ size 21 */
function endOfBlocks(bytes: Uint8Array, start: number): number {
  for (let at = start; ; ) {
    const header = read(bytes, at, 3);
    const type = (header >> 1) & 3;
    if (type === BAD_BLOCK) throw new RangeError('a block of a type that there is not');
    at += 3 + (type === RLE_BLOCK ? 1 : header >> 3);
    if (at > bytes.length) throw new RangeError('the frame ends early');
    if ((header & 1) === 1) return at;
  }
}

/** A little-endian number. Throws RangeError where it is not all there. */
function read(bytes: Uint8Array, at: number, length: number): number {
  if (at + length > bytes.length) throw new RangeError('the frame ends early');
  let value = 0;
  for (let place = length - 1; place >= 0; place--) value = value * 256 + (bytes[at + place] ?? 0);
  return value;
}
