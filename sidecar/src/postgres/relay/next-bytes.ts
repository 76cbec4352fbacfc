import type { Socket } from 'node:net';

/** What a paused socket has next; undefined: its other end is gone. Leaves the socket as it found it: paused, without listeners. */
export async function nextBytes(socket: Socket): Promise<Buffer | undefined> {
  for (;;) {
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once('readable', resolve);
    socket.once('end', resolve);
    socket.once('close', resolve);
    try {
      await promise;
    } finally {
      socket.off('readable', resolve);
      socket.off('end', resolve);
      socket.off('close', resolve);
    }
  }
}
