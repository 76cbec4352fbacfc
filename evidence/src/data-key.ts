import { constants, createPublicKey, hash, hkdfSync, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts';
import { SESSION_ID } from './ids.ts';

const KEY_BYTES = 32;
const ID_INFO = 'chaperone/data-key-id/v1\0';
const WRAP_INFO = Buffer.from('chaperone/data-key/v1');
const X25519 = /^x25519:([A-Za-z0-9_-]{43})$/;
const RSA_OAEP = /^rsa-oaep:([A-Za-z0-9_-]{1,1000})$/;
/** Below 2048 bits nobody should trust one; above 4096 the wrapped key has no room. */
const RSA_BITS = { min: 2048, max: 4096 };
/** Wrapped once for each, in every parcel. */
export const MAX_RECIPIENTS = 8;
/** Of a recipient as configuration names one: `rsa-oaep:` and a key of 4096 bits have 743. */
export const MAX_RECIPIENT_CHARS = 1024;

/** The secret under which one session's payloads are sealed. Whoever has it reads them; without it nobody does. */
export class DataKey {
  readonly session: string;
  /** Commits to the key and reveals nothing of it (hex). Stands in every segment's header. */
  readonly id: string;
  readonly #secret: Buffer;

  /** Throws EvidenceError MalformedKey for another length than 32 bytes. */
  constructor(session: string, secret: Uint8Array) {
    if (secret.length !== KEY_BYTES) throw new EvidenceError('MalformedKey', 'a data key has 32 bytes');
    this.session = session;
    // Not of the pool, whose 64 KiB it would keep for as long as its session lives.
    this.#secret = Buffer.allocUnsafeSlow(KEY_BYTES);
    this.#secret.set(secret);
    this.id = Buffer.from(hkdfSync('sha256', this.#secret, '', ID_INFO + session, KEY_BYTES)).toString('hex');
  }

  static random(session: string, random: (bytes: number) => Buffer = randomBytes): DataKey {
    return new DataKey(session, random(KEY_BYTES));
  }

  /** The key itself, to be wrapped or kept where nobody else reads. */
  get secret(): Buffer {
    return Buffer.from(this.#secret);
  }

  /** HKDF-SHA-256 of the key. */
  derive(salt: Uint8Array, info: Uint8Array, length: number): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#secret, salt, info, length));
  }
}

/** To whom data keys are wrapped. `name` says who that is. */
export interface Recipient {
  readonly name: string;
  wrap(key: DataKey): Buffer;
}

/** Who unwraps what was wrapped to the recipient `name`: a key at hand, or a service that holds one. */
export interface KeyHolder {
  readonly name: string;
  /** The 32 bytes; rejects with EvidenceError KeyUnusable. */
  unwrap(wrapped: Buffer, of: Pick<DataKey, 'session' | 'id'>): Promise<Buffer>;
}

/** A session's data key as it is stored and sent: once for each recipient. Nothing that is signed covers it, so that it can be destroyed. */
export const WrappedKey = z.strictObject({
  session: z.string().regex(SESSION_ID),
  id: z.string().regex(/^[0-9a-f]{64}$/),
  to: z
    .array(z.strictObject({ recipient: z.string().min(1).max(128), key: z.base64url().min(1).max(1024) }))
    .min(1)
    .max(MAX_RECIPIENTS),
});
export type WrappedKey = z.infer<typeof WrappedKey>;

/**
 * A recipient as configuration names one: `x25519:` and the public key, or `rsa-oaep:` and the public key as SubjectPublicKeyInfo (DER), both in
 * base64url. The second is for services that hold keys and let nobody have them: their holders unwrap by RSAES-OAEP with SHA-256 (RFC 8017).
 * Throws EvidenceError MalformedKey.
 */
export function parseRecipient(name: string): Recipient {
  if (name.startsWith('rsa-oaep:')) return rsaRecipient(name);
  const encoded = X25519.exec(name)?.[1];
  if (encoded === undefined) throw new EvidenceError('MalformedKey', 'this is not the name of a recipient');
  const publicKey = Buffer.from(encoded, 'base64url');
  return { name, wrap: (key) => hpkeSeal(publicKey, key.secret, contextOf(key)) };
}

function rsaRecipient(configured: string): Recipient {
  const key = rsaKeyOf(Buffer.from(RSA_OAEP.exec(configured)?.[1] ?? '', 'base64url'));
  const padding = { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  // No label: services take none. That it is the key of this session its id says, which commits to both.
  return { name: rsaNameOf(key), wrap: ({ secret }) => publicEncrypt(padding, secret) };
}

function rsaKeyOf(der: Buffer): KeyObject {
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === 'rsa' && modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max) return key;
  } catch (cause) {
    throw new EvidenceError('MalformedKey', 'this is not a public key of RSA', { cause });
  }
  throw new EvidenceError('MalformedKey', `this is not a key of RSA of ${RSA_BITS.min} to ${RSA_BITS.max} bits`);
}

/** What wrapped keys call a key of RSA: `rsa-oaep:` and the SHA-256 of its SubjectPublicKeyInfo, in base64url. */
function rsaNameOf(key: KeyObject): string {
  return `rsa-oaep:${hash('sha256', key.export({ format: 'der', type: 'spki' }), 'base64url')}`;
}

/** A public key (PEM) as configuration names it, and as wrapped keys do. Throws EvidenceError MalformedKey. */
export function rsaRecipientOf(pem: string): { readonly configured: string; readonly name: string } {
  let der: Buffer;
  try {
    der = createPublicKey(pem).export({ format: 'der', type: 'spki' });
  } catch (cause) {
    throw new EvidenceError('MalformedKey', 'this is not a public key of RSA', { cause });
  }
  return { configured: `rsa-oaep:${der.toString('base64url')}`, name: rsaNameOf(rsaKeyOf(der)) };
}

/** Who holds a private key of X25519, 32 bytes. Throws EvidenceError MalformedKey for another length. */
export function x25519Holder(privateKey: Buffer): KeyHolder {
  const name = `x25519:${x25519PublicKey(privateKey).toString('base64url')}`;
  return {
    name,
    // Declared async so that a throw is a rejection, as the interface says.
    async unwrap(wrapped, of) {
      if (wrapped.length !== KEY_BYTES + HPKE_OVERHEAD_BYTES)
        throw new EvidenceError('KeyUnusable', 'the wrapped key has a wrong length');
      return hpkeOpen(privateKey, wrapped, contextOf(of));
    },
  };
}

function contextOf({ session, id }: Pick<DataKey, 'session' | 'id'>): { info: Buffer; aad: Buffer } {
  return { info: WRAP_INFO, aad: Buffer.from(`${session}\0${id}`) };
}

/** The key for these recipients, at least one. */
export function wrapKey(key: DataKey, recipients: readonly Recipient[]): WrappedKey {
  const to = recipients.map((recipient) => ({ recipient: recipient.name, key: recipient.wrap(key).toString('base64url') }));
  return WrappedKey.parse({ session: key.session, id: key.id, to });
}

/** The largest wrapped key: 8 recipients of RSA with 4096 bits each. */
export const MAX_WRAPPED_BYTES = 8192;

/** A wrapped key as a parcel and a file have it. Throws EvidenceError MalformedKey, LimitExceeded. */
export function parseWrappedKey(bytes: Buffer): WrappedKey {
  if (bytes.length > MAX_WRAPPED_BYTES) throw new EvidenceError('LimitExceeded', 'the wrapped key is too large');
  try {
    return WrappedKey.parse(JSON.parse(bytes.toString()));
  } catch (cause) {
    throw new EvidenceError('MalformedKey', 'the wrapped key cannot be read', { cause });
  }
}

/** The key that one of the holders unwraps and that is the one of this id; rejects with EvidenceError KeyUnusable where none does. */
export async function unwrapKey(wrapped: WrappedKey, holders: readonly KeyHolder[]): Promise<DataKey> {
  for (const holder of holders)
    for (const { recipient, key: sealed } of wrapped.to) {
      if (recipient !== holder.name) continue;
      const secret = await holder.unwrap(Buffer.from(sealed, 'base64url'), wrapped);
      // What was wrapped to a public key may be anything.
      const key = secret.length === KEY_BYTES ? new DataKey(wrapped.session, secret) : undefined;
      if (key?.id === wrapped.id) return key;
      throw new EvidenceError('KeyUnusable', 'what was wrapped is another key');
    }
  throw new EvidenceError('KeyUnusable', 'the key was not wrapped to anybody here');
}
