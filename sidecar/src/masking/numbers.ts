import { DASH, DOT, isDigit, isLetter, isWord, PAREN_CLOSE, PAREN_OPEN, PLUS, SPACE } from './bytes.ts';

/** A recogniser looks at one place and says where the find ends, or 0. It reads a bounded number of bytes from `at`. */
export type Recogniser = (bytes: Buffer, at: number) => number;

const digitAt = (bytes: Buffer, at: number): number => (bytes[at] ?? 0) - 0x30;
/** The number that `count` digits say; they must be digits. */
function numberAt(bytes: Buffer, at: number, count: number): number {
  let value = 0;
  for (let place = at; place < at + count; place++) value = value * 10 + digitAt(bytes, place);
  return value;
}
function areDigits(bytes: Buffer, at: number, count: number): boolean {
  for (let place = at; place < at + count; place++) if (!isDigit(bytes, place)) return false;
  return true;
}

const inCard = (byte: number | undefined): boolean => byte === SPACE || byte === DASH;
const inPhone = (byte: number | undefined): boolean => byte === SPACE || byte === DASH || byte === DOT;

/** How many digits start at `at`, single separators of telephone numbers between them left out, at most `most`. */
function countDigits(bytes: Buffer, at: number, most: number): number {
  let count = 0;
  for (let next = at; count < most && next < bytes.length; next++) {
    if (isDigit(bytes, next)) count++;
    else if (next === at || !inPhone(bytes[next]) || !isDigit(bytes, next - 1)) break;
  }
  return count;
}

/** Where the `count`th digit from `at` ends. */
function digitsEnd(bytes: Buffer, at: number, count: number): number {
  let left = count;
  let next = at;
  for (; left > 0 && next < bytes.length; next++) if (isDigit(bytes, next)) left--;
  return next;
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
const LONGEST_CARD = 19;

function networkOf(prefix: number): (typeof CARD_PREFIXES)[number] | undefined {
  for (const network of CARD_PREFIXES) if (prefix >= network[0] && prefix <= network[1]) return network;
  return undefined;
}

const isLength = (network: (typeof CARD_PREFIXES)[number], count: number): boolean => count >= network[2] && count <= network[3];
const endsGroup = (bytes: Buffer, at: number, next: number): boolean =>
  next > at && inCard(bytes[next]) && isDigit(bytes, next - 1);
const luhnDoubled = (digit: number): number => (digit > 4 ? digit * 2 - 9 : digit * 2);

/**
 * 13 to 19 digits, in groups by spaces or dashes or none, that pass Luhn (ISO/IEC 7812-1 annex B) under a known prefix. A longer
 * number may begin with a card's: the longest that ends where a group ends is it.
 */
export const creditCard: Recogniser = (bytes, at) => {
  let count = 0;
  let prefix = 0;
  let network: (typeof CARD_PREFIXES)[number] | undefined;
  // Luhn doubles every second digit from the right; these are the sums for an even and for an odd number of digits.
  let even = 0;
  let odd = 0;
  let found = 0;
  for (let next = at; count < LONGEST_CARD && next < bytes.length; next++) {
    if (!isDigit(bytes, next)) {
      if (endsGroup(bytes, at, next)) continue;
      break;
    }
    const digit = digitAt(bytes, next);
    const doubled = luhnDoubled(digit);
    even += count % 2 === 0 ? doubled : digit;
    odd += count % 2 === 0 ? digit : doubled;
    count++;
    if (count <= 4) prefix = prefix * 10 + digit;
    if (count === 4) {
      network = networkOf(prefix);
      if (network === undefined) return 0;
    }
    if (network === undefined || !isLength(network, count) || isDigit(bytes, next + 1)) continue;
    if ((count % 2 === 0 ? even : odd) % 10 === 0) found = next + 1;
  }
  return found;
};

/** AAA-GG-SSSS with dashes or spaces; area not 000, 666 or 9xx, group not 00, serial not 0000 (SSA, since 2011). */
export const ssn: Recogniser = (bytes, at) => {
  const separator = bytes[at + 3];
  if ((separator !== DASH && separator !== SPACE) || bytes[at + 6] !== separator) return 0;
  if (!areDigits(bytes, at, 3) || !areDigits(bytes, at + 4, 2) || !areDigits(bytes, at + 7, 4) || isWord(bytes, at + 11))
    return 0;
  const area = numberAt(bytes, at, 3);
  const valid = area !== 0 && area !== 666 && area < 900;
  return valid && numberAt(bytes, at + 4, 2) !== 0 && numberAt(bytes, at + 7, 4) !== 0 ? at + 11 : 0;
};

/** Lengths by country (SWIFT IBAN registry), by {@link countryAt}. */
function ibanLengths(): Uint8Array {
  const table = new Uint8Array(26 * 26);
  const registry = `AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29
  ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
  LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18
  SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30`;
  for (const entry of registry.split(/\s+/)) table[countryAt(Buffer.from(entry), 0)] = Number(entry.slice(2));
  return table;
}
/** Two ASCII letters as a number below 676, whatever their case. */
const countryAt = (bytes: Buffer, at: number): number =>
  (((bytes[at] ?? 0) | 0x20) - 0x61) * 26 + (((bytes[at + 1] ?? 0) | 0x20) - 0x61);
const IBAN_LENGTHS = ibanLengths();

/** Country, two check digits, account; single spaces between groups; mod 97 = 1 (ISO 13616). */
export const iban: Recogniser = (bytes, at) => {
  if (!isLetter(bytes, at) || !isLetter(bytes, at + 1) || !areDigits(bytes, at + 2, 2)) return 0;
  const wanted = IBAN_LENGTHS[countryAt(bytes, at)] ?? 0;
  if (wanted === 0) return 0;
  const values: number[] = [];
  let next = at;
  for (; values.length < wanted; next++) {
    if (isDigit(bytes, next)) values.push(digitAt(bytes, next));
    else if (isLetter(bytes, next)) values.push(((bytes[next] ?? 0) | 0x20) - 0x61 + 10);
    else if (bytes[next] !== SPACE || bytes[next - 1] === SPACE) return 0;
  }
  return !isWord(bytes, next) && mod97(values) === 1 ? next : 0;
};

/** The first four characters count as the last; a letter is two digits. */
function mod97(values: readonly number[]): number {
  let rest = 0;
  for (let place = 0; place < values.length; place++) {
    const value = values[(place + 4) % values.length] ?? 0;
    rest = (value > 9 ? rest * 100 + value : rest * 10 + value) % 97;
  }
  return rest;
}

/** International (+ and 8 to 15 digits, ITU-T E.164) or North American (area and exchange from 2, grouped); plain digits are none. */
export const phone: Recogniser = (bytes, at) => {
  if (bytes[at] !== PLUS) return northAmerican(bytes, at);
  if (digitAt(bytes, at + 1) === 0) return 0;
  const count = countDigits(bytes, at + 1, 16);
  return count >= 8 && count <= 15 ? digitsEnd(bytes, at + 1, count) : 0;
};

function northAmerican(bytes: Buffer, at: number): number {
  const bracketed = bytes[at] === PAREN_OPEN;
  const area = bracketed ? at + 1 : at;
  if (bracketed && bytes[area + 3] !== PAREN_CLOSE) return 0;
  let exchange = bracketed ? area + 4 : area + 3;
  if (inPhone(bytes[exchange])) exchange++;
  else if (!bracketed) return 0;
  const line = exchange + 4;
  if (!inPhone(bytes[exchange + 3])) return 0;
  if (!areDigits(bytes, area, 3) || !areDigits(bytes, exchange, 3) || !areDigits(bytes, line, 4) || isWord(bytes, line + 4))
    return 0;
  return digitAt(bytes, area) >= 2 && digitAt(bytes, exchange) >= 2 ? line + 4 : 0;
}
