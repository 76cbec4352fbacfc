import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHmac,
  type Decipheriv,
  type DecipherGCM,
  timingSafeEqual,
} from 'node:crypto';
import { DISCONNECT, SshError } from './error.ts';
import { free, kept } from '../../lent.ts';

/** Of each cipher: its name in OpenSSL and the bytes of its key. `aead` ones authenticate too and take no MAC. */
export const CIPHERS = {
  // RFC 5647 with the names and negotiation of OpenSSH (PROTOCOL, section 1.6).
  'aes128-gcm@openssh.com': { openssl: 'aes-128-gcm', keyBytes: 16, aead: true },
  'aes256-gcm@openssh.com': { openssl: 'aes-256-gcm', keyBytes: 32, aead: true },
  // RFC 4344, section 4.
  'aes128-ctr': { openssl: 'aes-128-ctr', keyBytes: 16, aead: false },
  'aes256-ctr': { openssl: 'aes-256-ctr', keyBytes: 32, aead: false },
} as const;
export type CipherName = keyof typeof CIPHERS;

/** Of each MAC: its hash and the bytes of key and tag. `etm` ones authenticate what was encrypted (OpenSSH's PROTOCOL, section 1.5). */
export const MACS = {
  'hmac-sha2-256-etm@openssh.com': { hash: 'sha256', bytes: 32, etm: true },
  'hmac-sha2-512-etm@openssh.com': { hash: 'sha512', bytes: 64, etm: true },
  // RFC 6668.
  'hmac-sha2-256': { hash: 'sha256', bytes: 32, etm: false },
  'hmac-sha2-512': { hash: 'sha512', bytes: 64, etm: false },
} as const;
export type MacName = keyof typeof MACS;

/** What protects one direction. A cipher that is an AEAD has no MAC. */
export interface Protection {
  readonly cipher: CipherName;
  readonly mac?: MacName;
}

/** The keys of one direction, of the lengths that `keyLengths` gives. */
export interface Keys {
  readonly iv: Buffer;
  readonly key: Buffer;
  readonly mac: Buffer;
}

/** How a packet is laid out. */
interface Layout {
  /** The part of a packet that is encrypted or counted is a multiple of this. */
  readonly block: number;
  /** Bytes at a packet's start that do not count towards that: its length, where it is not encrypted. */
  readonly uncounted: 0 | 4;
}

/** Takes bytes that are gone when it returns: who keeps them copies them. */
export type Output = (bytes: Buffer) => void;

/** Protects packets in the order that they are sent in. */
export interface Sealer extends Layout {
  /**
   * @param frame a packet of RFC 4253, section 6, from its length to its padding; the caller uses it again
   * @param output gets what is sent, in order; it is gone when that returns
   */
  seal(frame: Buffer, sequence: number, output: Output): void;
}

/** Opens packets in the order that they come in. */
export interface Opener extends Layout {
  /** Bytes at a packet's start that tell its length. */
  readonly headBytes: number;
  readonly tagBytes: number;
  /** The length that a packet's head says, unchecked. To be called once a packet, before `open`. */
  length(head: Buffer): number;
  /**
   * @param packet all of it, with its tag
   * @returns the packet behind its length field, nothing of `packet`
   * @throws SshError when it is not what the other side sealed
   */
  open(packet: Buffer, sequence: number): Buffer;
}

const LENGTH_BYTES = 4;
const AES_BLOCK = 16;
const GCM_IV_BYTES = 12;
const GCM_TAG_BYTES = 16;
const NOTHING = Buffer.alloc(0);

/** The bytes that `Keys` for it must have. */
export function keyLengths({ cipher, mac }: Protection): { iv: number; key: number; mac: number } {
  const { aead, keyBytes } = CIPHERS[cipher];
  return { iv: aead ? GCM_IV_BYTES : AES_BLOCK, key: keyBytes, mac: mac === undefined ? 0 : MACS[mac].bytes };
}

/** Before keys are there (RFC 4253, section 6). */
export const PLAIN: Sealer & Opener = {
  block: 8,
  uncounted: 0,
  headBytes: LENGTH_BYTES,
  tagBytes: 0,
  seal: (frame, _, output) => output(frame),
  length: (head) => head.readUInt32BE(),
  open: (packet) => Buffer.from(packet.subarray(LENGTH_BYTES)),
};

export function createSealer(protection: Protection, keys: Keys): Sealer {
  const { openssl } = CIPHERS[protection.cipher];
  if (protection.mac === undefined) return new GcmSealer(openssl as GcmName, keys);
  const stream = createCipheriv(openssl, keys.key, keys.iv);
  const { etm, hash } = MACS[protection.mac];
  return etm ? new EtmSealer(stream, hash, keys.mac) : new MacSealer(stream, hash, keys.mac);
}

export function createOpener(protection: Protection, keys: Keys): Opener {
  const { openssl } = CIPHERS[protection.cipher];
  if (protection.mac === undefined) return new GcmOpener(openssl as GcmName, keys);
  const stream = createDecipheriv(openssl, keys.key, keys.iv);
  const { etm, hash } = MACS[protection.mac];
  return etm ? new EtmOpener(stream, hash, keys.mac) : new MacOpener(stream, hash, keys.mac);
}

type GcmName = 'aes-128-gcm' | 'aes-256-gcm';

/** RFC 5647, section 7.1: 4 bytes that stay, then a counter of packets. */
class GcmNonce {
  readonly bytes: Buffer;

  constructor(iv: Buffer) {
    this.bytes = kept(iv);
  }

  next(): void {
    const low = (this.bytes.readUInt32BE(8) + 1) >>> 0;
    this.bytes.writeUInt32BE(low, 8);
    if (low === 0) this.bytes.writeUInt32BE((this.bytes.readUInt32BE(4) + 1) >>> 0, 4);
  }
}

class GcmSealer implements Sealer {
  readonly block = AES_BLOCK;
  readonly uncounted = LENGTH_BYTES;
  readonly #name: GcmName;
  readonly #key: Buffer;
  readonly #nonce: GcmNonce;

  constructor(name: GcmName, { key, iv }: Keys) {
    this.#name = name;
    this.#key = key;
    this.#nonce = new GcmNonce(iv);
  }

  seal(frame: Buffer, _: number, output: Output): void {
    const length = frame.subarray(0, LENGTH_BYTES);
    const cipher = createCipheriv(this.#name, this.#key, this.#nonce.bytes);
    cipher.setAAD(length);
    const sealed = cipher.update(frame.subarray(LENGTH_BYTES));
    cipher.final();
    this.#nonce.next();
    output(length);
    output(sealed);
    output(cipher.getAuthTag());
    free(sealed);
  }
}

class GcmOpener implements Opener {
  readonly block = AES_BLOCK;
  readonly uncounted = LENGTH_BYTES;
  readonly headBytes = LENGTH_BYTES;
  readonly tagBytes = GCM_TAG_BYTES;
  readonly #name: GcmName;
  readonly #key: Buffer;
  readonly #nonce: GcmNonce;

  constructor(name: GcmName, { key, iv }: Keys) {
    this.#name = name;
    this.#key = key;
    this.#nonce = new GcmNonce(iv);
  }

  length(head: Buffer): number {
    return head.readUInt32BE();
  }

  open(packet: Buffer): Buffer {
    const tag = packet.length - GCM_TAG_BYTES;
    const decipher = createDecipheriv(this.#name, this.#key, this.#nonce.bytes, { authTagLength: GCM_TAG_BYTES });
    decipher.setAAD(packet.subarray(0, LENGTH_BYTES));
    decipher.setAuthTag(packet.subarray(tag));
    const opened = decipher.update(packet.subarray(LENGTH_BYTES, tag));
    verified(decipher);
    this.#nonce.next();
    return opened;
  }
}

function verified(decipher: DecipherGCM): void {
  try {
    decipher.final();
  } catch {
    throw forged();
  }
}

class EtmSealer implements Sealer {
  readonly block = AES_BLOCK;
  readonly uncounted = LENGTH_BYTES;
  readonly #stream: Cipheriv;
  readonly #mac: Mac;

  constructor(stream: Cipheriv, hash: string, key: Buffer) {
    this.#stream = stream;
    this.#mac = new Mac(hash, key);
  }

  seal(frame: Buffer, sequence: number, output: Output): void {
    const length = frame.subarray(0, LENGTH_BYTES);
    const sealed = this.#stream.update(frame.subarray(LENGTH_BYTES));
    output(length);
    output(sealed);
    output(this.#mac.of(sequence, length, sealed));
    free(sealed);
  }
}

class EtmOpener implements Opener {
  readonly block = AES_BLOCK;
  readonly uncounted = LENGTH_BYTES;
  readonly headBytes = LENGTH_BYTES;
  readonly tagBytes: number;
  readonly #stream: Decipheriv;
  readonly #mac: Mac;

  constructor(stream: Decipheriv, hash: string, key: Buffer) {
    this.#stream = stream;
    this.#mac = new Mac(hash, key);
    this.tagBytes = key.length;
  }

  length(head: Buffer): number {
    return head.readUInt32BE();
  }

  open(packet: Buffer, sequence: number): Buffer {
    const tag = packet.length - this.tagBytes;
    this.#mac.check(packet.subarray(tag), sequence, packet.subarray(0, tag));
    return this.#stream.update(packet.subarray(LENGTH_BYTES, tag));
  }
}

/** RFC 4253, section 6.4: the MAC is of what was not encrypted yet, and the length is encrypted too. */
class MacSealer implements Sealer {
  readonly block = AES_BLOCK;
  readonly uncounted = 0;
  readonly #stream: Cipheriv;
  readonly #mac: Mac;

  constructor(stream: Cipheriv, hash: string, key: Buffer) {
    this.#stream = stream;
    this.#mac = new Mac(hash, key);
  }

  seal(frame: Buffer, sequence: number, output: Output): void {
    const sealed = this.#stream.update(frame);
    output(sealed);
    output(this.#mac.of(sequence, frame));
    free(sealed);
  }
}

class MacOpener implements Opener {
  readonly block = AES_BLOCK;
  readonly uncounted = 0;
  readonly headBytes = AES_BLOCK;
  readonly tagBytes: number;
  readonly #stream: Decipheriv;
  readonly #mac: Mac;
  /** The head of the packet that is coming in, opened to learn its length. */
  #head = NOTHING;

  constructor(stream: Decipheriv, hash: string, key: Buffer) {
    this.#stream = stream;
    this.#mac = new Mac(hash, key);
    this.tagBytes = key.length;
  }

  length(head: Buffer): number {
    this.#head = this.#stream.update(head);
    return this.#head.readUInt32BE();
  }

  open(packet: Buffer, sequence: number): Buffer {
    const tag = packet.length - this.tagBytes;
    const opened = Buffer.concat([this.#head, this.#stream.update(packet.subarray(this.headBytes, tag))]);
    this.#mac.check(packet.subarray(tag), sequence, opened);
    return opened.subarray(LENGTH_BYTES);
  }
}

class Mac {
  readonly #hash: string;
  readonly #key: Buffer;
  readonly #sequence = Buffer.alloc(4);

  constructor(hash: string, key: Buffer) {
    this.#hash = hash;
    this.#key = key;
  }

  of(sequence: number, ...parts: readonly Buffer[]): Buffer {
    this.#sequence.writeUInt32BE(sequence);
    const hmac = createHmac(this.#hash, this.#key).update(this.#sequence);
    for (const part of parts) hmac.update(part);
    return hmac.digest();
  }

  check(tag: Buffer, sequence: number, bytes: Buffer): void {
    if (!timingSafeEqual(this.of(sequence, bytes), tag)) throw forged();
  }
}

const forged = (): SshError => new SshError('a packet is not what the other side sealed', DISCONNECT.macError);
