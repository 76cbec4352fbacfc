import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { AUTH, authRequest, publicKeyRequest } from './auth.ts';
import { type AuthAnswer, AuthServer, type AuthQuestion, type AuthServerOptions } from './auth-server.ts';
import { issueCertificate, withCertificate } from './cert.ts';
import { boolean, byte, names, string, uint32 } from './data.ts';
import { parsePublicKey, type Signer, signerOf } from './keys.ts';

export const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
export const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
export const SESSION = randomBytes(32);
export const alice = signerOf(ed25519());
export const mallory = signerOf(ed25519());
export const rsa = signerOf(generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey);
export const authority = signerOf(ed25519());
export const certifiedAlice = withCertificate(
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

export const SERVICE_REQUEST = cat(byte(5), string('ssh-userauth'));
export const NONE = authRequest('alice', 'none');
export const password = (text: string | Buffer, user = 'alice'): Buffer =>
  cat(authRequest(user, 'password'), boolean(false), string(text));
export const interactive = (user = 'alice'): Buffer => cat(authRequest(user, 'keyboard-interactive'), string(''), string(''));
export const response = (...texts: string[]): Buffer => cat(byte(AUTH.infoResponse), uint32(texts.length), ...texts.map(string));
export const probe = (signer: Signer, algorithm = signer.algorithms[0] as string): Buffer =>
  cat(authRequest('alice', 'publickey'), boolean(false), string(algorithm), string(signer.blob));
export function signed(signer: Signer, mods: { algorithm?: string; by?: Signer; session?: Buffer; user?: string } = {}): Buffer {
  const { algorithm = signer.algorithms[0] ?? '', by = signer, session = SESSION, user = 'alice' } = mods;
  const request = publicKeyRequest(user, algorithm, signer.blob);
  return cat(request, string(by.sign(by.algorithms[0] as string, cat(string(session), request))));
}
export const failure = (methods: readonly string[], partial = false): Buffer => cat(byte(51), names(methods), boolean(partial));

/** A server's side with what it says, asks and decides. */
export class Desk {
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

export const ALL = failure(['publickey', 'password', 'keyboard-interactive']);
export const SUCCESS = byte(AUTH.success);
export const PROMPT = cat(byte(60), string(''), string(''), string(''), uint32(1), string('Password: '), boolean(false));
export const accept = (): AuthAnswer => 'accept';
export const reject = (): AuthAnswer => 'reject';
export const ended = (reason: number): unknown => expect.objectContaining({ name: 'SshError', reason });
