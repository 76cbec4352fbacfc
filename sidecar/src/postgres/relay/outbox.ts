import type { Writable } from 'node:stream';

/** Above this many unsent bytes the other side is asked to wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Up to this many bytes it costs less to copy pieces into one than to write them as several. */
const JOIN_BYTES = 16 * 1024;

/**
 * Collects what goes to one side and writes it in few, large pieces: neighbouring slices of one buffer (messages that passed
 * unchanged) become one slice again, so untouched rows cost no copy.
 */
export class Outbox {
  readonly #socket: Writable;
  #pending: Buffer[] = [];
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
    return this.#pending.length === 0 && this.#socket.writableLength === 0;
  }

  /** Bytes collected since the beginning. */
  get bytes(): number {
    return this.#bytes;
  }

  push(bytes: Buffer): void {
    this.#bytes += bytes.length;
    const last = this.#pending[this.#pending.length - 1];
    if (last !== undefined && last.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
      this.#pending[this.#pending.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
    } else {
      this.#pending.push(bytes);
    }
  }

  /** Hands everything collected to the socket. */
  flush(): void {
    const pending = this.#pending;
    const [first] = pending;
    if (first === undefined) return;
    this.#pending = [];
    let bytes = 0;
    for (const piece of pending) bytes += piece.length;
    if (pending.length === 1) this.#socket.write(first);
    else if (bytes <= JOIN_BYTES) this.#socket.write(Buffer.concat(pending, bytes));
    else {
      this.#socket.cork();
      for (const piece of pending) this.#socket.write(piece);
      this.#socket.uncork();
    }
    this.#full ||= this.#socket.writableLength > HIGH_WATER_BYTES;
  }
}
