import {
  createECDH,
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  getDiffieHellman,
  type KeyObject,
} from 'node:crypto';
import { mpint, Reader, string } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';

/**
 * A key exchange of one round: the client sends a share, the server answers with its own, and both have a secret. Secrets are as
 * they enter hashes: an `mpint`, or a `string` for a hybrid.
 */
export interface Kex {
  readonly hash: 'sha256' | 'sha512';
  /** The client's part. */
  readonly start: () => Started;
  /** The server's part. @param share the client's. @throws SshError as `Started.finish` */
  readonly answer: (share: Buffer) => Answer;
}

export interface Started {
  /** What the client sends. */
  readonly share: Buffer;
  /** @returns the secret. @throws SshError where `share`, the server's, is no public value or makes a secret that anybody knows */
  readonly finish: (share: Buffer) => Buffer;
}

export interface Answer {
  /** What the server sends. */
  readonly share: Buffer;
  readonly secret: Buffer;
}

/** One side's part where both sides do the same. */
interface Agreement {
  readonly share: Buffer;
  readonly secret: (share: Buffer) => Buffer;
}

const X25519_BYTES = 32;
const ML_KEM_PUBLIC_BYTES = 1184;
const ML_KEM_CIPHERTEXT_BYTES = 1088;
const P256_POINT_BYTES = 65;
const UNCOMPRESSED = 4;

/** By name, best first. */
export const KEX = {
  // draft-ietf-sshm-mlkem-hybrid-kex.
  'mlkem768x25519-sha256': { hash: 'sha256', start: startHybrid, answer: answerHybrid },
  // RFC 8731, and the name that it had before.
  'curve25519-sha256': symmetric('sha256', curve25519),
  'curve25519-sha256@libssh.org': symmetric('sha256', curve25519),
  // RFC 5656, section 4.
  'ecdh-sha2-nistp256': symmetric('sha256', nistp256),
  // RFC 8268.
  'diffie-hellman-group16-sha512': symmetric('sha512', () => modp('modp16')),
  'diffie-hellman-group14-sha256': symmetric('sha256', () => modp('modp14')),
} as const satisfies Record<string, Kex>;
export type KexName = keyof typeof KEX;

/** Identifications, without CR and LF. */
export interface Idents {
  readonly client: string;
  readonly server: string;
}

/** What both sides must have seen alike (RFC 4253, section 8; RFC 5656, section 4). */
export interface Transcript {
  readonly idents: Idents;
  /** KEXINIT messages, whole. */
  readonly clientInit: Buffer;
  readonly serverInit: Buffer;
  readonly hostKey: Buffer;
  readonly clientShare: Buffer;
  readonly serverShare: Buffer;
  readonly secret: Buffer;
}

export function hashExchange(hash: Kex['hash'], transcript: Transcript): Buffer {
  const { idents, clientInit, serverInit, hostKey, clientShare, serverShare, secret } = transcript;
  const fields = [idents.client, idents.server, clientInit, serverInit, hostKey, clientShare, serverShare];
  return createHash(hash)
    .update(Buffer.concat([...fields.map(string), secret]))
    .digest();
}

/** What an exchange ends with. */
export interface Agreed {
  readonly hash: Kex['hash'];
  readonly secret: Buffer;
  readonly exchangeHash: Buffer;
  /** The first exchange hash of the connection. */
  readonly sessionId: Buffer;
}

/** RFC 4253, section 7.2. @param letter `A` to `F`, what the key is for */
export function deriveKey({ hash, secret, exchangeHash, sessionId }: Agreed, letter: string, bytes: number): Buffer {
  const digest = (...rest: Buffer[]) => createHash(hash).update(secret).update(exchangeHash).update(Buffer.concat(rest)).digest();
  let key = digest(Buffer.from(letter, 'latin1'), sessionId);
  while (key.length < bytes) key = Buffer.concat([key, digest(key)]);
  return key.subarray(0, bytes);
}

function symmetric(hash: Kex['hash'], agree: () => Agreement): Kex {
  return {
    hash,
    start() {
      const { share, secret } = agree();
      return { share, finish: secret };
    },
    answer(theirs) {
      const { share, secret } = agree();
      return { share, secret: secret(theirs) };
    },
  };
}

function curve25519(): Agreement {
  const { share, secret } = x25519();
  return { share, secret: (theirs) => mpint(secret(theirs)) };
}

function x25519(): Agreement {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    share: raw(publicKey),
    secret: (share) => {
      if (share.length !== X25519_BYTES) throw refused();
      // OpenSSL refuses what would make a secret of zeros (RFC 7748, section 6.1).
      return attempt(() =>
        diffieHellman({
          privateKey,
          publicKey: createPublicKey({ key: share, format: 'raw-public', asymmetricKeyType: 'x25519' }),
        }),
      );
    },
  };
}

function nistp256(): Agreement {
  const ecdh = createECDH('prime256v1');
  return {
    share: ecdh.generateKeys(),
    secret: (share) => {
      if (share.length !== P256_POINT_BYTES || share[0] !== UNCOMPRESSED) throw refused();
      // OpenSSL refuses what is not on the curve.
      return mpint(attempt(() => ecdh.computeSecret(share)));
    },
  };
}

function modp(group: 'modp14' | 'modp16'): Agreement {
  const dh = getDiffieHellman(group);
  return {
    share: new Reader(mpint(dh.generateKeys())).string(),
    secret: (share) => {
      const value = new Reader(string(share)).mpint();
      // OpenSSL refuses 0, 1 and all from p - 1 on (RFC 4253, section 8; RFC 8268, section 4).
      return mpint(attempt(() => dh.computeSecret(value)));
    },
  };
}

function startHybrid(): Started {
  const kem = generateKeyPairSync('ml-kem-768');
  const curve = x25519();
  return {
    share: Buffer.concat([raw(kem.publicKey), curve.share]),
    finish(share) {
      if (share.length !== ML_KEM_CIPHERTEXT_BYTES + X25519_BYTES) throw refused();
      const inner = attempt(() => decapsulate(kem.privateKey, share.subarray(0, ML_KEM_CIPHERTEXT_BYTES)));
      return combine(inner, curve.secret(share.subarray(ML_KEM_CIPHERTEXT_BYTES)));
    },
  };
}

function answerHybrid(share: Buffer): Answer {
  if (share.length !== ML_KEM_PUBLIC_BYTES + X25519_BYTES) throw refused();
  const key = share.subarray(0, ML_KEM_PUBLIC_BYTES);
  const { sharedKey, ciphertext } = attempt(() =>
    encapsulate(createPublicKey({ key, format: 'raw-public', asymmetricKeyType: 'ml-kem-768' })),
  );
  const curve = x25519();
  return {
    share: Buffer.concat([ciphertext, curve.share]),
    secret: combine(sharedKey, curve.secret(share.subarray(ML_KEM_PUBLIC_BYTES))),
  };
}

const combine = (kem: Buffer, curve: Buffer): Buffer => string(createHash('sha256').update(kem).update(curve).digest());

const raw = (key: KeyObject): Buffer => key.export({ format: 'raw-public' });

function attempt<T>(step: () => T): T {
  try {
    return step();
  } catch {
    throw refused();
  }
}

const refused = (): SshError => new SshError('a share of a key exchange that cannot be', DISCONNECT.keyExchangeFailed);
