/**
 * Texts that differ only in literals are instances of one template: the server parses and plans it once, and the literals are
 * bound. Only what cannot change a statement's meaning is lifted: a literal directly behind a comparison, in WHERE or ON, whose
 * class is part of the template. On any doubt a text is its own template, without lifted literals. That both mean the same is not
 * decided here but by the server's own trees of them (`masking/same-tree.ts`).
 */
export type LiteralClass = 'int4' | 'int8' | 'numeric' | 'text';

export interface Template {
  /** The statement with `$1`, `$2` … in place of what was lifted. */
  readonly text: string;
  /** What stands before, between and behind the lifted literals. */
  readonly segments: readonly string[];
  readonly classes: readonly LiteralClass[];
}

/** Longer texts are sent as they are. */
export const MAX_TEMPLATE_LENGTH = 8 * 1024;
const MAX_LITERALS = 100;

/** A word, an operator, a bracket or mark, a string, a number. What none of them takes is nothing this lexer knows. */
const TOKEN =
  /\s+|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|"(?:[^"]|"")*"|'(?:[^']|'')*'|\d[\w.]*|[-+*/<>=~!@#%^&|`?]+|::|[(),;.:[\]]/iy;
const COMPARISONS: ReadonlySet<string> = new Set(['=', '<', '>', '<=', '>=', '<>', '!=']);
/** Words that begin a clause whose literals may be lifted, and words that end it. */
const CONDITIONS: ReadonlySet<string> = new Set(['where', 'on']);
const CLAUSES: ReadonlySet<string> = new Set(
  'select from join left right full inner cross natural having order limit offset fetch for union intersect except using values with tablesample'.split(
    ' ',
  ),
);
/** `equal()` of expressions matters to these, so that a parameter is not a constant to them; the last shows its own text. */
const VERBATIM: ReadonlySet<string> = new Set(['group', 'window', 'over', 'current_query']);
/** Before a parenthesis these are no names of functions: what is inside is part of the condition. */
const CONNECTIVES: ReadonlySet<string> = new Set(['where', 'on', 'and', 'or', 'not']);
/** What may follow a lifted literal, so that no other literal could run on into it. */
const ENDS = /^(?:$|[\s);])/;
/** A comment; a parameter or dollar quote; a string that goes on in the next line. */
const OUT_OF_BOUNDS = /--|\/\*|\$|'\s*[\r\n]\s*'/;
/** Before a quote these may make another kind of string. */
const PREFIX = /^(?:[a-z_\u0080-\uffff].*|.*&)$/is;

interface Lexed {
  readonly words: string[];
  readonly starts: number[];
}

/** What may begin or end a transaction: it holds no literal, and is its own template. */
const TRANSACTION = /^\s*(?:begin|start|commit|end|rollback|abort)\b[a-z\s,]{0,200};?\s*$/i;

/** The template of a text; undefined where it must be sent as it is. */
export function templateOf(text: string): Template | undefined {
  if (TRANSACTION.test(text)) return { text, segments: [text], classes: [] };
  if (text.length > MAX_TEMPLATE_LENGTH || !/^\s*select\b/i.test(text) || OUT_OF_BOUNDS.test(text)) return undefined;
  const lexed = lex(text);
  if (lexed === undefined) return undefined;
  return build(text, lift(text, lexed));
}

function lex(text: string): Lexed | undefined {
  const words: string[] = [];
  const starts: number[] = [];
  const token = new RegExp(TOKEN);
  for (let at = 0; at < text.length; at = token.lastIndex) {
    token.lastIndex = at;
    const found = token.exec(text)?.[0];
    if (found === undefined) return undefined;
    if (/^\s/.test(found)) continue;
    const word = found.toLowerCase();
    if (VERBATIM.has(word) || (text[token.lastIndex] === "'" && PREFIX.test(word))) return undefined;
    // A separator anywhere but at the end makes several statements.
    if (word === ';' && text.slice(at + 1).trim() !== '') return undefined;
    words.push(word);
    starts.push(at);
  }
  return { words, starts };
}

interface Lifted {
  readonly start: number;
  readonly end: number;
  readonly class: LiteralClass;
}

function lift(text: string, { words, starts }: Lexed): Lifted[] {
  const found: Lifted[] = [];
  const outer: boolean[] = [];
  let condition = false;
  for (const [index, word] of words.entries()) {
    const before = words[index - 1] ?? '';
    if (word === '(') {
      outer.push(condition);
      condition = condition && (CONNECTIVES.has(before) || before === '(' || COMPARISONS.has(before));
    } else if (word === ')') condition = outer.pop() ?? false;
    else if (CONDITIONS.has(word)) condition = before !== 'distinct';
    else if (CLAUSES.has(word)) condition = false;
    else if (condition && COMPARISONS.has(before) && found.length < MAX_LITERALS) {
      const literal = literalAt(text, starts[index] ?? 0, word);
      if (literal !== undefined) found.push(literal);
    }
  }
  return found;
}

function literalAt(text: string, start: number, word: string): Lifted | undefined {
  const end = start + word.length;
  const literal = classOf(word);
  return literal !== undefined && ENDS.test(text.slice(end, end + 1)) ? { start, end, class: literal } : undefined;
}

function build(text: string, lifted: readonly Lifted[]): Template {
  const segments: string[] = [];
  let from = 0;
  for (const { start, end } of lifted) {
    segments.push(text.slice(from, start));
    from = end;
  }
  segments.push(text.slice(from));
  // Spaces around it: `$1and` would be one word.
  const parameterised = segments.reduce((whole, segment, index) => `${whole} $${index} ${segment}`);
  return { text: parameterised, segments, classes: lifted.map((literal) => literal.class) };
}

const MAX_INT4 = 2_147_483_647;
const QUOTE = 39;
const DOT = 46;
const ZERO = 48;
const NINE = 57;

/** Any number of so many digits is an int8. */
const MAX_DIGITS = 18;

/** The server reads digits as the smallest of int4, int8 and numeric that holds them. Asked for every literal, so without a pattern. */
function classOf(literal: string): LiteralClass | undefined {
  if (literal.charCodeAt(0) === QUOTE) return 'text';
  const { length } = literal;
  let dot = -1;
  for (let at = 0; at < length; at++) {
    const code = literal.charCodeAt(at);
    if (code === DOT && dot < 0) dot = at;
    else if (code < ZERO || code > NINE) return undefined;
  }
  if (dot >= 0) return dot > 0 && dot < length - 1 ? 'numeric' : undefined;
  if (length === 0 || length > MAX_DIGITS) return undefined;
  return Number(literal) <= MAX_INT4 ? 'int4' : 'int8';
}

/** OID of the parameter that stands for a literal; 0: the server finds out, as it does for a string. */
export const PARAMETER_TYPES: Readonly<Record<LiteralClass, number>> = { int4: 23, int8: 20, numeric: 1700, text: 0 };

/** The lifted literals of `text` as parameters in text form, if it is an instance of `template`; nothing else is one. */
export function instanceOf(template: Template, text: string): string[] | undefined {
  const { segments, classes } = template;
  const first = segments[0] ?? '';
  if (!text.startsWith(first)) return undefined;
  const values: string[] = [];
  let at = first.length;
  for (let index = 0; index < classes.length; index++) {
    const end = text.charCodeAt(at) === QUOTE ? endOfString(text, at) : endOfNumber(text, at);
    const literal = text.slice(at, end);
    const kind = classes[index];
    if (end === at || classOf(literal) !== kind) return undefined;
    const segment = segments[index + 1] ?? '';
    if (!text.startsWith(segment, end)) return undefined;
    values.push(kind === 'text' ? literal.slice(1, -1).replaceAll("''", "'") : literal);
    at = end + segment.length;
  }
  return at === text.length ? values : undefined;
}

/** Behind the closing quote; `at` itself where there is none. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf("'", at + 1); end >= 0; end = text.indexOf("'", end + 2)) {
    if (text.charCodeAt(end + 1) !== QUOTE) return end + 1;
  }
  return at;
}

function endOfNumber(text: string, at: number): number {
  let end = at;
  for (let code = text.charCodeAt(end); (code >= ZERO && code <= NINE) || code === DOT; code = text.charCodeAt(end)) end++;
  return end;
}
