import type { OnReadOpts } from 'node:net';

/** Half of the widest window: each read leads to one write, and that to a change of process. */
export const READ_BYTES = 1024 * 1024;

/**
 * What all sockets are read into, one after the other: what it holds is done with before the next read. It is what came over the
 * network, sealed.
 */
const BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);

/** Reads of one dialled socket, into memory that all of them share. */
export class Reads {
  /** Gets what is read, which is gone when it returns. To be set before anything is; what nobody takes is lost, and all behind it. */
  take: ((chunk: Buffer) => void) | undefined;

  /** As net.connect takes it. */
  readonly onread: OnReadOpts = {
    buffer: BUFFER,
    callback: (bytes) => {
      this.take?.(BUFFER.subarray(0, bytes));
      return this.take !== undefined;
    },
  };
}
