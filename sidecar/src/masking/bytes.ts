/** Classes of a byte of UTF-8 text, as bits. */
export const DIGIT = 1;
export const LETTER = 2;
/**
 * Characters of the local part of an address besides letters and digits: RFC 5322 atext and the dot, without braces, which
 * arrays and JSON put around an address far more often than an address holds them.
 */
export const LOCAL = 4;
export const UNDERSCORE = 8;
export const DASH_BIT = 16;
/** ASCII letters and digits alone. */
export const ALNUM = 32;
export const UPPER = 64;
/** What base64url and most keys are made of (RFC 4648 §5). */
export const URL_SAFE = ALNUM | UNDERSCORE | DASH_BIT;

export const SPACE = 0x20;
export const PLUS = 0x2b;
export const DASH = 0x2d;
export const DOT = 0x2e;
export const PAREN_OPEN = 0x28;
export const PAREN_CLOSE = 0x29;

function classes(): Uint8Array {
  const table = new Uint8Array(256);
  const add = (text: string, bits: number): void => {
    for (const byte of Buffer.from(text)) table[byte] = (table[byte] ?? 0) | bits;
  };
  add('0123456789', DIGIT | ALNUM);
  add('ABCDEFGHIJKLMNOPQRSTUVWXYZ', LETTER | ALNUM | UPPER);
  add('abcdefghijklmnopqrstuvwxyz', LETTER | ALNUM);
  add("!#$%&'*+-/=?^_`|~.", LOCAL);
  add('_', UNDERSCORE);
  add('-', DASH_BIT);
  // Bytes of other scripts in UTF-8: such names exist on both sides of an address.
  table.fill(LETTER, 0x80);
  return table;
}
/** The classes of every byte. */
export const CLASS: Readonly<Uint8Array> = classes();

/** The classes of one place; 0 outside of the text. */
export const classAt = (bytes: Buffer, at: number): number => (at >= 0 && at < bytes.length ? (CLASS[bytes[at] ?? 0] ?? 0) : 0);
export const isDigit = (bytes: Buffer, at: number): boolean => (classAt(bytes, at) & DIGIT) !== 0;
export const isWord = (bytes: Buffer, at: number): boolean => (classAt(bytes, at) & (DIGIT | LETTER)) !== 0;
/** An ASCII letter. */
export const isLetter = (bytes: Buffer, at: number): boolean => (classAt(bytes, at) & (LETTER | ALNUM)) === (LETTER | ALNUM);

/** Where the run of bytes of these classes that begins at `at` ends. */
export function runEnd(bytes: Buffer, at: number, wanted: number): number {
  let end = at;
  while (end < bytes.length && ((CLASS[bytes[end] ?? 0] ?? 0) & wanted) !== 0) end++;
  return end;
}

/** Whether the ASCII `text` stands at `at`. */
export function standsAt(bytes: Buffer, at: number, text: string): boolean {
  if (at < 0 || at + text.length > bytes.length) return false;
  for (let place = 0; place < text.length; place++) if (bytes[at + place] !== text.charCodeAt(place)) return false;
  return true;
}
