import { isUtf8 } from 'node:buffer';
import { unknown, type Unknown, type UnknownCode } from './unknown.ts';

/** Of a whole command. Quoted again it has at most four times as many bytes, half of what Linux takes as one argument (128 KiB). */
export const MAX_COMMAND_BYTES = 16_384;
export const MAX_WORDS = 1_024;
/** In one list. People who approve read all of them. */
export const MAX_COMMANDS = 64;

export type Operator = '|' | '&&' | '||' | ';';

/** All redirections that there are, written in one way each. */
export const REDIRECTIONS = ['</dev/null', '>/dev/null', '2>/dev/null', '>&2', '2>&1'] as const;
export type Redirection = (typeof REDIRECTIONS)[number];

export interface SimpleCommand {
  /** As the program gets it; the first is its name. */
  readonly argv: readonly string[];
  readonly redirections: readonly Redirection[];
}

export interface CommandList {
  readonly kind: 'commands';
  readonly commands: readonly SimpleCommand[];
  /** `operators[n]` stands behind `commands[n]`. */
  readonly operators: readonly Operator[];
}

/**
 * Reads a command that `sh -c` would get, as far as bash, dash, ksh, mksh, busybox, yash and zsh agree on it with their default options
 * (POSIX.1-2024, Shell Command Language, 2.2, 2.3, 2.7 and 2.9, and what these shells add):
 *
 *     list        = command *( operator command ) [ ";" ]
 *     operator    = "|" / "&&" / "||" / ";"
 *     command     = word *( word / redirection )
 *     word        = 1*( safe / "\" printable / single-quoted / double-quoted )
 *     safe        = ALPHA / DIGIT / any of _ @ % + : , . / - =
 *     redirection = REDIRECTIONS, also with 1> for >, with >> for >, with blanks before /dev/null
 *
 * Everything else is unknown. A word that shells might read differently by its place is unknown too: reserved words, assignments,
 * a leading `=` or `-`. Takes a number of steps linear in the number of bytes, which is bounded.
 */
export function parseShell(bytes: Uint8Array): CommandList | Unknown {
  if (bytes.length > MAX_COMMAND_BYTES) return unknown('TooLong');
  if (!isUtf8(bytes)) return unknown('NotText');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
  const odd = text.search(ODD);
  if (odd >= 0) return unknown('ControlCharacter', odd);
  try {
    return new Parser(text).list();
  } catch (error) {
    if (error instanceof Unreadable) return unknown(error.code, error.at);
    throw error;
  }
}

/** Characters of Unicode that control, format or separate, but for blank and tab. */
const ODD = /[^\P{C}\t]|[^\P{Z} ]/u;
const SAFE = /^[A-Za-z0-9_@%+:,./-]$/;
const PRINTABLE = /^[ -~]$/;
/** Names of programs, with or without a path. `-` in front is a modifier of zsh; `=` would be an assignment. */
const PROGRAM = /^[A-Za-z0-9_./][A-Za-z0-9_.+/-]*$/;
export const isProgramName = (word: string): boolean => PROGRAM.test(word);
/** What ends a word without being part of one. */
const DELIMITERS = new Set([' ', '\t', '|', '&', ';', '<', '>', '']);

/** Reserved words of any of the shells, and what zsh reads before a command; by value, since quoted ones are too rare to tell apart. */
const RESERVED = new Set(
  `if then else elif fi do done case esac while until for in select function time coproc foreach end repeat always nocorrect noglob
  namespace declare export float integer local readonly typeset`.split(/\s+/),
);

const FAULTS: Readonly<Record<string, UnknownCode>> = {
  $: 'Expansion',
  '`': 'Expansion',
  '*': 'Pattern',
  '?': 'Pattern',
  '[': 'Pattern',
  ']': 'Pattern',
  '{': 'Grouping',
  '}': 'Grouping',
  '(': 'Grouping',
  ')': 'Grouping',
  '<': 'Redirection',
  '>': 'Redirection',
};

class Unreadable extends Error {
  readonly code: UnknownCode;
  readonly at: number;
  constructor(code: UnknownCode, at: number) {
    super(code);
    this.code = code;
    this.at = at;
  }
}

class Parser {
  readonly #text: string;
  #at = 0;
  #words = 0;

  constructor(text: string) {
    this.#text = text;
  }

  list(): CommandList {
    const commands: SimpleCommand[] = [];
    const operators: Operator[] = [];
    this.#blanks();
    if (this.#at === this.#text.length) throw this.#fault('Empty');
    for (;;) {
      commands.push(this.#command());
      if (commands.length > MAX_COMMANDS) throw this.#fault('TooMany');
      const operator = this.#operator();
      this.#blanks();
      if (operator === undefined || (operator === ';' && this.#peek() === '')) return { kind: 'commands', commands, operators };
      operators.push(operator);
    }
  }

  /** What stands behind a command; undefined at the end. */
  #operator(): Operator | undefined {
    const first = this.#peek();
    const second = this.#text.charAt(this.#at + 1);
    if (first === '') return undefined;
    if (first === '&' && second !== '&') throw this.#fault(second === '>' ? 'Redirection' : 'Background');
    if ((first === '|' && second === '&') || (first === ';' && (second === ';' || second === '&'))) throw this.#fault('Syntax');
    const operator = second === first ? (`${first}${second}` as '&&' | '||') : (first as '|' | ';');
    this.#at += operator.length;
    return operator;
  }

  #command(): SimpleCommand {
    const argv = [this.#program()];
    const redirections: Redirection[] = [];
    for (;;) {
      this.#blanks();
      const next = this.#peek();
      if (next === '<' || next === '>') redirections.push(this.#redirection(''));
      else if (DELIMITERS.has(next)) return { argv, redirections };
      else if (this.#isDescriptor()) redirections.push(this.#redirection(this.#text.charAt(this.#at++)));
      else argv.push(this.#word(false));
      if (++this.#words > MAX_WORDS) throw this.#fault('TooMany');
    }
  }

  #program(): string {
    this.#blanks();
    const at = this.#at;
    const next = this.#peek();
    if (next === '<' || next === '>') throw this.#fault('Redirection');
    if (DELIMITERS.has(next)) throw this.#fault('Syntax');
    const name = this.#word(true);
    if (RESERVED.has(name)) throw new Unreadable('ReservedWord', at);
    if (!isProgramName(name)) throw new Unreadable('ProgramName', at);
    return name;
  }

  /** Whether a digit stands right before `<` or `>`; it is a word everywhere else. */
  #isDescriptor(): boolean {
    const next = this.#text.charAt(this.#at + 1);
    return /^[0-9]$/.test(this.#peek()) && (next === '<' || next === '>');
  }

  #redirection(descriptor: string): Redirection {
    const found = /(?:(<)|(>>?))[ \t]*(?:(\/dev\/null)|&([12]))(?=[ \t|&;]|$)/y;
    found.lastIndex = this.#at;
    const [whole, input, output, nowhere, copied] = found.exec(this.#text) ?? [];
    if (whole === undefined || (copied !== undefined && output !== '>')) throw this.#fault('Redirection');
    if (copied !== undefined && !whole.endsWith(`>&${copied}`)) throw this.#fault('Redirection');
    const from = descriptor === (input ? '0' : '1') ? '' : descriptor;
    const written = `${from}${input ?? '>'}${nowhere ?? `&${copied}`}`;
    const redirection = REDIRECTIONS.find((known) => known === written);
    if (redirection === undefined) throw this.#fault('Redirection');
    this.#at += whole.length;
    return redirection;
  }

  #word(isProgram: boolean): string {
    const start = this.#at;
    let word = '';
    for (;;) {
      const next = this.#peek();
      if (next === '<' || next === '>') throw this.#fault('Redirection');
      if (DELIMITERS.has(next)) return word;
      if (next === "'") word += this.#singleQuoted();
      else if (next === '"') word += this.#doubleQuoted();
      else if (next === '\\') word += this.#escaped();
      else if (next === '=') {
        if (isProgram) throw this.#fault('Assignment');
        // zsh reads `=name` as the path of that program, also behind ''; alone it is itself.
        const alone = this.#at === start && DELIMITERS.has(this.#text.charAt(start + 1));
        if (word === '' && !alone) throw this.#fault('Special');
        word += next;
        this.#at++;
      } else word += this.#safe(next);
    }
  }

  #safe(next: string): string {
    if (!SAFE.test(next)) throw this.#fault(FAULTS[next] ?? (PRINTABLE.test(next) ? 'Special' : 'NotAscii'));
    this.#at++;
    return next;
  }

  #escaped(): string {
    const escaped = this.#text.charAt(this.#at + 1);
    if (escaped === '') throw this.#fault('Unterminated');
    if (!PRINTABLE.test(escaped)) throw this.#fault('Special');
    this.#at += 2;
    return escaped;
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw this.#fault('Unterminated');
    const quoted = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return quoted;
  }

  #doubleQuoted(): string {
    const start = this.#at++;
    let quoted = '';
    for (;;) {
      const next = this.#peek();
      this.#at++;
      if (next === '"') return quoted;
      if (next === '') throw new Unreadable('Unterminated', start);
      if (next === '$' || next === '`') throw new Unreadable('Expansion', this.#at - 1);
      quoted += next === '\\' ? this.#escapedInQuotes() : next;
    }
  }

  /** Behind a backslash in double quotes, which stays there before what has no meaning (2.2.3). Shells with history differ on `!`. */
  #escapedInQuotes(): string {
    const escaped = this.#text.charAt(this.#at);
    if (escaped === '' || escaped === '!') throw this.#fault(escaped === '' ? 'Unterminated' : 'Special');
    this.#at++;
    return '$`"\\'.includes(escaped) ? escaped : `\\${escaped}`;
  }

  #blanks(): void {
    while (this.#peek() === ' ' || this.#peek() === '\t') this.#at++;
  }

  /** The character here; empty at the end. */
  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #fault(code: UnknownCode): Unreadable {
    return new Unreadable(code, this.#at);
  }
}
