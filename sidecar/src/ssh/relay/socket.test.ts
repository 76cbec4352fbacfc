import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect as dial, createServer, type Socket } from 'node:net';
import { eventually } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { UPSTREAM } from '../wire/algorithms.ts';
import type { Channel } from '../wire/channel.ts';
import type { Room } from '../wire/channels.ts';
import type { Connection } from '../wire/connection.ts';
import { HOST_KEY, ROOM, Sink, Told, USER_KEY } from '../wire/connection.test-support.ts';
import { READ_BYTES, Reads } from './reads.ts';
import { connect } from './socket.ts';

const MIB = 1024 * 1024;
const NOTHING: Buffer = Buffer.alloc(0);

/** Memory that a whole read is taken of, or not, and windows always are. */
class Taken implements Room {
  taken = 0;
  readonly #isFree: boolean;

  constructor(isFree: boolean) {
    this.#isFree = isFree;
  }

  take(bytes: number): boolean {
    if (bytes !== READ_BYTES) return true;
    if (this.#isFree) this.taken += bytes;
    return this.#isFree;
  }

  free(bytes: number): void {
    if (bytes === READ_BYTES) this.taken -= bytes;
  }
}

interface Side {
  readonly socket: Socket;
  readonly connection: Connection;
  readonly told: Told;
}

/** A client and a server of ours over TCP, logged in. What the client reads comes by {@link Reads}, as from hosts. */
async function joined(serverRoom: Room = ROOM): Promise<{ client: Side; server: Side } & AsyncDisposable> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const atClient = new Told();
  const atServer = new Told();
  const reads = new Reads();
  const { port } = listener.address() as AddressInfo;
  const clientSocket = dial({ port, host: '127.0.0.1', onread: reads.onread });
  const [serverSocket] = (await once(listener, 'connection')) as [Socket];
  const settings = { algorithms: UPSTREAM, room: ROOM } as const;
  const server: Connection = connect(serverSocket, {
    ...settings,
    ...atServer.events,
    room: serverRoom,
    role: 'server',
    hostKeys: [HOST_KEY],
    methods: ['publickey'],
    onQuestion: ({ id }) => setImmediate(() => server.answer(id, 'accept')),
  });
  const client = connect(
    clientSocket,
    {
      ...settings,
      ...atClient.events,
      role: 'client',
      hostKey: { kind: 'pinned', keys: [HOST_KEY.blob] },
      user: 'alice',
      credentials: [{ method: 'publickey', signer: USER_KEY }],
    },
    Date.now,
    reads,
  );
  await eventually('a login', () => atClient.users[0]);
  return {
    client: { socket: clientSocket, connection: client, told: atClient },
    server: { socket: serverSocket, connection: server, told: atServer },
    async [Symbol.asyncDispose]() {
      clientSocket.destroy();
      serverSocket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Channels that the client opens, as the server has them. @param sink takes what comes on the only one; absent: nobody does */
async function sessions({ client, server }: { client: Side; server: Side }, count: number, sink?: Sink): Promise<Channel[]> {
  for (let opened = 0; opened < count; opened++)
    client.connection.open('session', NOTHING, sink ?? new Sink(), (result) => {
      if (sink !== undefined && result.kind === 'opened') sink.channel = result.channel;
    });
  await eventually('all offers', () => (server.told.offers.length === count ? true : undefined));
  return server.told.offers.map((offer) => offer.accept(new Sink()));
}

describe('a connection over a socket', () => {
  it('is closed with its socket, and closes its socket', async () => {
    await using pair = await joined();
    pair.client.connection.disconnect(11, 'done');
    await eventually('an end', () => (pair.server.told.ends.length > 0 ? true : undefined));
    expect([pair.client.told.ends, pair.server.told.ends]).toEqual([[undefined], [undefined]]);
    await eventually('closed sockets', () => (pair.client.socket.destroyed && pair.server.socket.destroyed ? true : undefined));
  });

  it('ends where its socket is torn away', async () => {
    await using pair = await joined();
    const [channel] = (await sessions(pair, 1)) as [Channel];
    pair.client.socket.resetAndDestroy();
    await eventually('an end', () => (pair.server.told.ends.length > 0 ? true : undefined));
    expect(pair.server.told.ends).toEqual([expect.objectContaining({ name: 'SshError', reason: 10 })]);
    expect(channel.isClosed).toBe(true);
    channel.write(Buffer.from('x'));
    expect(pair.server.told.ends).toHaveLength(1);
  });

  it('leaves data with its channels where the peer reads nothing, and goes on where it reads again', async () => {
    await using pair = await joined();
    const channels = await sessions(pair, 250);
    pair.client.socket.pause();
    let [wanted, written, most] = [0, 0, 0];
    for (const channel of channels) {
      for (let piece = 0; piece < 4; piece++) {
        const data = Buffer.alloc(32 * 1024);
        wanted += data.length;
        channel.write(data, 'data', (bytes) => {
          written += bytes;
          most = Math.max(most, pair.server.socket.writableLength);
        });
      }
      await new Promise(setImmediate);
    }
    expect(most).toBeGreaterThan(MIB / 8);
    expect(most).toBeLessThan(300 * 1024 + READ_BYTES);
    expect(written).toBeLessThan(wanted);
    const before = written;
    pair.client.socket.resume();
    await eventually('more to go', () => (written > before ? true : undefined));
    expect([pair.client.told.ends, pair.server.told.ends]).toEqual([[], []]);
  });

  it.each([
    ['a whole read more where there is memory for it, until that has gone', true, 'reads again'],
    ['a whole read more where there is memory for it, until the peer is gone', true, 'is gone'],
    ['no more than without where there is none', false, 'reads again'],
  ] as const)('lets wait %s', async (_, isFree, then) => {
    const room = new Taken(isFree);
    await using pair = await joined(room);
    const channels = await sessions(pair, 250);
    pair.client.socket.pause();
    let most = 0;
    for (const channel of channels) {
      for (let piece = 0; piece < 2; piece++) channel.write(Buffer.alloc(32 * 1024));
      await new Promise(setImmediate);
      most = Math.max(most, pair.server.socket.writableLength);
    }
    expect(most).toBeGreaterThan(isFree ? READ_BYTES : 256 * 1024);
    expect(most).toBeLessThan(300 * 1024 + (isFree ? READ_BYTES : 0));
    expect(room.taken).toBe(isFree ? READ_BYTES : 0);
    if (then === 'is gone') pair.client.socket.resetAndDestroy();
    else pair.client.socket.resume();
    await eventually('it to be given back', () => (room.taken === 0 ? true : undefined));
  });

  it('reads nothing more of a peer that makes it answer and reads no answers', async () => {
    await using pair = await joined();
    pair.client.socket.pause();
    const answer = { isGranted: true, payload: Buffer.alloc(30_000) };
    let most = 0;
    for (let round = 0; round < 2_000 && !pair.server.socket.isPaused(); round++) {
      pair.client.connection.global('x', NOTHING, () => {});
      await new Promise(setImmediate);
      for (const { reply } of pair.server.told.globals.splice(0)) reply?.(answer);
      most = Math.max(most, pair.server.socket.writableLength);
    }
    expect(pair.server.socket.isPaused()).toBe(true);
    expect(most).toBeLessThan(5 * MIB);
  });

  it('holds little more than the bytes of many short answers that nobody reads', async () => {
    await using pair = await joined();
    pair.client.socket.pause();
    while (pair.server.socket.writableLength === 0) {
      pair.server.connection.global('x', Buffer.alloc(200_000), () => {});
      await new Promise(setImmediate);
    }
    const before = process.memoryUsage().arrayBuffers;
    for (let answer = 0; answer < 3_000; answer++) {
      pair.server.connection.global('x', NOTHING);
      await new Promise(setImmediate);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * MIB);
  });

  it('reads no more of a host that does the same, however much it sends', async () => {
    await using pair = await joined();
    pair.server.socket.pause();
    const answer = { isGranted: true, payload: Buffer.alloc(30_000) };
    let [most, wanted] = [0, 0];
    for (let round = 0; round < 2_000; round++) {
      pair.server.connection.global('x', Buffer.alloc(20_000), () => {});
      await new Promise(setImmediate);
      const asked = pair.client.told.globals.splice(0);
      for (const { reply } of asked) reply?.(answer);
      wanted += asked.length;
      most = Math.max(most, pair.client.socket.writableLength);
    }
    expect(wanted).toBeGreaterThan(10);
    expect(most).toBeGreaterThan(4 * MIB);
    expect(most).toBeLessThan(5 * MIB);
  });

  it('keeps what hosts say apart, though all of it is read into the same memory', async () => {
    const bytes = 3 * READ_BYTES;
    const hosts = await Promise.all(Array.from({ length: 3 }, async () => ({ pair: await joined(), sink: new Sink() })));
    const said = hosts.map(() => randomBytes(bytes));
    const channels = await Promise.all(hosts.map(({ pair, sink }) => sessions(pair, 1, sink)));
    for (let at = 0; at < bytes; at += 10_000)
      for (const [host, [channel]] of channels.entries()) channel?.write((said[host] as Buffer).subarray(at, at + 10_000));
    await eventually('all of it', () => (hosts.every(({ sink }) => sink.text('data').length === bytes) ? true : undefined));
    expect(hosts.map(({ sink }, at) => sink.text('data').equals(said[at] as Buffer))).toEqual([true, true, true]);
    for (const { pair } of hosts) await pair[Symbol.asyncDispose]();
  });

  it('gives up a peer that reads nothing of what others have for it', async () => {
    await using pair = await joined();
    const [channel] = (await sessions(pair, 1)) as [Channel];
    pair.client.socket.pause();
    let most = 0;
    for (let count = 0; count < 3_000 && pair.server.told.ends.length === 0; count++) {
      channel.request('signal', Buffer.alloc(32 * 1024));
      most = Math.max(most, pair.server.socket.writableLength);
      await new Promise(setImmediate);
    }
    expect(pair.server.told.ends).toHaveLength(1);
    expect(most).toBeLessThan(18 * MIB);
  });
});
