import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import { randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import { assert as check, property, uint8Array } from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeClientHello, MAX_HELLO_BYTES } from './client-hello.ts';

/** A vector behind its length. */
function vector(bytes: Buffer, lengthBytes: number): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(bytes.length, 0, lengthBytes);
  return Buffer.concat([length, bytes]);
}
function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(data, 2)]);
}
function serverName(...names: readonly (string | Buffer)[]): Buffer {
  return extension(
    0,
    vector(Buffer.concat(names.map((name) => Buffer.concat([Buffer.from([0]), vector(Buffer.from(name), 2)]))), 2),
  );
}
interface Parts {
  readonly extensions?: readonly Buffer[];
  readonly session?: Buffer;
  readonly suites?: Buffer;
  readonly compression?: Buffer;
  readonly trailing?: Buffer;
}
function handshake({
  extensions = [serverName('api.example.com')],
  session = randomBytes(32),
  suites = Buffer.from([0x13, 1]),
  compression = Buffer.from([0]),
  trailing = Buffer.alloc(0),
}: Parts = {}): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    randomBytes(32),
    vector(session, 1),
    vector(suites, 2),
    vector(compression, 1),
    vector(Buffer.concat(extensions), 2),
    trailing,
  ]);
  return Buffer.concat([Buffer.from([1]), vector(body, 3)]);
}
function records(message: Buffer, size = message.length): Buffer {
  const list: Buffer[] = [];
  for (let at = 0; at < message.length; at += size)
    list.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(message.subarray(at, at + size), 2)]));
  return Buffer.concat(list);
}

/** What a real client sends first. */
async function capture(options: object): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = connect({
    port: address !== null && typeof address === 'object' ? address.port : 0,
    host: '127.0.0.1',
    ...options,
  });
  client.on('error', () => undefined);
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  server.close();
  return bytes;
}

describe('a hello of OpenSSL', () => {
  let hello: Buffer;
  beforeAll(async () => {
    hello = await capture({ servername: 'API.Example.com', ALPNProtocols: ['h2', 'http/1.1'] });
  });

  test('is read whole', () => {
    const read = { serverName: 'api.example.com', encrypted: false };
    expect(decodeClientHello(hello)).toEqual({ kind: 'hello', hello: read, consumed: hello.length });
    expect(decodeClientHello(Buffer.concat([hello, Buffer.from('more')]))).toMatchObject({
      kind: 'hello',
      consumed: hello.length,
    });
  });

  test('asks for more at every prefix, and never for less than there is', () => {
    for (const [head] of twoWaySplits(hello)) {
      if (head.length === hello.length) continue;
      const decoded = decodeClientHello(head);
      expect(decoded.kind, `${head.length} bytes`).toBe('need');
      if (decoded.kind === 'need') expect(decoded.atLeast).toBeGreaterThan(head.length);
    }
  });

  test('has no name where the client gave none', async () => {
    expect(decodeClientHello(await capture({}))).toMatchObject({ kind: 'hello', hello: { serverName: undefined } });
  });

  test.each(['TLSv1.2', 'TLSv1.3'])('of %s alone is read', async (version) => {
    const bytes = await capture({ servername: 'a.example', minVersion: version, maxVersion: version });
    expect(decodeClientHello(bytes)).toMatchObject({ hello: { serverName: 'a.example' } });
  });
});

test('records may cut the message anywhere', () => {
  const message = handshake();
  for (const size of [2, 3, 4, 5, 33, message.length - 1]) {
    if (Math.ceil(message.length / size) > 64) continue;
    expect(decodeClientHello(records(message, size)), `records of ${size}`).toMatchObject({
      hello: { serverName: 'api.example.com' },
    });
  }
  for (const [a, b, c] of threeWaySplits(message, 6)) {
    const cut = Buffer.concat([a, b, c].filter((part) => part.length > 0).map((part) => records(part)));
    expect(decodeClientHello(cut).kind).toBe('hello');
  }
});

test.each<[string, Buffer]>([
  ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['one wrong byte', Buffer.from([0])],
  ['a PostgreSQL SSLRequest', Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])],
  ['an SSL 2 hello', Buffer.from([0x80, 46, 1, 3, 1])],
  ['another handshake message', records(Buffer.from([2, 0, 0, 0]))],
  ['an alert', Buffer.from([21, 3, 1, 0, 2, 2, 40])],
  ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
  ['a record beyond the limit', Buffer.from([22, 3, 1, 0x40, 1])],
  ['a message beyond the limit', records(Buffer.concat([Buffer.from([1, 0, 0x40, 0]), Buffer.alloc(100)]))],
  ['a message of 16 MiB', records(Buffer.from([1, 255, 255, 255]))],
  ['more records than a hello needs', records(handshake(), 1)],
  ['bytes behind the hello in its record', records(Buffer.concat([handshake(), Buffer.from([1])]))],
  ['bytes behind the extensions', records(handshake({ trailing: Buffer.from([0]) }))],
  ['a session id of 33 bytes', records(handshake({ session: Buffer.alloc(33) }))],
  ['no cipher suite', records(handshake({ suites: Buffer.alloc(0) }))],
  ['half a cipher suite', records(handshake({ suites: Buffer.alloc(3) }))],
  ['no compression method', records(handshake({ compression: Buffer.alloc(0) }))],
  ['two server_name extensions', records(handshake({ extensions: [serverName('a.example'), serverName('b.example')] }))],
  ['two names in one extension', records(handshake({ extensions: [serverName('a.example', 'b.example')] }))],
  ['an empty name', records(handshake({ extensions: [serverName('')] }))],
  ['an empty server_name', records(handshake({ extensions: [extension(0, Buffer.alloc(0))] }))],
  ['a name with NUL', records(handshake({ extensions: [serverName('a.example\0.b.example')] }))],
  ['a name with a final dot', records(handshake({ extensions: [serverName('a.example.')] }))],
  ['a name beyond ASCII', records(handshake({ extensions: [serverName('ä.example')] }))],
  ['an address for a name', records(handshake({ extensions: [serverName('192.0.2.1')] }))],
  ['a name of 254 bytes', records(handshake({ extensions: [serverName(`${'a.'.repeat(126)}aa`)] }))],
  ['a name type that is no host name', records(handshake({ extensions: [extension(0, vector(Buffer.from([1, 0, 1, 97]), 2))] }))],
  ['an extension cut short', records(handshake({ extensions: [Buffer.from([0, 16, 0, 9, 1])] }))],
  [
    'a duplicate of another extension',
    records(handshake({ extensions: [serverName('a.example'), extension(16, Buffer.alloc(0)), extension(16, Buffer.alloc(0))] })),
  ],
])('%s is foreign', (_what, bytes) => {
  expect(decodeClientHello(bytes)).toEqual({ kind: 'foreign' });
});

test('an encrypted hello is told apart', () => {
  const bytes = records(handshake({ extensions: [serverName('a.example'), extension(0xfe0d, Buffer.alloc(40))] }));
  expect(decodeClientHello(bytes)).toMatchObject({ hello: { serverName: 'a.example', encrypted: true } });
});

test('a hello of the largest size is read, and asks for what is missing before', () => {
  const padding = MAX_HELLO_BYTES - handshake({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(0))] }).length;
  const message = handshake({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(padding))] });
  expect(decodeClientHello(records(message))).toMatchObject({ hello: { serverName: 'a.example' } });
  expect(decodeClientHello(records(message).subarray(0, -1))).toEqual({ kind: 'need', atLeast: MAX_HELLO_BYTES + 5 });
});

test('whatever comes, it answers without throwing, and a verdict stays when more comes', () => {
  check(
    property(uint8Array({ maxLength: 200 }), uint8Array({ maxLength: 50 }), (bytes, more) => {
      const prefix = Buffer.concat([Buffer.from([22, 3, 1]), Buffer.from(bytes)]);
      const before = decodeClientHello(prefix);
      const after = decodeClientHello(Buffer.concat([prefix, more]));
      if (before.kind !== 'need') expect(after).toEqual(before);
    }),
  );
});

test('one byte changed anywhere never makes it throw, nor read past the hello (seed 7)', () => {
  const random = seededRandom(7);
  const whole = records(handshake());
  for (let time = 0; time < 3_000; time++) {
    const bytes = Buffer.from(whole);
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const decoded = decodeClientHello(bytes);
    if (decoded.kind === 'hello') expect(decoded.consumed).toBeLessThanOrEqual(bytes.length);
  }
});

test('segments of any size end in the same hello (seed 11)', () => {
  const random = seededRandom(11);
  for (let time = 0; time < 50; time++) {
    let pending = Buffer.alloc(0);
    let kind = 'need';
    for (const segment of randomSegments(records(handshake()), random, 40)) {
      expect(kind).toBe('need');
      pending = Buffer.concat([pending, segment]);
      kind = decodeClientHello(pending).kind;
    }
    expect(kind).toBe('hello');
  }
});
