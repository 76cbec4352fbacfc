import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';

/** A handful of callers are expected; everybody may try. */
const MAX_CONNECTIONS = 256;

/** A server that anybody may reach: bounded in connections and in the time of each request. */
export function createPublicServer(tls: { readonly cert: string; readonly key: string }, listener: RequestListener): Server {
  const server = createServer({ ...tls, minVersion: 'TLSv1.2' }, listener);
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 5_000;
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
