import { constants, inflateRawSync } from 'node:zlib';
import { DICTIONARY, DICTIONARY_ID } from './dictionary.ts';
import { StreamError } from './error.ts';

/** Headers of SPDY: names in lower case, each with its values in order. */
export type SpdyHeaders = ReadonlyMap<string, readonly string[]>;

/** Bytes of a block as it reads; streams of Kubernetes have three short headers. */
export const MAX_BLOCK_BYTES = 16_384;
const MAX_HEADERS = 64;
/** What deflate may look back at (RFC 1951). */
const WINDOW = 32_768;
/** zlib's header (RFC 1950): deflate with a window of 32 KiB, no compression, a dictionary, and its Adler-32. */
const ZLIB_HEADER = Buffer.from([0x78, 0x20, 0, 0, 0, 0]);
ZLIB_HEADER.writeUInt32BE(DICTIONARY_ID, 2);
/** What a sync flush ends with: an empty stored block (RFC 1951, section 3.2.4). */
const FLUSH = Buffer.from([0, 0, 0xff, 0xff]);
const NAME = /^[!-@[-~]{1,128}$/;

/**
 * Reads the header blocks of one direction. They are one zlib stream together, flushed after each, so that one ends on a byte and the
 * next begins anew but for what it may look back at: each is inflated alone with the end of what was read before as its dictionary.
 * Node's zlib needs no state between calls for that, and each call is bounded by {@link MAX_BLOCK_BYTES}.
 */
export class HeaderReader {
  #window: Buffer = DICTIONARY;
  #isFirst = true;

  /** @throws StreamError for a block that is not flushed, is too large or holds no headers */
  read(block: Buffer): SpdyHeaders {
    const raw = this.#isFirst ? withoutZlibHeader(block) : block;
    this.#isFirst = false;
    if (raw.length < FLUSH.length || !raw.subarray(-FLUSH.length).equals(FLUSH))
      throw new StreamError('a header block is not whole');
    const text = inflate(raw, this.#window);
    this.#window = Buffer.concat([this.#window, text]).subarray(-WINDOW);
    return headersOf(text);
  }
}

function withoutZlibHeader(block: Buffer): Buffer {
  const [method = 0, flags = 0] = block;
  const isZlib =
    block.length >= ZLIB_HEADER.length && (method & 0x0f) === 8 && method >> 4 <= 7 && ((method << 8) | flags) % 31 === 0;
  if (!isZlib || (flags & 0x20) === 0 || block.readUInt32BE(2) !== DICTIONARY_ID)
    throw new StreamError('header blocks are not compressed as in SPDY/3.1');
  return block.subarray(ZLIB_HEADER.length);
}

function inflate(raw: Buffer, dictionary: Buffer): Buffer {
  try {
    return inflateRawSync(raw, { dictionary, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_BLOCK_BYTES });
  } catch {
    throw new StreamError('a header block cannot be decompressed, or is too large');
  }
}

/** count, then each name and its values, behind their lengths; several values of a name stand between zeros. */
function headersOf(block: Buffer): SpdyHeaders {
  let at = 0;
  const bytes = (length: number): Buffer => {
    if (length > block.length - at) throw new StreamError('a header block ends inside of a header');
    at += length;
    return block.subarray(at - length, at);
  };
  const text = (): string => bytes(bytes(4).readUInt32BE()).toString('latin1');
  const count = bytes(4).readUInt32BE();
  if (count > MAX_HEADERS) throw new StreamError('a header block has too many headers');
  const headers = new Map<string, string[]>();
  for (let each = 0; each < count; each++) {
    const name = text();
    const values = text().split('\0');
    if (!NAME.test(name) || headers.has(name)) throw new StreamError('a header has no name, or one that it cannot have');
    if (values.some((value) => !/^[\x20-\x7e]*$/.test(value))) throw new StreamError('a header has a value that it cannot have');
    headers.set(name, values);
  }
  if (at !== block.length) throw new StreamError('a header block goes on behind its headers');
  return headers;
}

/** Writes the header blocks of one direction, without compressing them: a stored block is a block of deflate too. */
export class HeaderWriter {
  #isFirst = true;

  write(headers: SpdyHeaders): Buffer {
    const parts = [...headers].flatMap(([name, values]) => [prefixed(name.toLowerCase()), prefixed(values.join('\0'))]);
    const text = Buffer.concat([uint32(headers.size), ...parts]);
    if (text.length > MAX_BLOCK_BYTES) throw new StreamError('headers are too long');
    const head = Buffer.from([0, text.length & 0xff, text.length >> 8, ~text.length & 0xff, (~text.length >> 8) & 0xff]);
    const start = this.#isFirst ? ZLIB_HEADER : Buffer.alloc(0);
    this.#isFirst = false;
    return Buffer.concat([start, head, text, Buffer.from([0]), FLUSH]);
  }
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([uint32(bytes.length), bytes]);
}
