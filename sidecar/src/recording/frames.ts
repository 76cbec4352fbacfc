import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * A spool file: magic 8 │ salt 16 │ frame…   A frame: u32 body length │ u32 CRC-32 over length and body │ body
 *
 * The body is AES-256-GCM (ciphertext, tag 16) under a key of this file alone, HKDF-SHA256(spool key, salt); the nonce is the
 * frame's position, the file's name is authenticated with it. The CRC tells a write that a crash cut short from a file that
 * somebody changed. Files are never opened again for appending, so no nonce is used twice.
 */
const MAGIC = Buffer.from('CHSPOOL\x02', 'latin1');
export const SALT_BYTES = 16;
const PREAMBLE_BYTES = MAGIC.length + SALT_BYTES;
const FRAME_HEAD_BYTES = 8;
const TAG_BYTES = 16;
/** No frame is larger than one sealed segment. */
const MAX_FRAME_BYTES = 1024 * 1024;

function fileKey(spoolKey: Buffer, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', spoolKey, salt, 'chaperone/spool/v1', 32));
}

function nonceAt(position: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(position, 8);
  return nonce;
}

/** Encodes the frames of one new file. `name` is SESSION/FILE. */
export class FrameEncoder {
  readonly #salt: Buffer;
  readonly #key: Buffer;
  /** Authenticated with each frame: the file's name. */
  readonly #name: Uint8Array;
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

  encode(plain: Buffer): Buffer {
    const nonce = nonceAt(this.#position++);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(this.#name);
    const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + plain.length + TAG_BYTES);
    frame.writeUInt32BE(plain.length + TAG_BYTES);
    cipher.update(plain).copy(frame, FRAME_HEAD_BYTES);
    cipher.final();
    cipher.getAuthTag().copy(frame, FRAME_HEAD_BYTES + plain.length);
    frame.writeUInt32BE(checksum(frame.subarray(0, 4), frame.subarray(FRAME_HEAD_BYTES)), 4);
    return frame;
  }
}

/** CRC-32 (RFC 1952 §8) of a frame's length and body. */
function checksum(length: Buffer, body: Buffer): number {
  return crc32(body, crc32(length));
}

export interface DecodedFrames {
  readonly frames: readonly Buffer[];
  /**
   * whole: every byte is accounted for · torn: the file ends inside its last frame · corrupt: a whole frame does not match its
   * checksum · foreign: not a spool file, or not one of this key and name.
   */
  readonly end: 'whole' | 'torn' | 'corrupt' | 'foreign';
  /** Frames from the first bad one on that must have been there. */
  readonly lost: number;
}

/** Decodes a file up to its first bad frame. Never throws for bad bytes. */
export function decodeFrames(bytes: Buffer, spoolKey: Buffer, name: string): DecodedFrames {
  const frames: Buffer[] = [];
  const stop = (end: DecodedFrames['end'], lost = 0): DecodedFrames => ({ frames, end, lost });
  if (bytes.length < PREAMBLE_BYTES) return stop('torn');
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return stop('foreign');
  const key = fileKey(spoolKey, bytes.subarray(MAGIC.length, PREAMBLE_BYTES));
  for (let at = PREAMBLE_BYTES; at < bytes.length; ) {
    const body = frameAt(bytes, at);
    if (body === undefined) return stop('torn');
    if (!checksumHolds(bytes, at, body)) return stop('corrupt', countFrames(bytes, at));
    const plain = decrypt(body, key, frames.length, name);
    if (plain === undefined) return stop('foreign', countFrames(bytes, at));
    frames.push(plain);
    at += FRAME_HEAD_BYTES + body.length;
  }
  return stop('whole');
}

function frameAt(bytes: Buffer, at: number): Buffer | undefined {
  if (bytes.length - at < FRAME_HEAD_BYTES) return undefined;
  const length = bytes.readUInt32BE(at);
  if (length < TAG_BYTES || length > MAX_FRAME_BYTES || length > bytes.length - at - FRAME_HEAD_BYTES) return undefined;
  return bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
}

function checksumHolds(bytes: Buffer, at: number, body: Buffer): boolean {
  return checksum(bytes.subarray(at, at + 4), body) === bytes.readUInt32BE(at + 4);
}

function countFrames(bytes: Buffer, from: number): number {
  let count = 0;
  for (let at = from; at < bytes.length; count++) {
    const body = frameAt(bytes, at);
    if (body === undefined) break;
    at += FRAME_HEAD_BYTES + body.length;
  }
  return Math.max(1, count);
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
