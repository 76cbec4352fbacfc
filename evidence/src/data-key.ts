import { hkdfSync, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { HPKE_OVERHEAD_BYTES, hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts';
import { SESSION_ID } from './ids.ts';

const KEY_BYTES = 32;
const ID_INFO = 'chaperone/data-key-id/v1\0';
const WRAP_INFO = Buffer.from('chaperone/data-key/v1');
const X25519 = /^x25519:([A-Za-z0-9_-]{43})$/;
/** Wrapped once for each, in every parcel. */
export const MAX_RECIPIENTS = 8;

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

/** A recipient as configuration names one: `x25519:` and the public key in base64url. Throws EvidenceError MalformedKey. */
export function parseRecipient(name: string): Recipient {
  const encoded = X25519.exec(name)?.[1];
  if (encoded === undefined) throw new EvidenceError('MalformedKey', 'this is not the name of a recipient');
  const publicKey = Buffer.from(encoded, 'base64url');
  return { name, wrap: (key) => hpkeSeal(publicKey, key.secret, contextOf(key)) };
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

/** The key that one of the holders unwraps and that is the one of this id; rejects with EvidenceError KeyUnusable where none does. */
export async function unwrapKey(wrapped: WrappedKey, holders: readonly KeyHolder[]): Promise<DataKey> {
  for (const holder of holders)
    for (const { recipient, key: sealed } of wrapped.to) {
      if (recipient !== holder.name) continue;
      const key = new DataKey(wrapped.session, await holder.unwrap(Buffer.from(sealed, 'base64url'), wrapped));
      if (key.id === wrapped.id) return key;
      throw new EvidenceError('KeyUnusable', 'what was wrapped is another key');
    }
  throw new EvidenceError('KeyUnusable', 'the key was not wrapped to anybody here');
}
