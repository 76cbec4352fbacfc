import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { WebSocket } from 'ws';
import { aCluster, NAMESPACE } from './cluster.test-support.ts';
import { loadKubeconfig } from './kubeconfig.ts';
import { openTunnel, TunnelError } from './tunnel.ts';

const PORT = Buffer.of(0xfb, 0x20);
const data = (...parts: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat([Buffer.of(0), ...parts.map((part) => Buffer.from(part as string))]);

/** A tunnel whose other end `kubelet` is. */
async function aTunnel(kubelet: (socket: WebSocket) => void): Promise<Duplex> {
  const cluster = await aCluster({ pods: [{ name: 'p' }], onTunnel: kubelet });
  const access = loadKubeconfig({ kubeconfig: cluster.kubeconfig }, {});
  const tunnel = await openTunnel(access, { namespace: NAMESPACE, pod: 'p', port: 8443 });
  onTestFinished(() => void tunnel.destroy());
  return tunnel;
}

/** How a tunnel ends that does not end well. */
async function failure(kubelet: (socket: WebSocket) => void): Promise<TunnelError> {
  const error = await aTunnel(kubelet)
    .then(buffer, (caught: unknown) => caught)
    .catch((caught: unknown) => caught);
  if (error instanceof TunnelError) return error;
  throw error;
}

test.each<[string, readonly Buffer[]]>([
  ['a message of its own', [data(PORT), data('hello')]],
  ['one with the first data', [data(PORT, 'hello')]],
  ['two messages', [data(PORT.subarray(0, 1)), data(PORT.subarray(1)), data('hello')]],
  ['halves, the second with data', [data(PORT.subarray(0, 1)), data(PORT.subarray(1), 'hel'), data('lo')]],
  ['messages between empty ones', [data(), data(PORT), data(), data('hello'), data()]],
])('the port that comes first is no data, in %s', async (_, messages) => {
  const tunnel = await aTunnel((socket) => {
    for (const message of messages) socket.send(message);
    socket.close();
  });
  expect((await buffer(tunnel)).toString()).toBe('hello');
});

test('what is written arrives on the data channel, in order', async () => {
  const seen: Buffer[] = [];
  const tunnel = await aTunnel((socket) => socket.on('message', (message: Buffer) => void seen.push(message)));
  for (const text of ['a', 'bc', 'd']) tunnel.write(text);
  await expect.poll(() => Buffer.concat(seen.map((message) => message.subarray(1))).toString()).toBe('abcd');
  expect(seen.every((message) => message[0] === 0)).toBe(true);
});

test('an error on the error channel ends the tunnel, and is its cause made printable', async () => {
  const error = await failure((socket) => {
    socket.send(Buffer.concat([Buffer.of(1), PORT]));
    socket.send(Buffer.concat([Buffer.of(1), Buffer.from('connection \u001b[31mrefused')]));
  });
  expect([error.code, error.message]).toEqual(['Lost', 'the port of the pod does not answer']);
  expect((error.cause as Error).message).toBe('connection \\u{1b}[31mrefused');
});

test.each<[string, (socket: WebSocket) => void]>([
  ['another port', (socket) => socket.send(data(Buffer.of(0xbb, 0x01)))],
  ['a channel that there is not', (socket) => socket.send(Buffer.concat([Buffer.of(7), PORT, Buffer.from('x')]))],
  ['text', (socket) => socket.send('hello')],
  ['an empty message', (socket) => socket.send(Buffer.alloc(0))],
])('%s is not taken for data', async (_, kubelet) => {
  expect((await failure(kubelet)).code).toBe('NotTunnel');
});

test('a message that is larger than any that a kubelet sends ends the tunnel', async () => {
  expect((await failure((socket) => socket.send(data(PORT, Buffer.alloc(2 * 1024 * 1024))))).code).toBe('Lost');
});

test.each([
  [403, 'Refused'],
  [404, 'PodGone'],
  [500, 'Refused'],
])('an answer of %s in place of a tunnel is %s', async (status, code) => {
  const cluster = await aCluster({ pods: [{ name: 'p' }], refuse: new Map([['GET /api/v1/namespaces', status]]) });
  const access = loadKubeconfig({ kubeconfig: cluster.kubeconfig }, {});
  const opening = openTunnel(access, { namespace: NAMESPACE, pod: 'p', port: 8443 });
  await expect(opening).rejects.toMatchObject({ name: 'TunnelError', code, status });
});

test('who does not read does not make us hold what comes', async () => {
  const chunk = Buffer.alloc(65_536, 1);
  const kubelet = Promise.withResolvers<WebSocket>();
  const tunnel = await aTunnel((socket) => {
    socket.send(data(PORT));
    for (let times = 0; times < 1024; times++) socket.send(Buffer.concat([Buffer.of(0), chunk]));
    kubelet.resolve(socket);
  });
  tunnel.read(0);
  await sleep(300);
  expect(tunnel.readableLength).toBeLessThan(2 * 1024 * 1024);
  expect((await kubelet.promise).bufferedAmount).toBeGreaterThan(16 * 1024 * 1024);
  let length = 0;
  for await (const part of tunnel) {
    length += (part as Buffer).length;
    if (length === 1024 * chunk.length) break;
  }
  expect(length).toBe(1024 * chunk.length);
});

test('a destroyed tunnel closes its socket', async () => {
  const kubelet = Promise.withResolvers<WebSocket>();
  const tunnel = await aTunnel((socket) => kubelet.resolve(socket));
  tunnel.destroy();
  await once(await kubelet.promise, 'close');
});
