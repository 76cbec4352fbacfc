import { generateKeyPairSync, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AGENT, UPSTREAM_LEGACY } from './algorithms.ts';
import { issueCertificate, withCertificate } from './cert.ts';
import { CHANNEL, encode, parse } from './channel-messages.ts';
import { LOGIN_GRACE_MS } from './connection.ts';
import { ConnectionPair, HOST_KEY, type PairOptions, session, shreds, USER_KEY } from './connection.test-support.ts';
import { boolean, byte, string, uint32 } from './data.ts';
import { DISCONNECT } from './error.ts';
import { parsePublicKey, signerOf } from './keys.ts';
import { Transport } from './transport.ts';

const NOTHING: Buffer = Buffer.alloc(0);
const pieces = (size: number) =>
  function* (bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  };

describe('two connections', () => {
  it.each<[string, PairOptions]>([
    ['whole', {}],
    ['byte by byte', { cut: pieces(1) }],
    ['in pieces of 7 bytes', { cut: pieces(7) }],
    ['in random pieces', { cut: shreds }],
    [
      'in random pieces, with new keys all the time',
      { cut: shreds, client: { rekey: { bytes: 5_000 } }, server: { rekey: { bytes: 7_000 } } },
    ],
    ['with counter mode', { cut: shreds, algorithms: { ...UPSTREAM_LEGACY, ciphers: ['aes128-ctr'] } }],
  ])('run a command between them, cut %s', (_, options) => {
    const pair = new ConnectionPair(options);
    pair.pump();
    expect([pair.atClient.users, pair.atServer.users]).toEqual([['alice'], ['alice']]);
    const { client, atClient, server, atServer } = session(pair);
    const [input, output, errors] = [randomBytes(90_000), randomBytes(70_000), randomBytes(50_000)];
    const answers: boolean[] = [];
    client.request('exec', encode.exec(Buffer.from('run')), (isGranted) => answers.push(isGranted));
    for (let at = 0; at < input.length; at += 10_000) client.write(input.subarray(at, at + 10_000));
    client.eof();
    pair.pump();
    expect(parse.exec(atServer.requests[0]?.payload as Buffer).toString()).toBe('run');
    atServer.requests[0]?.reply?.(true);
    for (let at = 0; at < 70_000; at += 10_000) {
      server.write(output.subarray(at, at + 10_000));
      server.write(errors.subarray(at, at + 10_000), 'stderr');
    }
    server.request('exit-status', encode.exitStatus(7));
    server.eof();
    server.close();
    pair.pump();
    client.close();
    pair.pump();
    expect(answers).toEqual([true]);
    expect(atServer.text('data').equals(input)).toBe(true);
    expect(atClient.text('data').equals(output)).toBe(true);
    expect(atClient.text('stderr').equals(errors)).toBe(true);
    expect(atClient.events).toEqual(['exit-status', 'eof', 'close']);
    expect(atServer.events).toEqual(['exec', 'eof', 'close']);
    pair.client.disconnect(DISCONNECT.byApplication, 'done');
    pair.pump();
    expect([pair.atClient.ends, pair.atServer.ends]).toEqual([[undefined], [undefined]]);
  });

  it('move far more than a window holds, as it is consumed, and while keys change', () => {
    const pair = new ConnectionPair({ client: { rekey: { bytes: 1_000_000 } } });
    pair.pump();
    const { client, atServer } = session(pair);
    const input = randomBytes(20_000_000);
    let written = 0;
    client.write(input.subarray(0, 5_000_000), 'data', (bytes) => {
      written += bytes;
    });
    for (let at = 5_000_000; at < input.length; at += 1_000_000) {
      pair.pump();
      client.write(input.subarray(at, at + 1_000_000));
    }
    client.eof();
    pair.pump();
    expect(written).toBe(5_000_000);
    expect(atServer.text('data').equals(input)).toBe(true);
  });

  it('hold data while nothing may go out, and nothing else', () => {
    const pair = new ConnectionPair();
    pair.pump();
    const { client, atServer } = session(pair);
    pair.client.setWritable(false);
    client.write(Buffer.from('waits'));
    client.request('signal', string('INT'));
    pair.pump();
    expect([atServer.events, atServer.text('data').toString()]).toEqual([['signal'], '']);
    pair.client.setWritable(true);
    pair.pump();
    expect(atServer.text('data').toString()).toBe('waits');
  });

  it('know a server by its certificate, and a user by theirs', () => {
    const authority = signerOf(generateKeyPairSync('ed25519').privateKey);
    const claims = { serial: 1n, keyId: 'x', validAfter: 0n, validBefore: 2n ** 63n, critical: new Map(), extensions: new Map() };
    const host = issueCertificate(
      { ...claims, kind: 'host', principals: ['db.internal'] },
      parsePublicKey(HOST_KEY.blob),
      authority,
    );
    const user = issueCertificate({ ...claims, kind: 'user', principals: ['alice'] }, parsePublicKey(USER_KEY.blob), authority);
    const asked: unknown[] = [];
    const pair = new ConnectionPair({
      server: { hostKeys: [withCertificate(HOST_KEY, host), HOST_KEY] },
      client: {
        hostKey: { kind: 'certified', authorities: [authority.blob], host: 'db.internal', nowMs: 1_000_000 },
        credentials: [{ method: 'publickey', signer: withCertificate(USER_KEY, user) }],
      },
      decide: (question) => {
        asked.push(question);
        return 'accept';
      },
    });
    pair.pump();
    expect(pair.atClient.users).toEqual(['alice']);
    expect(pair.client.hostKey).toEqual(host);
    expect(asked).toEqual([expect.objectContaining({ certificate: expect.objectContaining({ principals: ['alice'] }) })]);
  });

  it.each(['password', 'keyboard-interactive'] as const)('log in by %s', (method) => {
    const passwords: string[] = [];
    const pair = new ConnectionPair({
      client: { credentials: [{ method, password: 'hunter2' }] },
      decide: (question) => {
        passwords.push('password' in question ? question.password : '');
        return 'accept';
      },
    });
    pair.pump();
    expect([pair.atServer.users, passwords]).toEqual([['alice'], ['hunter2']]);
  });

  it('end where nobody is let in', () => {
    const pair = new ConnectionPair({ decide: () => 'reject' });
    pair.pump();
    expect(pair.atClient.ends).toEqual([expect.objectContaining({ reason: DISCONNECT.noMoreAuthMethods })]);
    expect(pair.atServer.ends).toHaveLength(1);
    expect([pair.atClient.users, pair.atServer.users]).toEqual([[], []]);
  });

  it('end where the server holds another key', () => {
    const pair = new ConnectionPair({ server: { hostKeys: [USER_KEY] } });
    pair.pump();
    expect(pair.atClient.ends).toEqual([expect.objectContaining({ reason: DISCONNECT.hostKeyNotVerifiable })]);
    expect(pair.atServer.users).toEqual([]);
  });
});

describe('time', () => {
  it('to let somebody in is 120 seconds, however slow the decision', () => {
    const pair = new ConnectionPair();
    pair.server.tick(0);
    // Everything is there but the decision.
    for (let round = 0; round < 9; round++) {
      for (const chunk of pair.atClient.out.splice(0)) pair.server.receive(chunk);
      for (const chunk of pair.atServer.out.splice(0)) pair.client.receive(chunk);
    }
    const [question] = pair.atServer.questions;
    pair.server.tick(LOGIN_GRACE_MS);
    expect(pair.atServer.ends).toEqual([]);
    pair.server.tick(LOGIN_GRACE_MS + 1);
    expect(pair.atServer.ends).toEqual([expect.objectContaining({ reason: DISCONNECT.noMoreAuthMethods })]);
    pair.server.answer(question?.id ?? 0, 'accept');
    expect(pair.atServer.users).toEqual([]);
  });

  it('is not short for who was let in', () => {
    const pair = new ConnectionPair();
    pair.server.tick(0);
    pair.pump();
    pair.server.tick(LOGIN_GRACE_MS * 10);
    pair.pump();
    expect(pair.atServer.ends).toEqual([]);
  });

  it('shows that the other side is gone: it was asked three times and said nothing', () => {
    const pair = new ConnectionPair();
    pair.pump();
    const asked: number[] = [];
    for (let nowMs = 0; nowMs <= 200_000 && pair.atServer.ends.length === 0; nowMs += 5_000) {
      pair.server.tick(nowMs);
      if (pair.atServer.out.splice(0).length > 0) asked.push(nowMs);
    }
    expect(asked).toEqual([30_000, 60_000, 90_000, 120_000]);
    expect(pair.atServer.ends).toEqual([expect.objectContaining({ reason: DISCONNECT.connectionLost })]);
  });

  it('leaves alone who answers', () => {
    const pair = new ConnectionPair();
    pair.pump();
    for (let nowMs = 0; nowMs < 1_000_000; nowMs += 5_000) {
      pair.server.tick(nowMs);
      pair.client.tick(nowMs);
      pair.pump();
    }
    expect([pair.atServer.ends, pair.atServer.globals, pair.atClient.globals]).toEqual([[], [], []]);
  });
});

describe('an end', () => {
  it('is told to every channel and everybody who waits, once, before it is told itself', () => {
    const told: string[] = [];
    const pair = new ConnectionPair({ client: { onEnd: () => told.push('end') } });
    pair.pump();
    const { client, atClient } = session(pair);
    client.request('exec', string('x'), (isGranted) => told.push(`exec ${isGranted}`));
    pair.client.global('x', NOTHING, ({ isGranted }) => told.push(`x ${isGranted}`));
    pair.client.open('session', NOTHING, atClient, ({ kind }) => told.push(`session ${kind}`));
    pair.client.lose();
    pair.client.lose();
    expect(told).toEqual(['exec false', 'session refused', 'x false', 'end']);
    expect(atClient.events).toEqual(['close']);
    client.write(Buffer.from('x'));
    client.close();
    pair.client.tick(1e12);
    expect(told).toHaveLength(4);
  });

  it('comes of any fault of ours, thrown wherever, and goes no further', () => {
    const faults: ((pair: ConnectionPair) => void)[] = [
      (pair) => {
        const { client, atServer } = session(pair);
        atServer.onData = () => {
          throw new TypeError('secret');
        };
        client.write(Buffer.from('x'));
        pair.pump();
      },
      (pair) => {
        const { server } = session(pair);
        server.write(Buffer.from('x'), 'data', () => {
          throw new TypeError('secret');
        });
      },
      (pair) => {
        const { client, server } = session(pair);
        server.request('x', NOTHING, () => {
          throw new TypeError('secret');
        });
        client.close();
        pair.pump();
      },
      (pair) => {
        const { atServer } = session(pair);
        atServer.onClose = () => {
          throw new TypeError('secret');
        };
        pair.server.lose();
      },
    ];
    for (const fault of faults) {
      const pair = new ConnectionPair();
      pair.pump();
      fault(pair);
      expect(pair.atServer.ends).toHaveLength(1);
      expect(pair.atServer.ends[0]?.message).not.toContain('secret');
      expect(Buffer.concat(pair.atServer.out).includes('secret')).toBe(false);
    }
  });
});

/** A client that keeps the rules of the transport and no other. */
class Rogue {
  readonly pair: ConnectionPair;
  readonly transport: Transport;
  readonly heard: Buffer[] = [];
  #out: Buffer[] = [];
  hasEnded = false;

  constructor(options: PairOptions = {}) {
    this.pair = new ConnectionPair(options);
    this.pair.atClient.out.length = 0;
    this.transport = new Transport({
      role: 'client',
      algorithms: AGENT,
      hostKey: { kind: 'pinned', keys: [HOST_KEY.blob] },
      output: (bytes) => this.#out.push(Buffer.from(bytes)),
      onPayload: (payload) => this.heard.push(payload),
      onReady: () => {},
      onEnd: () => {
        this.hasEnded = true;
      },
    });
    this.carry();
  }

  carry(): void {
    const { server, atServer } = this.pair;
    for (;;) {
      const out = this.#out.splice(0);
      const back = atServer.out.splice(0);
      if (out.length + back.length === 0) return;
      for (const bytes of out) server.receive(bytes);
      for (const bytes of back) this.transport.receive(bytes);
      for (const { id } of atServer.questions.splice(0)) server.answer(id, 'accept');
    }
  }

  say(...payloads: readonly Buffer[]): void {
    for (const payload of payloads) this.transport.send(payload);
    this.carry();
  }

  logIn(): this {
    const request = Buffer.concat([
      byte(50),
      string('mallory'),
      string('ssh-connection'),
      string('password'),
      boolean(false),
      string('x'),
    ]);
    this.say(Buffer.concat([byte(5), string('ssh-userauth')]), request);
    return this;
  }

  open(remote: number, window = 2 ** 21, max = 32_768): void {
    this.say(Buffer.concat([byte(CHANNEL.open), string('session'), ...[remote, window, max].map(uint32)]));
  }
}

const SERVICE = Buffer.concat([byte(5), string('ssh-userauth')]);
const exec = Buffer.concat([byte(CHANNEL.request), uint32(0), string('exec'), boolean(true), string('id')]);

describe('a rogue client', () => {
  it.each<[string, Buffer[]]>([
    ['a channel before the service', [Buffer.concat([byte(90), string('session'), uint32(0), uint32(9), uint32(99)])]],
    ['a command before a login', [SERVICE, exec]],
    ['a success of its own', [SERVICE, byte(52)]],
    ['an acceptance of its key', [SERVICE, Buffer.concat([byte(60), string('x'), string('')])]],
    ['a global request before a login', [SERVICE, Buffer.concat([byte(80), string('tcpip-forward'), boolean(true)])]],
    ['a number that nobody has', [SERVICE, byte(127)]],
  ])('is cut off for %s', (_, payloads) => {
    const rogue = new Rogue();
    rogue.say(...payloads);
    expect(rogue.pair.atServer.ends).toHaveLength(1);
    expect([rogue.pair.atServer.users, rogue.pair.atServer.offers, rogue.pair.atServer.globals]).toEqual([[], [], []]);
    expect(rogue.hasEnded).toBe(true);
  });

  it('may say what nobody knows once it is in, and is told so', () => {
    const rogue = new Rogue().logIn();
    rogue.say(byte(101), byte(85));
    expect(rogue.pair.atServer.ends).toEqual([]);
  });

  it('that ignores the window is cut off at its end', () => {
    const rogue = new Rogue().logIn();
    rogue.open(0);
    let bytes = 0;
    const handler = {
      onData: (data: Buffer) => {
        bytes += data.length;
      },
      onEof: () => {},
      onRequest: () => {},
      onClose: () => {},
    };
    rogue.pair.atServer.offers[0]?.accept(handler);
    const data = Buffer.concat([byte(CHANNEL.data), uint32(0), string(Buffer.alloc(30_000))]);
    for (let count = 0; count < 1_000 && !rogue.hasEnded; count++) rogue.say(data);
    expect(rogue.pair.atServer.ends).toEqual([expect.objectContaining({ message: 'more data than was allowed' })]);
    expect(bytes).toBeLessThanOrEqual(2 ** 16);
  });

  it('that wants packets of 0 bytes is cut off', () => {
    const rogue = new Rogue().logIn();
    rogue.open(0, 2 ** 21, 0);
    expect(rogue.pair.atServer.ends).toHaveLength(1);
  });

  it('that opens ten thousand channels gets 256, and little memory', () => {
    const rogue = new Rogue().logIn();
    const before = process.memoryUsage();
    for (let remote = 0; remote < 10_000; remote++) rogue.open(remote);
    expect(rogue.pair.atServer.offers).toHaveLength(256);
    rogue.heard.length = 0;
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(32 * 1024 * 1024);
    expect(rogue.pair.atServer.ends).toEqual([]);
  });

  it('cannot become somebody else once it is in', () => {
    const rogue = new Rogue().logIn();
    rogue.say(Buffer.concat([byte(50), string('root'), string('ssh-connection'), string('none')]));
    expect([rogue.pair.atServer.users, rogue.pair.atServer.ends]).toEqual([['mallory'], []]);
    rogue.say(SERVICE);
    expect(rogue.pair.atServer.ends).toHaveLength(1);
  });

  const payload = fc.oneof(
    fc
      .tuple(fc.integer({ min: 50, max: 127 }), fc.uint8Array({ maxLength: 60 }))
      .map(([number, bytes]) => Buffer.from([number, ...bytes])),
    fc.constantFrom(SERVICE, exec, byte(52), Buffer.concat([byte(90), string('session'), uint32(0), uint32(9), uint32(99)])),
  );

  it.each([
    ['before it is in', false],
    ['once it is in', true],
  ])('can say anything %s: nothing is thrown, and its connection alone may end', (_, isIn) => {
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 20 }), (payloads) => {
        const rogue = new Rogue();
        if (isIn) rogue.logIn();
        rogue.say(...payloads);
        const { users, ends } = rogue.pair.atServer;
        expect(users).toEqual(isIn ? ['mallory'] : []);
        expect(ends.length).toBeLessThanOrEqual(1);
        for (const error of ends) expect(error?.message).not.toBe('a fault of our own');
      }),
      { numRuns: 150 },
    );
  });
});
