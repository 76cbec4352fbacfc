import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AUTH, type AuthMethod, authRequest, MAX_PASSWORD, publicKeyRequest } from './auth.ts';
import { AuthClient, type AuthClientOptions, type AuthCredential } from './auth-client.ts';
import { type AuthAnswer, AuthServer, type AuthQuestion, type AuthServerOptions } from './auth-server.ts';
import { issueCertificate, withCertificate } from './cert.ts';
import { boolean, byte, names, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { parsePublicKey, type Signer, signerOf } from './keys.ts';

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const SESSION = randomBytes(32);
const alice = signerOf(ed25519());
const mallory = signerOf(ed25519());
const rsa = signerOf(generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey);
const authority = signerOf(ed25519());
const certifiedAlice = withCertificate(
  alice,
  issueCertificate(
    {
      kind: 'user',
      serial: 1n,
      keyId: 'a',
      principals: ['alice'],
      validAfter: 0n,
      validBefore: 2n ** 63n,
      critical: new Map(),
      extensions: new Map(),
    },
    parsePublicKey(alice.blob),
    authority,
  ),
);

const SERVICE_REQUEST = cat(byte(5), string('ssh-userauth'));
const NONE = authRequest('alice', 'none');
const password = (text: string | Buffer, user = 'alice'): Buffer =>
  cat(authRequest(user, 'password'), boolean(false), string(text));
const interactive = (user = 'alice'): Buffer => cat(authRequest(user, 'keyboard-interactive'), string(''), string(''));
const response = (...texts: string[]): Buffer => cat(byte(AUTH.infoResponse), uint32(texts.length), ...texts.map(string));
const probe = (signer: Signer, algorithm = signer.algorithms[0] as string): Buffer =>
  cat(authRequest('alice', 'publickey'), boolean(false), string(algorithm), string(signer.blob));
function signed(signer: Signer, mods: { algorithm?: string; by?: Signer; session?: Buffer; user?: string } = {}): Buffer {
  const { algorithm = signer.algorithms[0] ?? '', by = signer, session = SESSION, user = 'alice' } = mods;
  const request = publicKeyRequest(user, algorithm, signer.blob);
  return cat(request, string(by.sign(by.algorithms[0] as string, cat(string(session), request))));
}
const failure = (methods: readonly string[], partial = false): Buffer => cat(byte(51), names(methods), boolean(partial));

/** A server's side with what it says, asks and decides. */
class Desk {
  readonly sent: Buffer[] = [];
  readonly questions: AuthQuestion[] = [];
  readonly users: string[] = [];
  readonly server: AuthServer;

  constructor(decide: ((question: AuthQuestion) => AuthAnswer) | undefined, mods: Partial<AuthServerOptions> = {}) {
    this.server = new AuthServer({
      sessionId: SESSION,
      methods: ['publickey', 'password', 'keyboard-interactive'],
      send: (payload) => this.sent.push(payload),
      onAuthenticated: (user) => this.users.push(user),
      ...mods,
      onQuestion: (question) => {
        this.questions.push(question);
        if (decide !== undefined) this.server.answer(question.id, decide(question));
      },
    });
    this.server.receive(SERVICE_REQUEST);
    this.sent.length = 0;
  }

  say(...payloads: readonly Buffer[]): Buffer[] {
    this.sent.length = 0;
    for (const payload of payloads) this.server.receive(payload);
    return [...this.sent];
  }
}

const ALL = failure(['publickey', 'password', 'keyboard-interactive']);
const SUCCESS = byte(AUTH.success);
const PROMPT = cat(byte(60), string(''), string(''), string(''), uint32(1), string('Password: '), boolean(false));
const accept = (): AuthAnswer => 'accept';
const reject = (): AuthAnswer => 'reject';
const ended = (reason: number): unknown => expect.objectContaining({ name: 'SshError', reason });

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
    ['a certificate with a byte changed', probe({ ...certifiedAlice, blob: cat(certifiedAlice.blob.subarray(0, -1), byte(0)) })],
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
        const damaged = Buffer.from(payload);
        damaged[at % damaged.length] = value;
        return damaged;
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

/** A client's side with what it says. */
class Caller {
  readonly sent: Buffer[] = [];
  isIn = false;
  readonly client: AuthClient;

  constructor(credentials: readonly AuthCredential[], mods: Partial<AuthClientOptions> = {}) {
    this.client = new AuthClient({
      sessionId: SESSION,
      user: 'alice',
      credentials,
      signatureAlgorithms: () => undefined,
      send: (payload) => this.sent.push(payload),
      onAuthenticated: () => {
        this.isIn = true;
      },
      ...mods,
    });
    this.client.start();
  }

  hear(...payloads: readonly Buffer[]): Buffer[] {
    this.sent.length = 0;
    for (const payload of payloads) this.client.receive(payload);
    return [...this.sent];
  }
}

const ACCEPTED = cat(byte(6), string('ssh-userauth'));
const byKey = (signer: Signer): AuthCredential => ({ method: 'publickey', signer });
const byPassword: AuthCredential = { method: 'password', password: 'hunter2' };
const byAnswer: AuthCredential = { method: 'keyboard-interactive', password: 'hunter2' };
const question = (...questions: [string, boolean][]): Buffer =>
  cat(
    byte(60),
    string('name'),
    string('do'),
    string(''),
    uint32(questions.length),
    ...questions.flatMap(([text, echo]) => [string(text), boolean(echo)]),
  );

describe('a client', () => {
  it('asks for the service first', () => {
    expect(new Caller([byPassword]).sent).toEqual([SERVICE_REQUEST]);
  });

  it.each<[string, AuthCredential, AuthMethod]>([
    ['a key', byKey(alice), 'publickey'],
    ['a certificate', byKey(certifiedAlice), 'publickey'],
    ['an RSA key', byKey(rsa), 'publickey'],
    ['a password', byPassword, 'password'],
    ['an answer', byAnswer, 'keyboard-interactive'],
  ])('is let in by a server of ours with %s', (_, credential, method) => {
    const caller = new Caller([credential]);
    const desk = new Desk(accept);
    desk.say(...caller.hear(ACCEPTED));
    for (let round = 0; round < 2 && !caller.isIn; round++) desk.say(...caller.hear(...desk.sent));
    expect(caller.isIn).toBe(true);
    expect(desk.questions).toEqual([expect.objectContaining({ method, user: 'alice' })]);
  });

  it('tries what is configured in its order, each once', () => {
    const caller = new Caller([byKey(alice), byAnswer, byPassword]);
    expect(caller.hear(ACCEPTED)).toEqual([signed(alice)]);
    expect(caller.hear(ALL)).toEqual([interactive()]);
    expect(caller.hear(ALL)).toEqual([password('hunter2')]);
    expect(() => caller.hear(ALL)).toThrow(ended(DISCONNECT.noMoreAuthMethods));
  });

  it('goes on behind a partial success', () => {
    const caller = new Caller([byKey(alice), byPassword]);
    caller.hear(ACCEPTED);
    expect(caller.hear(failure(['password'], true))).toEqual([password('hunter2')]);
  });

  it.each<[string, AuthCredential, readonly string[]]>([
    ['a password where a key is configured', byKey(alice), ['password', 'keyboard-interactive', 'none']],
    ['a password where an answer is configured', byAnswer, ['password']],
    ['an answer where a password is configured', byPassword, ['keyboard-interactive']],
  ])('never sends %s', (_, credential, methods) => {
    const caller = new Caller([credential, credential]);
    caller.hear(ACCEPTED);
    expect(() => caller.hear(failure(methods))).toThrow(ended(DISCONNECT.noMoreAuthMethods));
    expect(caller.sent).toEqual([]);
  });

  it.each<[string, Signer, readonly string[] | undefined, string | undefined]>([
    ['the best where the server says nothing', rsa, undefined, 'rsa-sha2-512'],
    ['one that the server takes', rsa, ['ssh-ed25519', 'rsa-sha2-256', 'ssh-rsa'], 'rsa-sha2-256'],
    ['that of a certificate by its plain name', certifiedAlice, ['ssh-ed25519'], 'ssh-ed25519-cert-v01@openssh.com'],
    ['none where the server takes only SHA-1', rsa, ['ssh-rsa', 'ssh-dss'], undefined],
    ['none where the server takes none', alice, [], undefined],
  ])('signs by %s', (_, signer, taken, algorithm) => {
    const caller = new Caller([byKey(signer), byPassword], { signatureAlgorithms: () => taken });
    const [request] = caller.hear(ACCEPTED) as [Buffer];
    const reader = new Reader(request, 1);
    for (let text = 0; text < 2; text++) reader.string();
    if (algorithm === undefined) expect(request).toEqual(password('hunter2'));
    else expect([reader.ascii(), reader.boolean(), reader.ascii()]).toEqual(['publickey', true, algorithm]);
  });

  it('answers rounds that ask nothing, a few of them', () => {
    const caller = new Caller([byAnswer]);
    caller.hear(ACCEPTED);
    expect(caller.hear(question(), question(['Password: ', false]), question())).toEqual([
      response(),
      response('hunter2'),
      response(),
    ]);
    expect(() => caller.hear(...Array.from({ length: 3 }, () => question()))).toThrow(SshError);
  });

  it.each<[string, Buffer[]]>([
    ['two questions', [question(['Password: ', false], ['Code: ', false])]],
    ['a question that shows what is typed', [question(['Name: ', true])]],
    ['a second question', [question(['Password: ', false]), question(['Again: ', false])]],
    ['four billion questions', [cat(byte(60), string(''), string(''), string(''), uint32(0xffffffff))]],
    ['a question that goes on', [cat(question(['Password: ', false]), byte(0))]],
  ])('tells nothing to a server with %s', (_, payloads) => {
    const caller = new Caller([byAnswer]);
    caller.hear(ACCEPTED);
    expect(() => caller.hear(...payloads)).toThrow(SshError);
    expect(caller.sent.filter((payload) => payload.includes('hunter2')).length).toBe(payloads.length - 1);
  });

  it.each<[string, AuthCredential, Buffer[], number]>([
    [
      'a password that has to be changed',
      byPassword,
      [ACCEPTED, cat(byte(60), string('change'), string(''))],
      DISCONNECT.noMoreAuthMethods,
    ],
    ['a question where it showed a key', byKey(alice), [ACCEPTED, question(['Password: ', false])], DISCONNECT.protocolError],
    ['a success that nobody asked for', byPassword, [SUCCESS], DISCONNECT.protocolError],
    ['a failure that nobody asked for', byPassword, [ALL], DISCONNECT.protocolError],
    ['a success with more in it', byPassword, [ACCEPTED, cat(SUCCESS, byte(0))], DISCONNECT.protocolError],
    ['another service', byPassword, [cat(byte(6), string('ssh-connection'))], DISCONNECT.protocolError],
    ['a second service', byPassword, [ACCEPTED, ACCEPTED], DISCONNECT.protocolError],
    ['a login', byPassword, [ACCEPTED, NONE], DISCONNECT.protocolError],
    ['a channel', byPassword, [ACCEPTED, cat(byte(90), string('session'), uint32(0))], DISCONNECT.protocolError],
    ['a failure that ends too early', byPassword, [ACCEPTED, byte(51)], DISCONNECT.protocolError],
    ['anything behind a success', byPassword, [ACCEPTED, SUCCESS, SUCCESS], DISCONNECT.protocolError],
    ['nothing configured', undefined as never, [ACCEPTED], DISCONNECT.noMoreAuthMethods],
  ])('ends for %s', (_, credential, payloads, reason) => {
    const caller = new Caller([credential].filter((one) => one !== undefined));
    expect(() => caller.hear(...payloads)).toThrow(ended(reason));
  });

  it.each<[string, number, string]>([
    ['many banners', 33, 'x'],
    ['a long banner', 3, 'x'.repeat(30_000)],
  ])('does not listen to %s', (_, count, text) => {
    const caller = new Caller([byPassword]);
    caller.hear(ACCEPTED);
    const banner = cat(byte(53), string(text), string('en'));
    caller.hear(...Array.from({ length: count - 1 }, () => banner));
    expect(() => caller.hear(banner)).toThrow(SshError);
  });

  it('never shows its password in what it throws', () => {
    const caller = new Caller([byPassword]);
    caller.hear(ACCEPTED);
    try {
      caller.hear(ALL);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).stack).not.toContain('hunter2');
    }
  });

  it('ends with SshError or goes on, whatever comes', () => {
    const start = fc.constantFrom(
      ACCEPTED,
      ALL,
      question(['Password: ', false]),
      cat(byte(53), string('x'), string('')),
      failure(['password']),
    );
    const hostile = fc.tuple(start, fc.nat(), fc.nat(255)).map(([payload, at, value]) => {
      const damaged = Buffer.from(payload);
      damaged[at % damaged.length] = value;
      return damaged;
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(start, hostile), { maxLength: 12 }), (payloads) => {
        const caller = new Caller([byAnswer, byKey(alice)]);
        try {
          caller.hear(ACCEPTED, ...payloads);
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
