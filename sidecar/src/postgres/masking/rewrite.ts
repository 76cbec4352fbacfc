import { HEADER_BYTES, uint32At } from './frame.ts';

/** Room beyond what a read has, for the first values that grow. */
const SLACK_BYTES = 1024;
/** Up to this many bytes a loop is faster than a call of `copy`. */
const LOOP_BYTES = 32;

/** Copies `start` to `end` of `from` to `at`; a loop where little is copied. @returns Where it ends. */
export function copyBytes(from: Buffer, start: number, end: number, to: Buffer, at: number): number {
  if (end - start > LOOP_BYTES) return at + from.copy(to, at, start, end);
  let next = at;
  for (let place = start; place < end; place++) to[next++] = from[place] ?? 0;
  return next;
}

/**
 * Messages that lie one behind the other, of which some bytes become others. What stays is copied in as large pieces as it lies in,
 * nothing where nothing changes; the length of a message that changed is set right.
 *
 * By turns: `begin` a message, `cut` what is to be replaced, fill `out` from `at` on, `put`, and `finish` the message.
 */
export class Rewrite {
  readonly source: Buffer;
  #out: Buffer | undefined;
  /** Bytes of `#out` that are filled. */
  #filled = 0;
  /** Up to here the source is in `#out`. */
  #copied = 0;
  #start = 0;
  /** Where the length of the message stands in `#out`, once anything of it changed, and by how much it changed. */
  #lengthAt = -1;
  #grown = 0;

  constructor(source: Buffer) {
    this.source = source;
  }

  /** Where the next byte of what was cut for goes. */
  get at(): number {
    return this.#filled;
  }

  begin(start: number): void {
    this.#start = start;
    this.#lengthAt = -1;
    this.#grown = 0;
  }

  /** Copies what comes before `from`. @returns The buffer to fill from `at` on, with room for that many bytes. */
  cut(from: number, room: number): Buffer {
    if (this.#lengthAt < 0) this.#lengthAt = this.#filled + this.#start - this.#copied + 1;
    const copied = this.#copied;
    const out = this.#room(from - copied + room);
    this.#filled = copyBytes(this.source, copied, from, out, this.#filled);
    this.#copied = from;
    return out;
  }

  /** What was filled, up to `end`, stands for what the source holds from where it was cut to `to`. */
  put(end: number, to: number): void {
    this.#grown += end - this.#filled - (to - this.#copied);
    this.#filled = end;
    this.#copied = to;
  }

  finish(): void {
    if (this.#grown === 0 || this.#out === undefined) return;
    this.#out.writeUInt32BE(uint32At(this.source, this.#start + 1) + this.#grown, this.#lengthAt);
  }

  /** The source itself where nothing was cut. */
  result(): Buffer {
    if (this.#out === undefined) return this.source;
    const rest = this.source.length;
    const out = this.#room(rest - this.#copied);
    this.#filled = copyBytes(this.source, this.#copied, rest, out, this.#filled);
    this.#copied = rest;
    return out.subarray(0, this.#filled);
  }

  #room(bytes: number): Buffer {
    const needed = this.#filled + bytes;
    const out = this.#out;
    if (out !== undefined && needed <= out.length) return out;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.source.length + SLACK_BYTES, (out?.length ?? 0) * 2));
    out?.copy(larger, 0, 0, this.#filled);
    this.#out = larger;
    return larger;
  }
}

/** Where the message that begins at `start` ends; 0 where it is none of `type`, or does not end in `bytes`. */
export function messageEnd(bytes: Buffer, start: number, type: number): number {
  if (bytes.length - start < HEADER_BYTES || bytes[start] !== type) return 0;
  const end = start + 1 + uint32At(bytes, start + 1);
  return end < start + HEADER_BYTES || end > bytes.length ? 0 : end;
}
