import type { Readable } from 'node:stream';
import type { MessageReader, Piece } from '../wire/index.ts';

/** Bytes read ahead of the consumer before the socket is paused. */
const READ_AHEAD_BYTES = 256 * 1024;

/** The agent's messages, one at a time: the socket is paused while more than READ_AHEAD_BYTES wait to be judged. */
export class Inbox {
  readonly #socket: Readable;
  readonly #reader: MessageReader;
  #waiting: ((more: boolean) => void) | undefined;
  readonly #onArrival: (bytes: number) => void;
  #ahead = 0;
  #ended = false;

  constructor(socket: Readable, reader: MessageReader, onArrival: (bytes: number) => void) {
    this.#socket = socket;
    this.#reader = reader;
    this.#onArrival = onArrival;
    socket.on('data', (chunk: Buffer) => this.#arrived(chunk));
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** The next piece that is here already, without waiting. Throws ProtocolError. */
  take(): Piece | undefined {
    const piece = this.#reader.next();
    if (piece === undefined) this.#ahead = 0;
    return piece;
  }

  /** Resolves true when more may be here, false when the agent is gone. */
  more(): Promise<boolean> {
    if (this.#ended) return Promise.resolve(false);
    this.#socket.resume();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** Bytes that came together with the startup packet. */
  preload(chunk: Buffer): void {
    if (chunk.length > 0) this.#arrived(chunk);
  }

  #arrived(chunk: Buffer): void {
    this.#onArrival(chunk.length);
    this.#reader.push(chunk);
    this.#ahead += chunk.length;
    if (this.#waiting !== undefined) this.#wake(true);
    else if (this.#ahead > READ_AHEAD_BYTES) this.#socket.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#wake(false);
  }

  #wake(more: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(more);
  }
}
