/**
 * Constants and comments of an SQL text, found by its lexical structure alone (PostgreSQL manual, 4.1), as the server reads
 * it under standard_conforming_strings = on. One linear pass over any text, also one that does not parse.
 */
export interface Literal {
  readonly kind: 'string' | 'number' | 'comment';
  /** UTF-16 offsets into the text; `start` takes in a prefix such as E, U& or X and the opening quote. */
  readonly start: number;
  readonly end: number;
}

/** Characters of a masked value that no genuine value should hold; an agent that writes them back would destroy data. */
const MASK_RUN = '***';

/** Radix prefixes, underscores, one dot that is not half of `..`, an exponent; trailing letters are junk to the server. */
const NUMBER = /(?:0[xob][\da-f_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d[\d_]*)?)[a-z\d_\u0080-\uffff]*/iy;

const NONE: ReadonlySet<number> = new Set();

/** Every string, number and comment of `text`, in order. What is left open runs to the end of the text. */
export function literals(text: string): Literal[] {
  const found: Literal[] = [];
  let at = 0;
  while (at < text.length) {
    const token = tokenAt(text, at);
    if (token.kind) found.push({ kind: token.kind, start: at, end: token.end });
    at = token.end;
  }
  return found;
}

/**
 * The text with every string and number replaced by `?` and every comment by a space: what may stand in records, logs and
 * requests for approval. Names, keywords and parameters ($1) stay, and so does what begins where `shown` says, in bytes.
 */
export function blankLiterals(text: string, shown: ReadonlySet<number> = NONE): string {
  let blanked = '';
  let from = 0;
  let bytes = 0;
  let counted = 0;
  for (const { kind, start, end } of literals(text)) {
    if (shown.size > 0) {
      bytes += Buffer.byteLength(text.slice(counted, start));
      counted = start;
      if (kind !== 'comment' && shown.has(bytes)) continue;
    }
    blanked += text.slice(from, start) + (kind === 'comment' ? ' ' : '?');
    from = end;
  }
  return blanked + text.slice(from);
}

/** Whether a string of the text holds three stars in a row, as masked values do. Escapes are not decoded. */
export function hasMaskSentinel(text: string): boolean {
  return literals(text).some(({ kind, start, end }) => {
    if (kind !== 'string') return false;
    const at = text.indexOf(MASK_RUN, start);
    return at >= 0 && at < end;
  });
}

/** Skips space, comments and any of `words` (lower case) from `at`; returns where the next thing starts. */
export function skipWords(text: string, at: number, words: readonly string[]): number {
  let end = at;
  while (end < text.length) {
    const token = tokenAt(text, end);
    const blank = token.kind === 'comment' || isSpace(text[end] ?? '');
    if (!blank && !words.includes(text.slice(end, token.end).toLowerCase())) break;
    end = token.end;
  }
  return end;
}

/** Where the token at `at` ends. */
export function skipToken(text: string, at: number): number {
  return at < text.length ? tokenAt(text, at).end : at;
}

/** Where the first word `wanted` (lower case) from `at` on ends; the end of the text where there is none. */
export function skipPast(text: string, at: number, wanted: string): number {
  for (let start = at; start < text.length; ) {
    const { end } = tokenAt(text, start);
    if (text.slice(start, end).toLowerCase() === wanted) return end;
    start = end;
  }
  return text.length;
}

/** Without the white space around it that the server's lexer skips; other spaces are letters to it. */
export function trimSpace(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isSpace(text[from] ?? '')) from++;
  while (to > from && isSpace(text[to - 1] ?? '')) to--;
  return text.slice(from, to);
}

/** The parenthesised block that starts at `at`, parentheses included; undefined when none does or it is not closed. */
export function blockAfter(text: string, at: number): { start: number; end: number } | undefined {
  if (text[at] !== '(') return undefined;
  let depth = 0;
  for (let end = at; end < text.length; ) {
    const token = tokenAt(text, end);
    if (text[end] === '(') depth++;
    if (text[end] === ')') depth--;
    end = token.end;
    if (depth === 0) return { start: at, end };
  }
  return undefined;
}

interface Token {
  readonly kind?: Literal['kind'];
  readonly end: number;
}

function tokenAt(text: string, at: number): Token {
  const char = text[at] ?? '';
  const next = text[at + 1] ?? '';
  if (char === '-' && next === '-') return { kind: 'comment', end: endOfLine(text, at) };
  if (char === '/' && next === '*') return { kind: 'comment', end: endOfBlock(text, at) };
  if (char === "'") return { kind: 'string', end: endOfQuoted(text, at, "'", false) };
  if (char === '"') return { end: endOfQuoted(text, at, '"', false) };
  if (char === '$') return dollar(text, at);
  if (char === '.' && next === '.') return { end: at + 2 };
  if (isDigit(char) || (char === '.' && isDigit(next))) return { kind: 'number', end: endOfNumber(text, at) };
  if (isNameStart(char)) return word(text, at);
  return { end: at + 1 };
}

/** A word, or the prefix of a string that follows it at once. */
function word(text: string, at: number): Token {
  const prefix = text[at]?.toLowerCase() ?? '';
  const next = text[at + 1] ?? '';
  if (next === "'" && 'ebxn'.includes(prefix)) return { kind: 'string', end: endOfQuoted(text, at + 1, "'", prefix === 'e') };
  if (prefix === 'u' && next === '&') {
    if (text[at + 2] === "'") return { kind: 'string', end: endOfQuoted(text, at + 2, "'", false) };
    if (text[at + 2] === '"') return { end: endOfQuoted(text, at + 2, '"', false) };
  }
  let end = at + 1;
  while (end < text.length && isNamePart(text[end] ?? '')) end++;
  return { end };
}

/** `$1` or `$tag$ … $tag$`. */
function dollar(text: string, at: number): Token {
  let end = at + 1;
  if (isDigit(text[end] ?? '')) {
    while (isDigit(text[end] ?? '')) end++;
    return { end };
  }
  if (isNameStart(text[end] ?? '')) while (isNamePart(text[end] ?? '') && text[end] !== '$') end++;
  if (text[end] !== '$') return { end: at + 1 };
  const tag = text.slice(at, end + 1);
  const close = text.indexOf(tag, end + 1);
  return { kind: 'string', end: close < 0 ? text.length : close + tag.length };
}

/**
 * Where a quoted thing ends. A string goes on in the next one when only space with a line break (and line comments) lies
 * between them, and it goes on under the same rules for escapes.
 */
function endOfQuoted(text: string, open: number, quote: string, escapes: boolean): number {
  for (let at = open + 1; at < text.length; at++) {
    if (escapes && text[at] === '\\') at++;
    else if (text[at] === quote) {
      const next = text[at + 1] === quote ? at + 1 : quote === "'" ? continuation(text, at + 1) : undefined;
      if (next === undefined) return at + 1;
      at = next;
    }
  }
  return text.length;
}

/** The opening quote of a string that continues the one that ended at `from`. */
function continuation(text: string, from: number): number | undefined {
  let broken = false;
  let at = from;
  while (isSpace(text[at] ?? '') || text.startsWith('--', at)) {
    if (text[at] === '-') at = endOfLine(text, at);
    else {
      broken ||= text[at] === '\n' || text[at] === '\r';
      at++;
    }
  }
  return broken && text[at] === "'" ? at : undefined;
}

function endOfLine(text: string, at: number): number {
  let end = at;
  while (end < text.length && text[end] !== '\n' && text[end] !== '\r') end++;
  return end;
}

/** Block comments nest. */
function endOfBlock(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length - 1; at++) {
    const pair = text.slice(at, at + 2);
    if (pair === '/*') depth++;
    else if (pair === '*/') depth--;
    else continue;
    at++;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

function endOfNumber(text: string, at: number): number {
  // A fresh object each time: a sticky pattern keeps its place.
  const pattern = new RegExp(NUMBER);
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at + 1;
}

function isSpace(char: string): boolean {
  return char === ' ' || (char >= '\t' && char <= '\r');
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9' && char.length === 1;
}

function isNameStart(char: string): boolean {
  return (char >= 'a' && char <= 'z') || (char >= 'A' && char <= 'Z') || char === '_' || char >= '\u0080';
}

function isNamePart(char: string): boolean {
  return isNameStart(char) || isDigit(char) || char === '$';
}
