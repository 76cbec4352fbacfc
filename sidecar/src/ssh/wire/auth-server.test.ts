import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AUTH, authRequest, MAX_PASSWORD, publicKeyRequest } from './auth.ts';
import { AuthServer } from './auth-server.ts';
import { boolean, byte, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import {
  cat,
  SESSION,
  alice,
  mallory,
  rsa,
  certifiedAlice,
  SERVICE_REQUEST,
  NONE,
  password,
  interactive,
  response,
  probe,
  signed,
  failure,
  Desk,
  ALL,
  SUCCESS,
  PROMPT,
  accept,
  reject,
  ended,
} from './auth.test-support.ts';

/** A question of keyboard-interactive. */
const prompted = (text: string): Buffer => cat(PROMPT.subarray(0, 17), string(text), boolean(false));

/** Its last byte is another. */
function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1] = ~(copy.at(-1) as number);
  return copy;
}

describe('a server', () => {
  it('says what may be tried, before it asks anybody', () => {
    const desk = new Desk(accept);
    expect(desk.say(NONE)).toEqual([ALL]);
    expect(desk.questions).toEqual([]);
  });

  it('shows its banner with the service', () => {
    const sent: Buffer[] = [];
    const desk = new Desk(accept, { banner: 'one\ntwo\r\n', send: (payload) => sent.push(payload) });
    expect(sent).toEqual([cat(byte(6), string('ssh-userauth')), cat(byte(53), string('one\r\ntwo\r\n'), string(''))]);
    expect(desk.questions).toEqual([]);
  });

  it('asks on for as long as a client cuts what it answers, and takes it for one', () => {
    const more = { bytes: 4, prompt: (from: number) => `from ${from}: ` };
    const desk = new Desk(accept, { more });
    expect(desk.say(interactive(), response('abcd'), response('efgh'), response('ij'))).toEqual([
      PROMPT,
      prompted('from 5: '),
      prompted('from 9: '),
      SUCCESS,
    ]);
    expect(desk.questions).toMatchObject([{ method: 'keyboard-interactive', password: 'abcdefghij' }]);
    const whole = new Desk(accept, { more });
    whole.say(interactive(), response('abcd'), response(''));
    expect(whole.questions).toMatchObject([{ password: 'abcd' }]);
    const anew = new Desk(accept, { more });
    anew.say(interactive(), response('abcd'), interactive(), response('x'));
    expect(anew.questions).toMatchObject([{ password: 'x' }]);
  });

  it('takes no more than 16 KiB in all, however often it asks', () => {
    const desk = new Desk(accept, { more: { bytes: 1_023, prompt: () => '' } });
    const answers = Array.from({ length: 17 }, () => response('x'.repeat(1_023)));
    expect(desk.say(interactive(), ...answers).at(-1)).toEqual(ALL);
    expect(desk.questions).toEqual([]);
  });

  it.each<[string, Buffer[], Buffer[], object]>([
    ['a password', [password('hunter2')], [SUCCESS], { method: 'password', password: 'hunter2' }],
    ['a password of 16 KiB', [password('x'.repeat(MAX_PASSWORD))], [SUCCESS], { method: 'password' }],
    [
      'an answer',
      [interactive(), response('hunter2')],
      [PROMPT, SUCCESS],
      { method: 'keyboard-interactive', password: 'hunter2' },
    ],
    ['a key', [signed(alice)], [SUCCESS], { method: 'publickey', isProved: true, certificate: undefined }],
    ['an RSA key', [signed(rsa)], [SUCCESS], { method: 'publickey', isProved: true }],
    [
      'a certificate',
      [signed(certifiedAlice)],
      [SUCCESS],
      { isProved: true, certificate: expect.objectContaining({ keyId: 'a' }) },
    ],
    ['nothing', [NONE], [SUCCESS], { method: 'none' }],
  ])('lets in who shows %s, once it is decided', (_, requests, answers, question) => {
    const desk = new Desk(accept, { methods: ['none', 'publickey', 'password', 'keyboard-interactive'] });
    expect(desk.say(...requests)).toEqual(answers);
    expect(desk.questions).toEqual([expect.objectContaining({ user: 'alice', ...question })]);
    expect(desk.users).toEqual(['alice']);
  });

  it('tells which keys would do, and lets nobody in for that', () => {
    const desk = new Desk(accept);
    expect(desk.say(probe(alice))).toEqual([cat(byte(60), string('ssh-ed25519'), string(alice.blob))]);
    expect(desk.questions).toEqual([expect.objectContaining({ isProved: false })]);
    expect(desk.users).toEqual([]);
    expect(() => desk.say(cat(byte(90), string('session')))).toThrow(SshError);
  });

  it('asks about the key that signed, not about one that was offered', () => {
    const desk = new Desk(accept);
    desk.say(probe(alice), signed(mallory));
    expect(desk.questions.at(-1)).toMatchObject({ isProved: true, key: { blob: mallory.blob } });
  });

  it.each<[string, Buffer]>([
    ['a signature by another key', signed(alice, { by: mallory })],
    ['a signature of another session', signed(alice, { session: randomBytes(32) })],
    [
      'a signature for another user',
      cat(publicKeyRequest('alice', 'ssh-ed25519', alice.blob), signed(alice, { user: 'root' }).subarray(-87)),
    ],
    ['a signature by another algorithm', signed(rsa, { algorithm: 'rsa-sha2-256' })],
    ['a signature that is none', cat(publicKeyRequest('alice', 'ssh-ed25519', alice.blob), string('x'))],
    ['an algorithm of another key', signed(alice, { algorithm: 'rsa-sha2-256' })],
    ['SHA-1', probe(rsa, 'ssh-rsa')],
    ['a key that is none', cat(authRequest('alice', 'publickey'), boolean(false), string('ssh-ed25519'), string('x'))],
    ['a plain key as a certificate', probe(alice, 'ssh-ed25519-cert-v01@openssh.com')],
    ['a certificate as a plain key', probe(certifiedAlice, 'ssh-ed25519')],
    ['a certificate with a byte changed', probe({ ...certifiedAlice, blob: damaged(certifiedAlice.blob) })],
    ['a method that it does not know', cat(authRequest('alice', 'gssapi-with-mic'), uint32(0))],
    ['a host for a user', authRequest('alice', 'hostbased')],
    ['a new password', cat(authRequest('alice', 'password'), boolean(true), string('old'), string('new'))],
    ['a password that is not UTF-8', password(Buffer.from([0xff]))],
    ['a password that is too long', password('x'.repeat(MAX_PASSWORD + 1))],
  ])('refuses %s without asking anybody', (_, request) => {
    const desk = new Desk(accept);
    expect(desk.say(request)).toEqual([ALL]);
    expect(desk.questions).toEqual([]);
  });

  it('answers alike whoever is refused, and for whatever', () => {
    const answers = ['alice', 'nobody', 'root'].flatMap((user) =>
      [password('x', user), signed(alice, { user }), cat(authRequest(user, 'x'))].map((request) => new Desk(reject).say(request)),
    );
    expect(new Set(answers.map((sent) => Buffer.concat(sent).toString('hex'))).size).toBe(1);
  });

  it('does not try a method that it does not offer', () => {
    const desk = new Desk(accept, { methods: ['publickey'] });
    expect(desk.say(password('hunter2'), interactive())).toEqual([failure(['publickey']), failure(['publickey'])]);
    expect(desk.questions).toEqual([]);
  });

  it('wants a second proof behind a partial one, and takes the first no more', () => {
    const desk = new Desk(({ method }) => (method === 'publickey' ? { partial: ['password'] } : 'accept'));
    const next = failure(['password'], true);
    expect(desk.say(signed(alice))).toEqual([next]);
    expect(desk.users).toEqual([]);
    expect(desk.say(signed(alice))).toEqual([failure(['password'])]);
    expect(desk.say(password('x'))).toEqual([SUCCESS]);
  });

  it('ends after six tries, of which the first look around is none', () => {
    const desk = new Desk(reject);
    desk.say(NONE);
    for (let tries = 1; tries < 6; tries++) expect(desk.say(password(`${tries}`))).toEqual([ALL]);
    expect(() => desk.say(password('6'))).toThrow(ended(DISCONNECT.noMoreAuthMethods));
  });

  it('counts looks around after the first', () => {
    const desk = new Desk(reject);
    for (let tries = 0; tries < 6; tries++) desk.say(NONE);
    expect(() => desk.say(NONE)).toThrow(ended(DISCONNECT.noMoreAuthMethods));
  });

  it('answers a bounded number of requests, also where keys would do', () => {
    const desk = new Desk(accept);
    for (let asked = 0; asked < 32; asked++) desk.say(probe(alice));
    expect(() => desk.say(probe(alice))).toThrow(ended(DISCONNECT.noMoreAuthMethods));
  });

  it('answers what was sent ahead in its order, each once it is decided', () => {
    const desk = new Desk(undefined);
    expect(desk.say(password('a'), password('b'), password('c'))).toEqual([]);
    expect(desk.questions.map(({ id }) => id)).toEqual([0]);
    desk.server.answer(0, 'reject');
    desk.server.answer(1, 'accept');
    expect(desk.sent).toEqual([ALL, SUCCESS]);
    expect(desk.questions.map((question) => 'password' in question && question.password)).toEqual(['a', 'b']);
    expect(desk.users).toEqual(['alice']);
  });

  it('lets no more wait than eight', () => {
    const desk = new Desk(undefined);
    desk.say(password('a'));
    for (let waiting = 0; waiting < 8; waiting++) desk.say(NONE);
    expect(() => desk.say(NONE)).toThrow(SshError);
  });

  it('lets nothing wait but requests', () => {
    for (const payload of [response('x'), cat(byte(90), string('session'), uint32(0)), SERVICE_REQUEST]) {
      const desk = new Desk(undefined);
      desk.say(password('a'));
      expect(() => desk.say(payload)).toThrow(SshError);
    }
  });

  it('hears one answer for each question', () => {
    const desk = new Desk(undefined);
    desk.say(password('a'));
    desk.server.answer(7, 'accept');
    expect(desk.users).toEqual([]);
    desk.server.answer(0, 'reject');
    desk.server.answer(0, 'accept');
    expect(desk.users).toEqual([]);
    expect(desk.sent).toEqual([ALL]);
  });

  it('ignores requests behind a success, and nothing else', () => {
    const desk = new Desk(accept);
    desk.say(password('a'));
    expect(desk.say(password('b', 'root'))).toEqual([]);
    expect(desk.users).toEqual(['alice']);
    expect(() => desk.say(response('x'))).toThrow(SshError);
    expect(() => desk.say(SERVICE_REQUEST)).toThrow(SshError);
  });

  it('gives up its question for a new request', () => {
    const desk = new Desk(accept);
    desk.say(interactive(), cat(authRequest('alice', 'x')));
    expect(() => desk.say(response('x'))).toThrow(SshError);
  });

  it.each<[string, Buffer[], number]>([
    ['another user', [password('a'), password('a', 'root')], DISCONNECT.illegalUserName],
    ['another user while it asks', [interactive(), interactive('root')], DISCONNECT.illegalUserName],
    ['a user with a NUL', [password('a', 'alice\0')], DISCONNECT.illegalUserName],
    [
      'a user who is not UTF-8',
      [cat(byte(50), string(Buffer.of(0xff)), string('ssh-connection'), string('none'))],
      DISCONNECT.illegalUserName,
    ],
    ['a user of 256 bytes', [password('a', 'u'.repeat(256))], DISCONNECT.illegalUserName],
    ['another service', [cat(byte(50), string('alice'), string('ssh-userauth'), string('none'))], DISCONNECT.serviceNotAvailable],
    ['a second service', [SERVICE_REQUEST], DISCONNECT.protocolError],
    ['a success', [SUCCESS], DISCONNECT.protocolError],
    ['a failure', [ALL], DISCONNECT.protocolError],
    ['a banner', [cat(byte(53), string('x'), string(''))], DISCONNECT.protocolError],
    ['an acceptance of a key', [cat(byte(60), string('x'), string(''))], DISCONNECT.protocolError],
    ['an answer that nobody asked for', [response('x')], DISCONNECT.protocolError],
    ['two answers', [interactive(), response('x', 'y')], DISCONNECT.protocolError],
    ['no answer', [interactive(), response()], DISCONNECT.protocolError],
    ['four billion answers', [interactive(), cat(byte(61), uint32(0xffffffff))], DISCONNECT.protocolError],
    ['a second answer', [interactive(), response('x'), response('x')], DISCONNECT.protocolError],
    ['a channel', [cat(byte(90), string('session'), uint32(0), uint32(1), uint32(1))], DISCONNECT.protocolError],
    ['a command', [cat(byte(98), uint32(0), string('exec'), boolean(true), string('id'))], DISCONNECT.protocolError],
    ['a global request', [cat(byte(80), string('tcpip-forward'), boolean(true))], DISCONNECT.protocolError],
    ['a request that goes on', [cat(password('x'), byte(0))], DISCONNECT.protocolError],
    ['a request that ends too early', [password('x').subarray(0, -1)], DISCONNECT.protocolError],
    ['a request with nothing', [byte(50)], DISCONNECT.protocolError],
  ])('ends for %s before anybody is in', (_, payloads, reason) => {
    const desk = new Desk(reject);
    expect(() => desk.say(...payloads)).toThrow(ended(reason));
    expect(desk.users).toEqual([]);
  });

  it.each<[string, Buffer, number]>([
    ['a login before the service', NONE, DISCONNECT.protocolError],
    ['the service for channels', cat(byte(5), string('ssh-connection')), DISCONNECT.serviceNotAvailable],
    ['a service that goes on', cat(SERVICE_REQUEST, byte(0)), DISCONNECT.protocolError],
  ])('ends for %s', (_, payload, reason) => {
    const { server } = new Desk(accept);
    const fresh = new AuthServer({
      sessionId: SESSION,
      methods: ['password'],
      send: () => {},
      onQuestion: () => {},
      onAuthenticated: () => {},
    });
    expect(() => fresh.receive(payload)).toThrow(ended(reason));
    expect(() => server.receive(SERVICE_REQUEST)).toThrow(SshError);
  });

  it('lets nobody in, whatever comes, unless somebody decides so', () => {
    const start = fc.constantFrom(
      NONE,
      password('x'),
      signed(alice),
      probe(alice),
      interactive(),
      response('x'),
      SUCCESS,
      SERVICE_REQUEST,
    );
    const hostile = fc.oneof(
      start,
      fc.tuple(start, fc.nat(), fc.nat(255)).map(([payload, at, value]) => {
        const copy = Buffer.from(payload);
        copy[at % copy.length] = value;
        return copy;
      }),
      fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 12 }), (payloads) => {
        const desk = new Desk(reject);
        try {
          desk.say(...payloads);
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
        expect(desk.users).toEqual([]);
        expect(desk.sent.filter((payload) => payload[0] === AUTH.success)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
