/*
 * What the packages of the log use of Node's Buffer, to the byte as Node does it, for a browser that has none. What they do not use is not
 * here: a call of it throws, and nothing is said to be proven then.
 */
type Encoding = 'utf8' | 'latin1' | 'hex' | 'base64' | 'base64url';
/** What replaces a malformed byte is U+FFFD, and a mark at the beginning stays. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Characters that one call makes a text of: arguments stand on the stack. */
const STEP = 8192;

export class Bytes extends Uint8Array {
  static alloc(length: number, fill = 0): Bytes {
    return new Bytes(length).fill(fill);
  }

  static allocUnsafe(length: number): Bytes {
    return new Bytes(length);
  }

  static allocUnsafeSlow(length: number): Bytes {
    return new Bytes(length);
  }

  static override of(...bytes: number[]): Bytes {
    return Bytes.from(bytes);
  }

  /** A text in an encoding, a copy of bytes, or a view of memory. */
  static override from(data: unknown, second?: unknown, third?: unknown): Bytes {
    if (typeof data === 'string') return encoded(data, (second ?? 'utf8') as Encoding);
    if (data instanceof ArrayBuffer) return new Bytes(data, (second ?? 0) as number, third as number | undefined);
    return new Bytes(data as ArrayLike<number>);
  }

  static concat(parts: readonly Uint8Array[]): Bytes {
    const joined = new Bytes(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  override toString(encoding: Encoding = 'utf8', start = 0, end = this.length): string {
    const part = this.subarray(start, Math.max(start, end));
    if (encoding === 'utf8') return UTF8.decode(part);
    if (encoding === 'hex') return Array.from(part, (byte) => HEX[byte]).join('');
    const text = latin1(part);
    if (encoding === 'latin1') return text;
    if (encoding !== 'base64' && encoding !== 'base64url') throw new TypeError('no encoding that is known here');
    const base64 = btoa(text);
    return encoding === 'base64' ? base64 : base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  }

  equals(other: Uint8Array): boolean {
    return this.length === other.length && this.every((byte, at) => byte === other[at]);
  }

  /** Bytes that were copied. */
  copy(target: Uint8Array, at = 0, start = 0, end = this.length): number {
    const part = this.subarray(start, Math.min(end, start + target.length - at));
    target.set(part, at);
    return part.length;
  }

  /** Bytes that were written. */
  write(text: string, at: number, encoding: Encoding): number {
    const bytes = encoded(text, encoding);
    this.set(bytes, at);
    return bytes.length;
  }

  /** Where a byte is, or the bytes of a text; -1 where it is not. */
  override indexOf(wanted: number | string, from = 0): number {
    if (typeof wanted === 'number') return super.indexOf(wanted, from);
    const bytes = encoded(wanted, 'utf8');
    for (let at = from; at + bytes.length <= this.length; at++)
      if (bytes.every((byte, place) => this[at + place] === byte)) return at;
    return -1;
  }

  readUInt16BE(at = 0): number {
    return this.#view.getUint16(at);
  }

  readUInt16LE(at = 0): number {
    return this.#view.getUint16(at, true);
  }

  readUInt32BE(at = 0): number {
    return this.#view.getUint32(at);
  }

  readBigUInt64BE(at = 0): bigint {
    return this.#view.getBigUint64(at);
  }

  writeUInt16BE(value: number, at = 0): number {
    this.#view.setUint16(at, value);
    return at + 2;
  }

  writeUInt16LE(value: number, at = 0): number {
    this.#view.setUint16(at, value, true);
    return at + 2;
  }

  writeUInt32BE(value: number, at = 0): number {
    this.#view.setUint32(at, value);
    return at + 4;
  }

  writeBigUInt64BE(value: bigint, at = 0): number {
    this.#view.setBigUint64(at, value);
    return at + 8;
  }

  get #view(): DataView {
    return new DataView(this.buffer, this.byteOffset, this.byteLength);
  }
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += STEP) text += String.fromCharCode(...bytes.subarray(at, at + STEP));
  return text;
}

function encoded(text: string, encoding: Encoding): Bytes {
  if (encoding === 'utf8') {
    const bytes = new TextEncoder().encode(text);
    return new Bytes(bytes.buffer, 0, bytes.length);
  }
  if (encoding === 'latin1') return ofLatin1(text);
  if (encoding === 'hex') return ofHex(text);
  if (encoding === 'base64' || encoding === 'base64url') return ofBase64(text);
  // What Node takes in another place than this does must not become other bytes.
  throw new TypeError('no encoding that is known here');
}

function ofLatin1(text: string): Bytes {
  const bytes = new Bytes(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** As far as it is hex. */
function ofHex(text: string): Bytes {
  const [digits = ''] = /^(?:[0-9a-fA-F]{2})*/.exec(text) ?? [];
  return new Bytes(Array.from({ length: digits.length / 2 }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16)));
}

/** Of either alphabet, up to the first padding; other characters are passed over, and so is a last one that is no whole byte. */
function ofBase64(text: string): Bytes {
  const [before = ''] = text.split('=', 1);
  const digits = before
    .replaceAll('-', '+')
    .replaceAll('_', '/')
    .replaceAll(/[^A-Za-z0-9+/]/g, '');
  return ofLatin1(atob(digits.length % 4 === 1 ? digits.slice(0, -1) : digits));
}
