import { ProtocolError } from './error.ts';
import { HEADER_BYTES } from './protocol.ts';
import { MAX_MESSAGE_BYTES } from './limits.ts';

/**
 * Builds one message in a buffer of its own.
 *
 * pg-protocol's serializer is not used for this: it writes through one buffer shared by the whole process, lets a NUL inside a
 * string end it early (so a name could carry a second field), and wraps counts above 65,535 and lengths above 2³¹ without a word.
 */
export class MessageWriter {
  #bytes: Buffer;
  #at: number;
  readonly #lengthAt: number;

  /** `type` undefined: a packet without a type byte (startup, cancel). `room`: bytes of content expected. */
  constructor(type: number | undefined, room = 64) {
    this.#lengthAt = type === undefined ? 0 : 1;
    this.#at = this.#lengthAt + 4;
    this.#bytes = Buffer.allocUnsafe(HEADER_BYTES + room);
    if (type !== undefined) this.#bytes[0] = type;
  }

  uint8(value: number): this {
    const at = this.#room(1);
    this.#bytes.writeUInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#room(2);
    this.#bytes.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#room(4);
    this.#bytes.writeInt32BE(value, at);
    return this;
  }

  uint32(value: number): this {
    const at = this.#room(4);
    this.#bytes.writeUInt32BE(value, at);
    return this;
  }

  /** A 16-bit count. @throws ProtocolError NotEncodable above `max`. */
  count(value: number, max = 0xffff): this {
    if (value > max) throw new ProtocolError('NotEncodable', `a list of ${value} items does not fit in a message`);
    const at = this.#room(2);
    this.#bytes.writeUInt16BE(value, at);
    return this;
  }

  /** @throws ProtocolError NotEncodable for a string with a NUL inside. */
  string(value: string): this {
    if (value.includes('\0')) throw new ProtocolError('NotEncodable', 'a string holds a NUL');
    const length = Buffer.byteLength(value);
    const at = this.#room(length + 1);
    this.#bytes.write(value, at, length, 'utf8');
    this.#bytes[at + length] = 0;
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** A value with its 32-bit length, −1 for null. */
  value(value: Uint8Array | null): this {
    if (value === null) return this.int32(-1);
    // The whole message is checked before the length can have wrapped.
    const at = this.#room(4 + value.length);
    this.#bytes.writeInt32BE(value.length, at);
    this.#bytes.set(value, at + 4);
    return this;
  }

  finish(): Buffer {
    this.#bytes.writeInt32BE(this.#at - this.#lengthAt, this.#lengthAt);
    return this.#at === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#at);
  }

  #room(length: number): number {
    const at = this.#at;
    const end = at + length;
    if (end > MAX_MESSAGE_BYTES) throw new ProtocolError('NotEncodable', 'the message would exceed 1 GiB');
    if (end > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#at = end;
    return at;
  }
}
