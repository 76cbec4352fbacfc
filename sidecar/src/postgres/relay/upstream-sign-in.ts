import { createHash } from 'node:crypto';
import type { Authentication } from '@chaperone/api';
import {
  type AuthenticationMessage,
  BACKEND,
  decodeAuthentication,
  encodePassword,
  encodeSASLInitialResponse,
  encodeSASLResponse,
} from '../wire/index.ts';
import { ScramClient } from './scram.ts';
import { UpstreamError } from './upstream-error.ts';
import type { Transport, UpstreamTls } from './upstream-transport.ts';

export interface Credential {
  readonly username: string;
  readonly password?: string | undefined;
  readonly authentication?: readonly Authentication[];
  readonly tls: UpstreamTls;
}

/** Ways that give a password, or prove that we know it. */
const WITH_PASSWORD: ReadonlySet<Authentication> = new Set(['scram', 'md5', 'cleartext']);

/** open: nothing was asked yet · began, answered, proved: of the SCRAM exchange · sent: the password, or its MD5 */
type State = 'open' | 'began' | 'answered' | 'proved' | 'sent';

/**
 * Answers what the server asks until AuthenticationOk, in the ways that the resource accepts and no other.
 * https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-START-UP
 * @param next gives the server's messages
 * @throws UpstreamError
 */
export async function signIn(credential: Credential, transport: Transport, next: () => Promise<Buffer>): Promise<void> {
  const exchange = new SignIn(credential, transport);
  for (;;) {
    const bytes = await next();
    if (bytes[0] !== BACKEND.Authentication) throw violation('spoke before the login was done');
    const message = decodeAuthentication(bytes);
    if (message.kind === 'ok') return exchange.finish();
    transport.socket.write(await exchange.answer(message));
  }
}

class SignIn {
  readonly #credential: Credential;
  readonly #endPoint: Buffer | undefined;
  readonly #accepted: ReadonlySet<string>;
  #scram: ScramClient | undefined;
  #state: State = 'open';

  constructor(credential: Credential, { endPoint, certified }: Transport) {
    this.#credential = credential;
    this.#endPoint = endPoint;
    const given = credential.authentication ?? ['scram'];
    const ways = given.filter((way) =>
      way === 'cert' ? certified : credential.password !== undefined || !WITH_PASSWORD.has(way),
    );
    // Whatever the resource says: without SCRAM the certificate alone tells who gets the credential.
    this.#accepted = new Set(credential.tls.mode === 'verify-full' ? ways : ways.filter((way) => way === 'scram'));
  }

  /** What to send; empty where the server has the last word. */
  async answer(message: AuthenticationMessage): Promise<Buffer> {
    if (this.#state === 'open') return this.#begin(message);
    if (message.kind === 'saslContinue' && this.#state === 'began' && this.#scram !== undefined) {
      this.#state = 'answered';
      return encodeSASLResponse(await this.#scram.respond(message.data));
    }
    if (message.kind === 'saslFinal' && this.#state === 'answered' && this.#scram !== undefined) {
      this.#scram.verify(message.data);
      this.#state = 'proved';
      return Buffer.alloc(0);
    }
    throw violation('left the order of the login');
  }

  /** AuthenticationOk. */
  finish(): void {
    if (this.#state === 'proved' || this.#state === 'sent') return;
    if (this.#state !== 'open')
      throw new UpstreamError('UpstreamNotAuthentic', 'the database did not prove that it knows the credential');
    if (!this.#accepted.has('none') && !this.#accepted.has('cert')) throw unsupported('none');
  }

  #begin(message: AuthenticationMessage): Buffer {
    // Without one, no way that wants it is accepted.
    const { username, password = '' } = this.#credential;
    if (message.kind === 'sasl' && this.#accepted.has('scram')) {
      this.#scram = new ScramClient({ password, mechanisms: message.mechanisms, endPoint: this.#endPoint });
      this.#state = 'began';
      return encodeSASLInitialResponse(this.#scram.mechanism, this.#scram.first);
    }
    if (!this.#accepted.has(message.kind)) throw unsupported(message.kind);
    this.#state = 'sent';
    if (message.kind === 'md5') return encodePassword(`md5${md5(md5(password + username), message.salt)}`);
    if (message.kind === 'cleartext') return encodePassword(password);
    throw unsupported(message.kind);
  }
}

/** In hex. https://www.postgresql.org/docs/18/protocol-flow.html, AuthenticationMD5Password */
function md5(text: string, salt: Buffer = Buffer.alloc(0)): string {
  return createHash('md5').update(text).update(salt).digest('hex');
}

const ASKED: Readonly<Record<string, string>> = {
  none: 'asks for no credential',
  cleartext: 'asks for the credential in clear text',
  md5: 'asks for the credential as MD5',
  sasl: 'asks for the credential by SASL',
};

function unsupported(kind: string): UpstreamError {
  const what = ASKED[kind] ?? 'asks for the credential in a form that Chaperone does not speak';
  return new UpstreamError('UpstreamAuthUnsupported', `the database ${what}; the resource does not accept that`);
}

export function violation(what: string): UpstreamError {
  return new UpstreamError('UpstreamViolation', `the database ${what}`);
}
