import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { eventually, freePort } from '@chaperone/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { indexAddresses } from './addresses.ts';
import {
  createListeners,
  type ListenerOptions,
  type Listeners,
  MAX_CONNECTIONS_PER_RESOURCE,
  MAX_SILENT_PER_RESOURCE,
} from './listener.ts';
import { aGrantedResource } from './testdata/resource.ts';

const orders = aGrantedResource('orders', 5432, [{ host: 'db', ipv4: '240.240.0.5', ipv6: '2001:2::5' }]);
const bastion = aGrantedResource('bastion', 22, [{ host: 'db', ipv4: '240.240.0.5', ipv6: '2001:2::5' }]);

describe('addresses', () => {
  test('one name on two ports is two resources, however the address is written', () => {
    const index = indexAddresses({ resources: [orders, bastion] });
    expect(index.lookup('240.240.0.5', 5432)).toBe(orders);
    expect(index.lookup('::ffff:240.240.0.5', 22)).toBe(bastion);
    expect(index.lookup('2001:2:0:0::5', 22)).toBe(bastion);
    expect(index.lookup('240.240.0.5', 80)).toBeUndefined();
    expect(index.resolve('DB')).toEqual({ ipv4: ['240.240.0.5'], ipv6: ['2001:2::5'] });
  });

  test("an address and port that two resources claim is nobody's", () => {
    const rival = aGrantedResource('rival', 5432, [{ host: 'other', ipv4: '240.240.0.5' }]);
    const index = indexAddresses({ resources: [orders, rival] });
    expect(index.lookup('240.240.0.5', 5432)).toBeUndefined();
    expect(index.lookup('2001:2::5', 5432)).toBe(orders);
  });
});

const open: Listeners[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(open.splice(0).map((listeners) => listeners.stop()));
});
function start(mods: Partial<ListenerOptions> = {}): Listeners {
  const listeners = createListeners({
    mode: 'local',
    onConnection: (socket, { access }) => void socket.write(access.resource.name),
    ...mods,
  });
  open.push(listeners);
  return listeners;
}
function dial(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.on('data', (chunk: Buffer) => resolve(chunk.toString()));
    socket.on('close', () => resolve('closed'));
  });
}
function portOf(listeners: Listeners, name: string): number {
  return listeners.open.find(({ resource }) => resource.name === name)?.port ?? 0;
}

describe('listeners of embedded mode', () => {
  test('each resource has a port of its own, or the one that was asked for', async () => {
    const port = await freePort();
    const listeners = start({ listen: new Map([['data/orders', { host: '127.0.0.1', port }]]) });
    expect(await listeners.apply({ resources: [orders, bastion] })).toEqual({ failed: [] });
    expect(portOf(listeners, 'orders')).toBe(port);
    expect(await dial(port)).toBe('orders');
    expect(await dial(portOf(listeners, 'bastion'))).toBe('bastion');
  });

  test('what a snapshot no longer grants is closed, what it still grants keeps its port', async () => {
    const listeners = start();
    await listeners.apply({ resources: [orders, bastion] });
    const [kept, gone] = [portOf(listeners, 'orders'), portOf(listeners, 'bastion')];
    await listeners.apply({ resources: [orders] });
    expect(await dial(gone)).toBe('ECONNREFUSED');
    expect([portOf(listeners, 'orders'), await dial(kept)]).toEqual([kept, 'orders']);
  });

  test('a connection gets the resource as the snapshot in force has it', async () => {
    const seen: unknown[] = [];
    const listeners = start({ onConnection: (socket, resource) => (seen.push(resource), void socket.write('x')) });
    await listeners.apply({ resources: [orders] });
    const newer = { ...orders };
    await listeners.apply({ resources: [newer] });
    await dial(portOf(listeners, 'orders'));
    expect(seen[0]).toBe(newer);
  });

  test('a port that is taken is told, and the others open', async () => {
    const rival = createServer().listen(0, '127.0.0.1');
    await once(rival, 'listening');
    const port = (rival.address() as { port: number }).port;
    const listeners = start({ listen: new Map([['data/orders', { host: '127.0.0.1', port }]]) });
    const { failed } = await listeners.apply({ resources: [orders, bastion] });
    expect(failed).toMatchObject([{ code: 'EADDRINUSE', endpoint: { resource: { name: 'orders' }, port } }]);
    expect(await dial(portOf(listeners, 'bastion'))).toBe('bastion');
    rival.close();
  });

  test('clients that say nothing are limited, and let go after a while', async () => {
    const refused: string[] = [];
    const listeners = start({ silentMs: 300, onRefused: (code) => refused.push(code) });
    await listeners.apply({ resources: [orders] });
    const port = portOf(listeners, 'orders');
    for (let time = 0; time < MAX_SILENT_PER_RESOURCE; time++) expect(await dial(port)).toBe('orders');
    const oldest = new Promise((resolve) => sockets.at(-MAX_SILENT_PER_RESOURCE)?.on('close', resolve));
    expect(await dial(port)).toBe('orders');
    await oldest;
    expect(refused).toEqual(['LimitReached']);
  });

  test('what is beyond the limit of connections is handed to whoever can say so, and reset where nobody can', async () => {
    const refused: string[] = [];
    const told = start({
      onConnection: (socket) => void socket.write('welcome'),
      onFull: (socket) => void socket.end('full'),
      onRefused: (code) => refused.push(code),
    });
    const mute = start({ onConnection: (socket) => void socket.write('welcome') });
    for (const [listeners, answer] of [
      [told, 'full'],
      [mute, 'ECONNRESET'],
    ] as const) {
      await listeners.apply({ resources: [orders] });
      const port = portOf(listeners, 'orders');
      for (let time = 0; time < MAX_CONNECTIONS_PER_RESOURCE; time++) {
        expect(await dial(port)).toBe('welcome');
        // Not silent, so that it stays.
        sockets.at(-1)?.write('x');
        if (time % 16 === 15) await eventually('it to be heard', () => (sockets.at(-1)?.bytesWritten === 1 ? true : undefined));
      }
      expect(await dial(port)).toBe(answer);
    }
    expect(refused).toEqual(['TooManyConnections']);
  });

  test("a reset is nobody's crash", async () => {
    const listeners = start();
    await listeners.apply({ resources: [orders] });
    const port = portOf(listeners, 'orders');
    const socket = connect(port, '127.0.0.1', () => socket.resetAndDestroy());
    await once(socket, 'close');
    expect(await dial(port)).toBe('orders');
  });
});
