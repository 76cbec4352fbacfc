import { shortName } from './hostile-names.ts';

/**
 * Recorded text cut into what may be drawn. `text` reads left to right and hides nothing. `rtl` is one right-to-left word, to be
 * drawn isolated so that words keep their order. `mixed` is a word whose letters are of several scripts and may pass for another.
 * `escape` stands for what a reader would not see, written out; `name` is its short name. `line` and `tab` are the layout's own.
 */
export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'rtl' | 'mixed'; readonly text: string }
  | { readonly kind: 'escape'; readonly text: string; readonly codePoint: number; readonly count: number; readonly name: string }
  | { readonly kind: 'line' }
  | { readonly kind: 'tab' };

export interface DrawOptions {
  /** Whether line feeds and tabs become pieces of their own; otherwise they are written out too and the result is one line. */
  readonly lines?: boolean;
  /** Marks every word that is not ASCII as `mixed`: for names of things, where a foreign letter is worth a look. */
  readonly names?: boolean;
}

/** Runs of spaces and of empty lines beyond these are written as counts: they would push the rest out of sight. */
const MAX_SPACES = 8;
const MAX_EMPTY_LINES = 3;
/** Combining marks on one letter beyond these are written out: more of them paint over neighbouring lines. */
const MAX_MARKS = 2;

// Blank letters (U+115F, U+1160, U+3164, U+FFA0) are default-ignorable; the blank Braille pattern is not. The brackets of our own
// escapes are escaped, so that no text can imitate one.
const HIDDEN = String.raw`[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800⟨⟩]|(?! )\p{Zs}`;
const RTL = String.raw`[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]`;
const TOKEN = new RegExp(
  [
    String.raw`(?<feeds>\n+)`,
    String.raw`(?<tab>\t)`,
    String.raw`(?<spaces> {${MAX_SPACES + 1},})`,
    `(?<hidden>${HIDDEN})`,
    // One letter or blank with the marks that follow it; marks alone follow something that was written out.
    String.raw`(?<marked>[^\p{M}\n\t]?\p{M}+)`,
    // Some of what is hidden counts as a letter, or lies among right-to-left ones.
    String.raw`(?<rtl>(?:(?!${HIDDEN})${RTL})+(?!\p{M}))`,
    String.raw`(?<word>(?:(?!${HIDDEN})[\p{L}\p{N}_])+(?!\p{M}))`,
    String.raw`(?<other>[^])`,
  ].join('|'),
  'gu',
);
const HIDDEN_ONE = new RegExp(`^(?:${HIDDEN})$`, 'u');
const RTL_ONE = new RegExp(`^${RTL}`, 'u');
const SCRIPTS = [
  /\p{Script=Latin}/u,
  /\p{Script=Cyrillic}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Armenian}/u,
  /\p{Script=Cherokee}/u,
  /\p{Script=Coptic}/u,
  /\p{Script=Lisu}/u,
];
/** Letters that look like ASCII and are not: full-width forms and the mathematical alphabets. */
const LOOKALIKE = /[\uff01-\uff5e\u{1d400}-\u{1d7ff}]/u;

/**
 * Cuts text of foreign origin into pieces that show every code point of it: control, format, private, unassigned and ignorable
 * characters, lone surrogates, blanks other than a space, long runs and stacked marks are written as ⟨U+202E RLO⟩ or
 * ⟨U+0020 SP ×40⟩, and so are ⟨ and ⟩. Nothing is dropped: {@link undrawn} gives the text back.
 */
export function draw(text: string, options: DrawOptions = {}): Piece[] {
  const pieces = new Pieces(options);
  for (const { groups = {}, 0: found } of text.matchAll(TOKEN)) {
    if (groups['feeds'] !== undefined) pieces.feeds(found.length);
    else if (groups['tab'] !== undefined) pieces.tab();
    else if (groups['spaces'] !== undefined) pieces.hidden(' ', found.length);
    else if (groups['hidden'] !== undefined) pieces.hidden(found);
    else if (groups['marked'] !== undefined) pieces.marked(found);
    else if (groups['rtl'] !== undefined) pieces.rtl(found);
    else if (groups['word'] !== undefined) pieces.word(found);
    else pieces.shown(found);
  }
  return pieces.list;
}

/** What {@link draw} makes of a text, as text. */
export function drawn(text: string, options: DrawOptions = {}): string {
  return draw(text, options).map(written).join('');
}

/** The text that was drawn: the inverse of {@link drawn}. */
export function undrawn(text: string): string {
  return text.replace(/⟨U\+([0-9A-F]{4,6})(?: [A-Z0-9-]+)?(?: ×(\d+))?⟩/gu, (_whole, code: string, count: string | undefined) =>
    String.fromCodePoint(Number.parseInt(code, 16)).repeat(Number(count ?? 1)),
  );
}

/** How a piece is written where there is only text. */
export function written(piece: Piece): string {
  if (piece.kind === 'line') return '\n';
  return piece.kind === 'tab' ? '\t' : piece.text;
}

class Pieces {
  readonly list: Piece[] = [];
  readonly #options: DrawOptions;

  constructor(options: DrawOptions) {
    this.#options = options;
  }

  shown(text: string, kind: 'text' | 'rtl' | 'mixed' = 'text'): void {
    const last = this.list.at(-1);
    if (kind === 'text' && last?.kind === 'text') this.list.splice(-1, 1, { kind, text: last.text + text });
    else this.list.push({ kind, text });
  }

  hidden(character: string, count = 1): void {
    const last = this.list.at(-1);
    const codePoint = character.codePointAt(0) ?? 0;
    const before = last?.kind === 'escape' && last.codePoint === codePoint ? last.count : 0;
    if (before > 0) this.list.pop();
    this.list.push(escape(codePoint, before + count));
  }

  feeds(count: number): void {
    if (this.#options.lines !== true) return this.hidden('\n', count);
    if (count <= MAX_EMPTY_LINES + 1) for (let n = 0; n < count; n++) this.list.push({ kind: 'line' });
    else this.list.push({ kind: 'line' }, escape(0x0a, count - 2), { kind: 'line' });
  }

  tab(): void {
    if (this.#options.lines === true) this.list.push({ kind: 'tab' });
    else this.hidden('\t');
  }

  /** A letter with its marks; the first ones stay on it where there is a letter to stand on. */
  marked(found: string): void {
    const [first = '', ...rest] = found;
    const base = /^\p{M}/u.test(first) || HIDDEN_ONE.test(first) ? '' : first;
    const marks = base === '' && /^\p{M}/u.test(first) ? [first, ...rest] : rest;
    if (base === '' && marks.length === rest.length) this.hidden(first);
    const kept = marks.findIndex((mark, at) => at >= MAX_MARKS || HIDDEN_ONE.test(mark));
    const stay = base === '' ? 0 : kept === -1 ? marks.length : kept;
    if (base !== '') this.shown(base + marks.slice(0, stay).join(''), RTL_ONE.test(base) ? 'rtl' : 'text');
    for (const mark of marks.slice(stay)) this.hidden(mark);
  }

  rtl(found: string): void {
    this.shown(found, 'rtl');
  }

  word(found: string): void {
    const scripts = SCRIPTS.filter((script) => script.test(found)).length;
    const odd = scripts > 1 || LOOKALIKE.test(found) || (this.#options.names === true && /\P{ASCII}/u.test(found));
    // Right-to-left letters after others: each run for itself.
    for (const part of found.split(new RegExp(`(${RTL}+)`, 'u')))
      if (part !== '') this.shown(part, RTL_ONE.test(part) ? 'rtl' : odd ? 'mixed' : 'text');
  }
}

function escape(codePoint: number, count: number): Piece {
  const name = shortName(codePoint);
  const code = codePoint.toString(16).toUpperCase().padStart(4, '0');
  const times = count === 1 ? '' : ` ×${count}`;
  return { kind: 'escape', text: `⟨U+${code}${name === '' ? '' : ` ${name}`}${times}⟩`, codePoint, count, name };
}
