import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';

export interface HealthOptions {
  readonly registry: Registry;
  /** Ready: admission can be answered. */
  readonly ready: () => boolean;
  /** Alive: the event loop turns and the watches are not all dead. */
  readonly alive: () => boolean;
}

/** /healthz, /readyz and /metrics; nothing in them is secret and nothing can be changed through them. */
export function createHealthServer(options: HealthOptions): Server {
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    const say = (ok: boolean): void => void response.writeHead(ok ? 200 : 503).end(ok ? 'ok\n' : 'not ok\n');
    if (request.method !== 'GET') return void response.writeHead(405).end();
    switch (request.url) {
      case '/healthz':
        return say(options.alive());
      case '/readyz':
        return say(options.ready());
      case '/metrics':
        options.registry.metrics().then(
          (text) => response.writeHead(200, { 'content-type': options.registry.contentType }).end(text),
          () => response.writeHead(500).end(),
        );
        return;
      default:
        return void response.writeHead(404).end();
    }
  });
  server.requestTimeout = 5_000;
  server.headersTimeout = 5_000;
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}
