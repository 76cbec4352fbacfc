import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import { boundConnections } from './bound-connections.ts';

/** A handful of callers are expected, of whom many may share an address behind a proxy; everybody may try. */
export const MAX_CONNECTIONS = 256;
/** From a connection to the end of its handshake, and from there to the end of a request's headers: who says nothing takes no place. */
const SILENT_MS = 2_500;
/** How often what is late is looked for. */
const LATE_CHECK_MS = 500;

/** A server that anybody may reach: bounded in connections, which addresses share, and in the time of each request. */
export function createPublicServer(tls: { readonly cert: string; readonly key: string }, listener: RequestListener): Server {
  const limits = { handshakeTimeout: SILENT_MS, connectionsCheckingInterval: LATE_CHECK_MS };
  const server = createServer({ ...tls, minVersion: 'TLSv1.2', ...limits }, listener);
  boundConnections(server, MAX_CONNECTIONS);
  server.headersTimeout = SILENT_MS;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 5_000;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
