import { EvidenceError } from '../errors.ts';

/*
 * An archive is a tar file (POSIX ustar) that can be written in one way only: regular files of mode 0644, of nobody, from 1970, and two
 * blocks of zeros at the end. So every tar program reads it, and no two programs read it differently: a header is right where it is, to
 * the byte, the one that belongs to its name and size.
 */
const BLOCK = 512;
const NAME_BYTES = 100;
const SIZE_AT = 124;
const SIZE_DIGITS = 11;
const CHECKSUM_AT = 148;
const MODE = '0000644\0';
const NOBODY = '0000000\0';
const EPOCH = '00000000000\0';
const MAGIC = 'ustar\x0000';
const DEVICE = '0000000\0';
const NAME = /^[a-z0-9][a-z0-9./-]{0,99}$/;

export interface Member {
  readonly name: string;
  readonly bytes: Buffer;
}

function headerOf(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 'latin1');
  header.write(MODE + NOBODY + NOBODY, NAME_BYTES, 'latin1');
  header.write(`${size.toString(8).padStart(SIZE_DIGITS, '0')}\0${EPOCH}`, SIZE_AT, 'latin1');
  header.write('        0', CHECKSUM_AT, 'latin1');
  header.write(MAGIC, 257, 'latin1');
  header.write(DEVICE + DEVICE, 329, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 'latin1');
  return header;
}

/** A member as it stands in the archive, in pieces. Throws TypeError for a name that no archive of ours has. */
export function archived({ name, bytes }: Member): Buffer[] {
  if (!NAME.test(name)) throw new TypeError('not a name of a member');
  return [headerOf(name, bytes.length), bytes, Buffer.alloc(-bytes.length & (BLOCK - 1))];
}

export const ARCHIVE_END = Buffer.alloc(2 * BLOCK);

/** Takes any number of bytes at a time out of chunks of any size. */
class Chunks {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes that were taken. */
  at = 0;

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** Fewer only at the end. */
  async take(length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) break;
        this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      }
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      pieces.push(piece);
      missing -= piece.length;
    }
    const [only, ...more] = pieces;
    const taken = only !== undefined && more.length === 0 ? only : Buffer.concat(pieces);
    this.at += taken.length;
    return taken;
  }
}

/**
 * The members of an archive, one after another; of its bytes no more is held than one member. Throws EvidenceError MalformedBundle, with
 * the place, wherever it is not what {@link archived} writes, and LimitExceeded.
 * @param mostOf - bytes that a member of this name may have; undefined: there is none of this name
 */
export async function* readArchive(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  mostOf: (name: string) => number | undefined,
): AsyncGenerator<Member> {
  const chunks = new Chunks(source);
  for (;;) {
    const at = chunks.at;
    const header = await chunks.take(BLOCK);
    if (header.length < BLOCK) throw malformed(at, 'the file ends early');
    if (isZero(header)) {
      const rest = await chunks.take(BLOCK + 1);
      if (rest.length !== BLOCK || !isZero(rest)) throw malformed(at, 'the file does not end where it says');
      return;
    }
    const end = header.subarray(0, NAME_BYTES + 1).indexOf(0);
    const name = header.toString('latin1', 0, Math.min(end, NAME_BYTES));
    const digits = header.toString('latin1', SIZE_AT, SIZE_AT + SIZE_DIGITS);
    const size = /^[0-7]{11}$/.test(digits) ? Number.parseInt(digits, 8) : -1;
    if (!NAME.test(name) || size < 0 || !headerOf(name, size).equals(header))
      throw malformed(at, 'a member does not begin as every member does');
    const most = mostOf(name);
    if (most === undefined) throw malformed(at, 'a member has a name that this version of the format does not know');
    if (size > most) throw new EvidenceError('LimitExceeded', `byte ${at} of the file: ${name} is too large`);
    const bytes = await chunks.take(size);
    const padding = await chunks.take(-size & (BLOCK - 1));
    if (bytes.length < size || padding.length < (-size & (BLOCK - 1))) throw malformed(at, `the file ends within ${name}`);
    if (!isZero(padding)) throw malformed(at, `${name} is not followed by zeros`);
    yield { name, bytes };
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function malformed(at: number, message: string): EvidenceError {
  return new EvidenceError('MalformedBundle', `byte ${at} of the file: ${message}`);
}
