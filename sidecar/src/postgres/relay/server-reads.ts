import type { OnReadOpts } from 'node:net';

/** What a session that waits has to read into, and holds all the time: the answer to a point select fits. */
export const SMALL_BYTES = 1024;
/** For as long as more comes at once. */
export const LARGE_BYTES = 64 * 1024;

export interface ServerReader {
  take(chunk: Buffer): void;
  /** Whether anything may still point into what was taken. */
  holds(): boolean;
  /** Whether the server owes nothing, so that little is to come. */
  idle(): boolean;
}

/**
 * Reads of one server connection over plain text: into one buffer, which is filled again once nothing points into it any more, and
 * is left to its holder otherwise. Over TLS each read brings a buffer of its own.
 */
export class ServerReads {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SMALL_BYTES);
  #reader: ServerReader | undefined;

  /** As {@link connectUpstream} takes it. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#buffer,
    callback: (bytes, buffer) => this.#took(bytes, buffer),
  };

  /** Whoever reads from now on. The socket has to be paused while nobody does. */
  set reader(reader: ServerReader) {
    this.#reader = reader;
  }

  #took(bytes: number, buffer: Uint8Array): boolean {
    const reader = this.#reader;
    if (reader === undefined) return false;
    reader.take(Buffer.from(buffer.buffer, buffer.byteOffset, bytes));
    if (buffer !== this.#buffer) return true;
    const wanted = reader.idle() ? SMALL_BYTES : bytes === buffer.length ? LARGE_BYTES : buffer.length;
    if (wanted !== buffer.length || reader.holds()) this.#buffer = Buffer.allocUnsafeSlow(wanted);
    return true;
  }
}
