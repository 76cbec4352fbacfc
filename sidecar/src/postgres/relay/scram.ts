import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { UpstreamError } from './upstream-error.ts';

const derive = promisify(pbkdf2);

const PLAIN = 'SCRAM-SHA-256';
const PLUS = 'SCRAM-SHA-256-PLUS';
/** RFC 7677 §4 asks for at least 4096; fewer make a captured exchange cheap to guess from. */
const MIN_ITERATIONS = 4096;
/** About 0.3 s of one thread; a hostile server could ask for hours. */
const MAX_ITERATIONS = 1_000_000;
/** Of the whole first message; servers send about 90 bytes. */
const MAX_SERVER_MESSAGE_BYTES = 4096;
const MIN_SALT_BYTES = 8;
const MAX_SALT_BYTES = 1024;
const MAX_NONCE_LENGTH = 1024;
const NONCE_BYTES = 18;
const DIGEST_BYTES = 32;

export interface ScramOptions {
  readonly password: string;
  /** What the server offers. */
  readonly mechanisms: readonly string[];
  /** tls-server-end-point data (RFC 5929 §4); undefined without TLS, or where the certificate has no defined hash. */
  readonly endPoint: Buffer | undefined;
  /** Named in the exchange; PostgreSQL takes the user from the startup packet and ignores this. Without commas and equal signs. */
  readonly username?: string;
  /** Printable, without commas. Random by default. */
  readonly nonce?: string;
}

/**
 * The client's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677), bound to the TLS channel where the server can. The
 * password itself is never sent, and `verify` proves that the server knows it too. Throws UpstreamError.
 */
export class ScramClient {
  readonly mechanism: string;
  /** client-first-message */
  readonly first: Buffer;
  readonly #password: string;
  readonly #nonce: string;
  readonly #firstBare: string;
  readonly #binding: Buffer;
  #serverSignature: Buffer | undefined;

  constructor(options: ScramOptions) {
    const { endPoint, mechanisms } = options;
    const plus = endPoint !== undefined && mechanisms.includes(PLUS);
    if (!plus && !mechanisms.includes(PLAIN)) {
      throw new UpstreamError('UpstreamAuthUnsupported', 'the database offers no SCRAM-SHA-256 that this connection can use');
    }
    this.mechanism = plus ? PLUS : PLAIN;
    this.#password = prepare(options.password);
    this.#nonce = options.nonce ?? randomBytes(NONCE_BYTES).toString('base64');
    // 'y' says that we would have bound: a server that can bind then knows that its offer was tampered with.
    const gs2 = plus ? 'p=tls-server-end-point,,' : endPoint === undefined ? 'n,,' : 'y,,';
    this.#binding = Buffer.concat([Buffer.from(gs2), ...(plus ? [endPoint] : [])]);
    this.#firstBare = `n=${options.username ?? ''},r=${this.#nonce}`;
    this.first = Buffer.from(gs2 + this.#firstBare);
  }

  /** Answers server-first-message with client-final-message. */
  async respond(serverFirst: Buffer): Promise<Buffer> {
    const { text, nonce, salt, iterations } = this.#parseFirst(serverFirst);
    const salted = await derive(this.#password, salt, iterations, DIGEST_BYTES, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = createHash('sha256').update(clientKey).digest();
    const withoutProof = `c=${this.#binding.toString('base64')},r=${nonce}`;
    const authMessage = `${this.#firstBare},${text},${withoutProof}`;
    const signature = hmac(storedKey, authMessage);
    const proof = clientKey.map((byte, at) => byte ^ (signature[at] as number));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`);
  }

  /** Checks server-final-message. Returns only when the server has proved that it knows the password. */
  verify(serverFinal: Buffer): void {
    const text = serverFinal.toString('latin1');
    if (text.startsWith('e=')) throw new UpstreamError('CredentialsRejected', 'the database refused the credential');
    const given = /^v=([A-Za-z0-9+/]{43}=)(?:,|$)/.exec(text)?.[1];
    const expected = this.#serverSignature;
    if (given === undefined || expected === undefined) throw violation();
    const signature = Buffer.from(given, 'base64');
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new UpstreamError('UpstreamNotAuthentic', 'the database did not prove that it knows the credential');
    }
  }

  #parseFirst(bytes: Buffer): { text: string; nonce: string; salt: Buffer; iterations: number } {
    if (bytes.length > MAX_SERVER_MESSAGE_BYTES) throw violation();
    const text = bytes.toString('latin1');
    const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9][0-9]{0,9})(?:,.*)?$/.exec(text);
    if (match === null) throw violation();
    const [, nonce = '', encodedSalt = '', count = ''] = match;
    if (nonce.length > MAX_NONCE_LENGTH || !nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length)
      throw violation();
    const salt = Buffer.from(encodedSalt, 'base64');
    if (salt.toString('base64') !== encodedSalt || salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_BYTES)
      throw violation();
    const iterations = Number(count);
    if (iterations < MIN_ITERATIONS || iterations > MAX_ITERATIONS) {
      throw new UpstreamError(
        'UpstreamAuthUnsupported',
        `the database asks for an iteration count outside ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`,
      );
    }
    return { text, nonce, salt, iterations };
  }
}

/** RFC 3454 C.1.2: become a plain space. */
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** RFC 3454 B.1: become nothing. */
const NOTHING = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/gu;
/** RFC 3454 C.2.1 to C.5 by property, C.2.2 to C.9 by number. */
const PROHIBITED_KINDS = /\p{Cc}|\p{Co}|\p{Cs}|\p{Noncharacter_Code_Point}/u;
const PROHIBITED_RANGES: readonly (readonly [number, number])[] = [
  [0x0340, 0x0341],
  [0x06dd, 0x06dd],
  [0x070f, 0x070f],
  [0x180e, 0x180e],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x2063],
  [0x206a, 0x206f],
  [0x2ff0, 0x2ffb],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffd],
  [0x1d173, 0x1d17a],
  [0xe0001, 0xe0001],
  [0xe0020, 0xe007f],
];

/**
 * SASLprep (RFC 4013) as PostgreSQL applies it: a password that the profile does not allow is used as it is. Left out are the
 * check of direction (RFC 3454 §6) and of characters that Unicode 3.2 did not know: a password that would fail one of them and
 * that mapping or normalisation changes is not accepted by the server.
 */
export function prepare(password: string): string {
  const prepared = password.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC');
  return prepared === '' || isProhibited(prepared) ? password : prepared;
}

function isProhibited(text: string): boolean {
  if (PROHIBITED_KINDS.test(text)) return true;
  return Array.from(text).some((character) => {
    const code = character.codePointAt(0) ?? 0;
    return PROHIBITED_RANGES.some(([first, last]) => code >= first && code <= last);
  });
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest();
}

function violation(): UpstreamError {
  return new UpstreamError('UpstreamViolation', 'the database broke the rules of the SCRAM exchange');
}
