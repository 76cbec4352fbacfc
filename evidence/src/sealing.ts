import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { aes256Keystream, openAes256Gcm } from './primitives.ts';

const INFO = 'chaperone/segment/v2\0';
const KEY_BYTES = 32;
/** A block of AES: the salt of one record. */
export const RECORD_SALT_BYTES = 16;
/** What makes the keys of one sealing. Random, so that a segment that is sealed anew with other records never meets its keys again. */
export const SALT_BYTES = 16;
/** A key is used for one message, so that its nonce need not differ. */
export const NONCE = Buffer.alloc(12);

/** The keys of one sealed segment, and what is done with them. */
export class SegmentKeys {
  /** Of AES-256-GCM. */
  readonly payload: Buffer;
  readonly #records: Buffer;

  constructor(key: DataKey, number: number, salt: Buffer) {
    const info = Buffer.alloc(INFO.length + key.session.length + 4);
    info.writeUInt32BE(number, info.write(INFO + key.session, 0, 'latin1'));
    const keys = key.derive(salt, info, 2 * KEY_BYTES);
    this.payload = keys.subarray(0, KEY_BYTES);
    this.#records = keys.subarray(KEY_BYTES);
  }

  /** The salts of so many records, one behind the other: the keystream of AES-256-CTR from zero on, a block for each. */
  salts(count: number): Buffer {
    return aes256Keystream(this.#records, count * RECORD_SALT_BYTES);
  }

  /** Throws EvidenceError PayloadAltered. */
  decrypt(sealed: Buffer): Buffer {
    try {
      return openAes256Gcm(this.payload, NONCE, sealed);
    } catch (cause) {
      throw new EvidenceError('PayloadAltered', 'the payload cannot be decrypted', { cause });
    }
  }
}
