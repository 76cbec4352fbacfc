import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Outbox } from './outbox.ts';
import { LARGE_BYTES, ServerReads, SMALL_BYTES } from './server-reads.ts';

const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function serve(take: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    take(socket);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** One read, as a socket would make it. */
function read(reads: ServerReads, bytes: number, buffer = bufferOf(reads)): Buffer {
  reads.onread.callback(bytes, buffer);
  return bufferOf(reads);
}
function bufferOf({ onread: { buffer } }: ServerReads): Buffer {
  return (typeof buffer === 'function' ? buffer() : buffer) as Buffer;
}
function aReader(mods: { holds?: boolean; idle?: boolean } = {}) {
  const taken: Buffer[] = [];
  return {
    taken,
    take: (chunk: Buffer) => void taken.push(chunk),
    holds: () => mods.holds === true,
    idle: () => mods.idle === true,
  };
}

describe('the buffer that a server is read into', () => {
  it('is the same one for as long as nothing points into it', () => {
    const reads = new ServerReads();
    const reader = aReader();
    reads.reader = reader;
    const first = bufferOf(reads);
    expect(first).toHaveLength(SMALL_BYTES);
    expect(read(reads, 100)).toBe(first);
    expect(reader.taken.map(({ length, buffer }) => [length, buffer === first.buffer])).toEqual([[100, true]]);
  });
  it('is left to whoever points into it', () => {
    const reads = new ServerReads();
    reads.reader = aReader({ holds: true });
    const first = bufferOf(reads);
    expect(read(reads, 100).buffer).not.toBe(first.buffer);
  });
  it('is large once a read filled it, and small again when the server owes nothing', () => {
    const reads = new ServerReads();
    const state = { idle: false };
    reads.reader = { ...aReader(), idle: () => state.idle };
    expect(read(reads, SMALL_BYTES - 1)).toHaveLength(SMALL_BYTES);
    const large = read(reads, SMALL_BYTES);
    expect(large).toHaveLength(LARGE_BYTES);
    expect(read(reads, 10)).toBe(large);
    state.idle = true;
    expect(read(reads, 10)).toHaveLength(SMALL_BYTES);
  });
  it('is no matter of a read that brings its own, as over TLS', () => {
    const reads = new ServerReads();
    const reader = aReader({ holds: true });
    reads.reader = reader;
    const first = bufferOf(reads);
    const own = Buffer.from('abc');
    expect(read(reads, 3, own)).toBe(first);
    expect(reader.taken[0]?.buffer).toBe(own.buffer);
  });
  it('takes nothing while nobody reads: the socket is to be paused', () => {
    const reads = new ServerReads();
    expect(reads.onread.callback(10, bufferOf(reads))).toBe(false);
  });
});

it('what an agent is slow to take arrives as it was sent', async () => {
  const blocks = Array.from({ length: 3000 }, (_, at) => Buffer.alloc(8 * 1024, `${at} `));
  const sent = createHash('sha256').update(Buffer.concat(blocks)).digest('hex');
  const from = await serve((socket) => {
    for (const block of blocks) socket.write(block);
    socket.end();
  });
  let buffers = 0;
  let pauses = 0;
  const agents = await serve((agent) => {
    const reads = new ServerReads();
    const seen = new Set<ArrayBufferLike>();
    const upstream = connect({ port: from, host: '127.0.0.1', onread: reads.onread });
    sockets.push(upstream);
    const outbox = new Outbox(agent, () => upstream.resume());
    reads.reader = {
      take: (chunk) => {
        seen.add(chunk.buffer);
        buffers = seen.size;
        outbox.push(chunk);
        outbox.flush();
        if (!outbox.full) return;
        pauses++;
        upstream.pause();
      },
      holds: () => !outbox.empty,
      idle: () => false,
    };
    upstream.on('close', () => agent.end());
    upstream.resume();
  });
  const client = connect({ port: agents, host: '127.0.0.1' });
  sockets.push(client);
  const hash = createHash('sha256');
  client.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    client.pause();
    setImmediate(() => client.resume());
  });
  await once(client, 'end');
  expect(hash.digest('hex')).toBe(sent);
  // The agent was slow, or nothing of this was tested.
  expect(pauses).toBeGreaterThan(0);
  expect(buffers).toBeGreaterThan(2);
});
