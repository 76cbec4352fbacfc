import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

/** Not imported: a module's view of node:http makes Node load WebSocket and fetch too, which take 10 MiB. */
const { createServer } = process.getBuiltinModule('node:http');

export interface HealthOptions {
  readonly port: number;
  /** By default every address: the kubelet comes from outside the pod. */
  readonly host?: string;
  /** Why the sidecar has not started yet, as a sentence; undefined once policy is there and every listener is open. */
  readonly starting: () => string | undefined;
  /** Why no session can open now, as a sentence; undefined while policy is fresh. */
  readonly unready: () => string | undefined;
  /** Milliseconds since the event loop last turned; beyond {@link MAX_LAG_MS} the process is not alive. */
  readonly lagMs: () => number;
  readonly registry: Registry;
}

export const MAX_LAG_MS = 10_000;

/**
 * `/startz`, `/readyz`, `/livez` for the kubelet and `/metrics` for Prometheus. Anybody in the pod reaches it, so it reads
 * nothing from a request but its path, changes nothing and says nothing that the agent may not know.
 */
export async function startHealth(options: HealthOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const server = createServer(
    { maxHeaderSize: 4_096, requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 1_000 },
    (request, response) => {
      request.resume();
      if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET');
      const path = request.url ?? '';
      if (path === '/startz') return verdict(response, options.starting());
      if (path === '/readyz') return verdict(response, options.starting() ?? options.unready());
      if (path === '/livez') return verdict(response, options.lagMs() > MAX_LAG_MS ? 'the event loop is stuck' : undefined);
      if (path !== '/metrics') return answer(response, 404, 'not found');
      options.registry.metrics().then(
        (text) => answer(response, 200, text, options.registry.contentType),
        () => answer(response, 500, 'metrics cannot be read'),
      );
      return undefined;
    },
  );
  server.maxConnections = 32;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : options.port,
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function verdict(response: ServerResponse, problem: string | undefined): void {
  answer(response, problem === undefined ? 200 : 503, problem ?? 'ok');
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, connection: 'close' }).end(`${text}\n`);
}

/** Measures how late the event loop turns. @returns How long ago it last did. */
export function watchLag(monotonic: () => number): { lagMs(): number; stop(): void } {
  let turnedAt = monotonic();
  const timer = setInterval(() => {
    turnedAt = monotonic();
  }, 500).unref();
  return { lagMs: () => monotonic() - turnedAt, stop: () => clearInterval(timer) };
}
