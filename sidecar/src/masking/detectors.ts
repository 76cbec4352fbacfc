import type { Detector } from '@chaperone/api';

/** Where in a value something was found: bytes `start` to `end` (exclusive). */
export interface Span {
  readonly detector: Detector;
  readonly start: number;
  readonly end: number;
}

const DIGIT = 1;
const LETTER = 2;
/**
 * Characters of the local part of an address besides letters and digits: RFC 5322 atext and the dot, without braces, which
 * arrays and JSON put around an address far more often than an address holds them.
 */
const LOCAL = 4;
const CLASS = new Uint8Array(256);
for (let code = 0x30; code <= 0x39; code++) CLASS[code] = DIGIT;
for (let code = 0x41; code <= 0x5a; code++) CLASS[code] = CLASS[code + 0x20] = LETTER;
for (const character of "!#$%&'*+-/=?^_`|~.") CLASS[character.charCodeAt(0)] = LOCAL;
// Bytes of other scripts in UTF-8: such names exist on both sides of an address.
for (let code = 0x80; code <= 0xff; code++) CLASS[code] = LETTER;

const SPACE = 0x20;
const PLUS = 0x2b;
const DASH = 0x2d;
const DOT = 0x2e;
const AT = 0x40;
const PAREN_OPEN = 0x28;
const PAREN_CLOSE = 0x29;

const isDigit = (bytes: Buffer, at: number): boolean => CLASS[bytes[at] ?? 0] === DIGIT;
const isWord = (bytes: Buffer, at: number): boolean => ((CLASS[bytes[at] ?? 0] ?? 0) & (DIGIT | LETTER)) !== 0;
const isLetter = (bytes: Buffer, at: number): boolean => CLASS[bytes[at] ?? 0] === LETTER && (bytes[at] ?? 0) < 0x80;

/** A recogniser looks at one place and says where the find ends, or 0. It reads a bounded number of bytes from `at`. */
type Recogniser = (bytes: Buffer, at: number) => number;

/** The digits that start at `at`, single spaces, dashes or dots between them left out; at most `most`. */
function digitRun(bytes: Buffer, at: number, most: number, separators: readonly number[]): { digits: number[]; end: number } {
  const digits: number[] = [];
  let end = at;
  for (let next = at; digits.length < most; next++) {
    if (isDigit(bytes, next)) {
      digits.push((bytes[next] ?? 0) - 0x30);
      end = next + 1;
    } else if (!separators.includes(bytes[next] ?? 0) || next !== end || digits.length === 0) break;
  }
  return { digits, end };
}

function luhn(digits: readonly number[]): boolean {
  let sum = 0;
  for (const [at, digit] of digits.toReversed().entries()) {
    const doubled = at % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** First and last prefix of four digits, and the shortest and longest number that networks issue under them (ISO 7812). */
const CARD_PREFIXES: readonly (readonly [from: number, to: number, shortest: number, longest: number])[] = [
  [2221, 2720, 16, 16],
  [3000, 3059, 14, 19],
  [3400, 3499, 15, 15],
  [3528, 3589, 16, 19],
  [3600, 3699, 14, 19],
  [3700, 3799, 15, 15],
  [3800, 3999, 14, 19],
  [4000, 4999, 13, 19],
  [5000, 5099, 13, 19],
  [5100, 5599, 16, 16],
  [5600, 6999, 13, 19],
  [8100, 8199, 16, 19],
];

/** Prefixes that no network issues under are no cards. */
function isCardNumber(digits: readonly number[]): boolean {
  const prefix = Number(digits.slice(0, 4).join(''));
  return CARD_PREFIXES.some(
    ([from, to, shortest, longest]) => prefix >= from && prefix <= to && digits.length >= shortest && digits.length <= longest,
  );
}

/** 13 to 19 digits, in groups by spaces or dashes or none, that pass Luhn under a known prefix. */
const creditCard: Recogniser = (bytes, at) => {
  const { digits, end } = digitRun(bytes, at, 20, [SPACE, DASH]);
  if (digits.length < 13) return 0;
  // A longer number may begin with a card's: try the longest first, ending where a group ends.
  for (let length = Math.min(19, digits.length); length >= 13; length--) {
    const candidate = digits.slice(0, length);
    const stop = length === digits.length ? end : digitRun(bytes, at, length, [SPACE, DASH]).end;
    if (!isDigit(bytes, stop) && isCardNumber(candidate) && luhn(candidate)) return stop;
  }
  return 0;
};

/** AAA-GG-SSSS with dashes or spaces; area not 000, 666 or 9xx, group not 00, serial not 0000. */
const ssn: Recogniser = (bytes, at) => {
  const separator = bytes[at + 3];
  if ((separator !== DASH && separator !== SPACE) || bytes[at + 6] !== separator) return 0;
  const places = [0, 1, 2, 4, 5, 7, 8, 9, 10];
  if (!places.every((place) => isDigit(bytes, at + place)) || isWord(bytes, at + 11)) return 0;
  const area = bytes.toString('latin1', at, at + 3);
  const valid = area !== '000' && area !== '666' && !area.startsWith('9');
  const group = bytes.toString('latin1', at + 4, at + 6);
  const serial = bytes.toString('latin1', at + 7, at + 11);
  return valid && group !== '00' && serial !== '0000' ? at + 11 : 0;
};

/** Lengths by country (SWIFT IBAN registry). */
const IBAN_LENGTHS: ReadonlyMap<string, number> = new Map(
  `AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18
  FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21
  LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24
  SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30`
    .split(/\s+/)
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))] as const),
);

/** Country, two check digits, account; single spaces between groups; mod 97 = 1 (ISO 13616). */
const iban: Recogniser = (bytes, at) => {
  if (!isLetter(bytes, at) || !isLetter(bytes, at + 1) || !isDigit(bytes, at + 2) || !isDigit(bytes, at + 3)) return 0;
  const wanted = IBAN_LENGTHS.get(bytes.toString('latin1', at, at + 2).toUpperCase());
  if (wanted === undefined) return 0;
  let taken = '';
  let next = at;
  for (; taken.length < wanted; next++) {
    const code = bytes[next] ?? 0;
    if (isDigit(bytes, next) || isLetter(bytes, next)) taken += String.fromCharCode(code);
    else if (code !== SPACE || bytes[next - 1] === SPACE) return 0;
  }
  if (isWord(bytes, next)) return 0;
  let rest = 0;
  for (const character of (taken.slice(4) + taken.slice(0, 4)).toUpperCase()) {
    const value = Number.parseInt(character, 36);
    rest = (value > 9 ? rest * 100 + value : rest * 10 + value) % 97;
  }
  return rest === 1 ? next : 0;
};

const PHONE_SEPARATORS = [SPACE, DASH, DOT];
const areDigits = (bytes: Buffer, at: number, count: number): boolean =>
  Array.from({ length: count }, (_, place) => at + place).every((place) => isDigit(bytes, place));

/** International (+ and 8 to 15 digits) or North American (area and exchange from 2, grouped); plain digits are no phone. */
const phone: Recogniser = (bytes, at) => {
  if (bytes[at] !== PLUS) return northAmerican(bytes, at);
  const { digits, end } = digitRun(bytes, at + 1, 16, PHONE_SEPARATORS);
  return digits.length >= 8 && digits.length <= 15 && digits[0] !== 0 ? end : 0;
};

function northAmerican(bytes: Buffer, at: number): number {
  const bracketed = bytes[at] === PAREN_OPEN;
  const area = bracketed ? at + 1 : at;
  if (bracketed && bytes[area + 3] !== PAREN_CLOSE) return 0;
  let exchange = bracketed ? area + 4 : area + 3;
  if (PHONE_SEPARATORS.includes(bytes[exchange] ?? 0)) exchange++;
  else if (!bracketed) return 0;
  const line = exchange + 4;
  const grouped = PHONE_SEPARATORS.includes(bytes[exchange + 3] ?? 0);
  if (!grouped || !areDigits(bytes, area, 3) || !areDigits(bytes, exchange, 3) || !areDigits(bytes, line, 4)) return 0;
  if (isWord(bytes, line + 4)) return 0;
  return (bytes[area] ?? 0) >= 0x32 && (bytes[exchange] ?? 0) >= 0x32 ? line + 4 : 0;
}

/** Longest local part and domain (RFC 5321 §4.5.3.1), so that looking around one @ is bounded. */
const LONGEST_LOCAL = 64;
const LONGEST_DOMAIN = 255;

function localStart(bytes: Buffer, at: number, floor: number): number {
  let start = at;
  while (start > floor && at - start < LONGEST_LOCAL && CLASS[bytes[start - 1] ?? 0] !== 0) start--;
  while (start < at && bytes[start] === DOT) start++;
  return start;
}

/** Where the domain behind the @ at `at` ends, and its last dot; 0 where there is no such domain. */
function domainEnd(bytes: Buffer, at: number): number {
  const limit = Math.min(bytes.length, at + 1 + LONGEST_DOMAIN);
  const isDomain = (place: number): boolean => isWord(bytes, place) || bytes[place] === DASH || bytes[place] === DOT;
  let end = at + 1;
  let lastDot = 0;
  for (; end < limit && isDomain(end); end++) {
    if (bytes[end] !== DOT) continue;
    if (bytes[end - 1] === DOT) break;
    if (isWord(bytes, end + 1)) lastDot = end;
  }
  while (end > at && !isWord(bytes, end - 1)) end--;
  const named = lastDot > at + 1 && end - lastDot > 2 && CLASS[bytes[lastDot + 1] ?? 0] === LETTER;
  return named ? end : 0;
}

function emailAround(bytes: Buffer, at: number, floor: number): Span | undefined {
  const start = localStart(bytes, at, floor);
  const end = domainEnd(bytes, at);
  return start < at && end > 0 ? { detector: 'email', start, end } : undefined;
}

const RECOGNISERS: readonly (readonly [Detector, Recogniser])[] = [
  ['credit-card', creditCard],
  ['iban', iban],
  ['ssn', ssn],
  ['phone', phone],
];

/**
 * Finds what the wanted detectors know in the UTF-8 text `bytes`, in order and without overlaps. Linear: every place is looked
 * at by each recogniser once, and a recogniser reads a bounded number of bytes. `count` is told the places looked at.
 */
export function detect(bytes: Buffer, wanted: ReadonlySet<Detector>, count?: (steps: number) => void): Span[] {
  const spans: Span[] = [];
  const recognisers = RECOGNISERS.filter(([detector]) => wanted.has(detector));
  const emails = wanted.has('email');
  let steps = 0;
  for (let at = 0; at < bytes.length; ) {
    steps++;
    const found = emails && bytes[at] === AT ? emailAround(bytes, at, spans.at(-1)?.end ?? 0) : match(recognisers, bytes, at);
    if (found) {
      spans.push(found);
      at = found.end;
    } else at++;
  }
  count?.(steps);
  return spans;
}

function match(recognisers: typeof RECOGNISERS, bytes: Buffer, at: number): Span | undefined {
  const code = bytes[at] ?? 0;
  const kind = CLASS[code] ?? 0;
  if (kind !== DIGIT && kind !== LETTER && code !== PLUS && code !== PAREN_OPEN) return undefined;
  // Nothing begins in the middle of a word or number.
  if ((kind === DIGIT || kind === LETTER) && at > 0 && isWord(bytes, at - 1)) return undefined;
  for (const [detector, recognise] of recognisers) {
    const end = recognise(bytes, at);
    if (end > at) return { detector, start: at, end };
  }
  return undefined;
}
