import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * A spool file: magic 8 │ salt 16 │ frame…   A frame: u32 body length │ u32 CRC-32 (RFC 1952 §8) over length and body │ body
 *
 * The body is AES-256-GCM (ciphertext, tag 16) under a key of this file alone, HKDF-SHA256(spool key, salt); the nonce is the
 * frame's position, the file's name is authenticated with it. The CRC tells a write that a crash cut short from a file that
 * somebody changed. Files are never opened again for appending, so no nonce is used twice.
 */
const MAGIC = Buffer.from('CHSPOOL\x03', 'latin1');
export const SALT_BYTES = 16;
const PREAMBLE_BYTES = MAGIC.length + SALT_BYTES;
const FRAME_HEAD_BYTES = 8;
const TAG_BYTES = 16;
/** No frame is larger than one sealed segment, or than the largest record and some others. */
export const MAX_FRAME_BYTES = 1024 * 1024;

function fileKey(spoolKey: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', spoolKey, salt, 'chaperone/spool/v1', 32));
}

const NONCE_BYTES = 12;

/** Writes it into `nonce`, whose other bytes are 0. */
function nonceAt(position: number, nonce: Buffer = Buffer.alloc(NONCE_BYTES)): Buffer {
  nonce.writeUInt32BE(position, NONCE_BYTES - 4);
  return nonce;
}

/** Encodes the frames of one new file. */
export class FrameEncoder {
  readonly #salt: Buffer;
  readonly #key: Buffer;
  /** Authenticated with each frame: the file's name. */
  readonly #name: Uint8Array;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  #position = 0;

  constructor(spoolKey: Buffer, name: string, salt: Buffer) {
    this.#salt = salt;
    this.#key = fileKey(spoolKey, salt);
    // Of its own: a slice of Node's pool would keep all of the pool for as long as the file is open.
    this.#name = new TextEncoder().encode(name);
  }

  /** What a file begins with. Made when asked for: kept for a session it would keep a slab of the buffer pool. */
  get preamble(): Buffer {
    return Buffer.concat([MAGIC, this.#salt]);
  }

  /** One frame, in the pieces that are to be written one behind the other. */
  encode(plain: Buffer): Buffer[] {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceAt(this.#position++, this.#nonce));
    cipher.setAAD(this.#name);
    const body = cipher.update(plain);
    cipher.final();
    const tag = cipher.getAuthTag();
    const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
    head.writeUInt32BE(body.length + TAG_BYTES);
    head.writeUInt32BE(crc32(tag, crc32(body, crc32(head.subarray(0, 4)))), 4);
    return [head, body, tag];
  }
}

export interface DecodedFrames {
  /** In order; undefined stands for one that is there and cannot be read: damaged, or written under another key or name. */
  readonly frames: readonly (Buffer | undefined)[];
  /** whole: every byte is accounted for · torn: the file ends inside its last frame · foreign: this is not a spool file. */
  readonly end: 'whole' | 'torn' | 'foreign';
}

/** Decodes a file as far as its lengths lead. Never throws for bad bytes. */
export function decodeFrames(bytes: Buffer, spoolKey: Buffer, name: string): DecodedFrames {
  const frames: (Buffer | undefined)[] = [];
  if (bytes.length < PREAMBLE_BYTES) return { frames, end: 'torn' };
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { frames, end: 'foreign' };
  const key = fileKey(spoolKey, bytes.subarray(MAGIC.length, PREAMBLE_BYTES));
  for (let at = PREAMBLE_BYTES; at < bytes.length; ) {
    const body = frameAt(bytes, at);
    if (body === undefined) return { frames, end: 'torn' };
    // Each frame has a nonce of its own: one that is damaged says nothing of the next.
    frames.push(checksumHolds(bytes, at, body) ? decrypt(body, key, frames.length, name) : undefined);
    at += FRAME_HEAD_BYTES + body.length;
  }
  return { frames, end: 'whole' };
}

function frameAt(bytes: Buffer, at: number): Buffer | undefined {
  if (bytes.length - at < FRAME_HEAD_BYTES) return undefined;
  const length = bytes.readUInt32BE(at);
  if (length < TAG_BYTES || length > MAX_FRAME_BYTES || length > bytes.length - at - FRAME_HEAD_BYTES) return undefined;
  return bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
}

function checksumHolds(bytes: Buffer, at: number, body: Buffer): boolean {
  return crc32(body, crc32(bytes.subarray(at, at + 4))) === bytes.readUInt32BE(at + 4);
}

function decrypt(body: Buffer, key: Buffer, position: number, name: string): Buffer | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, nonceAt(position));
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(body.subarray(0, body.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}
