import { MAX_LINE } from '@chaperone/evidence';

/** Lines of one terminal that are told; more of them nobody reads. */
const MAX_LINES = 10_000;
/** Lines that were ended and have not been shown yet. */
const MAX_ENDED = 16;
/** Characters by which a line is known again; more of them may have been broken into rows. */
const MAX_KNOWN = 40;
/** Digits of a sequence's number that count. */
const MAX_DIGITS = 4;
const [BELL, BACKSPACE, TAB, LINE_FEED, RETURN, ESCAPE] = ['\u0007', '\b', '\t', '\n', '\r', '\u001b'];
/** Sequences that are strings, up to their end: DCS, SOS, OSC, PM, APC (ECMA-48, section 5.6). */
const STRINGS = new Set('PX]^_');
/** Modes that show another screen, on which nobody enters lines (xterm's control sequences). */
const OTHER_SCREEN = /^\?(47|1047|1049)$/;

/** A line that was ended. */
interface Ended {
  /** What was typed of it; undefined: keys that write something else than themselves. */
  readonly typed: string | undefined;
  /** What stood on the cursor's line by then. */
  readonly stood: string;
}

type Inside = 'text' | 'escape' | 'one' | 'sequence' | 'string' | 'string-end';

/**
 * Guesses which lines an agent entered at a terminal, from what it sent and what the terminal showed: when a line is ended, what stands on
 * the cursor's line. What is not echoed is not in it, and what a program prints before it shows what was sent ahead is none. Memory is
 * bounded by one line, and the beginnings of those that were ended.
 */
export class EnteredLines {
  readonly #onLine: (text: string) => void;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #inside: Inside = 'text';
  #numbers = '';
  #cells: string[] = [];
  #column = 0;
  #typed: string | undefined = '';
  #ended: Ended[] = [];
  /** Of the cursor's line as it is; undefined: it has changed. */
  #stood: string | undefined;
  #told = 0;
  #isElsewhere = false;

  constructor(onLine: (text: string) => void) {
    this.#onLine = onLine;
  }

  typed(chunk: Buffer): void {
    if (this.#isElsewhere) return;
    for (const byte of chunk) this.#key(byte);
  }

  #key(byte: number): void {
    if (byte === 0x0d || byte === 0x0a) return this.#enter();
    // They give up what was typed: Ctrl-C, Ctrl-D, Ctrl-U.
    if (byte === 0x03 || byte === 0x04 || byte === 0x15) this.#typed = '';
    else if (byte < 0x20 || byte > 0x7e || this.#typed === undefined || this.#typed.length >= MAX_KNOWN) this.#typed = undefined;
    else this.#typed += String.fromCharCode(byte);
  }

  #enter(): void {
    const [typed, stood] = [this.#typed, (this.#stood ??= textOf(this.#cells.slice(0, MAX_KNOWN)))];
    this.#typed = '';
    // Enter alone is a line where something stands, and only once.
    if (typed === '' && (stood === '' || this.#ended.at(-1)?.stood === stood)) return;
    if (this.#ended.length === MAX_ENDED) this.#ended.shift();
    this.#ended.push({ typed, stood });
  }

  shown(chunk: Buffer): void {
    for (const character of this.#decoder.decode(chunk, { stream: true })) this.#take(character);
  }

  #take(character: string): void {
    this.#stood = undefined;
    switch (this.#inside) {
      case 'text':
        return this.#text(character);
      case 'escape':
        this.#inside =
          character === '[' ? 'sequence' : STRINGS.has(character) ? 'string' : /[ -/]/.test(character) ? 'one' : 'text';
        this.#numbers = '';
        return undefined;
      case 'sequence':
        return this.#sequence(character);
      case 'string':
        if (character === BELL || character === '\u009c' || character === '\u0018') this.#inside = 'text';
        else if (character === ESCAPE) this.#inside = 'string-end';
        return undefined;
      default:
        this.#inside = 'text';
        return undefined;
    }
  }

  #text(character: string): void {
    switch (character) {
      case ESCAPE:
        this.#inside = 'escape';
        return;
      case BACKSPACE:
        this.#column = Math.max(0, this.#column - 1);
        return;
      case RETURN:
        this.#column = 0;
        return;
      case TAB:
        this.#move(8 - (this.#column % 8));
        return;
      case LINE_FEED:
        return this.#end();
      default:
        if (character < ' ' || (character >= '\u007f' && character < '\u00a0')) return;
        this.#cells[this.#column] = character;
        this.#move(1);
    }
  }

  #move(by: number): void {
    this.#column = Math.max(0, Math.min(MAX_LINE - 1, this.#column + by));
  }

  #sequence(character: string): void {
    if (character >= ' ' && character < '@') {
      if (this.#numbers.length < 16) this.#numbers += character;
      return;
    }
    this.#inside = 'text';
    const first = /^\d*/.exec(this.#numbers)?.[0].slice(0, MAX_DIGITS) ?? '';
    this.#edit(character, Number(first), Math.min(MAX_LINE, Math.max(1, Number(first))));
  }

  /** What moves within the line, and changes it; what leaves it begins another one. */
  #edit(final: string, number: number, count: number): void {
    switch (final) {
      case 'C':
        return this.#move(count);
      case 'D':
        return this.#move(-count);
      case 'G':
        this.#column = 0;
        return this.#move(count - 1);
      case 'K':
        if (number === 0) this.#cells.length = Math.min(this.#cells.length, this.#column);
        else this.#cells.fill(' ', 0, number === 1 ? this.#column + 1 : undefined);
        return undefined;
      case 'P':
        this.#cells.splice(this.#column, count);
        return undefined;
      case '@':
        this.#cells.length = Math.max(this.#cells.length, this.#column);
        this.#cells = this.#cells.toSpliced(this.#column, 0, ...Array<string>(count).fill(' ')).slice(0, MAX_LINE);
        return undefined;
      case 'H':
      case 'f':
      case 'A':
      case 'B':
        return this.#begin();
      case 'h':
      case 'l':
        if (OTHER_SCREEN.test(this.#numbers)) this.#isElsewhere = final === 'h';
        return undefined;
      default:
        return undefined;
    }
  }

  #begin(): void {
    this.#cells = [];
    this.#column = 0;
  }

  #end(): void {
    const text = textOf(this.#cells.slice(0, MAX_LINE));
    this.#begin();
    if (this.#isElsewhere || text === '') return;
    const at = this.#ended.findIndex((each) => isOf(each, text));
    if (at < 0) return;
    // Those before it were not echoed.
    this.#ended.splice(0, at + 1);
    if (this.#told >= MAX_LINES) return;
    this.#told++;
    this.#onLine(text);
  }
}

function textOf(cells: readonly (string | undefined)[]): string {
  // Of an array with holes, each is a blank.
  return Array.from(cells, (cell) => cell ?? ' ')
    .join('')
    .slice(0, MAX_LINE)
    .replace(/[\ud800-\udbff]$/, '')
    .trimEnd();
}

/** Whether a line that was shown is the one that was ended: it ends with what was typed, or goes on from what stood there. */
function isOf({ typed, stood }: Ended, line: string): boolean {
  if (typed === undefined) return true;
  return (typed.trimEnd() !== '' && line.endsWith(typed.trimEnd())) || (stood !== '' && line.startsWith(stood));
}
