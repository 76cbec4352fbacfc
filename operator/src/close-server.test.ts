import { once } from 'node:events';
import { Agent, createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { closeServer } from './close-server.ts';

let server: Server;
const agent = new Agent({ keepAlive: true });
afterEach(() => {
  agent.destroy();
  server.closeAllConnections();
});

/** Serves each request after `ms`. */
async function serve(ms: number): Promise<void> {
  server = createServer((_request, response) => void setTimeout(() => response.end('done'), ms));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}
async function ask(): Promise<string> {
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent }, (response) => void text(response).then(resolve, reject)).on('error', reject);
  });
}

test('an answer that was begun comes to its end, and then all is closed', async () => {
  await serve(200);
  const answer = ask();
  await once(server, 'request');
  await closeServer(server, 5_000);
  expect(await answer).toBe('done');
});

test('a connection that waits for the next request is closed at once', async () => {
  await serve(0);
  await ask();
  const began = performance.now();
  await closeServer(server, 60_000);
  expect(performance.now() - began).toBeLessThan(30_000);
});

test('an answer that does not end is cut off', async () => {
  await serve(60_000);
  const answer = ask().catch((error: NodeJS.ErrnoException) => error.code);
  await once(server, 'request');
  await closeServer(server, 50);
  expect(await answer).toBe('ECONNRESET');
});

test('a server that does not listen is closed already', async () => {
  server = createServer();
  await closeServer(server, 5_000);
  expect(server.listening).toBe(false);
});
