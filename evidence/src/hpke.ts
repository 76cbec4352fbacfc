import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { EvidenceError } from './errors.ts';

/*
 * HPKE (RFC 9180) in base mode, one message for one key: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. What comes out is the
 * encapsulated key, 32 bytes, and the ciphertext with its tag.
 */
const KEM_SUITE = Buffer.from('KEM\x00\x20', 'latin1');
const SUITE = Buffer.from('HPKE\x00\x20\x00\x01\x00', 'latin1');
const MODE_BASE = Buffer.of(0);
const VERSION = Buffer.from('HPKE-v1');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const NONE = Buffer.alloc(0);
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What sealing adds to a message. */
export const HPKE_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES;

/** RFC 9180 §7.3. */
interface Aead {
  readonly id: number;
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm';
  readonly keyBytes: number;
}
/** What the RFC prints examples of. */
export const AES_128_GCM: Aead = { id: 1, cipher: 'aes-128-gcm', keyBytes: 16 };
const AES_256_GCM: Aead = { id: 2, cipher: 'aes-256-gcm', keyBytes: 32 };

/** What both sides have to know: `info` of the purpose, `aad` of this message. */
export interface HpkeContext {
  readonly info: Buffer;
  readonly aad: Buffer;
  /** Default: AES-256-GCM. */
  readonly aead?: Aead;
}

/** The public half (32 bytes) of a private key of X25519. Throws EvidenceError MalformedKey for another length. */
export function x25519PublicKey(privateKey: Uint8Array): Buffer {
  return rawOf(createPublicKey(privateOf(privateKey)));
}

/** Throws EvidenceError MalformedKey where the public key is none. `random` gives the private half of the ephemeral key. */
export function hpkeSeal(
  publicKey: Uint8Array,
  message: Uint8Array,
  context: HpkeContext,
  random: (bytes: number) => Buffer = randomBytes,
): Buffer {
  const ephemeral = privateOf(random(KEY_BYTES));
  const encapsulated = rawOf(createPublicKey(ephemeral));
  const { key, nonce, aead } = schedule(sharedSecret(ephemeral, publicKey, encapsulated, publicKey), context);
  const cipher = createCipheriv(aead.cipher, key, nonce);
  cipher.setAAD(context.aad);
  return Buffer.concat([encapsulated, cipher.update(message), cipher.final(), cipher.getAuthTag()]);
}

/** Throws EvidenceError KeyUnusable where this key does not open it. */
export function hpkeOpen(privateKey: Uint8Array, sealed: Buffer, context: HpkeContext): Buffer {
  try {
    const encapsulated = sealed.subarray(0, KEY_BYTES);
    const secret = sharedSecret(privateOf(privateKey), encapsulated, encapsulated, x25519PublicKey(privateKey));
    const { key, nonce, aead } = schedule(secret, context);
    const decipher = createDecipheriv(aead.cipher, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(context.aad);
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(KEY_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new EvidenceError('KeyUnusable', 'this key does not open what was sealed', { cause });
  }
}

/** RFC 9180 §4.1, Encap and Decap from the exchange on. */
function sharedSecret(own: KeyObject, other: Uint8Array, encapsulated: Uint8Array, recipient: Uint8Array): Buffer {
  const prk = labeledExtract(KEM_SUITE, NONE, 'eae_prk', exchange(own, other));
  return labeledExpand(KEM_SUITE, prk, 'shared_secret', Buffer.concat([encapsulated, recipient]), KEY_BYTES);
}

function exchange(privateKey: KeyObject, other: Uint8Array): Buffer {
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, other]), format: 'der', type: 'spki' });
    // It refuses points whose product is zero (RFC 7748 §6.1), as RFC 9180 §7.1.4 demands.
    return diffieHellman({ privateKey, publicKey });
  } catch (cause) {
    throw new EvidenceError('MalformedKey', 'this is not a public key of X25519', { cause });
  }
}

/** RFC 9180 §5.1, for the first message. */
function schedule(
  secret: Buffer,
  { info, aead = AES_256_GCM }: HpkeContext,
): { readonly key: Buffer; readonly nonce: Buffer; readonly aead: Aead } {
  const suite = Buffer.concat([SUITE, Buffer.of(aead.id)]);
  const context = Buffer.concat([
    MODE_BASE,
    labeledExtract(suite, NONE, 'psk_id_hash', NONE),
    labeledExtract(suite, NONE, 'info_hash', info),
  ]);
  const prk = labeledExtract(suite, secret, 'secret', NONE);
  return {
    key: labeledExpand(suite, prk, 'key', context, aead.keyBytes),
    nonce: labeledExpand(suite, prk, 'base_nonce', context, NONCE_BYTES),
    aead,
  };
}

/** RFC 9180 §4. */
function labeledExtract(suite: Buffer, salt: Buffer, label: string, material: Buffer): Buffer {
  return hmac(salt, VERSION, suite, Buffer.from(label), material);
}

/** RFC 9180 §4; one block of HKDF-Expand, so at most 32 bytes. */
function labeledExpand(suite: Buffer, prk: Buffer, label: string, info: Buffer, length: number): Buffer {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(length);
  return hmac(prk, size, VERSION, suite, Buffer.from(label), info, Buffer.of(1)).subarray(0, length);
}

function hmac(key: Buffer, ...parts: readonly Buffer[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

function privateOf(bytes: Uint8Array): KeyObject {
  if (bytes.length !== KEY_BYTES) throw new EvidenceError('MalformedKey', 'a private key of X25519 has 32 bytes');
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, bytes]), format: 'der', type: 'pkcs8' });
}

function rawOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
}
