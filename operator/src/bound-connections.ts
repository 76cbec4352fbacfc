import type { Server } from 'node:net';
import { Shares } from './shares.ts';

/** At most so many connections, shared between the addresses that they come from; what goes beyond is closed before its handshake. */
export function boundConnections(server: Server, max: number): void {
  const addresses = new Shares(max);
  server.on('connection', (socket) => {
    const place = addresses.take(socket.remoteAddress ?? '');
    if (place === undefined) socket.destroy();
    else socket.once('close', () => place[Symbol.dispose]());
  });
}
