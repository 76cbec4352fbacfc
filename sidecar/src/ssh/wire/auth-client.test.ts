import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AuthMethod } from './auth.ts';
import { AuthClient, type AuthClientOptions, type AuthCredential } from './auth-client.ts';
import { boolean, byte, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { type Signer } from './keys.ts';
import {
  cat,
  SESSION,
  alice,
  rsa,
  certifiedAlice,
  SERVICE_REQUEST,
  NONE,
  password,
  interactive,
  response,
  signed,
  failure,
  Desk,
  ALL,
  SUCCESS,
  accept,
  ended,
} from './auth.test-support.ts';

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
