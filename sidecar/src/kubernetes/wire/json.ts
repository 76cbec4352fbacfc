import { standsAt } from '../../masking/bytes.ts';

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_LIST = 0x5b;
export const CLOSE_LIST = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const TO_LOWER = 0x20;
const SPACE = 0x20;

export const isBlank = (byte: number | undefined): boolean => byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** Bytes within a string that are not taken as they are: its end, escapes, and control characters. */
function plainStops(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(1, 0, SPACE);
  table[QUOTE] = 1;
  table[BACKSLASH] = 1;
  return table;
}
const STOPS = plainStops();
const MARKED = 2;

/** For a {@link Reader} that is to find the first of some bytes in each string. Those at which a string stops anyway are none of them. */
export function stopsAt(marked: Uint8Array): Uint8Array {
  return STOPS.map((stop, byte) => (stop === 0 && marked[byte] === 1 ? MARKED : stop));
}
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'));
const WORDS = ['true', 'false', 'null'];
const isHex = (byte: number | undefined): boolean => byte !== undefined && /[0-9a-fA-F]/.test(String.fromCharCode(byte));

export type JsonFault = 'TooLarge' | 'NotUtf8' | 'Syntax' | 'TooDeep' | 'TooMany' | 'DuplicateKey' | 'Surrogate' | 'Number';

/** A text cannot be read. Thrown and caught within this protocol. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly fault: JsonFault;
  constructor(fault: JsonFault) {
    super(fault);
    this.fault = fault;
  }
}

/** Reads the tokens of one text of JSON (RFC 8259), strictly; that it is UTF-8 was found before. */
export class Reader {
  readonly bytes: Buffer;
  at = 0;
  /** The last string: where its content begins and ends, and whether it has escapes. */
  from = 0;
  to = 0;
  escaped = false;
  /** Up to here it has no escape, and no byte that is looked for. */
  marked = 0;
  #hasCodes = false;
  readonly #stops: Uint8Array;

  /** @param stops - of {@link stopsAt} */
  constructor(bytes: Buffer, stops = STOPS) {
    this.bytes = bytes;
    this.#stops = stops;
  }

  /** The next byte that is no blank; undefined at the end. It is not taken. */
  peek(): number | undefined {
    const { bytes } = this;
    let { at } = this;
    if (at < bytes.length && (bytes[at] ?? 0) > SPACE) return bytes[at];
    while (at < bytes.length && isBlank(bytes[at])) at++;
    this.at = at;
    return at < bytes.length ? bytes[at] : undefined;
  }

  take(byte: number): void {
    if (!this.takes(byte)) throw this.foreign();
  }

  /** Takes a byte where it comes next. */
  takes(byte: number): boolean {
    const isNext = this.peek() === byte;
    if (isNext) this.at++;
    return isNext;
  }

  /** Takes what stands behind a member: whether it is what closes, and not a comma. */
  isLast(close: number): boolean {
    const byte = this.peek();
    if (byte !== close && byte !== COMMA) throw this.foreign();
    this.at++;
    return byte === close;
  }

  /** @throws JsonError Syntax, as all that takes something */
  string(): void {
    const { bytes } = this;
    const end = bytes.length;
    let at = this.at + 1;
    this.from = at;
    this.escaped = false;
    this.#hasCodes = false;
    while (at < end && this.#stops[bytes[at] ?? 0] === 0) at++;
    this.marked = at;
    for (;;) {
      while (at < end && STOPS[bytes[at] ?? 0] === 0) at++;
      if (at >= end) throw this.foreign();
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte !== BACKSLASH) throw this.foreign();
      at = this.#escape(at + 1);
      this.escaped = true;
    }
    this.to = at;
    this.at = at + 1;
  }

  #escape(at: number): number {
    const byte = this.bytes[at];
    if (byte !== LOWER_U) {
      if (byte === undefined || !ESCAPES.has(byte)) throw this.foreign();
      return at + 1;
    }
    this.#hasCodes = true;
    for (let place = at + 1; place < at + 5; place++) if (!isHex(this.bytes[place])) throw this.foreign();
    return at + 5;
  }

  /** A number, true, false or null. */
  plain(): void {
    const { bytes, at } = this;
    const byte = bytes[at] ?? 0;
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) return this.#number();
    const word = WORDS.find((known) => standsAt(bytes, at, known));
    if (word === undefined) throw this.foreign();
    this.at += word.length;
  }

  #number(): void {
    const { bytes } = this;
    let { at } = this;
    if (bytes[at] === MINUS) at++;
    at = bytes[at] === ZERO ? at + 1 : this.#digits(at);
    if (bytes[at] === DOT) at = this.#digits(at + 1);
    if (((bytes[at] ?? 0) | TO_LOWER) === LOWER_E) {
      const sign = bytes[at + 1];
      at = this.#digits(sign === PLUS || sign === MINUS ? at + 2 : at + 1);
    }
    this.at = at;
  }

  #digits(from: number): number {
    let at = from;
    while (at < this.bytes.length && (this.bytes[at] ?? 0) >= ZERO && (this.bytes[at] ?? 0) <= NINE) at++;
    if (at === from) throw this.foreign();
    return at;
  }

  /** What the last string says. */
  text(): string {
    if (!this.escaped) return this.bytes.toString('utf8', this.from, this.to);
    return JSON.parse(this.bytes.toString('utf8', this.from - 1, this.to + 1)) as string;
  }

  /** Whether what the last string says may have a byte that is looked for. */
  mayHold(): boolean {
    // Only \u may stand for one of them.
    if (this.#hasCodes) return true;
    let at = this.marked;
    while (at < this.to && this.#stops[this.bytes[at] ?? 0] !== MARKED) at++;
    return at < this.to;
  }

  foreign(): JsonError {
    return new JsonError('Syntax');
  }
}
