import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { randomSegments, seededRandom } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { AGENT, type AlgorithmSet, UPSTREAM, UPSTREAM_LEGACY } from './algorithms.ts';
import { byte, string, uint32 } from './data.ts';
import { DISCONNECT } from './error.ts';
import { KEX, type KexName } from './kex.ts';
import { SIGNATURE_ALGORITHMS, signerOf } from './keys.ts';
import { End, HOST_KEY, nameOf, Pair, PROTECTIONS, type PairOptions, pieces, serverOptions } from './pair.test-support.ts';
import { Rogue, STAGES } from './rogue.test-support.ts';
import { EARLY, EXCHANGE_MS, MAX_QUEUED, Transport } from './transport.ts';

const FAST = { ...UPSTREAM_LEGACY, kex: ['curve25519-sha256'] } as const;
const data = (text: string): Buffer => Buffer.concat([byte(94), Buffer.from(text)]);
const texts = (payloads: readonly Buffer[]): string[] => payloads.map((payload) => payload.toString('latin1', 1));

/** What both say to each other, in small messages and large ones, all at once and one by one. */
function converse(pair: Pair, messages: number): void {
  const random = seededRandom(3);
  const said = { client: [] as Buffer[], server: [byte(52)] };
  for (let n = 0; n < messages; n++) {
    const message = Buffer.concat([byte(94), randomBytes(1 + Math.floor(random() ** 4 * 33_000))]);
    for (const end of ['client', 'server'] as const) {
      said[end].push(message);
      pair[end].send(message.subarray(0, 3), message.subarray(3));
    }
    if (random() < 0.5) pair.pump();
  }
  pair.pump();
  expect(pair.atServer.payloads).toEqual(said.client);
  expect(pair.atClient.payloads).toEqual(said.server);
  expect([...pair.atClient.ended, ...pair.atServer.ended]).toEqual([]);
}

describe('two ends', () => {
  it('find each other at every split of all that is said before keys', () => {
    const length = 1_800;
    for (let at = 0; at < length; at++) {
      let seen = 0;
      const pair = new Pair({
        algorithms: FAST,
        cut: (bytes) => {
          const here = Math.min(Math.max(at - seen, 0), bytes.length);
          seen += bytes.length;
          return [bytes.subarray(0, here), bytes.subarray(here)];
        },
      });
      pair.pump();
      expect([pair.atClient.ready, pair.atServer.ready]).toEqual([1, 1]);
      expect(seen).toBeLessThan(length);
    }
  });

  it.each<[string, PairOptions['cut'] & {}]>([
    ['byte by byte', (bytes) => pieces(bytes, 1)],
    ['cut at random', (bytes) => randomSegments(bytes, seededRandom(bytes.length), 500)],
  ])('understand each other %s, and change keys', (_, cut) => {
    const pair = new Pair({ cut, rekey: { packets: 7 } });
    pair.authenticate();
    converse(pair, 30);
    expect(pair.atClient.resumed).toBeGreaterThan(3);
  });

  const protections = PROTECTIONS.map((protection) => [nameOf(protection), protection] as const);
  describe.each(Object.keys(KEX) as KexName[])('with %s', (kex) => {
    it.each(protections)('and %s understand each other while keys change after 1, 4 and 20 packets', (_, protection) => {
      for (const packets of [1, 4, 20]) {
        const macs = protection.mac ? [protection.mac] : [];
        const algorithms = { ...UPSTREAM_LEGACY, kex: [kex], ciphers: [protection.cipher], macs };
        const pair = new Pair({ algorithms, rekey: { packets } });
        pair.authenticate();
        converse(pair, packets === 20 ? 30 : 10);
        expect(pair.atClient.resumed).toBeGreaterThan(0);
        const negotiated = { kex, hostKey: 'ssh-ed25519', clientToServer: protection, serverToClient: protection };
        expect([pair.client.negotiated, pair.server.negotiated]).toEqual([negotiated, negotiated]);
      }
    });
  });

  it.each([
    ['agents', AGENT, 'aes128-gcm@openssh.com'],
    ['upstreams', UPSTREAM, 'aes128-gcm@openssh.com'],
    ['old upstreams', UPSTREAM_LEGACY, 'aes128-gcm@openssh.com'],
  ])('agree on the best that there is for %s', (_, algorithms, cipher) => {
    const pair = new Pair({ algorithms });
    pair.pump();
    expect(pair.client.negotiated).toMatchObject({ kex: 'mlkem768x25519-sha256', clientToServer: { cipher } });
  });

  it('have the same session id, from the first exchange to the last, and know each other', () => {
    const pair = new Pair({ rekey: { packets: 2 } });
    expect(pair.client.sessionId).toBe(undefined);
    pair.authenticate();
    const id = pair.client.sessionId;
    expect(id).toHaveLength(32);
    converse(pair, 20);
    expect(pair.atClient.resumed).toBeGreaterThan(2);
    expect([pair.client.sessionId, pair.server.sessionId]).toEqual([id, id]);
    expect([pair.client.strict, pair.server.strict]).toEqual([true, true]);
    expect(pair.client.peerIdent).toBe('SSH-2.0-OpenSSH_9.9 Chaperone');
    expect(pair.client.peerSignatureAlgorithms).toEqual(SIGNATURE_ALGORITHMS);
    expect(pair.server.peerSignatureAlgorithms).toBe(undefined);
  });

  it.each([[true], [false]])('number packets anew only where both are strict: %s', (strict) => {
    const markers = strict ? {} : { markers: ['ext-info-c'] };
    const legacy = { ...UPSTREAM_LEGACY, ciphers: ['aes128-ctr'], macs: ['hmac-sha2-256'] } as const;
    const rogue = new Rogue('client', { ...markers, algorithms: legacy, offers: legacy }).to('authenticated');
    rogue.say(data('hello'));
    expect(texts(rogue.end.payloads)).toEqual(['hello']);
    expect(rogue.target.strict).toBe(strict);
    expect(rogue.end.ended).toEqual([]);
  });

  it('take both of two KEXINITs that cross', () => {
    const pair = new Pair({ algorithms: FAST, rekey: { packets: 4 } });
    pair.authenticate();
    for (let n = 0; n < 4; n++) {
      pair.client.send(data(`c${n}`));
      pair.server.send(data(`s${n}`));
    }
    expect([pair.client.busy, pair.server.busy]).toEqual([true, true]);
    pair.pump();
    expect([pair.atClient.resumed, pair.atServer.resumed]).toEqual([1, 1]);
    expect(texts(pair.atServer.payloads)).toEqual(['c0', 'c1', 'c2', 'c3']);
    expect(texts(pair.atClient.payloads)).toEqual(['', 's0', 's1', 's2', 's3']);
  });
});

describe('keys are exchanged anew', () => {
  it.each<[string, PairOptions['rekey'] & {}, (pair: Pair) => void]>([
    ['after so many bytes', { bytes: 10_000 }, (pair) => pair.client.send(data('x'.repeat(10_000)))],
    ['after so many packets', { packets: 3 }, (pair) => [1, 2, 3].forEach((n) => pair.client.send(data(`${n}`)))],
    ['after so much time, though nobody speaks', { ms: 1_000 }, (pair) => [0, 999, 1_000].forEach((ms) => pair.client.tick(ms))],
  ])('%s', (_, rekey, act) => {
    const pair = new Pair({ client: { rekey } });
    pair.authenticate();
    expect(pair.client.busy).toBe(false);
    act(pair);
    pair.pump();
    expect([pair.atClient.resumed, pair.atServer.resumed]).toEqual([1, 1]);
    expect(pair.client.busy).toBe(false);
  });

  it('not before somebody has logged in', () => {
    const pair = new Pair({ rekey: { packets: 1, bytes: 1, ms: 1 } });
    pair.pump();
    for (let n = 0; n < 5; n++) {
      pair.client.send(byte(50));
      pair.client.tick(n * 1_000);
      pair.pump();
    }
    expect(pair.atServer.payloads).toHaveLength(5);
    expect([pair.atClient.resumed, pair.atServer.resumed]).toEqual([0, 0]);
  });

  it('not too early: a millisecond and a packet before', () => {
    const pair = new Pair({ client: { rekey: { packets: 4, bytes: 1_000, ms: 1_000 } } });
    pair.authenticate();
    pair.client.tick(0);
    pair.client.tick(999);
    pair.client.send(data('1'));
    pair.client.send(data('2'));
    expect(pair.client.busy).toBe(false);
    pair.client.send(data('3'));
    expect(pair.client.busy).toBe(true);
  });

  it('while nothing else is said, and what waits follows in order', () => {
    const rogue = new Rogue('client', { algorithms: FAST, offers: FAST }).to('share again');
    for (const text of ['a', 'b']) rogue.target.send(data(text));
    rogue.say(byte(192), string('ping'));
    expect(rogue.end.ended).toHaveLength(1);

    const patient = new Rogue('client', { algorithms: FAST, offers: FAST }).to('share again');
    const before = patient.heard.length;
    for (const text of ['a', 'b']) patient.target.send(data(text));
    patient.target.unimplemented();
    patient.hear();
    expect(patient.heard.slice(before)).toEqual([]);
    patient.share();
    expect(patient.heard.slice(before).map((payload) => payload[0])).toEqual([31, 21, 94, 94, 3]);
  });

  it.each([
    ['messages', MAX_QUEUED.messages, data('')],
    ['bytes', Math.floor(MAX_QUEUED.bytes / 32_768), Buffer.concat([byte(94), Buffer.alloc(32_767)])],
  ])('while no more than so many %s wait', (_, count, message) => {
    const { target, end } = new Rogue('client').to('share again');
    for (let n = 0; n < count; n++) target.send(message);
    expect(end.ended).toEqual([]);
    target.send(message);
    expect(end.ended).toMatchObject([{ error: { reason: DISCONNECT.byApplication } }]);
  });
});

describe.each(['client', 'server'] as const)('a %s that asks for new keys all the time', (role) => {
  /** How often it got them, where between two times `tick` passes for the other side, and so many bytes from it. */
  const asked = (times: number, tick: number, bytes = 0): { got: number; ended: unknown } => {
    const pair = new Pair({ algorithms: FAST, [role]: { rekey: { ms: 1 } } });
    pair.authenticate();
    const [rogue, target] = role === 'client' ? [pair.client, pair.server] : [pair.server, pair.client];
    const [atRogue, atTarget] = role === 'client' ? [pair.atClient, pair.atServer] : [pair.atServer, pair.atClient];
    for (let n = 0; n <= times && atTarget.ended.length === 0; n++) {
      target.tick(n * tick);
      for (let left = bytes; left > 0; left -= 32_000) rogue.send(data('x'.repeat(Math.min(left, 32_000))));
      // The first tick begins its time, and so does each after new keys.
      for (const ms of [0, 1]) rogue.tick(n * 2 + ms);
      pair.pump();
    }
    return { got: atRogue.resumed, ended: atTarget.ended[0]?.error?.reason };
  };

  it('gets them so often in a row, and no more', () => {
    expect(asked(EARLY.most + 5, 0)).toEqual({ got: EARLY.most, ended: DISCONNECT.keyExchangeFailed });
  });

  it('gets one more whenever some time has passed', () => {
    expect(asked(EARLY.most + 5, EARLY.ms)).toEqual({ got: EARLY.most + 6, ended: undefined });
    expect(asked(EARLY.most * 3, EARLY.ms / 2)).toMatchObject({ ended: DISCONNECT.keyExchangeFailed });
  });

  it('gets as many as there is traffic for', () => {
    expect(asked(EARLY.most + 5, 0, EARLY.bytes)).toEqual({ got: EARLY.most + 6, ended: undefined });
  });
});

describe('a guess of what will be agreed on', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const hostKeys = [HOST_KEY, signerOf(privateKey)] as const;
  it.each<[string, AlgorithmSet, boolean]>([
    ['is taken where it is right', FAST, true],
    [
      'is passed over where the first exchange differs, though as guessed is agreed on',
      { ...FAST, kex: ['ecdh-sha2-nistp256', ...FAST.kex] },
      false,
    ],
    ['is passed over where the first host key differs', { ...FAST, hostKeys: ['rsa-sha2-512', 'ssh-ed25519'] }, false],
  ])('%s', (_, algorithms, right) => {
    const rogue = new Rogue('client', { algorithms, server: { hostKeys }, offers: FAST, guesses: true }).to('start');
    rogue.kexInit();
    rogue.hear();
    if (!right) rogue.say(byte(30), string('a share of another kind'));
    rogue.share();
    rogue.newKeys();
    expect(rogue.end).toMatchObject({ ready: 1, ended: [] });
  });

  it('is one message of an exchange: what else comes in its place ends the connection', () => {
    const algorithms = { ...FAST, kex: ['ecdh-sha2-nistp256', 'curve25519-sha256'] } as const;
    for (const messages of [[byte(21)], [byte(30), byte(30)]]) {
      const rogue = new Rogue('client', { algorithms, offers: FAST, guesses: true }).to('start');
      rogue.kexInit();
      for (const message of messages) rogue.say(message);
      expect(rogue.end.ended).toHaveLength(1);
    }
  });
});

const types = (rogue: Rogue): (number | undefined)[] => rogue.heard.map((payload) => payload[0]);
const extensions = (names: string): Buffer =>
  Buffer.concat([byte(7), uint32(2), string('no-flow-control'), string('p'), string('server-sig-algs'), string(names)]);

describe('messages of the transport itself', () => {
  it('pings are answered with what they hold', () => {
    const rogue = new Rogue('client').to('open');
    rogue.say(byte(192), string('are you there?'));
    rogue.hear();
    expect(rogue.heard.at(-1)).toEqual(Buffer.concat([byte(193), string('are you there?')]));
    expect(rogue.end.payloads).toEqual([]);
  });

  it('what nobody knows is answered with its number, by this layer or the one above', () => {
    const rogue = new Rogue('client').to('open');
    rogue.say(byte(150));
    rogue.end.react = () => rogue.target.unimplemented();
    rogue.say(byte(2), string(''));
    rogue.say(byte(99));
    rogue.hear();
    expect(rogue.heard.slice(-2)).toEqual([Buffer.concat([byte(3), uint32(0)]), Buffer.concat([byte(3), uint32(2)])]);
  });

  it.each([
    ['where the other side takes it', undefined, [20, 31, 21, 7]],
    ['nowhere else', ['kex-strict-c-v00@openssh.com'], [20, 31, 21]],
  ])('extensions are said first of all, %s', (_, markers, said) => {
    const rogue = new Rogue('client', { ...(markers && { markers }) }).to('open');
    expect(types(rogue)).toEqual(said);
    if (!markers) return;
    rogue.target.send(byte(94));
    rogue.hear();
    expect(types(rogue)).toEqual([...said, 94]);
  });

  it('a server says its extensions first, or again just before it lets somebody in', () => {
    const rogue = new Rogue('server').to('open');
    rogue.say(extensions('ssh-ed25519'));
    expect(rogue.target.peerSignatureAlgorithms).toEqual(['ssh-ed25519']);
    rogue.say(byte(51));
    rogue.say(extensions('rsa-sha2-256,ssh-ed25519'));
    rogue.say(byte(52));
    expect(rogue.target.peerSignatureAlgorithms).toEqual(['rsa-sha2-256', 'ssh-ed25519']);
    expect(rogue.end).toMatchObject({ ended: [], payloads: [byte(51), byte(52)] });
    rogue.say(extensions(''));
    expect(rogue.end.ended).toHaveLength(1);
  });

  it.each<[string, Buffer[]]>([
    ['just before something else', [byte(51), Buffer.concat([byte(7), uint32(0)]), byte(51)]],
    ['too many', [Buffer.concat([byte(7), uint32(65)])]],
    ['more than there are', [Buffer.concat([byte(7), uint32(1)])]],
    ['less than there are', [Buffer.concat([byte(7), uint32(0), string('name'), string('')])]],
  ])('a server that says extensions %s is left', (_, messages) => {
    const rogue = new Rogue('server').to('open');
    for (const message of messages) rogue.say(message);
    expect(rogue.end.ended).toHaveLength(1);
  });

  it.each([
    [DISCONNECT.byApplication, undefined],
    [DISCONNECT.protocolError, { name: 'SshError', message: 'the other side ended the connection' }],
    [99, { name: 'SshError' }],
  ])('a DISCONNECT for reason %i ends the connection, unanswered, and says nothing of its text', (reason, error) => {
    const rogue = new Rogue('client').to('open');
    const before = rogue.end.log.length;
    rogue.say(byte(1), uint32(reason), string('\x1b[2Jtext'), string(''));
    expect(rogue.end.ended).toMatchObject([{ error }]);
    expect(rogue.end.log).toHaveLength(before);
  });
});

describe('the end', () => {
  it('is told to the other side, in our own words', () => {
    const pair = new Pair();
    pair.pump();
    pair.server.disconnect(DISCONNECT.byApplication, 'the session is over');
    expect(pair.atServer.ended).toEqual([{ error: undefined }]);
    pair.pump();
    expect(pair.atClient.ended).toEqual([{ error: undefined }]);
  });

  it.each<[string, (client: Transport) => void]>([
    ['data', (client) => client.send(data('too late'))],
    ['an end of its own', (client) => client.disconnect(DISCONNECT.protocolError, 'too late')],
  ])('comes once, and nothing is heard or sent after it, where it crosses %s', (_, speak) => {
    const pair = new Pair();
    pair.authenticate();
    pair.atServer.react = () => pair.server.disconnect(DISCONNECT.byApplication, '');
    pair.client.send(data('last'));
    speak(pair.client);
    pair.pump();
    const said = pair.atServer.log.length;
    pair.server.send(data('too late'));
    pair.server.receive(randomBytes(50));
    pair.server.tick(1e9);
    pair.server.unimplemented();
    pair.server.disconnect(DISCONNECT.protocolError, '');
    expect(texts(pair.atServer.payloads)).toEqual(['last']);
    expect(pair.atServer.ended).toHaveLength(1);
    expect(pair.atServer.log).toHaveLength(said);
  });

  it.each(['onPayload', 'onReady', 'onResume', 'output'] as const)('is all that a fault of ours comes to, in %s', (event) => {
    const pair = new Pair({ rekey: { packets: 3 } });
    pair.atServer[event] = fail;
    pair.authenticate();
    for (let n = 0; n < 4; n++) pair.client.send(data('x'));
    pair.pump();
    pair.server.send(data('x'));
    expect(pair.atServer.ended).toMatchObject([{ error: { message: 'a fault of our own', cause: { message: 'broken' } } }]);
    expect(pair.atClient.ended).toHaveLength(event === 'output' ? 0 : 1);
  });

  it('throws nothing where nobody can be told of it', () => {
    const pair = new Pair();
    pair.atServer.onEnd = fail;
    pair.pump();
    pair.client.disconnect(DISCONNECT.byApplication, '');
    pair.pump();
    pair.server.send(data('x'));
    expect(pair.atServer.sent).toEqual([]);
  });

  it.each([0, 5, 20, 21, 30, 192, 255])('is what comes of a message that is not for it to send: %i', (type) => {
    const pair = new Pair();
    pair.authenticate();
    pair.client.send(byte(type));
    expect(pair.atClient.ended).toHaveLength(type === 5 ? 0 : 1);
  });

  it.each(STAGES)('comes where keys are not exchanged in time, at %s, whatever has been said', (stage) => {
    const { target, end } = new Rogue('client').to(stage);
    for (const ms of [5_000, 5_000 + EXCHANGE_MS]) target.tick(ms);
    expect(end.ended).toEqual([]);
    target.tick(5_001 + EXCHANGE_MS);
    if (stage === 'open' || stage === 'authenticated') expect(end.ended).toEqual([]);
    else expect(end.ended).toMatchObject([{ error: { reason: DISCONNECT.keyExchangeFailed } }]);
  });

  it('does not come for exchanges that end, however many there are', () => {
    const pair = new Pair({ rekey: { ms: EXCHANGE_MS - 1 } });
    pair.authenticate();
    for (let n = 0; n < 5; n++) {
      pair.client.tick(n * EXCHANGE_MS);
      pair.pump();
    }
    expect(pair.atClient).toMatchObject({ ended: [], resumed: 2 });
  });

  it('comes where nothing can be agreed on, to both', () => {
    const pair = new Pair({ client: { algorithms: FAST }, server: { algorithms: { ...FAST, kex: ['ecdh-sha2-nistp256'] } } });
    pair.pump();
    for (const end of [pair.atClient, pair.atServer])
      expect(end).toMatchObject({ ready: 0, ended: [{ error: { reason: DISCONNECT.keyExchangeFailed } }] });
  });

  it('is before the beginning where there is no way to prove who the server is', () => {
    const algorithms = { ...FAST, hostKeys: ['rsa-sha2-256'] };
    expect(() => new Transport(serverOptions(new End(), { algorithms }))).toThrow('no host key');
  });
});

const fail = (): never => {
  throw new Error('broken');
};
