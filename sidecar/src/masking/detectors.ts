import type { Detector } from '@chaperone/api';
import { CLASS, classAt, DASH, DIGIT, DOT, isWord, LETTER, LOCAL, SPACE, standsAt } from './bytes.ts';
import { creditCard, iban, phone, ssn } from './numbers.ts';
import { apiKey, awsAccessKey, githubToken, googleApiKey, jwtEnd, privateKey, slackToken, type Place } from './tokens.ts';

/** Where in a value something was found: bytes `start` to `end` (exclusive). */
export interface Span {
  readonly detector: Detector;
  readonly start: number;
  readonly end: number;
}

const AT = 0x40;
/** Bytes at which something is looked for. All others are passed over after one look at a table. */
const AT_SIGN = 1;
const NUMBER = 2;
/** Plus and opening parenthesis. */
const PHONE_MARK = 4;
const UNDERSCORE_SIGN = 8;
const DASH_SIGN = 16;
const CAPITAL_I = 32;
const CAPITAL_J = 64;
const K = 0x6b;
const X = 0x78;

/** Which detector it is: bits above those of the bytes. */
const EMAIL = 1 << 8;
const CARD = 1 << 9;
const IBAN = 1 << 10;
const SSN = 1 << 11;
const PHONE = 1 << 12;
const AWS = 1 << 13;
const GOOGLE = 1 << 14;
const GITHUB = 1 << 15;
const SLACK = 1 << 16;
const PRIVATE_KEY = 1 << 17;
const API_KEY = 1 << 18;
const JWT = 1 << 19;

/** Each detector, and at which bytes it wants to be asked. */
const BITS: Readonly<Record<Detector, number>> = {
  email: EMAIL | AT_SIGN,
  'credit-card': CARD | NUMBER,
  iban: IBAN | NUMBER,
  ssn: SSN | NUMBER,
  phone: PHONE | NUMBER | PHONE_MARK,
  'aws-access-key': AWS | CAPITAL_I,
  'google-api-key': GOOGLE | CAPITAL_I,
  'github-token': GITHUB | UNDERSCORE_SIGN,
  'slack-token': SLACK | DASH_SIGN,
  'private-key': PRIVATE_KEY | DASH_SIGN,
  'api-key': API_KEY | DASH_SIGN | UNDERSCORE_SIGN,
  jwt: JWT | CAPITAL_J,
};

function triggerTable(): Uint8Array {
  const table = new Uint8Array(256);
  const marks: Readonly<Record<string, number>> = {
    '@': AT_SIGN,
    '0123456789': NUMBER,
    '+(': PHONE_MARK,
    _: UNDERSCORE_SIGN,
    '-': DASH_SIGN,
    I: CAPITAL_I,
    J: CAPITAL_J,
  };
  for (const [text, bit] of Object.entries(marks)) for (const byte of Buffer.from(text)) table[byte] = bit;
  return table;
}
const TRIGGER = triggerTable();

/** 1 for each byte at which a set of detectors looks: without any of them there is nothing to find. All are printable ASCII. */
export function triggers(bits: DetectorBits): Uint8Array {
  return TRIGGER.map((trigger) => ((trigger & bits) === 0 ? 0 : 1));
}

const NONE: readonly Span[] = Object.freeze([]);
const SHORTEST_CARD = 13;
/** Longest local part and domain (RFC 5321 §4.5.3.1), so that looking around one @ is bounded. */
const LONGEST_LOCAL = 64;
const LONGEST_DOMAIN = 255;

/** A set of detectors in the form that {@link detect} works with: made once for many values it saves a third of the time. */
export type DetectorBits = number & { readonly brand: 'DetectorBits' };
export function detectorBits(wanted: Iterable<Detector>): DetectorBits {
  let bits = 0;
  for (const detector of wanted) bits |= BITS[detector];
  return bits as DetectorBits;
}

/**
 * Finds what the wanted detectors know in the UTF-8 text `bytes`, in order and without overlaps. Linear: a recogniser is asked at
 * a place once at most, and reads a bounded number of bytes unless it finds something. `count` is told at how many places one was
 * asked. Before `from` nothing is looked for: see {@link firstPlace}.
 */
export function detect(
  bytes: Buffer,
  wanted: ReadonlySet<Detector> | DetectorBits,
  count?: (steps: number) => void,
  from = 0,
): readonly Span[] {
  const bits = typeof wanted === 'number' ? wanted : detectorBits(wanted);
  const { length } = bytes;
  let spans: Span[] | undefined;
  let steps = 0;
  /** The end of the last find: nothing begins before it. */
  let floor = 0;
  /** Before this place no JSON Web Token begins. */
  let noJwtBefore = 0;
  const isMailAlone = bits === BITS.email;
  for (let at = from; at < length; at++) {
    if (isMailAlone) {
      at = bytes.indexOf(AT, at);
      if (at < 0) break;
    }
    const trigger = (TRIGGER[bytes[at] ?? 0] ?? 0) & bits;
    if (trigger === 0) continue;
    steps++;
    let last = at;
    let found: Span | undefined;
    if (trigger === NUMBER) {
      // What begins at a number begins at its first digit.
      last = lastDigit(bytes, at);
      found = number(bytes, at, last + 1, bits, floor);
    } else if (trigger === CAPITAL_J) {
      const end = jwt(bytes, at - 2, Math.max(floor, noJwtBefore));
      noJwtBefore = Math.max(noJwtBefore, -end);
      if (end > 0) found = span('jwt', at - 2, end);
    } else found = look(bytes, at, trigger, bits, floor);
    if (found !== undefined) {
      (spans ??= []).push(found);
      floor = found.end;
      last = floor - 1;
    }
    at = last;
  }
  count?.(steps);
  return spans ?? NONE;
}

/**
 * The first place between `start` and `end` at which {@link detect} has more than a number without any form to look at; −1 where
 * there is none, and nothing to find. Needs no Buffer for the part, and most values end here. Before `from` there is none of {@link triggers}.
 */
export function firstPlace(bytes: Buffer, start: number, end: number, bits: DetectorBits, from = start): number {
  for (let at = from; at < end; at++) {
    const trigger = (TRIGGER[bytes[at] ?? 0] ?? 0) & bits;
    if (trigger === 0) continue;
    if (trigger !== NUMBER) return at;
    let next = at + 1;
    while (next < end && ((CLASS[bytes[next] ?? 0] ?? 0) & DIGIT) !== 0) next++;
    if (mayBegin(at > start ? bytes[at - 1] : 0, next - at, next < end ? bytes[next] : 0, bits)) return at;
    at = next - 1;
  }
  return -1;
}

/** Whether so many digits, between these bytes, may be a part of what {@link number} finds. */
function mayBegin(before: number | undefined, digits: number, after: number | undefined, bits: number): boolean {
  if (((CLASS[before ?? 0] ?? 0) & (DIGIT | LETTER)) !== 0) return (bits & IBAN) !== 0;
  const goesOn = after === SPACE || after === DASH;
  return ((bits & CARD) !== 0 && (goesOn || digits >= SHORTEST_CARD)) || (digits === 3 && (goesOn || after === DOT));
}

function lastDigit(bytes: Buffer, at: number): number {
  let last = at;
  while (last + 1 < bytes.length && ((CLASS[bytes[last + 1] ?? 0] ?? 0) & DIGIT) !== 0) last++;
  return last;
}

const span = (detector: Detector, start: number, end: number): Span | undefined =>
  end > start ? { detector, start, end } : undefined;
/** What another find took the beginning of is a key still. */
const token = (detector: Detector, place: Place | undefined, floor: number): Span | undefined =>
  place && span(detector, Math.max(place.start, floor), place.end);

/** A number from `at` to `end` and what follows it. The cheap looks come first: most numbers are nothing. */
function number(bytes: Buffer, at: number, end: number, bits: number, floor: number): Span | undefined {
  if (at > 0 && ((CLASS[bytes[at - 1] ?? 0] ?? 0) & (DIGIT | LETTER)) !== 0) return inWord(bytes, at, bits, floor);
  const next = end < bytes.length ? bytes[end] : 0;
  const goesOn = next === SPACE || next === DASH;
  if ((bits & CARD) !== 0 && (goesOn || end - at >= SHORTEST_CARD)) {
    const found = creditCard(bytes, at);
    if (found > at) return span('credit-card', at, found);
  }
  return end - at === 3 && (goesOn || next === DOT) ? threeDigits(bytes, at, bits) : undefined;
}

function threeDigits(bytes: Buffer, at: number, bits: number): Span | undefined {
  return (
    ((bits & SSN) !== 0 ? span('ssn', at, ssn(bytes, at)) : undefined) ??
    ((bits & PHONE) !== 0 ? span('phone', at, phone(bytes, at)) : undefined)
  );
}

/** The country of an IBAN stands before its first digit; nothing else begins in the middle of a word or number. */
function inWord(bytes: Buffer, at: number, bits: number, floor: number): Span | undefined {
  const start = at - 2;
  if ((bits & IBAN) === 0 || start < floor || isWord(bytes, start - 1)) return undefined;
  return span('iban', start, iban(bytes, start));
}

function look(bytes: Buffer, at: number, trigger: number, bits: number, floor: number): Span | undefined {
  switch (trigger) {
    case AT_SIGN:
      return email(bytes, at, floor);
    case DASH_SIGN:
      return atDash(bytes, at, bits, floor);
    case UNDERSCORE_SIGN:
      return (
        ((bits & GITHUB) !== 0 ? token('github-token', githubToken(bytes, at), floor) : undefined) ??
        ((bits & API_KEY) !== 0 ? token('api-key', apiKey(bytes, at), floor) : undefined)
      );
    case CAPITAL_I:
      return (
        ((bits & AWS) !== 0 ? token('aws-access-key', awsAccessKey(bytes, at), floor) : undefined) ??
        ((bits & GOOGLE) !== 0 ? token('google-api-key', googleApiKey(bytes, at), floor) : undefined)
      );
    default:
      return span('phone', at, phone(bytes, at));
  }
}

/** The dash of xox?- and xapp-, of sk-, or the last one before BEGIN: in dates and words it is none of these. */
function atDash(bytes: Buffer, at: number, bits: number, floor: number): Span | undefined {
  const before = at > 0 ? bytes[at - 1] : 0;
  if (before === K) return (bits & API_KEY) !== 0 ? token('api-key', apiKey(bytes, at), floor) : undefined;
  if (before === DASH) return (bits & PRIVATE_KEY) !== 0 ? token('private-key', privateKey(bytes, at), floor) : undefined;
  const slack = (bits & SLACK) !== 0 && at >= 4 && bytes[at - 4] === X;
  return slack ? token('slack-token', slackToken(bytes, at), floor) : undefined;
}

/** As {@link jwtEnd}, for a place that may be none. */
function jwt(bytes: Buffer, start: number, floor: number): number {
  return start >= floor && standsAt(bytes, start, 'ey') && !isWord(bytes, start - 1) ? jwtEnd(bytes, start) : 0;
}

function email(bytes: Buffer, at: number, floor: number): Span | undefined {
  const start = localStart(bytes, at, floor);
  return start < at ? span('email', start, domainEnd(bytes, at)) : undefined;
}

function localStart(bytes: Buffer, at: number, floor: number): number {
  const least = Math.max(floor, at - LONGEST_LOCAL);
  let start = at;
  while (start > least && ((CLASS[bytes[start - 1] ?? 0] ?? 0) & (DIGIT | LETTER | LOCAL)) !== 0) start--;
  while (start < at && bytes[start] === DOT) start++;
  return start;
}

/** Where the domain behind the @ at `at` ends; 0 where there is no such domain. */
function domainEnd(bytes: Buffer, at: number): number {
  const limit = Math.min(bytes.length, at + 1 + LONGEST_DOMAIN);
  let end = at + 1;
  let lastDot = 0;
  for (; end < limit; end++) {
    const byte = bytes[end] ?? 0;
    if (((CLASS[byte] ?? 0) & (DIGIT | LETTER)) !== 0) continue;
    // Five dashes: a key in PEM begins so.
    if (byte === DASH ? standsAt(bytes, end, '-----') : byte !== DOT || bytes[end - 1] === DOT) break;
    if (byte === DOT && isWord(bytes, end + 1)) lastDot = end;
  }
  while (end > at && !isWord(bytes, end - 1)) end--;
  const named = lastDot > at + 1 && end - lastDot > 2 && (classAt(bytes, lastDot + 1) & LETTER) !== 0;
  return named ? end : 0;
}
