import { createHash, createPublicKey, type JsonWebKeyInput, type KeyObject, sign, verify as verifyRaw } from 'node:crypto';
import { mpint, Reader, string } from './data.ts';
import { SshError } from './error.ts';
import { kept } from '../../lent.ts';

/** A public key as SSH writes it, read and checked; never a certificate. */
export interface PublicKey {
  /** The whole key in its wire form (RFC 4253, section 6.6). Two keys are the same where these bytes are. */
  readonly blob: Buffer;
  /** The key's format, such as `ssh-rsa`. For all but RSA it is the signature's algorithm too. */
  readonly type: string;
  /** What a signature by this key may be, best first. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
  /** Of a key in a security token: the application that it is for, as `ssh:`. */
  readonly application?: Buffer;
}

/** Signs with one private key, whose holder it may show by a certificate. */
export interface Signer {
  /** What the other side is shown: the public key, or a certificate for it. */
  readonly blob: Buffer;
  /** What it may be asked to sign by, best first. */
  readonly algorithms: readonly string[];
  /** @returns the signature in its wire form. @throws SshError for an algorithm that is not among its own */
  sign(algorithm: string, data: Buffer): Buffer;
}

interface Curve {
  /** As JWK says it (RFC 7518, section 6.2.1.1). */
  readonly name: string;
  /** Bytes of one coordinate. */
  readonly size: number;
  readonly hash: string;
}

/** RFC 5656, sections 6.2.1 and 10.1. */
const CURVES: Readonly<Record<string, Curve>> = {
  nistp256: { name: 'P-256', size: 32, hash: 'sha256' },
  nistp384: { name: 'P-384', size: 48, hash: 'sha384' },
  nistp521: { name: 'P-521', size: 66, hash: 'sha512' },
};
/** RFC 8332, section 3. Signatures of `ssh-rsa` are SHA-1 and do not exist here. */
const RSA_HASHES: Readonly<Record<string, string>> = { 'rsa-sha2-512': 'sha512', 'rsa-sha2-256': 'sha256' };
const RSA_ALGORITHMS = Object.keys(RSA_HASHES);
/** Bytes of an RSA modulus: 2,048 bits at least; OpenSSH makes none of more than 16,384, and what is larger only costs time. */
const RSA_BYTES = { min: 256, max: 2_048 };
/** Bytes of an RSA exponent. It is 65537; a long one makes each check slow. */
const MAX_RSA_EXPONENT_BYTES = 4;
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** OpenSSH's PROTOCOL.u2f: somebody touched the token. */
const USER_PRESENT = 0x01;

/** Every algorithm that `verify` knows, best first: what `server-sig-algs` says (RFC 8308, section 3.1). */
export const SIGNATURE_ALGORITHMS: readonly string[] = [
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  ...RSA_ALGORITHMS,
];

/**
 * Reads a public key: `ssh-ed25519` (RFC 8709), `ecdsa-sha2-nistp{256,384,521}` (RFC 5656), `ssh-rsa` (RFC 4253) and the two of
 * security tokens (OpenSSH's PROTOCOL.u2f). Copies what it keeps.
 * @throws SshError for any other type (a certificate, too), a point off its curve, an RSA modulus of under 2,048 bits, and bytes behind the key
 */
export function parsePublicKey(blob: Buffer): PublicKey {
  const reader = new Reader(blob);
  const type = reader.ascii();
  const read = readPublicKey(reader, type);
  reader.end();
  return { blob: kept(blob), type, algorithms: type === 'ssh-rsa' ? RSA_ALGORITHMS : [type], ...read };
}

function readPublicKey(reader: Reader, type: string): Pick<PublicKey, 'key' | 'application'> {
  switch (type) {
    case 'ssh-ed25519':
      return { key: readEd25519(reader) };
    case 'sk-ssh-ed25519@openssh.com':
      return { key: readEd25519(reader), application: Buffer.from(reader.string()) };
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return { key: readPoint(reader, type.slice('ecdsa-sha2-'.length)) };
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return { key: readPoint(reader, 'nistp256'), application: Buffer.from(reader.string()) };
    case 'ssh-rsa':
      return { key: readRsa(reader) };
    default:
      throw new SshError('a key of a type that is not supported');
  }
}

function readEd25519(reader: Reader): KeyObject {
  const x = reader.string();
  if (x.length !== ED25519_KEY_BYTES) throw new SshError('an Ed25519 key of the wrong length');
  return publicKey({ kty: 'OKP', crv: 'Ed25519', x: base64(x) });
}

function readPoint(reader: Reader, name: string): KeyObject {
  const { name: crv, size } = CURVES[name] as Curve;
  if (reader.ascii() !== name) throw new SshError('a key of another curve than its type says');
  const point = reader.string();
  if (point.length !== 1 + 2 * size || point[0] !== 4) throw new SshError('an ECDSA key that is no uncompressed point');
  return publicKey({ kty: 'EC', crv, x: base64(point.subarray(1, 1 + size)), y: base64(point.subarray(1 + size)) });
}

function readRsa(reader: Reader): KeyObject {
  const e = reader.mpint();
  const n = reader.mpint();
  const bits = n.length * 8 - (n.length === 0 ? 0 : Math.clz32(n[0] as number) - 24);
  if (bits < RSA_BYTES.min * 8) throw new SshError('an RSA key of under 2,048 bits');
  if (n.length > RSA_BYTES.max) throw new SshError('an RSA key that is too long');
  const exponent = e.length === 0 || e.length > MAX_RSA_EXPONENT_BYTES ? 0 : e.readUIntBE(0, e.length);
  if (exponent < 3 || exponent % 2 === 0) throw new SshError('an RSA key whose exponent cannot be');
  return publicKey({ kty: 'RSA', n: base64(n), e: base64(e) });
}

function publicKey(key: JsonWebKeyInput['key']): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch (cause) {
    throw new SshError('a public key that is none', undefined, { cause });
  }
}

/**
 * Whether `signature` (the blob: algorithm, then signature) is one of `data` by `key`, made by exactly `algorithm`. False for
 * everything else, whatever it is. A signature of a security token counts only where somebody touched it.
 */
export function verify(key: PublicKey, algorithm: string, data: Buffer, signature: Buffer): boolean {
  if (!key.algorithms.includes(algorithm)) return false;
  try {
    const reader = new Reader(signature);
    if (reader.ascii() !== algorithm) return false;
    const raw = reader.string();
    const signed = key.application === undefined ? data : signedByToken(key.application, data, reader);
    reader.end();
    return signed !== undefined && verifyOne(key, algorithm, signed, raw);
  } catch (error) {
    if (error instanceof SshError) return false;
    throw error;
  }
}

/** What a security token signs in place of `data`; undefined where nobody touched it. */
function signedByToken(application: Buffer, data: Buffer, reader: Reader): Buffer | undefined {
  const flagsAndCounter = reader.bytes(5);
  return (flagsAndCounter[0] as number) & USER_PRESENT
    ? Buffer.concat([sha256(application), flagsAndCounter, sha256(data)])
    : undefined;
}

function verifyOne({ type, key }: PublicKey, algorithm: string, data: Buffer, raw: Buffer): boolean {
  const curve = curveOf(type);
  if (curve !== undefined) return verifyRaw(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' }, coordinates(raw, curve.size));
  const hash = RSA_HASHES[algorithm];
  if (hash === undefined) return raw.length === ED25519_SIGNATURE_BYTES && verifyRaw(null, data, key, raw);
  // Some sign without the zeros that a signature may begin with.
  const length = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  return raw.length <= length && verifyRaw(hash, data, key, leftPad(raw, Math.ceil(length)));
}

/** `r` and `s` (RFC 5656, section 3.1.2) behind each other at their full lengths. */
function coordinates(raw: Buffer, size: number): Buffer {
  const reader = new Reader(raw);
  const both = Buffer.concat([leftPad(reader.mpint(), size), leftPad(reader.mpint(), size)]);
  reader.end();
  return both;
}

function leftPad(bytes: Buffer, length: number): Buffer {
  if (bytes.length > length) throw new SshError('a number of a signature is too long');
  return Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
}

/** Signs with `privateKey`: Ed25519, ECDSA over a NIST curve, RSA of 2,048 bits or more. @throws SshError for any other */
export function signerOf(privateKey: KeyObject): Signer {
  const blob = kept(publicBlob(createPublicKey(privateKey)));
  const { type, algorithms } = parsePublicKey(blob);
  const curve = curveOf(type);
  return {
    blob,
    algorithms,
    sign(algorithm, data) {
      if (!algorithms.includes(algorithm)) throw new SshError('a key is asked for a signature that it does not make');
      if (curve === undefined) return pair(algorithm, sign(RSA_HASHES[algorithm] ?? null, data, privateKey));
      const raw = sign(curve.hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return pair(algorithm, Buffer.concat([mpint(raw.subarray(0, curve.size)), mpint(raw.subarray(curve.size))]));
    },
  };
}

const pair = (algorithm: string, raw: Buffer): Buffer => Buffer.concat([string(algorithm), string(raw)]);

function publicBlob(key: KeyObject): Buffer {
  const jwk = ['ed25519', 'ec', 'rsa'].includes(key.asymmetricKeyType ?? '') ? key.export({ format: 'jwk' }) : {};
  if (jwk.kty === 'RSA') return Buffer.concat([string('ssh-rsa'), mpint(bytes(jwk.e)), mpint(bytes(jwk.n))]);
  if (jwk.crv === 'Ed25519') return Buffer.concat([string('ssh-ed25519'), string(bytes(jwk.x))]);
  const name = Object.keys(CURVES).find((curve) => CURVES[curve]?.name === jwk.crv);
  if (name === undefined) throw new SshError('a private key of a type that is not supported');
  const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)]);
  return Buffer.concat([string(`ecdsa-sha2-${name}`), string(name), string(point)]);
}

/** `SHA256:` and the digest in base64, as OpenSSH prints it. */
export const fingerprint = (blob: Buffer): string => `SHA256:${sha256(blob).toString('base64').replace(/=+$/, '')}`;

const curveOf = (type: string): Curve | undefined => CURVES[/^(?:sk-)?ecdsa-sha2-(\w+)/.exec(type)?.[1] ?? ''];
const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
const base64 = (data: Buffer): string => data.toString('base64url');
const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
