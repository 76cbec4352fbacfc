import { randomFillSync } from 'node:crypto';
import { type Opener, type Output, PLAIN, type Sealer } from './ciphers.ts';
import { SshError } from './error.ts';
import { free } from '../../lent.ts';

/** Bytes that a packet may announce before anybody has proved who they are (RFC 4253, section 6.1). */
export const MAX_PACKET_BEFORE_AUTHENTICATION = 35_000;
/** And afterwards, as OpenSSH has it: an exec request holds a whole command line. */
export const MAX_PACKET = 256 * 1024;

const LENGTH_BYTES = 4;
/** The length and the length of the padding. */
const PREFIX_BYTES = 5;
const MIN_PADDING = 4;
/** The shortest packet: the length of its padding, a message of one byte, the padding. */
const MIN_PACKET = 1 + 1 + MIN_PADDING;
/** Packets as long as those of data are put together here, one after the other: none is left when its bytes have been sealed. */
const FRAME = Buffer.allocUnsafeSlow(33 * 1024);
/** Made at once for padding: at least the longest. */
const RANDOM_BYTES = 256;
const SEQUENCES = 2 ** 32;
const NOTHING = Buffer.alloc(0);

/** What has gone one way under the keys of now. */
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

/** Messages → packets (RFC 4253, section 6). */
export class PacketWriter {
  #sealer: Sealer = PLAIN;
  #sequence = 0;
  #packets = 0;
  #bytes = 0;
  readonly #random = Buffer.alloc(RANDOM_BYTES);
  #randomAt = this.#random.length;

  get traffic(): Traffic {
    return { packets: this.#packets, bytes: this.#bytes };
  }

  /**
   * @param parts one message; copied once
   * @param output gets what to send for it, in order; it is gone when that returns
   */
  write(parts: readonly Buffer[], output: Output): void {
    let length = 0;
    for (const part of parts) length += part.length;
    const { block, uncounted } = this.#sealer;
    const over = (PREFIX_BYTES - uncounted + length + MIN_PADDING) % block;
    const padding = MIN_PADDING + (over === 0 ? 0 : block - over);
    const bytes = PREFIX_BYTES + length + padding;
    const frame = bytes > FRAME.length ? Buffer.allocUnsafeSlow(bytes) : FRAME.subarray(0, bytes);
    frame.writeUInt32BE(frame.length - LENGTH_BYTES);
    frame[LENGTH_BYTES] = padding;
    let at = PREFIX_BYTES;
    for (const part of parts) at += part.copy(frame, at);
    this.#pad(frame, at);
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) % SEQUENCES;
    this.#packets++;
    this.#bytes += frame.length;
    this.#sealer.seal(frame, sequence, output);
    if (bytes > FRAME.length) free(frame);
  }

  /** From the next packet on. @param restart whether packets are numbered from 0 again */
  rekey(sealer: Sealer, restart: boolean): void {
    this.#sealer = sealer;
    if (restart) this.#sequence = 0;
    this.#packets = 0;
    this.#bytes = 0;
  }

  #pad(frame: Buffer, from: number): void {
    const bytes = frame.length - from;
    if (this.#randomAt + bytes > this.#random.length) {
      randomFillSync(this.#random);
      this.#randomAt = 0;
    }
    this.#random.copy(frame, from, this.#randomAt, this.#randomAt + bytes);
    this.#randomAt += bytes;
  }
}

/** Packets → messages, from chunks cut anywhere. What straddles two chunks is copied once, nothing else is. */
export class PacketReader {
  /** The most that a packet may announce, in bytes. */
  maxBytes = MAX_PACKET_BEFORE_AUTHENTICATION;
  #opener: Opener = PLAIN;
  #sequence = 0;
  #packets = 0;
  #bytes = 0;
  #chunk: Buffer = NOTHING;
  #at = 0;
  /** Bytes of the packet at hand with its tag; 0 while its head is not there. */
  #total = 0;
  /** The packet at hand, or its head, where it straddles chunks. */
  #partial: Buffer = NOTHING;
  #filled = 0;
  /** What was opened last. */
  #opened: Buffer = NOTHING;

  get traffic(): Traffic {
    return { packets: this.#packets, bytes: this.#bytes };
  }

  /** The number of the packet that `next` returned last (RFC 4253, section 6.4). */
  get sequence(): number {
    return (this.#sequence + SEQUENCES - 1) % SEQUENCES;
  }

  /** Takes the next chunk, once `next` has returned undefined for the one before, which is not looked at any more. */
  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * @returns the next message, at least a byte long; undefined when more bytes are needed. Nothing here touches it again, but for
   * {@link free}
   * @throws SshError when what came is no packet, or forged
   */
  next(): Buffer | undefined {
    if (this.#total === 0) {
      const { headBytes } = this.#opener;
      if (!this.#gather(headBytes)) return undefined;
      this.#total = this.#totalOf(this.#opener.length(this.#gathered(headBytes)));
    }
    if (!this.#gather(this.#total)) return undefined;
    const packet = this.#gathered(this.#total);
    if (this.#filled === 0) this.#at += packet.length;
    this.#filled = 0;
    this.#total = 0;
    const message = this.#open(packet);
    free(this.#partial);
    this.#partial = NOTHING;
    return message;
  }

  /** Frees what `next` returned last. */
  free(): void {
    free(this.#opened);
    this.#opened = NOTHING;
  }

  /** From the next packet on. @param restart whether packets are numbered from 0 again */
  rekey(opener: Opener, restart: boolean): void {
    this.#opener = opener;
    if (restart) this.#sequence = 0;
    this.#packets = 0;
    this.#bytes = 0;
  }

  #totalOf(length: number): number {
    const { block, uncounted, tagBytes } = this.#opener;
    if (length < MIN_PACKET || length > this.maxBytes || (LENGTH_BYTES - uncounted + length) % block !== 0)
      throw new SshError('a packet of a length that cannot be');
    return LENGTH_BYTES + length + tagBytes;
  }

  #open(packet: Buffer): Buffer {
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) % SEQUENCES;
    this.#bytes += packet.length;
    this.#packets++;
    const opened = this.#opener.open(packet, sequence);
    this.#opened = opened;
    const padding = opened[0] as number;
    if (padding < MIN_PADDING || 1 + padding >= opened.length) throw new SshError('a packet with padding that cannot be');
    return opened.subarray(1, opened.length - padding);
  }

  /** Whether the next `bytes` are there. Where they are not, all that is there is kept for later. */
  #gather(bytes: number): boolean {
    if (this.#filled === 0 && this.#chunk.length - this.#at >= bytes) return true;
    if (this.#partial.length < bytes) {
      const larger = Buffer.allocUnsafeSlow(bytes);
      this.#partial.copy(larger, 0, 0, this.#filled);
      free(this.#partial);
      this.#partial = larger;
    }
    const copied = this.#chunk.copy(this.#partial, this.#filled, this.#at, this.#at + bytes - this.#filled);
    this.#at += copied;
    this.#filled += copied;
    return this.#filled >= bytes;
  }

  #gathered(bytes: number): Buffer {
    return this.#filled === 0 ? this.#chunk.subarray(this.#at, this.#at + bytes) : this.#partial.subarray(0, bytes);
  }
}
