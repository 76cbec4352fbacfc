import type { Writable } from 'node:stream';

/** Above this many unsent bytes the other side is asked to wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Up to this many bytes it costs less to copy pieces into one than to write them as several. */
const JOIN_BYTES = 16 * 1024;

/** Places for pieces that are kept from one flush to the next: a list that is made anew would be most of what a short answer allocates. */
const KEPT_PLACES = 16;

/**
 * Collects what goes to one side and writes it in few, large pieces: neighbouring slices of one buffer (messages that passed
 * unchanged) become one slice again, so untouched rows cost no copy.
 */
export class Outbox {
  readonly #socket: Writable;
  #pending: (Buffer | undefined)[] = [];
  /** Of these, how many are pieces. */
  #count = 0;
  #full = false;
  #bytes = 0;

  constructor(socket: Writable, onDrain: () => void) {
    this.#socket = socket;
    socket.on('drain', () => {
      this.#full = false;
      onDrain();
    });
  }

  get full(): boolean {
    return this.#full;
  }

  /** Whether nothing that was pushed is referred to any more: the system has all of it. */
  get empty(): boolean {
    return this.#count === 0 && this.#socket.writableLength === 0;
  }

  /** Bytes collected since the beginning. */
  get bytes(): number {
    return this.#bytes;
  }

  push(bytes: Buffer): void {
    this.#bytes += bytes.length;
    const last = this.#count === 0 ? undefined : this.#pending[this.#count - 1];
    if (last !== undefined && last.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
      this.#pending[this.#count - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
    } else {
      this.#pending[this.#count++] = bytes;
    }
  }

  /** Hands everything collected to the socket. */
  flush(): void {
    const count = this.#count;
    if (count === 0) return;
    const [first] = this.#pending;
    if (count === 1 && first !== undefined) {
      this.#forget();
      this.#socket.write(first);
    } else this.#several();
    this.#full ||= this.#socket.writableLength > HIGH_WATER_BYTES;
  }

  #several(): void {
    const pieces = this.#pending.slice(0, this.#count) as Buffer[];
    this.#forget();
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    if (bytes <= JOIN_BYTES) this.#socket.write(Buffer.concat(pieces, bytes));
    else {
      this.#socket.cork();
      for (const piece of pieces) this.#socket.write(piece);
      this.#socket.uncork();
    }
  }

  /** Before anything is written: what that leads to may push again. */
  #forget(): void {
    if (this.#pending.length > KEPT_PLACES) this.#pending = [];
    else this.#pending.fill(undefined, 0, this.#count);
    this.#count = 0;
  }
}
