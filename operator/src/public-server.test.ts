import { once } from 'node:events';
import { request } from 'node:https';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import { eventually } from '@chaperone/kube/fake-api-server';
import { testAuthority } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { createPublicServer, MAX_CONNECTIONS } from './public-server.ts';

async function aServer() {
  const authority = await testAuthority();
  const { certificate: cert, key } = await authority.issue(['localhost']);
  const server = createPublicServer({ cert, key }, (_request, response) => response.end('ok'));
  await once(server.listen(0), 'listening');
  const { port } = server.address() as AddressInfo;
  const at = { port, host: '127.0.0.1', servername: 'localhost', ca: authority.ca };
  const held: Socket[] = [];
  onTestFinished(() => {
    for (const socket of held) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  /** So many connections of one address that say nothing more. */
  const hold = (count: number, open: () => Socket): Socket[] => {
    const opened = Array.from({ length: count }, () => open().on('error', () => undefined));
    held.push(...opened);
    return opened;
  };
  const answer = (localAddress: string): Promise<number | undefined> =>
    new Promise((resolve) => {
      request({ ...at, localAddress, agent: false }, (response) => resolve(response.resume().statusCode))
        .on('error', () => resolve(undefined))
        .end();
    });
  return { at, hold, answer };
}

const isClosed = ({ closed }: Socket): boolean => closed;
const silent = ({ port = 0 }: ConnectionOptions, localAddress = '127.0.0.1') =>
  connectTcp({ port, host: '127.0.0.1', localAddress });

test('connections of one address leave room for others, and are free again when they end', async () => {
  const { at, hold, answer } = await aServer();
  const held = hold(MAX_CONNECTIONS / 4 + 16, () => silent(at));
  await eventually(() => expect(held.filter(isClosed)).toHaveLength(16));
  expect(await answer('127.0.0.2')).toBe(200);
  expect(await answer('127.0.0.1')).toBeUndefined();
  for (const socket of held) socket.destroy();
  await eventually(async () => expect(await answer('127.0.0.1')).toBe(200));
});

test('seven addresses that take all they can leave room for others', async () => {
  const { at, hold, answer } = await aServer();
  // As many as wait for the server to take them.
  for (let each = 1; each <= 7; each += 1) hold(MAX_CONNECTIONS / 4, () => silent(at, `127.0.1.${each}`));
  expect(await answer('127.0.0.2')).toBe(200);
});

test.each<[string, (at: ConnectionOptions) => Socket]>([
  ['says nothing', silent],
  ['asks nothing', (at) => connect(at)],
])('a connection that %s ends within three seconds', async (_, open) => {
  const { at, hold } = await aServer();
  const began = performance.now();
  const [held] = hold(1, () => open(at));
  await eventually(() => expect(held?.closed).toBe(true));
  // Some time more, of a machine that is busy; Node's own server waits for a minute.
  expect(performance.now() - began).toBeLessThan(20_000);
});
