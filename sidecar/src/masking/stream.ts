import type { Detector } from '@chaperone/api';
import { CLASS, DASH, DIGIT, DOT, PAREN_OPEN, PLUS, SPACE, URL_SAFE } from './bytes.ts';
import { detect, detectorBits, type DetectorBits, type Span } from './detectors.ts';
import { type Mask, maskBytes, REDACTED } from './strategies.ts';

/** So much text in which nothing ends what may be a value is held back, bytes; then what is certain by then is let go. */
const MAX_HELD = 16 * 1024;
/** What stays held then: longer than any value that is told by more than the characters it is made of (addresses, RFC 5321 §4.5.3.1). */
const KEPT = 512;
/** Farther from a digit, a plus, a parenthesis or two dashes than this no value goes on over a blank; the longest label of PEM fits. */
const FARTHEST = 128;
/** So much is looked at in one go, so that what is held is bounded whatever comes: as much as a socket gives at once. */
const PART = 64 * 1024;
/** Bytes that there is room for as soon as something comes. */
const LEAST_ROOM = 1024;
const MARK = Buffer.from(REDACTED);
const EMPTY = Buffer.alloc(0);
const KEY_END = Buffer.from('-----END ');
/** Of the line that ends a key, as {@link file://./tokens.ts} reads it. */
const LONGEST_END = KEY_END.length + 64;

/** No value of any detector holds one of these, but for keys in PEM; nor does what stands before it tell anything of it. */
function breaks(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(1, 0, 0x20);
  table[0x7f] = 1;
  for (const byte of Buffer.from('",:;<>[]\\{}')) table[byte] = 1;
  return table;
}
const BREAK = breaks();

/** Inside what is left out: nothing; a private key whose end has not come; a token that goes on. */
type Inside = 'text' | 'key' | 'token';

/**
 * Masks what detectors find in a stream of text, however it is cut into chunks: the same as if all of it were there at once, up to
 * values longer than 16 KiB without any of `" , : ; < > [ ] \ { }` and control characters. Of these, and of private keys, the whole
 * is redacted, whatever the strategy. Work is linear in what is pushed.
 *
 * What may be the beginning of a value is held back until it is known: at most the text behind the last such character, or behind the
 * last blank that is far from any number.
 */
export class StreamMask {
  readonly #masks: ReadonlyMap<Detector, Mask>;
  readonly #bits: DetectorBits;
  /** What is held begins at `#start`. Behind it bytes are added, and none is ever overwritten: what was let go are parts of it. */
  #room: Buffer = EMPTY;
  #start = 0;
  #length = 0;
  /** Bytes of it that were looked at, up to where it can be let go, and where the last mark of a number stands. */
  #seen = 0;
  #safe = 0;
  #marked = -FARTHEST;
  #inside: Inside = 'text';
  #masked = 0;

  constructor(masks: ReadonlyMap<Detector, Mask>) {
    this.#masks = masks;
    this.#bits = detectorBits(masks.keys());
  }

  /** Values that were masked. */
  get masked(): number {
    return this.#masked;
  }

  /** Bytes that are held back. */
  get held(): number {
    return this.#length;
  }

  /** Takes a chunk, and gives what can be told by now. It may be a part of the chunk, which must not be changed any more. */
  push(chunk: Buffer): Buffer {
    return joined(this.parts(chunk));
  }

  /** The same in parts, so that a long chunk in which little is found is not copied. */
  parts(chunk: Buffer): readonly Buffer[] {
    if (this.#masks.size === 0) return [chunk];
    const out: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += PART) this.#push(chunk.subarray(at, at + PART), out);
    return out;
  }

  /** No more comes: gives what was held back. */
  end(): Buffer {
    const out: Buffer[] = [];
    this.#leave(true);
    if (this.#inside === 'text') this.#mask(this.#length, out);
    this.#drop(this.#length);
    return joined(out);
  }

  #push(part: Buffer, out: Buffer[]): void {
    let rest = part;
    if (part.length > LEAST_ROOM && !this.#isEmpty) {
      // What is held goes on to the next byte that ends any value; behind that nothing is held.
      const end = part.subarray(0, LEAST_ROOM).findIndex((byte) => BREAK[byte] === 1) + 1;
      this.#take(part.subarray(0, end));
      this.#release(out);
      rest = part.subarray(end);
    }
    if (rest.length > LEAST_ROOM && this.#isEmpty) {
      this.#room = rest;
      this.#start = 0;
      this.#length = rest.length;
      this.#release(out);
      // The chunk is its sender's again once this returns, who may free it.
      if (this.#length === 0) [this.#room, this.#start] = [EMPTY, 0];
      else this.#grow(Math.max(LEAST_ROOM, this.#length));
      return;
    }
    this.#take(rest);
    this.#release(out);
  }

  get #isEmpty(): boolean {
    return this.#length === 0 && this.#inside === 'text';
  }

  #take(part: Buffer): void {
    const length = this.#length + part.length;
    if (this.#start + length > this.#room.length) {
      // Twice as much where little comes at a time.
      this.#grow(Math.max(LEAST_ROOM, part.length > this.#length ? length : 2 * length));
    }
    part.copy(this.#room, this.#start + this.#length);
    this.#length = length;
  }

  #grow(bytes: number): void {
    // Not of Node's pool, all of which would stay with the session.
    const room = Buffer.allocUnsafeSlow(bytes);
    this.#held.copy(room);
    this.#room = room;
    this.#start = 0;
  }

  get #held(): Buffer {
    return this.#room.subarray(this.#start, this.#start + this.#length);
  }

  #release(out: Buffer[]): void {
    // Each round leaves or enters what is left out, or is the last.
    while (this.#leave(false) && this.#scan() > 0) {
      this.#mask(this.#safe, out);
      if (this.#inside === 'text') break;
    }
    if (this.#inside === 'text' && this.#length > MAX_HELD) this.#force(out);
  }

  /** Looks at what is new. Returns how much can be let go. */
  #scan(): number {
    const held = this.#held;
    const end = this.#length;
    // What stands before the last that ends any value tells nothing of what stands behind it.
    let last = end - 1;
    while (last >= this.#seen && BREAK[held[last] ?? 0] === 0) last--;
    if (last >= this.#seen) {
      this.#safe = last + 1;
      this.#marked = -FARTHEST;
    }
    for (let at = Math.max(last + 1, this.#seen); at < end; at++) {
      if (held[at] === SPACE) {
        if (at - this.#marked >= FARTHEST) this.#safe = at + 1;
      } else if (isMark(held, at)) this.#marked = at;
    }
    this.#seen = end;
    return this.#safe;
  }

  /** Gives the first `end` bytes, masked, and drops them. A key whose end is not among them goes on. */
  #mask(end: number, out: Buffer[]): void {
    const text = this.#held.subarray(0, end);
    let from = 0;
    for (const span of detect(text, this.#bits)) {
      out.push(text.subarray(from, span.start), this.#shown(text, span));
      from = span.end;
      if (span.detector === 'private-key' && span.end === end && !hasEnd(text.subarray(span.start))) this.#inside = 'key';
    }
    if (from < end) out.push(text.subarray(from));
    this.#drop(end);
  }

  #shown(text: Buffer, { detector, start, end }: Span): Buffer {
    this.#masked++;
    const mask = this.#masks.get(detector);
    if (mask === undefined || detector === 'private-key') return MARK;
    return maskBytes(text.subarray(start, end), mask) ?? EMPTY;
  }

  /** Text without any end of a value: what is found in it by now is masked, and goes on for as long as its characters do. */
  #force(out: Buffer[]): void {
    const text = this.#held;
    const cut = this.#length - KEPT;
    const crossing = detect(text, this.#bits).find(({ start, end }) => start < cut && end > cut);
    if (crossing === undefined) return this.#mask(cut, out);
    this.#mask(crossing.start, out);
    out.push(MARK);
    this.#masked++;
    this.#drop(crossing.end - crossing.start);
    this.#inside = crossing.detector === 'private-key' ? 'key' : 'token';
  }

  /** Goes over what is left out. Returns whether its end was there, or there was nothing. */
  #leave(last: boolean): boolean {
    if (this.#inside === 'token') {
      const text = this.#held;
      let at = 0;
      while (at < text.length && isOfToken(text[at] ?? 0)) at++;
      this.#drop(at);
      if (this.#length > 0) this.#inside = 'text';
    } else if (this.#inside === 'key') this.#leaveKey(last);
    return this.#inside === 'text';
  }

  #leaveKey(last: boolean): void {
    const text = this.#held;
    const found = text.indexOf(KEY_END);
    if (found < 0) return this.#drop(Math.max(0, this.#length - (last ? 0 : KEY_END.length - 1)));
    const line = text.toString('latin1', found + KEY_END.length, found + LONGEST_END);
    if (!last && found + LONGEST_END > this.#length && !/[^A-Z0-9 -]/.test(line)) return;
    const rest = /^[A-Z0-9 ]*-----/.exec(line)?.[0].length ?? 0;
    this.#drop(found + KEY_END.length + rest);
    this.#inside = 'text';
  }

  #drop(count: number): void {
    this.#start += count;
    this.#length -= count;
    this.#seen = 0;
    this.#safe = 0;
    this.#marked = -FARTHEST;
  }
}

/** One buffer of several, copied only where they are more than one. */
export function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? (parts[0] ?? EMPTY) : Buffer.concat(parts);
}

/** A whole text, masked. */
export function maskedText(text: string, masks: ReadonlyMap<Detector, Mask>): string {
  const mask = new StreamMask(masks);
  return Buffer.concat([Buffer.from(mask.push(Buffer.from(text))), mask.end()]).toString();
}

/** What a value that goes on over blanks has: digits, what begins a telephone number, or the dashes of PEM. */
function isMark(text: Buffer, at: number): boolean {
  const byte = text[at] ?? 0;
  if (byte === DASH) return at > 0 && text[at - 1] === DASH;
  return byte === PLUS || byte === PAREN_OPEN || ((CLASS[byte] ?? 0) & DIGIT) !== 0;
}

function isOfToken(byte: number): boolean {
  return byte === DOT || ((CLASS[byte] ?? 0) & URL_SAFE) !== 0;
}

function hasEnd(key: Buffer): boolean {
  return key.includes(KEY_END);
}
