import { ALNUM, CLASS, classAt, DASH, DIGIT, DOT, isWord, runEnd, standsAt, UNDERSCORE, UPPER, URL_SAFE } from './bytes.ts';

/** Where a key or token stands; undefined: there is none. Work is bounded by what is found, or by a constant. */
export interface Place {
  readonly start: number;
  readonly end: number;
}
/** Looks around the byte that its forms have in common; see {@link file://./detectors.ts}. */
export type TokenRecogniser = (bytes: Buffer, at: number) => Place | undefined;

/** A token of `least` or more bytes of `classes` from `body` on, which began at `start`, not in the middle of a word. */
function token(bytes: Buffer, start: number, body: number, classes: number, least: number): Place | undefined {
  if (isWord(bytes, start - 1)) return undefined;
  const end = runEnd(bytes, body, classes);
  return end - body >= least ? { start, end } : undefined;
}

const LETTERS_OF_AWS = 'KSB';
/** Access key ids of AWS, long-lived, temporary and bearer: AKIA, ASIA or ABIA and 16 capitals and digits. At the I. */
export const awsAccessKey: TokenRecogniser = (bytes, at) => {
  if (!standsAt(bytes, at + 1, 'A') || !standsAt(bytes, at - 2, 'A')) return undefined;
  if (!LETTERS_OF_AWS.includes(String.fromCharCode(bytes[at - 1] ?? 0))) return undefined;
  const start = at - 2;
  for (let place = at + 2; place < at + 18; place++) if ((classAt(bytes, place) & (UPPER | DIGIT)) === 0) return undefined;
  return isWord(bytes, start - 1) || isWord(bytes, at + 18) ? undefined : { start, end: at + 18 };
};

/** AIza and 35 or more. At the I. */
export const googleApiKey: TokenRecogniser = (bytes, at) =>
  standsAt(bytes, at - 1, 'AIza') ? token(bytes, at - 1, at + 3, URL_SAFE, 35) : undefined;

const GITHUB_KINDS = 'pousr';
/** ghp_, gho_, ghu_, ghs_, ghr_ or github_pat_ and 36 or more. At the first underscore. */
export const githubToken: TokenRecogniser = (bytes, at) => {
  if (standsAt(bytes, at - 6, 'github_pat_')) return token(bytes, at - 6, at + 5, ALNUM | UNDERSCORE, 36);
  if (!standsAt(bytes, at - 3, 'gh') || !GITHUB_KINDS.includes(String.fromCharCode(bytes[at - 1] ?? 0))) return undefined;
  return token(bytes, at - 3, at + 1, ALNUM | UNDERSCORE, 36);
};

/** xox, a letter, a dash (bots, users, apps, sessions) or xapp-, and 10 or more. At the first dash. */
export const slackToken: TokenRecogniser = (bytes, at) => {
  const known = standsAt(bytes, at - 4, 'xapp') || (standsAt(bytes, at - 4, 'xox') && (classAt(bytes, at - 1) & ALNUM) !== 0);
  return known ? token(bytes, at - 4, at + 1, URL_SAFE, 10) : undefined;
};

/** What tells a generic key from words with dashes is looked for in so many bytes. */
const TELLING = 24;
/**
 * sk- and 20 or more with a digit or a capital among the first 24 (OpenAI, Anthropic and others), at the dash; sk_live_, sk_test_,
 * rk_live_, rk_test_ and 16 or more, whsec_ and 24 or more (Stripe), at the first underscore.
 */
export const apiKey: TokenRecogniser = (bytes, at) => {
  if (bytes[at] === DASH) return dashed(bytes, at);
  if (standsAt(bytes, at - 5, 'whsec')) return token(bytes, at - 5, at + 1, ALNUM, 24);
  if (!standsAt(bytes, at - 1, 'k') || !(standsAt(bytes, at - 2, 's') || standsAt(bytes, at - 2, 'r'))) return undefined;
  if (!standsAt(bytes, at + 1, 'live_') && !standsAt(bytes, at + 1, 'test_')) return undefined;
  return token(bytes, at - 2, at + 6, ALNUM, 16);
};

function dashed(bytes: Buffer, at: number): Place | undefined {
  if (!standsAt(bytes, at - 2, 'sk')) return undefined;
  const limit = Math.min(bytes.length, at + 1 + TELLING);
  for (let place = at + 1; place < limit; place++) {
    const classes = CLASS[bytes[place] ?? 0] ?? 0;
    if ((classes & URL_SAFE) === 0) return undefined;
    if ((classes & (DIGIT | UPPER)) !== 0) return token(bytes, at - 2, at + 1, URL_SAFE, 20);
  }
  return undefined;
}

const MOST_SEGMENTS = 5;
/**
 * A JSON Web Token in compact form (RFC 7515 §7.1, RFC 7516 §7.1): eyJ, and two to four dots with base64url between them.
 * `start` is at the e. Returns where it ends, or minus the place before which no token can begin either, as no dots are left
 * there: so that no byte is read more often than a token has segments.
 */
export function jwtEnd(bytes: Buffer, start: number): number {
  let end = runEnd(bytes, start, URL_SAFE);
  let dots = 0;
  while (dots < MOST_SEGMENTS - 1 && end < bytes.length && bytes[end] === DOT) {
    end = runEnd(bytes, end + 1, URL_SAFE);
    dots++;
  }
  return dots >= 2 ? end : -end;
}

const PEM_BEGIN = 'BEGIN ';
const PEM_END = Buffer.from('-----END ');
/** The longest label and dashes of a PEM line that are read. */
const LONGEST_LABEL = 64;
/**
 * A private key in PEM (RFC 7468) or OpenPGP armour: from its BEGIN line to the end of its END line; where there is none, to the
 * end of the text, as a key that was cut is one still. At the last dash before BEGIN.
 */
export const privateKey: TokenRecogniser = (bytes, at) => {
  if (!standsAt(bytes, at + 1, PEM_BEGIN) || !standsAt(bytes, at - 4, '-----')) return undefined;
  const from = at + 1 + PEM_BEGIN.length;
  const label = bytes.toString('latin1', from, from + LONGEST_LABEL);
  if (!/^[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----/.test(label)) return undefined;
  const found = bytes.indexOf(PEM_END, from);
  if (found < 0) return { start: at - 4, end: bytes.length };
  const line = bytes.toString('latin1', found + PEM_END.length, found + PEM_END.length + LONGEST_LABEL);
  const rest = /^[A-Z0-9 ]*-----/.exec(line)?.[0].length ?? 0;
  return { start: at - 4, end: found + PEM_END.length + rest };
};
