import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { temporaryDirectory, testAuthority, twoWaySplits, type Certified, type TestAuthority } from '@chaperone/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decideFrontend,
  encodeCommandComplete,
  encodeDataRow,
  encodeReadyForQuery,
  encodeRowDescription,
  FRONTEND,
  MessageReader,
} from '../wire/index.ts';
import { acceptAgent, type Accepted, type AcceptedSession, AcceptError, type AcceptOptions, greet } from './accept.ts';

const SSL = Buffer.from('0000000804d2162f', 'hex');
const GSS = Buffer.from('0000000804d21630', 'hex');
const CANCEL = Buffer.from('0000001004d2162e0000002a01020304', 'hex');
/** A startup packet by hand. */
function startup(version: number, ...strings: string[]): Buffer {
  const body = Buffer.from(`${strings.map((text) => `${text}\0`).join('')}\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 8, 0);
  head.writeInt32BE(version, 4);
  return Buffer.concat([head, body]);
}
const HELLO = startup(196608, 'user', 'agent', 'database', 'orders');
const key = { processId: 7, secret: Buffer.from([1, 2, 3, 4]) };

/** Answers every query of a session with one row: whether TLS is used. */
function answer({ socket, rest }: AcceptedSession): void {
  socket.write(
    greet({
      parameters: new Map([
        ['server_version', '18.4'],
        ['client_encoding', 'UTF8'],
      ]),
      key,
    }),
  );
  const reader = new MessageReader({ decide: decideFrontend });
  const column = {
    name: 'tls',
    tableOid: 0,
    attributeNumber: 0,
    typeOid: 25,
    typeSize: -1,
    typeModifier: -1,
    format: 0,
  } as const;
  const take = (chunk: Buffer): void => {
    reader.push(chunk);
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
      if (piece.kind !== 'message') continue;
      if (piece.type === FRONTEND.Terminate) socket.end();
      if (piece.type !== FRONTEND.Query) continue;
      const tls = socket instanceof TLSSocket ? (socket.getProtocol() ?? '') : 'plain';
      const reply = [
        encodeRowDescription([column]),
        encodeDataRow([Buffer.from(tls)]),
        encodeCommandComplete('SELECT 1'),
        encodeReadyForQuery('I'),
      ];
      socket.write(Buffer.concat(reply));
    }
  };
  take(rest);
  socket.on('data', take);
}

class TestListener {
  readonly #server: Server;
  readonly outcomes: (Accepted | AcceptError)[] = [];
  readonly #waiting: ((outcome: Accepted | AcceptError) => void)[] = [];

  private constructor(options: AcceptOptions) {
    this.#server = createServer((socket) => {
      void this.#accept(socket, options);
    }).listen(0, '127.0.0.1');
  }

  static async start(options: AcceptOptions): Promise<TestListener> {
    const listener = new TestListener(options);
    await once(listener.#server, 'listening');
    return listener;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** The next outcome from now on. */
  next(): Promise<Accepted | AcceptError> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#server.close();
  }

  async #accept(socket: Socket, options: AcceptOptions): Promise<void> {
    try {
      const accepted = await acceptAgent(socket, options);
      if (accepted.kind === 'session') answer(accepted);
      else accepted.socket.end();
      this.#tell(accepted);
    } catch (error) {
      this.#tell(error as AcceptError);
    }
  }

  #tell(outcome: Accepted | AcceptError): void {
    this.outcomes.push(outcome);
    for (const resolve of this.#waiting.splice(0)) resolve(outcome);
  }
}

/** Sends pieces (waiting for an answer after each but the last), then gives all that came until the end or silence. */
async function say(port: number, pieces: readonly Buffer[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  let heard = '';
  let silence: NodeJS.Timeout | undefined;
  let last = false;
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
    clearTimeout(silence);
    if (last) silence = setTimeout(() => socket.destroy(), 300);
  });
  await once(socket, 'connect');
  for (const [index, piece] of pieces.entries()) {
    const before = heard.length;
    last = index === pieces.length - 1;
    socket.write(piece);
    if (index < pieces.length - 1) while (heard.length === before) await once(socket, 'data');
  }
  if (!socket.closed) await once(socket, 'close');
  clearTimeout(silence);
  return heard;
}

describe('acceptAgent', () => {
  let authority: TestAuthority;
  let leaf: Certified;
  let secure: TestListener;
  let plain: TestListener;
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let caFile: string;

  beforeAll(async () => {
    authority = await testAuthority();
    leaf = await authority.issue(['localhost', '127.0.0.1']);
    secure = await TestListener.start({ tls: { cert: leaf.certificate, key: leaf.key }, handshakeTimeoutMs: 60_000 });
    plain = await TestListener.start({ handshakeTimeoutMs: 60_000 });
    folder = await temporaryDirectory();
    caFile = join(folder.path, 'ca.pem');
    await writeFile(caFile, authority.ca);
  });
  afterAll(async () => {
    secure.close();
    plain.close();
    await folder[Symbol.asyncDispose]();
  });

  async function psql(port: number, sslmode: string, more = ''): Promise<{ out: string; status: number }> {
    const target = `host=127.0.0.1 port=${port} user=agent dbname=orders sslmode=${sslmode} sslrootcert=${caFile} ${more}`;
    const child = spawn('psql', ['-X', '-A', '-t', '-c', 'select 1', target], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '' },
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (out += text.toString()));
    const [status] = (await once(child, 'close')) as [number];
    return { out: out.trim(), status };
  }

  for (const [sslmode, tls] of [
    ['disable', 'plain'],
    ['prefer', 'TLSv1.3'],
    ['require', 'TLSv1.3'],
    ['verify-ca', 'TLSv1.3'],
    ['verify-full', 'TLSv1.3'],
  ] as const) {
    it(`serves the real psql with sslmode=${sslmode}`, async () => {
      expect(await psql(secure.port, sslmode)).toEqual({ out: tls, status: 0 });
    });
  }

  it('serves the real psql without a certificate of its own where psql allows that', async () => {
    expect(await psql(plain.port, 'disable')).toEqual({ out: 'plain', status: 0 });
    expect(await psql(plain.port, 'prefer')).toEqual({ out: 'plain', status: 0 });
    const refused = await psql(plain.port, 'require');
    expect(refused).toMatchObject({ status: 2, out: expect.stringContaining('server does not support SSL') });
  });

  it('serves a client that asks for GSS encryption first', async () => {
    expect(await psql(secure.port, 'prefer', 'gssencmode=prefer')).toEqual({ out: 'TLSv1.3', status: 0 });
  });

  it('takes the startup parameters as they were given', async () => {
    const outcome = secure.next();
    await psql(secure.port, 'require', "application_name=ünï options='-c work_mem=1MB'");
    const session = (await outcome) as AcceptedSession;
    expect(Object.fromEntries(session.parameters)).toMatchObject({
      user: 'agent',
      database: 'orders',
      application_name: 'ünï',
      options: '-c work_mem=1MB',
    });
    expect(session.rest).toHaveLength(0);
  });

  it('takes a context that was made before', async () => {
    const listener = await TestListener.start({
      tls: { secureContext: createSecureContext({ cert: leaf.certificate, key: leaf.key }) },
      handshakeTimeoutMs: 60_000,
    });
    expect(await psql(listener.port, 'verify-full')).toEqual({ out: 'TLSv1.3', status: 0 });
    listener.close();
  });

  for (const sslNegotiation of ['postgres', 'direct'] as const) {
    it(`serves the real pg client, sslnegotiation=${sslNegotiation}`, async () => {
      const client = new Client({
        host: '127.0.0.1',
        port: secure.port,
        user: 'agent',
        database: 'orders',
        ssl: { ca: authority.ca },
        ...({ sslnegotiation: sslNegotiation } as object),
      });
      await client.connect();
      expect((await client.query('select 1')).rows).toEqual([{ tls: 'TLSv1.3' }]);
      await client.end();
    });
  }

  it('takes TLS from the first byte only with the ALPN name', async () => {
    const outcome = secure.next();
    const socket = connectTls({ host: '127.0.0.1', port: secure.port, ca: authority.ca });
    socket.on('error', () => undefined);
    await once(socket, 'close');
    expect(await outcome).toMatchObject({ code: 'ForeignProtocol' });
  });

  it('never takes what was sent in plain text behind an SSLRequest for something said within TLS', async () => {
    const outcome = secure.next();
    const heard = await say(secure.port, [Buffer.concat([SSL, HELLO])]);
    expect(await outcome).toMatchObject({ code: 'PlaintextBeforeTLS' });
    expect(heard).toContain('08P01');
    expect(heard).not.toMatch(/^S/);
  });

  it('does not take plain text after its yes to TLS either', async () => {
    const outcome = secure.next();
    expect(await say(secure.port, [SSL, HELLO])).not.toContain('server_version');
    expect(await outcome).toMatchObject({ code: 'TLSFailed' });
  });

  /** What is sent, in steps; the code; what the client hears. */
  const refused: Record<string, [Buffer[], string, RegExp]> = {
    'GSS with more behind it': [[Buffer.concat([GSS, HELLO])], 'PlaintextBeforeTLS', /08P01/],
    'TLS asked for twice': [[SSL, SSL], 'RepeatedNegotiation', /^N.*08P01/s],
    'GSS asked for twice': [[GSS, GSS], 'RepeatedNegotiation', /^N.*08P01/s],
    HTTP: [
      [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      'ForeignProtocol',
      /FATAL.*08P01.*PostgreSQL protocol.*\(ProtocolViolation\)/s,
    ],
    SSH: [[Buffer.from('SSH-2.0-x\r\n')], 'ForeignProtocol', /08P01/],
    'TLS where there is no certificate': [[Buffer.from('160301020001000100', 'hex')], 'ForeignProtocol', /^$/],
    'a TLS record after a no to TLS': [[SSL, Buffer.from('1603010200', 'hex')], 'ForeignProtocol', /^N$/],
    'a packet of length 7': [[Buffer.from('00000007', 'hex')], 'ProtocolViolation', /08P01/],
    'a packet of length 10005': [[Buffer.from('00002715', 'hex')], 'ProtocolViolation', /08P01/],
    'a packet without a terminator': [[Buffer.from('0000000c0003000075736572', 'hex')], 'ProtocolViolation', /08P01/],
    'bytes after the terminator': [[startup(196608, 'user', 'a', '', 'x')], 'ProtocolViolation', /08P01/],
    'a parameter twice': [[startup(196608, 'user', 'a', 'user', 'b')], 'ProtocolViolation', /08P01/],
    'a name that is not UTF-8': [
      [Buffer.concat([Buffer.from('0000001000030000', 'hex'), Buffer.from('u\0\xff\xfe\0\0\0\0', 'latin1')])],
      'ProtocolViolation',
      /22021|08P01/,
    ],
    'protocol 2': [[startup(131072, 'x')], 'UnsupportedProtocol', /0A000/],
    'protocol 4': [[startup(262144, 'user', 'a')], 'UnsupportedProtocol', /0A000/],
    replication: [[startup(196608, 'user', 'a', 'replication', 'database')], 'ReplicationRefused', /0A000/],
    'replication that says false': [[startup(196608, 'user', 'a', 'replication', 'false')], 'ReplicationRefused', /0A000/],
  };
  for (const [what, [pieces, code, answered]] of Object.entries(refused)) {
    it(`refuses ${what}`, async () => {
      const outcome = plain.next();
      const heard = await say(plain.port, pieces);
      expect(await outcome).toMatchObject({ name: 'AcceptError', code });
      expect(heard).toMatch(answered);
    });
  }

  it('cuts off a client that was refused and does not leave', async () => {
    const listener = await TestListener.start({ handshakeTimeoutMs: 1000 });
    const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    const outcome = listener.next();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    const drip = setInterval(() => socket.write('more\r\n'), 50);
    const started = performance.now();
    expect(await outcome).toMatchObject({ code: 'ForeignProtocol' });
    expect(performance.now() - started).toBeLessThan(30_000);
    clearInterval(drip);
    socket.destroy();
    listener.close();
  });

  it('answers TLS and GSS requests in any order, once each', async () => {
    for (const order of [
      [SSL, GSS, HELLO],
      [GSS, SSL, HELLO],
    ]) {
      expect(await say(plain.port, order)).toMatch(/^NNR/);
    }
  });

  it('refuses another request for encryption within TLS', async () => {
    for (const request of [SSL, GSS]) {
      const socket = connect(secure.port, '127.0.0.1');
      socket.write(SSL);
      await once(socket, 'data');
      const outcome = secure.next();
      const tls = connectTls({ socket, ca: authority.ca, host: 'localhost' });
      tls.on('error', () => undefined);
      tls.write(request);
      const [heard] = (await once(tls, 'data')) as [Buffer];
      expect(heard.toString()).toContain('08P01');
      expect(await outcome).toMatchObject({ code: 'RepeatedNegotiation' });
      tls.destroy();
    }
  });

  it('gives a cancel request with a key of either protocol', async () => {
    const long = Buffer.concat([Buffer.from('0000010c04d2162e0000002a', 'hex'), Buffer.alloc(256, 9)]);
    for (const [packet, length] of [
      [CANCEL, 4],
      [long, 256],
    ] as const) {
      const outcome = plain.next();
      expect(await say(plain.port, [packet])).toBe('');
      expect(await outcome).toMatchObject({ kind: 'cancel', key: { processId: 42, secret: { length } } });
    }
  });

  it.each([
    ['3.0', 196608, [], 0, 'R'],
    ['3.2', 196610, [], 2, 'R'],
    ['3.1, which was never made', 196609, [], 0, 'v\0\0\0\x0c\0\x03\0\0\0\0\0\0R'],
    ['a newer version', 0x3270f, [], 2, 'v\0\0\0\x0c\0\x03\0\x02\0\0\0\0R'],
    ['an unknown option', 196608, ['_pq_.wish', 'on'], 0, 'v\0\0\0\x16\0\x03\0\0\0\0\0\x01_pq_.wish\0R'],
    ['an unknown option of 3.2', 196610, ['_pq_.wish', 'on'], 2, 'v\0\0\0\x16\0\x03\0\x02\0\0\0\x01_pq_.wish\0R'],
  ])('agrees with a client that asks for %s', async (_, version, options, minor, answered) => {
    const outcome = plain.next();
    const heard = await say(plain.port, [startup(version, 'user', 'a', ...options)]);
    expect(heard.startsWith(answered)).toBe(true);
    const session = (await outcome) as AcceptedSession;
    expect([...session.parameters]).toEqual([['user', 'a']]);
    expect(session.protocolMinor).toBe(minor);
  });

  it('hands over what came with the startup packet', async () => {
    const query = Buffer.from('Q\0\0\0\x0dselect 1\0', 'latin1');
    const outcome = plain.next();
    expect(await say(plain.port, [Buffer.concat([HELLO, query])])).toContain('SELECT 1');
    expect(((await outcome) as AcceptedSession).rest).toEqual(query);
  });

  it('accepts a startup packet however it is cut', async () => {
    const packet = startup(196608, 'user', 'a');
    await Promise.all(
      [...twoWaySplits(packet)].map(async ([head, tail]) => {
        const socket = connect({ port: plain.port, host: '127.0.0.1', noDelay: true });
        socket.write(head);
        setTimeout(() => socket.write(tail), 20);
        const [heard] = (await once(socket, 'data')) as [Buffer];
        expect(heard[0]).toBe('R'.charCodeAt(0));
        socket.destroy();
      }),
    );
  });

  it('closes at the deadline, whatever the client has done until then', async () => {
    const listener = await TestListener.start({ tls: { cert: leaf.certificate, key: leaf.key }, handshakeTimeoutMs: 200 });
    const sockets: Socket[] = [];
    for (const first of [Buffer.alloc(0), HELLO.subarray(0, 10), Buffer.from('160301', 'hex'), SSL]) {
      const socket = connect(listener.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(first);
      sockets.push(socket);
      // A ClientHello that comes one byte in a while, after the yes to TLS.
      if (first === SSL) {
        socket.once('data', () => {
          const drip = setInterval(() => socket.write(Buffer.of(0x16)), 50);
          socket.once('close', () => clearInterval(drip));
        });
      }
    }
    for (const socket of sockets) socket.resume();
    const started = performance.now();
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(listener.outcomes).toHaveLength(4);
    expect(listener.outcomes.every((outcome) => outcome instanceof AcceptError)).toBe(true);
    expect(
      listener.outcomes.filter((outcome) => 'code' in outcome && outcome.code === 'HandshakeTimeout').length,
    ).toBeGreaterThanOrEqual(3);
    listener.close();
  });

  it('serves others while 100 connections stand half open', async () => {
    const listener = await TestListener.start({ tls: { cert: leaf.certificate, key: leaf.key }, handshakeTimeoutMs: 60_000 });
    const halfOpen = Array.from({ length: 100 }, (_, index) => {
      const socket = connect(listener.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(index % 2 === 0 ? SSL : HELLO.subarray(0, 5));
      return socket.resume();
    });
    await Promise.all(halfOpen.map((socket) => once(socket, 'connect')));
    expect(await psql(listener.port, 'verify-full')).toEqual({ out: 'TLSv1.3', status: 0 });
    expect(halfOpen.filter((socket) => socket.destroyed)).toEqual([]);
    expect(listener.outcomes).toHaveLength(1);
    for (const socket of halfOpen) socket.destroy();
    listener.close();
  });

  it('can be given up at any moment', async () => {
    const abort = new AbortController();
    const listener = await TestListener.start({ handshakeTimeoutMs: 60_000, signal: abort.signal });
    const socket = connect(listener.port, '127.0.0.1');
    await once(socket, 'connect');
    const outcome = listener.next();
    setTimeout(() => abort.abort(), 50);
    expect(await outcome).toMatchObject({ code: 'Aborted' });
    listener.close();
    socket.destroy();
  });

  it('survives clients that leave at any byte', async () => {
    const packet = Buffer.concat([GSS, HELLO]);
    for (let end = 0; end < packet.length; end++) {
      const socket = connect(plain.port, '127.0.0.1');
      const outcome = plain.next();
      socket.end(packet.subarray(0, end));
      socket.resume();
      expect(await outcome).toMatchObject({ name: 'AcceptError' });
      socket.destroy();
    }
  });
});
