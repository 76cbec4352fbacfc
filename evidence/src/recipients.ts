import { constants, createPublicKey, hash, type KeyObject, publicEncrypt } from 'node:crypto';
import { type DataKey, DATA_KEY_BYTES, type KeyHolder, type Recipient } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts';

const WRAP_INFO = Buffer.from('chaperone/data-key/v1');
const X25519 = /^x25519:([A-Za-z0-9_-]{43})$/;
const RSA_OAEP = /^rsa-oaep:([A-Za-z0-9_-]{1,1000})$/;
/** Below 2048 bits nobody should trust one; above 4096 the wrapped key has no room. */
const RSA_BITS = { min: 2048, max: 4096 };
/** Of a recipient as configuration names one: `rsa-oaep:` and a key of 4096 bits have 743. */
export const MAX_RECIPIENT_CHARS = 1024;

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
      if (wrapped.length !== DATA_KEY_BYTES + HPKE_OVERHEAD_BYTES)
        throw new EvidenceError('KeyUnusable', 'the wrapped key has a wrong length');
      return hpkeOpen(privateKey, wrapped, contextOf(of));
    },
  };
}

function contextOf({ session, id }: Pick<DataKey, 'session' | 'id'>): { info: Buffer; aad: Buffer } {
  return { info: WRAP_INFO, aad: Buffer.from(`${session}\0${id}`) };
}
