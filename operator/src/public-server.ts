import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { Shares } from './shares.ts';

/** A handful of callers are expected; everybody may try. */
const MAX_CONNECTIONS = 256;
/** Of them, from one address, which many people may share behind a proxy. */
export const MAX_CONNECTIONS_OF_ADDRESS = 64;
/** From a connection to the end of its handshake, and from there to the end of a request's headers: who says nothing takes no place. */
const SILENT_MS = 2_500;
/** How often what is late is looked for. */
const LATE_CHECK_MS = 500;

/** A server that anybody may reach: bounded in connections, of all and of each address, and in the time of each request. */
export function createPublicServer(tls: { readonly cert: string; readonly key: string }, listener: RequestListener): Server {
  const limits = { handshakeTimeout: SILENT_MS, connectionsCheckingInterval: LATE_CHECK_MS };
  const server = createServer({ ...tls, minVersion: 'TLSv1.2', ...limits }, listener);
  const addresses = new Shares(MAX_CONNECTIONS_OF_ADDRESS);
  server.on('connection', (socket) => {
    const place = addresses.take(socket.remoteAddress ?? '');
    if (place === undefined) socket.destroy();
    else socket.once('close', () => place[Symbol.dispose]());
  });
  server.headersTimeout = SILENT_MS;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 5_000;
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
