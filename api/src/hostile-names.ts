/** Short names of the code points that are hidden, as Unicode's charts and name aliases have them. */
const C0 =
  'NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US SP'.split(
    ' ',
  );
const C1 =
  'PAD HOP BPH NBH IND NEL SSA ESA HTS HTJ VTS PLD PLU RI SS2 SS3 DCS PU1 PU2 STS CCH MW SPA EPA SOS SGC SCI CSI ST OSC PM APC NBSP'.split(
    ' ',
  );
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x7f, 'DEL'],
  [0xad, 'SHY'],
  [0x34f, 'CGJ'],
  [0x61c, 'ALM'],
  [0x115f, 'HANGUL-FILLER'],
  [0x1160, 'HANGUL-FILLER'],
  [0x1680, 'OGHAM-SPACE'],
  [0x180e, 'MVS'],
  [0x2000, 'EN-QUAD'],
  [0x2001, 'EM-QUAD'],
  [0x2002, 'EN-SPACE'],
  [0x2003, 'EM-SPACE'],
  [0x2007, 'FIGURE-SPACE'],
  [0x2009, 'THIN-SPACE'],
  [0x200a, 'HAIR-SPACE'],
  [0x200b, 'ZWSP'],
  [0x200c, 'ZWNJ'],
  [0x200d, 'ZWJ'],
  [0x200e, 'LRM'],
  [0x200f, 'RLM'],
  [0x2028, 'LINE-SEPARATOR'],
  [0x2029, 'PARAGRAPH-SEPARATOR'],
  [0x202a, 'LRE'],
  [0x202b, 'RLE'],
  [0x202c, 'PDF'],
  [0x202d, 'LRO'],
  [0x202e, 'RLO'],
  [0x202f, 'NNBSP'],
  [0x205f, 'MMSP'],
  [0x2060, 'WJ'],
  [0x2061, 'FUNCTION-APPLICATION'],
  [0x2062, 'INVISIBLE-TIMES'],
  [0x2063, 'INVISIBLE-SEPARATOR'],
  [0x2064, 'INVISIBLE-PLUS'],
  [0x2066, 'LRI'],
  [0x2067, 'RLI'],
  [0x2068, 'FSI'],
  [0x2069, 'PDI'],
  [0x27e8, 'BRACKET'],
  [0x27e9, 'BRACKET'],
  [0x2800, 'BLANK-BRAILLE'],
  [0x3000, 'IDEOGRAPHIC-SPACE'],
  [0x3164, 'HANGUL-FILLER'],
  [0xfeff, 'BOM'],
  [0xffa0, 'HANGUL-FILLER'],
  [0xfffc, 'OBJECT'],
  [0xe0001, 'LANGUAGE-TAG'],
  [0xe007f, 'CANCEL-TAG'],
]);

const CATEGORIES: readonly (readonly [RegExp, string])[] = [
  [/\p{Co}/u, 'PRIVATE-USE'],
  [/\p{Cn}/u, 'UNASSIGNED'],
  [/\p{M}/u, 'MARK'],
  [/\p{Zs}/u, 'SPACE'],
];

/** A name in capitals, digits and hyphens; empty where the code point has none of note. */
export function shortName(codePoint: number): string {
  const known = C0[codePoint] ?? C1[codePoint - 0x80] ?? NAMES.get(codePoint);
  if (known !== undefined) return known;
  if (codePoint >= 0xe0020 && codePoint <= 0xe007e) {
    const ascii = String.fromCodePoint(codePoint - 0xe0000);
    return /[A-Za-z0-9]/.test(ascii) ? `TAG-${ascii.toUpperCase()}` : 'TAG';
  }
  if (codePoint >= 0xfe00 && codePoint <= 0xfe0f) return `VS${codePoint - 0xfe00 + 1}`;
  if (codePoint >= 0xe0100 && codePoint <= 0xe01ef) return `VS${codePoint - 0xe0100 + 17}`;
  if (codePoint >= 0xd800 && codePoint <= 0xdfff) return 'LONE-SURROGATE';
  const text = String.fromCodePoint(codePoint);
  return CATEGORIES.find(([category]) => category.test(text))?.[1] ?? '';
}
