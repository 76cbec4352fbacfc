import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';

const INFO = 'chaperone/segment/v2\0';
const KEY_BYTES = 32;
const TAG_BYTES = 16;
/** A block of AES: the salt of one record. */
const RECORD_SALT_BYTES = 16;
/** What makes the keys of one sealing. Random, so that a segment that is sealed anew with other records never meets its keys again. */
export const SALT_BYTES = 16;
/** A key is used for one message, so that its nonce need not differ. */
const NONCE = Buffer.alloc(12);

/** The keys of one sealed segment, and what is done with them. */
export class SegmentKeys {
  readonly #payload: Buffer;
  readonly #records: Buffer;

  constructor(key: DataKey, number: number, salt: Buffer) {
    const info = Buffer.alloc(INFO.length + key.session.length + 4);
    info.writeUInt32BE(number, info.write(INFO + key.session, 'latin1'));
    const keys = key.derive(salt, info, 2 * KEY_BYTES);
    this.#payload = keys.subarray(0, KEY_BYTES);
    this.#records = keys.subarray(KEY_BYTES);
  }

  /** The salts of so many records, one behind the other: the keystream of AES-256-CTR from zero on, a block for each. */
  salts(count: number): Buffer {
    const cipher = createCipheriv('aes-256-ctr', this.#records, Buffer.alloc(RECORD_SALT_BYTES));
    return cipher.update(Buffer.alloc(count * RECORD_SALT_BYTES));
  }

  /** AES-256-GCM, in the pieces that stand one behind the other: ciphertext and tag. */
  encrypt(plain: Buffer): [Buffer, Buffer] {
    const cipher = createCipheriv('aes-256-gcm', this.#payload, NONCE);
    const body = cipher.update(plain);
    cipher.final();
    return [body, cipher.getAuthTag()];
  }

  /** Throws EvidenceError PayloadAltered. */
  decrypt(sealed: Buffer): Buffer {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#payload, NONCE, { authTagLength: TAG_BYTES });
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      const plain = decipher.update(sealed.subarray(0, -TAG_BYTES));
      decipher.final();
      return plain;
    } catch (cause) {
      throw new EvidenceError('PayloadAltered', 'the payload cannot be decrypted', { cause });
    }
  }
}
