/**
 * Globs over dotted names, the one pattern syntax of policy selectors:
 *
 *     public.tickets      that name
 *     public.*            `*` stands for any run of characters inside one segment, also none
 *     public.tick*        … anywhere in it, any number of times
 *     **.ssn              `**` as a whole segment, once per pattern, stands for any number of segments, also none
 *     "odd.name".*        a segment that holds a dot or a quote is quoted as PostgreSQL quotes it
 *
 * Case matters: names are compared as the server resolved them. Matching takes a number of steps linear in the length of
 * pattern and name, whatever they hold. There are no other special characters and no escapes.
 */
export interface Glob {
  readonly separator: number;
  readonly head: readonly SegmentGlob[];
  /** Segments after `**`; absent where the pattern has none. */
  readonly tail?: readonly SegmentGlob[];
}

/** Pieces between the stars, in order, each with its Knuth-Morris-Pratt failure table. */
export type SegmentGlob = readonly { readonly text: string; readonly failure: readonly number[] }[];

/** Longer patterns are refused: four quoted identifiers of 63 characters, doubled quotes included, fit. */
export const MAX_GLOB_LENGTH = 600;

type Range = readonly [from: number, to: number];

const DOT = 0x2e;
const SLASH = 0x2f;
const QUOTE = 0x22;

/** Joins the parts of a resolved name; parts that hold a dot or a quote are quoted, so that no two names write alike. */
export function qualifiedName(...parts: readonly string[]): string {
  return parts.map((part) => (part.includes('.') || part.includes('"') ? `"${part.replaceAll('"', '""')}"` : part)).join('.');
}

/** Reads a pattern; undefined when it is not one (empty segment, second `**`, `**` inside a segment, too long). */
export function parseGlob(pattern: string): Glob | undefined {
  return parse(pattern, DOT);
}

/** Reads a pattern of absolute paths, `/srv/*.log` or `/srv/**`: as {@link parseGlob} with slashes, and nothing is quoted. */
export function parsePathGlob(pattern: string): Glob | undefined {
  if (pattern === '/') return { separator: SLASH, head: [] };
  return pattern.startsWith('/') ? parse(pattern.slice(1), SLASH) : undefined;
}

function parse(pattern: string, separator: number): Glob | undefined {
  if (pattern.length === 0 || pattern.length > MAX_GLOB_LENGTH) return undefined;
  const head: SegmentGlob[] = [];
  let tail: SegmentGlob[] | undefined;
  for (const [from, to] of segments(pattern, separator)) {
    const segment = pattern.slice(from, to);
    if (segment === '**') {
      if (tail) return undefined;
      tail = [];
      continue;
    }
    if (segment === '' || segment.includes('**')) return undefined;
    (tail ?? head).push(parseSegment(segment));
  }
  return tail ? { separator, head, tail } : { separator, head };
}

/** Reads a pattern of one word, in which each `*` stands for any characters. */
export function parseSegment(text: string): SegmentGlob {
  return text.split('*').map((piece) => ({ text: piece, failure: failureTable(piece) }));
}

export function matchWord(glob: SegmentGlob, word: string): boolean {
  return matchSegment(glob, word, [0, word.length]);
}

/** Whether an absolute path without empty parts, `.` and `..` is one of the pattern's. */
export function matchPathGlob(glob: Glob, path: string): boolean {
  return path.startsWith('/') && matchGlob(glob, path.slice(1));
}

/** Whether the pattern holds the path and whatever may lie below it. */
export function matchPathsBelow(glob: Glob, path: string): boolean {
  return glob.tail?.length === 0 && matchPathGlob(glob, path);
}

/** Whether the pattern may hold the path or anything below it. */
export function mayMatchPathsBelow(glob: Glob, path: string): boolean {
  if (!path.startsWith('/')) return false;
  const name = path.slice(1);
  const ranges = segments(name, SLASH);
  const agrees = glob.head.every((pattern, at) => {
    const range = ranges[at];
    return range === undefined || matchSegment(pattern, name, range);
  });
  return agrees && (glob.tail !== undefined || glob.head.length >= ranges.length);
}

export function matchGlob(glob: Glob, name: string): boolean {
  const ranges = segments(name, glob.separator);
  const tail = glob.tail ?? [];
  const fits = glob.tail ? ranges.length >= glob.head.length + tail.length : ranges.length === glob.head.length;
  if (!fits) return false;
  const matches = (patterns: readonly SegmentGlob[], first: number): boolean =>
    patterns.every((pattern, index) => matchSegment(pattern, name, ranges[first + index] ?? [0, 0]));
  return matches(glob.head, 0) && matches(tail, ranges.length - tail.length);
}

/** Where the segments of a name lie; the root of paths has none. An open quote of a dotted name runs to the end. */
function segments(text: string, separator: number): Range[] {
  const found: Range[] = [];
  if (separator === SLASH && text === '') return found;
  let from = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE && separator === DOT) quoted = !quoted;
    else if (code === separator && !quoted) {
      found.push([from, at]);
      from = at + 1;
    }
  }
  found.push([from, text.length]);
  return found;
}

function matchSegment(pattern: SegmentGlob, name: string, [from, to]: Range): boolean {
  const first = pattern[0];
  const last = pattern.at(-1);
  if (!first || !last) return false;
  if (pattern.length === 1) return to - from === first.text.length && startsAt(first.text, name, from);
  const end = to - last.text.length;
  let at = from + first.text.length;
  if (at > end || !startsAt(first.text, name, from) || !startsAt(last.text, name, end)) return false;
  // The leftmost place for each piece leaves the most room for the next, so no other place need be tried.
  for (const piece of pattern.slice(1, -1)) {
    const found = find(piece, name, at, end);
    if (found < 0) return false;
    at = found + piece.text.length;
  }
  return true;
}

function startsAt(text: string, name: string, at: number): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== name.charCodeAt(at + index)) return false;
  return true;
}

function find(piece: SegmentGlob[number], name: string, from: number, to: number): number {
  const { text, failure } = piece;
  if (text.length === 0) return from;
  let matched = 0;
  for (let at = from; at < to; at++) {
    const code = name.charCodeAt(at);
    while (matched > 0 && text.charCodeAt(matched) !== code) matched = failure[matched - 1] ?? 0;
    if (text.charCodeAt(matched) === code) matched++;
    if (matched === text.length) return at - matched + 1;
  }
  return -1;
}

function failureTable(text: string): number[] {
  const table = [0];
  let matched = 0;
  for (let at = 1; at < text.length; at++) {
    while (matched > 0 && text.charCodeAt(matched) !== text.charCodeAt(at)) matched = table[matched - 1] ?? 0;
    if (text.charCodeAt(matched) === text.charCodeAt(at)) matched++;
    table.push(matched);
  }
  return table;
}
