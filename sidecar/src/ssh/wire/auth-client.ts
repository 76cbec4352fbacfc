import { AUTH, authRequest, publicKeyRequest, SERVICE, USERAUTH } from './auth.ts';
import { plainAlgorithm } from './cert.ts';
import { boolean, byte, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import type { Signer } from './keys.ts';

/** One way in. A certificate is shown by its signer. */
export type AuthCredential =
  | { readonly method: 'publickey'; readonly signer: Signer }
  | { readonly method: 'password' | 'keyboard-interactive'; readonly password: string };

export interface AuthClientOptions {
  readonly sessionId: Buffer;
  readonly user: string;
  /** Each is tried once, in this order, where the server takes its kind; nothing else ever is. */
  readonly credentials: readonly AuthCredential[];
  /** What the server said in `server-sig-algs` (RFC 8308, section 3.1); undefined where it said nothing. */
  readonly signatureAlgorithms: () => readonly string[] | undefined;
  readonly send: (payload: Buffer) => void;
  readonly onAuthenticated: () => void;
}

/** Of banners, in bytes and messages: they mean nothing here, and one that does not end is meant to hold us. */
const MAX_BANNER_BYTES = 64 * 1024;
const MAX_BANNERS = 32;
/** Rounds of keyboard-interactive that ask nothing, as PAM's last one does. */
const MAX_EMPTY_ROUNDS = 4;

/**
 * The client's side of RFC 4252 and RFC 4256. A password goes to a server that was proved by its host key, and as the method that
 * was configured for it. Throws SshError where the connection has to end.
 */
export class AuthClient {
  readonly #options: AuthClientOptions;
  readonly #left: AuthCredential[];
  #state: 'idle' | 'service' | 'waiting' | 'done' = 'idle';
  #current: AuthCredential | undefined;
  #isAnswered = false;
  #emptyRounds = 0;
  #bannerBytes = 0;
  #banners = 0;

  constructor(options: AuthClientOptions) {
    this.#options = options;
    this.#left = [...options.credentials];
  }

  /** Asks for the service, once keys are there. */
  start(): void {
    if (this.#state !== 'idle') throw new SshError('a login that was begun before', DISCONNECT.byApplication);
    this.#state = 'service';
    this.#options.send(Buffer.concat([byte(SERVICE.request), string(USERAUTH)]));
  }

  /** @throws SshError */
  receive(payload: Buffer): void {
    const reader = new Reader(payload, 1);
    const message = payload[0];
    if (this.#state === 'service' && message === SERVICE.accept) {
      if (reader.ascii() !== USERAUTH) throw new SshError('a service that was not asked for');
      reader.end();
      return this.#next();
    }
    if (this.#state !== 'waiting') throw new SshError('a message that has no place before a login is asked for');
    switch (message) {
      case AUTH.banner:
        return this.#receiveBanner(reader);
      case AUTH.success:
        return this.#succeed(reader);
      case AUTH.failure:
        return this.#receiveFailure(reader);
      case AUTH.infoRequest:
        return this.#receiveInfoRequest(reader);
      default:
        throw new SshError('a message that has no place before a login');
    }
  }

  #succeed(reader: Reader): void {
    reader.end();
    this.#state = 'done';
    this.#current = undefined;
    this.#left.length = 0;
    this.#options.onAuthenticated();
  }

  #receiveBanner(reader: Reader): void {
    this.#bannerBytes += reader.left;
    if (++this.#banners > MAX_BANNERS || this.#bannerBytes > MAX_BANNER_BYTES) throw new SshError('a banner that does not end');
    reader.string();
    reader.string();
    reader.end();
  }

  #receiveFailure(reader: Reader): void {
    const methods = reader.names();
    reader.boolean();
    reader.end();
    this.#next(methods);
  }

  /** Tries what comes next of what the server takes. @param methods undefined: it has not said */
  #next(methods?: readonly string[]): void {
    this.#state = 'waiting';
    for (;;) {
      this.#current = this.#left.shift();
      if (this.#current === undefined)
        throw new SshError('the server takes none of the credentials', DISCONNECT.noMoreAuthMethods);
      if ((methods?.includes(this.#current.method) ?? true) && this.#attempt(this.#current)) return;
    }
  }

  /** False where the server has said that it takes no signature that this key makes. */
  #attempt(credential: AuthCredential): boolean {
    const { user, send } = this.#options;
    if (credential.method === 'publickey') return this.#sign(credential.signer);
    const request = authRequest(user, credential.method);
    this.#isAnswered = false;
    this.#emptyRounds = 0;
    if (credential.method === 'password') send(Buffer.concat([request, boolean(false), string(credential.password)]));
    else send(Buffer.concat([request, string(''), string('')]));
    return true;
  }

  #sign(signer: Signer): boolean {
    const { user, sessionId, send, signatureAlgorithms } = this.#options;
    const taken = signatureAlgorithms();
    // OpenSSH lists plain algorithms only, also where it takes certificates.
    const algorithm = signer.algorithms.find(
      (one) => taken === undefined || taken.includes(one) || taken.includes(plainAlgorithm(one) ?? one),
    );
    if (algorithm === undefined) return false;
    const request = publicKeyRequest(user, algorithm, signer.blob);
    const signature = signer.sign(algorithm, Buffer.concat([string(sessionId), request]));
    send(Buffer.concat([request, string(signature)]));
    return true;
  }

  /** Answers one question that does not show what is typed; a server that wants to know more than a password gets nothing. */
  #receiveInfoRequest(reader: Reader): void {
    const credential = this.#current;
    if (credential?.method === 'password')
      throw new SshError('the password has to be changed first', DISCONNECT.noMoreAuthMethods);
    if (credential?.method !== 'keyboard-interactive') throw new SshError('a question to somebody who was not asked');
    for (let text = 0; text < 3; text++) reader.string();
    const questions = reader.uint32();
    if (questions === 0) {
      reader.end();
      if (++this.#emptyRounds > MAX_EMPTY_ROUNDS) throw new SshError('questions that do not end');
      return this.#options.send(Buffer.concat([byte(AUTH.infoResponse), uint32(0)]));
    }
    if (questions > 1 || this.#isAnswered) throw new SshError('more questions than one for a password');
    reader.string();
    if (reader.boolean()) throw new SshError('a question that is not for a password');
    reader.end();
    this.#isAnswered = true;
    return this.#options.send(Buffer.concat([byte(AUTH.infoResponse), uint32(1), string(credential.password)]));
  }
}
