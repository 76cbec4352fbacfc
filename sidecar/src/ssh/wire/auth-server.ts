import { AUTH, type AuthMethod, CONNECTION, MAX_PASSWORD, SERVICE, USERAUTH } from './auth.ts';
import { type Certificate, parseCertificate, plainAlgorithm } from './cert.ts';
import { boolean, byte, names, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { parsePublicKey, type PublicKey, SIGNATURE_ALGORITHMS, verify } from './keys.ts';

/** Whether somebody may come in: asked of who decides, and answered by {@link AuthServer.answer}. */
export type AuthQuestion = { readonly id: number; readonly user: string } & AuthProof;

export type AuthProof =
  /** Nothing is shown: who connects is known otherwise, or not at all. */
  | { readonly method: 'none' }
  | {
      readonly method: 'publickey';
      readonly key: PublicKey;
      /** What vouches for the key. Its signature is right; whether it is good here is the decider's to judge. */
      readonly certificate: Certificate | undefined;
      /** False where it is only asked whether the key would do: an acceptance then lets nobody in. */
      readonly isProved: boolean;
    }
  | { readonly method: 'password' | 'keyboard-interactive'; readonly password: string };

/** `partial`: it counts, but one of `next` is needed too (RFC 4252, section 5.1). */
export type AuthAnswer = 'accept' | 'reject' | { readonly partial: readonly AuthMethod[] };

export interface AuthServerOptions {
  /** RFC 4253, section 7.2: the exchange hash of the first key exchange. */
  readonly sessionId: Buffer;
  /** What may be tried. With `none`, who shows nothing is asked about too. */
  readonly methods: readonly (AuthMethod | 'none')[];
  /** Shown to people before anything else. */
  readonly banner?: string;
  /** What the one question of keyboard-interactive says. */
  readonly prompt?: string;
  /**
   * What a further question says once an answer was as long as a client lets it be, in bytes: the answers are one password. Absent: one
   * question it is.
   */
  readonly more?: { readonly bytes: number; readonly prompt: (from: number) => string };
  readonly send: (payload: Buffer) => void;
  readonly onQuestion: (question: AuthQuestion) => void;
  readonly onAuthenticated: (user: string) => void;
}

/** As OpenSSH's MaxAuthTries. */
const MAX_TRIES = 6;
/** Requests of any kind; keys that would do cost no try when they are only asked about. */
const MAX_REQUESTS = 32;
/** Requests that wait for the decision on one before them (RFC 4252, section 5.1, lets clients send ahead). */
const MAX_WAITING = 8;
/** Bytes of a user's name. */
const MAX_USER = 255;

/**
 * The server's side of RFC 4252 (none, publickey, password) and RFC 4256: one question at a time, in the order of the requests.
 * Whoever is refused is refused in the same words, whatever the reason. Throws SshError where the connection has to end.
 */
export class AuthServer {
  readonly #options: AuthServerOptions;
  #methods: readonly (AuthMethod | 'none')[];
  #state: 'service' | 'requests' | 'done' = 'service';
  #user: string | undefined;
  #requests = 0;
  #tries = 0;
  #questions = 0;
  #open: { readonly question: AuthQuestion; readonly accepted: Buffer } | undefined;
  #isPrompting = false;
  /** Answers of keyboard-interactive that are the beginning of one. */
  #begun = '';
  readonly #waiting: Buffer[] = [];

  constructor(options: AuthServerOptions) {
    this.#options = options;
    this.#methods = options.methods;
  }

  /** @throws SshError */
  receive(payload: Buffer): void {
    if (this.#state === 'done') return this.#receiveLate(payload);
    if (this.#open !== undefined) {
      if (payload[0] !== AUTH.request) throw misplaced();
      if (this.#waiting.length === MAX_WAITING) throw new SshError('more requests than may wait for an answer');
      this.#waiting.push(Buffer.from(payload));
      return undefined;
    }
    const reader = new Reader(payload, 1);
    if (this.#state === 'service') return this.#receiveService(payload[0], reader);
    if (payload[0] === AUTH.infoResponse && this.#isPrompting) return this.#receiveResponse(reader);
    if (payload[0] !== AUTH.request) throw misplaced();
    return this.#receiveRequest(payload, reader);
  }

  /** Decides the question `id`; that of a connection or a try that is over is ignored. @throws SshError */
  answer(id: number, answer: AuthAnswer): void {
    const open = this.#open;
    if (open === undefined || open.question.id !== id) return;
    this.#open = undefined;
    const { question, accepted } = open;
    if (answer === 'reject') this.#reject(question.method);
    else if (question.method === 'publickey' && !question.isProved) this.#options.send(accepted);
    else if (answer === 'accept') this.#accept(question.user);
    else {
      this.#methods = answer.partial;
      this.#fail(true);
    }
    while (this.#open === undefined && this.#state === 'requests') {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.receive(next);
    }
  }

  /** RFC 4252, section 5.3: requests that were sent ahead are ignored once one of them let somebody in. */
  #receiveLate(payload: Buffer): void {
    if (payload[0] !== AUTH.request) throw new SshError('a message that has no place once somebody is let in');
  }

  #receiveService(message: number | undefined, reader: Reader): void {
    if (message !== SERVICE.request) throw new SshError('a message that has no place before a service is asked for');
    const service = reader.ascii();
    reader.end();
    if (service !== USERAUTH) throw new SshError('a service that is not there', DISCONNECT.serviceNotAvailable);
    this.#state = 'requests';
    this.#options.send(Buffer.concat([byte(SERVICE.accept), string(USERAUTH)]));
    const { banner } = this.#options;
    if (banner !== undefined)
      this.#options.send(Buffer.concat([byte(AUTH.banner), string(banner.replace(/\r?\n/g, '\r\n')), string('')]));
  }

  #receiveRequest(payload: Buffer, reader: Reader): void {
    // A new request gives up the one before it (RFC 4256, section 3.1).
    this.#isPrompting = false;
    this.#begun = '';
    if (++this.#requests > MAX_REQUESTS) throw tooMany();
    const user = readUser(reader);
    if (reader.ascii() !== CONNECTION) throw new SshError('a service that is not there', DISCONNECT.serviceNotAvailable);
    if (this.#user !== undefined && this.#user !== user) throw new SshError('a change of the user', DISCONNECT.illegalUserName);
    this.#user = user;
    const method = reader.ascii();
    if (!this.#methods.some((one) => one === method)) return this.#reject(method);
    switch (method) {
      case 'none':
        reader.end();
        return this.#ask({ method });
      case 'publickey':
        return this.#receiveKey(payload, reader);
      case 'password':
        return this.#receivePassword(reader);
      default:
        return this.#prompt(reader);
    }
  }

  #receiveKey(payload: Buffer, reader: Reader): void {
    const isProved = reader.boolean();
    const algorithm = reader.ascii();
    const blob = reader.string();
    const signed = payload.subarray(0, payload.length - reader.left);
    const signature = isProved ? reader.string() : undefined;
    reader.end();
    const shown = readKey(algorithm, blob);
    if (shown === undefined) return this.#reject('publickey');
    const { key, certificate, plain } = shown;
    if (signature !== undefined) {
      const data = Buffer.concat([string(this.#options.sessionId), signed]);
      if (!verify(key, plain, data, signature)) return this.#reject('publickey');
    }
    const accepted = Buffer.concat([byte(AUTH.publicKeyOk), string(algorithm), string(blob)]);
    return this.#ask({ method: 'publickey', key, certificate, isProved }, accepted);
  }

  #receivePassword(reader: Reader): void {
    const isChange = reader.boolean();
    const password = readPassword(reader);
    if (isChange) reader.string();
    reader.end();
    // Nobody changes a password here; whether the old one is right is not told either.
    if (isChange || password === undefined) return this.#reject('password');
    return this.#ask({ method: 'password', password });
  }

  #prompt(reader: Reader): void {
    // Language and kinds wanted: both are hints that have no use.
    reader.string();
    reader.string();
    reader.end();
    const { prompt = 'Password: ' } = this.#options;
    this.#inform(prompt);
  }

  #inform(prompt: string): void {
    this.#isPrompting = true;
    const head = [byte(AUTH.infoRequest), string(''), string(''), string('')];
    this.#options.send(Buffer.concat([...head, uint32(1), string(prompt), boolean(false)]));
  }

  #receiveResponse(reader: Reader): void {
    this.#isPrompting = false;
    if (reader.uint32() !== 1) throw new SshError('another number of answers than of questions');
    const answer = readPassword(reader);
    reader.end();
    const password = answer === undefined ? undefined : this.#begun + answer;
    if (password === undefined || Buffer.byteLength(password) > MAX_PASSWORD) return this.#reject('keyboard-interactive');
    const { more } = this.#options;
    if (more !== undefined && Buffer.byteLength(answer ?? '') === more.bytes) {
      this.#begun = password;
      return this.#inform(more.prompt(Buffer.byteLength(password) + 1));
    }
    return this.#ask({ method: 'keyboard-interactive', password });
  }

  #ask(proof: AuthProof, accepted: Buffer = Buffer.alloc(0)): void {
    const question: AuthQuestion = { id: this.#questions++, user: this.#user ?? '', ...proof };
    this.#open = { question, accepted };
    this.#options.onQuestion(question);
  }

  #accept(user: string): void {
    this.#state = 'done';
    this.#waiting.length = 0;
    this.#options.send(byte(AUTH.success));
    this.#options.onAuthenticated(user);
  }

  /** The first `none` only asks what there is (RFC 4252, section 5.2). */
  #reject(method: string): void {
    if (method !== 'none' || this.#requests > 1) this.#tries++;
    if (this.#tries >= MAX_TRIES) throw tooMany();
    this.#fail(false);
  }

  #fail(isPartial: boolean): void {
    const listed = this.#methods.filter((method) => method !== 'none');
    this.#options.send(Buffer.concat([byte(AUTH.failure), names(listed), boolean(isPartial)]));
  }
}

const misplaced = (): SshError => new SshError('a message that has no place before somebody is let in');
const tooMany = (): SshError => new SshError('too many attempts to be let in', DISCONNECT.noMoreAuthMethods);

/** Names that would be seen as others are nobody's. */
function readUser(reader: Reader): string {
  const bytes = reader.string();
  const user = bytes.toString('utf8');
  if (bytes.length > MAX_USER || /\p{Cc}|\ufffd/u.test(user)) throw new SshError('no name of a user', DISCONNECT.illegalUserName);
  return user;
}

function readPassword(reader: Reader): string | undefined {
  const bytes = reader.string();
  const password = bytes.toString('utf8');
  return bytes.length > MAX_PASSWORD || password.includes('\ufffd') ? undefined : password;
}

/** Undefined for what is no key, no certificate, or does not go with the algorithm. */
function readKey(
  algorithm: string,
  blob: Buffer,
): { readonly key: PublicKey; readonly certificate: Certificate | undefined; readonly plain: string } | undefined {
  const plain = plainAlgorithm(algorithm) ?? algorithm;
  if (!SIGNATURE_ALGORITHMS.includes(plain)) return undefined;
  try {
    const certificate = plain === algorithm ? undefined : parseCertificate(blob);
    const key = certificate?.key ?? parsePublicKey(blob);
    return key.algorithms.includes(plain) ? { key, certificate, plain } : undefined;
  } catch (error) {
    if (error instanceof SshError) return undefined;
    throw error;
  }
}
