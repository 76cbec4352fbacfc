import { ProtocolError } from './error.ts';
import { MAX_NAME_BYTES } from './limits.ts';
import { HEADER_BYTES, typeName } from './protocol.ts';

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8, as both legs are pinned to. @throws ProtocolError InvalidText */
export function decodeText(bytes: Buffer): string {
  try {
    return STRICT.decode(bytes);
  } catch (cause) {
    throw new ProtocolError('InvalidText', 'a string is not valid UTF-8', { cause });
  }
}

/** Reads one message field by field and never past its frame. Every method throws ProtocolError Malformed where nothing is left. */
export class Cursor {
  readonly #bytes: Buffer;
  /** Names what is read, for errors: a type, or a word. */
  readonly #what: number | string;
  #at: number;

  constructor(bytes: Buffer, at: number, what: number | string) {
    this.#bytes = bytes;
    this.#at = at;
    this.#what = what;
  }

  /** Opens a whole message: its type must be one of `types`, its length word must equal its size. */
  static open(bytes: Buffer, ...types: number[]): Cursor {
    const type = bytes[0] ?? 0;
    const cursor = new Cursor(bytes, HEADER_BYTES, type);
    if (bytes.length < HEADER_BYTES || bytes.readInt32BE(1) !== bytes.length - 1)
      throw cursor.malformed('is not one whole message');
    if (!types.includes(type)) throw cursor.malformed('is not the message to decode');
    return cursor;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2));
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** A slice, not a copy. */
  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  /** Content of a string up to its NUL, as a slice. */
  rawString(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end === -1) throw this.malformed('has a string without an end');
    const raw = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return raw;
  }

  /** @throws ProtocolError InvalidText */
  string(): string {
    // Names are mostly empty: the unnamed statement and portal.
    if (this.#bytes[this.#at] === 0) {
      this.#at++;
      return '';
    }
    return decodeText(this.rawString());
  }

  /**
   * Name of a prepared statement or portal. A longer one than the server tells apart (NAMEDATALEN − 1) is malformed: two that
   * differ beyond that would be one to the server and two to us.
   */
  name(): string {
    const at = this.#at;
    const name = this.string();
    if (this.#at - at - 1 > MAX_NAME_BYTES) throw this.malformed(`has a name of more than ${MAX_NAME_BYTES} bytes`);
    return name;
  }

  /** Text or binary: 0 or 1. */
  format(): 0 | 1 {
    const format = this.int16();
    if (format !== 0 && format !== 1) throw this.malformed('has an unknown format code');
    return format;
  }

  /** A list with a 16-bit count, which must fit in what is left at `itemBytes` or more each. */
  list<T>(itemBytes: number, item: () => T, count = this.uint16()): T[] {
    if (count * itemBytes > this.remaining) throw this.malformed('announces more items than it holds');
    const items: T[] = [];
    for (let index = 0; index < count; index++) items.push(item());
    return items;
  }

  /** A value with a 32-bit length; null for SQL NULL (−1). */
  value(): Buffer | null {
    const length = this.int32();
    if (length === -1) return null;
    if (length < 0) throw this.malformed('has a value of negative length');
    return this.bytes(length);
  }

  /** Says that nothing may follow. */
  end(): void {
    if (this.remaining !== 0) throw this.malformed('has bytes after its end');
  }

  malformed(problem: string): ProtocolError {
    const what = typeof this.#what === 'string' ? this.#what : `message ${typeName(this.#what)}`;
    return new ProtocolError('Malformed', `${what} ${problem}`);
  }

  #take(length: number): number {
    if (length > this.remaining) throw this.malformed('is shorter than its fields');
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
