import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import { hkdfSha256, randomBytes } from './primitives.ts';

export const DATA_KEY_BYTES = 32;
const NO_SALT = new Uint8Array();
const ID_INFO = 'chaperone/data-key-id/v1\0';
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
    if (secret.length !== DATA_KEY_BYTES) throw new EvidenceError('MalformedKey', 'a data key has 32 bytes');
    this.session = session;
    // Not of the pool, whose 64 KiB it would keep for as long as its session lives.
    this.#secret = Buffer.allocUnsafeSlow(DATA_KEY_BYTES);
    this.#secret.set(secret);
    this.id = hkdfSha256(this.#secret, NO_SALT, Buffer.from(ID_INFO + session), DATA_KEY_BYTES).toString('hex');
  }

  static random(session: string, random: (bytes: number) => Buffer = randomBytes): DataKey {
    return new DataKey(session, random(DATA_KEY_BYTES));
  }

  /** The key itself, to be wrapped or kept where nobody else reads. */
  get secret(): Buffer {
    return Buffer.from(this.#secret);
  }

  /** HKDF-SHA-256 of the key. */
  derive(salt: Uint8Array, info: Uint8Array, length: number): Buffer {
    return hkdfSha256(this.#secret, salt, info, length);
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
      const key = secret.length === DATA_KEY_BYTES ? new DataKey(wrapped.session, secret) : undefined;
      if (key?.id === wrapped.id) return key;
      throw new EvidenceError('KeyUnusable', 'what was wrapped is another key');
    }
  throw new EvidenceError('KeyUnusable', 'the key was not wrapped to anybody here');
}
