import { createPrivateKey, type JsonWebKeyInput, type KeyObject } from 'node:crypto';
import { Reader } from './data.ts';
import { SshError } from './error.ts';
import { parsePublicKey, type Signer, signerOf, verify } from './keys.ts';

/** Why a private key cannot be used; the message never holds any of it. */
export class PrivateKeyError extends Error {
  override readonly name = 'PrivateKeyError';
  readonly code: 'encrypted' | 'malformed' | 'unsupported';

  constructor(code: PrivateKeyError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

const PROBE = Buffer.from('probe');
/** Characters of a key's text; one of 16,384 bits has 13,000. */
const MAX_TEXT = 32 * 1024;
const OPENSSH = /^-----BEGIN OPENSSH PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END OPENSSH PRIVATE KEY-----$/;
const ENCRYPTED_PEM = /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;

/**
 * Reads a private key without passphrase: OpenSSH's own format (PROTOCOL.key), PKCS#8, or the older PEM of RSA and EC keys.
 * @throws PrivateKeyError
 */
export function parsePrivateKey(text: string): Signer {
  if (text.length > MAX_TEXT) throw malformed();
  if (ENCRYPTED_PEM.test(text)) throw encrypted();
  const own = OPENSSH.exec(text.trim())?.[1];
  try {
    return own === undefined ? usable(createPrivateKey(text)) : parseOpenssh(Buffer.from(own, 'base64'));
  } catch (error) {
    // What the reader of a PEM says may quote it.
    throw error instanceof PrivateKeyError ? error : malformed();
  }
}

/** The signer of a key whose halves belong together. */
function usable(key: KeyObject): Signer {
  const signer = signerFor(key);
  const algorithm = signer.algorithms[0] as string;
  if (!verify(parsePublicKey(signer.blob), algorithm, PROBE, signer.sign(algorithm, PROBE))) throw malformed();
  return signer;
}

function signerFor(key: KeyObject): Signer {
  try {
    return signerOf(key);
  } catch (error) {
    if (!(error instanceof SshError)) throw error;
    throw new PrivateKeyError('unsupported', `the private key cannot be used: it is ${error.message}`);
  }
}

function parseOpenssh(bytes: Buffer): Signer {
  const reader = new Reader(bytes);
  if (reader.bytes(15).toString('latin1') !== 'openssh-key-v1\0') throw malformed();
  const cipher = reader.ascii();
  if (cipher !== 'none') throw encrypted();
  reader.string();
  reader.string();
  if (reader.uint32() !== 1) throw new PrivateKeyError('unsupported', 'the file holds more than one private key');
  const blob = reader.string();
  const secret = new Reader(reader.string());
  reader.end();
  if (secret.uint32() !== secret.uint32()) throw malformed();
  const signer = usable(readSecret(secret));
  secret.string();
  for (let pad = 1; secret.left > 0; pad++) if (secret.byte() !== pad) throw malformed();
  if (!signer.blob.equals(blob)) throw malformed();
  return signer;
}

function readSecret(reader: Reader): KeyObject {
  const type = reader.ascii();
  if (type === 'ssh-ed25519') {
    const x = reader.string();
    return privateKey({ kty: 'OKP', crv: 'Ed25519', x: base64(x), d: base64(reader.string().subarray(0, 32)) });
  }
  if (type === 'ssh-rsa') return readRsa(reader);
  const size = { 'ecdsa-sha2-nistp256': 32, 'ecdsa-sha2-nistp384': 48, 'ecdsa-sha2-nistp521': 66 }[type];
  if (size === undefined)
    throw new PrivateKeyError('unsupported', 'the private key is of a type that cannot sign here; use Ed25519, ECDSA or RSA');
  const crv = `P-${reader.ascii().slice('nistp'.length)}`;
  const point = reader.string();
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)];
  return privateKey({ kty: 'EC', crv, x: base64(x), y: base64(y), d: base64(leftPad(reader.mpint(), size)) });
}

function readRsa(reader: Reader): KeyObject {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => reader.mpint()) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  if (n.length > 2_048 || [d, qi, p, q].some((part) => part.length === 0 || part.length > n.length)) throw malformed();
  const [dp, dq] = [p, q].map((prime) => {
    const below = number(prime) - 1n;
    if (below < 1n) throw malformed();
    return bytesOf(number(d) % below);
  }) as [Buffer, Buffer];
  const parts = { n, e, d, p, q, dp, dq, qi };
  return privateKey({ kty: 'RSA', ...Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, base64(part)])) });
}

const privateKey = (key: JsonWebKeyInput['key']): KeyObject => createPrivateKey({ key, format: 'jwk' });
const base64 = (bytes: Buffer): string => bytes.toString('base64url');
const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);

function bytesOf(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
}

function leftPad(bytes: Buffer, length: number): Buffer {
  if (bytes.length > length) throw malformed();
  return Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
}

const encrypted = (): PrivateKeyError =>
  new PrivateKeyError('encrypted', 'the private key is encrypted; store it without a passphrase (ssh-keygen -p)');
const malformed = (): PrivateKeyError => new PrivateKeyError('malformed', 'the text is no private key');
