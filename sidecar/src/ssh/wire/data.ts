import { SshError } from './error.ts';

/**
 * Reads the data types of RFC 4251, section 5, one after the other, never past the end of `bytes`. What it returns are views
 * into `bytes`, not copies: who keeps one beyond the message copies it.
 */
export class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.bytes(1)[0] as number;
  }

  /** Any byte but 0 is true (RFC 4251, section 5). */
  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE();
  }

  /** The next `length` bytes. @throws SshError when there are fewer */
  bytes(length: number): Buffer {
    if (length > this.left) throw new SshError('a message ends inside one of its fields');
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** A `string`: arbitrary bytes behind their length. */
  string(): Buffer {
    return this.bytes(this.uint32());
  }

  /**
   * A `string` of printable US-ASCII, as all names of the protocol are (RFC 4251, section 6), of at most `max` bytes.
   * @throws SshError for any other byte
   */
  ascii(max = 64): string {
    const bytes = this.string();
    if (bytes.length > max) throw new SshError('a name is too long');
    for (const byte of bytes)
      if (byte < 0x21 || byte > 0x7e) throw new SshError('a name holds a character that names cannot have');
    return bytes.toString('latin1');
  }

  /** A `name-list`: names of US-ASCII between commas; none for the empty string. */
  names(max = 8_192): string[] {
    const text = this.ascii(max);
    return text === '' ? [] : text.split(',');
  }

  /** An `mpint` that is not negative, as its magnitude without leading zeros. @throws SshError for a negative one */
  mpint(): Buffer {
    const bytes = this.string();
    if (bytes.length > 0 && (bytes[0] as number) & 0x80) throw new SshError('a negative number where none can be');
    let zeros = 0;
    while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
    return bytes.subarray(zeros);
  }

  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** @throws SshError when anything is left */
  end(): void {
    if (this.left > 0) throw new SshError('a message goes on behind its last field');
  }
}

export const byte = (value: number): Buffer => Buffer.from([value]);
export const boolean = (value: boolean): Buffer => byte(value ? 1 : 0);

export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A `string`. Text goes out as UTF-8. */
export function string(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A `name-list`. */
export const names = (values: readonly string[]): Buffer => string(values.join(','));

/** An `mpint` of the magnitude that `value` is, most significant byte first. */
export function mpint(value: Uint8Array): Buffer {
  let zeros = 0;
  while (zeros < value.length && value[zeros] === 0) zeros++;
  const magnitude = value.subarray(zeros);
  return string(magnitude.length > 0 && (magnitude[0] as number) & 0x80 ? Buffer.concat([byte(0), magnitude]) : magnitude);
}
