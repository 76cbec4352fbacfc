/** Control, format, private, unassigned and surrogate code points, line separators, and all that renders as nothing. */
export const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Text of foreign origin made safe to print: whatever a terminal, a browser or a reader would not see (control characters,
 * bidirectional overrides, zero-width and unassigned code points, lone surrogates) is written as `\n`, `\t` or `\u{202e}`.
 * The result is one line. With `maxLength`, longer results end in `…`. Requests and evidence hold texts in this form, so it does not
 * change; where a browser lays text out, `draw` of hostile.ts writes out all that this does, and more.
 */
export function visible(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return shownBy(escapeCodePoint, text, maxLength);
}

/** The same, but for line feeds: what is lines stays lines. */
export function visibleLines(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return shownBy((character) => (character === '\n' ? character : escapeCodePoint(character)), text, maxLength);
}

function shownBy(escape: (character: string) => string, text: string, maxLength: number): string {
  const bounded = text.length > maxLength ? text.slice(0, maxLength) : text;
  const shown = bounded.replace(INVISIBLE, escape);
  return shown.length > maxLength || bounded.length < text.length ? `${shown.slice(0, Math.max(0, maxLength - 1))}…` : shown;
}

/** Blanks that look like a space and are none, more spaces than a line shows apart, and those at the end. */
const BLANKS = /(?! )\p{Zs}|\u2800| {9,}| +$/gu;

const BLANKS_OF_LINES = /(?! )\p{Zs}|\u2800|(?<=[^\n ]) {9,}| +$/gmu;

/** As {@link visible}, for who decides on every character: blanks that are hard to tell are written out too, `\u{a0}`, `\u{20}×40`. */
export function legible(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return visible(text.replace(BLANKS, escapeBlanks), maxLength);
}

/** The same, but for line feeds and what indents a line. */
export function legibleLines(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  return visibleLines(text.replace(BLANKS_OF_LINES, escapeBlanks), maxLength);
}

function escapeBlanks(blanks: string): string {
  return `${escapeCodePoint(blanks)}${blanks.length > 1 ? `×${blanks.length}` : ''}`;
}

function escapeCodePoint(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Longer words are not compared: nobody mistypes one into another, and the work stays small. */
const MAX_COMPARED = 64;

/**
 * The candidate that `word` most likely meant: at most a third of its characters differ (case aside, swapped neighbours count
 * once) or one begins with the other; undefined when none is near.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length === 0 || word.length > MAX_COMPARED) return undefined;
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (candidate.length > MAX_COMPARED) continue;
    const other = candidate.toLowerCase();
    const prefix = wanted.length >= 4 && (other.startsWith(wanted) || wanted.startsWith(other)) && other.length >= 4;
    const distance = prefix ? 1 : editDistance(wanted, other);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = at(previous, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(at(previous, j) + 1, at(current, j - 1) + 1, substituted);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, at(before, j - 2) + 1);
      current.push(cost);
    }
    [before, previous] = [previous, current];
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

/**
 * JSON that is safe on a terminal: what would not be seen there (control characters, bidirectional overrides, zero-width code
 * points) is written as \uXXXX, which changes no value. With `indent` over several lines.
 */
export function safeJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(INVISIBLE, (character) =>
    character === '\n'
      ? character
      : Array.from({ length: character.length }, (_, place) => escapeUnit(character, place)).join(''),
  );
}

function escapeUnit(text: string, place: number): string {
  return `\\u${text.charCodeAt(place).toString(16).padStart(4, '0')}`;
}
