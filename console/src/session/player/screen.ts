import { type IBufferCell, Terminal } from '@xterm/headless/lib-headless/xterm-headless.mjs';
import { Harmless } from './harmless.ts';
import { css, indexed, type Palette, readable, type Rgb } from './palette.ts';

/** A terminal larger than this is drawn as one of this size: nobody reads more, and every cell takes memory. */
export const MAX_COLUMNS = 500;
export const MAX_ROWS = 200;
const USUAL = { columns: 80, rows: 24 };
/** DECTCEM */
const CURSOR_MODE = 25;
/** Characters that may stand in one cell: a letter and its marks. */
const MAX_IN_CELL = 8;
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** A part of a row whose cells look the same. */
export interface Run {
  readonly text: string;
  readonly cells: number;
  readonly ink: string | undefined;
  readonly ground: string | undefined;
  /** Names of looks, with blanks between. */
  readonly look: string;
  /** Code points that a reader would not see, which stand here. */
  readonly unseen: string;
}

/** The screen of a terminal, as a program's output makes it; it shows, and does nothing else. */
export class Screen {
  readonly #harmless = new Harmless();
  readonly #terminal = newTerminal(USUAL.columns, USUAL.rows);
  #showsCursor = true;

  constructor() {
    const { parser } = this.#terminal;
    for (const [final, shows] of [
      ['h', true],
      ['l', false],
    ] as const)
      parser.registerCsiHandler({ prefix: '?', final }, (modes) => {
        if (modes.includes(CURSOR_MODE)) this.#showsCursor = shows;
        return false;
      });
  }

  get columns(): number {
    return this.#terminal.cols;
  }
  get rows(): number {
    return this.#terminal.rows;
  }
  /** What was left out since the screen was cleared. */
  get leftOut(): Harmless['leftOut'] {
    return this.#harmless.leftOut;
  }

  /** Resolves when all of it is on the screen. */
  write(text: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#terminal.write(this.#harmless.pass(text), resolve);
    return promise;
  }

  /** 0 is a size that nobody said. */
  resize(columns: number, rows: number): void {
    const size = {
      columns: Math.min(columns === 0 ? USUAL.columns : Math.max(2, columns), MAX_COLUMNS),
      rows: Math.min(rows === 0 ? USUAL.rows : rows, MAX_ROWS),
    };
    this.#harmless.size = size;
    this.#terminal.resize(size.columns, size.rows);
  }

  end(): void {
    this.#terminal.dispose();
  }

  /** Rows as they are drawn in a palette. */
  draw(palette: Palette): Run[][] {
    const { buffer, rows } = this.#terminal;
    const { active } = buffer;
    return Array.from({ length: rows }, (_, y) => {
      const line = active.getLine(active.baseY + y);
      const cursor = this.#showsCursor && y === active.cursorY ? active.cursorX : -1;
      const runs: Run[] = [];
      for (let x = 0; x < this.columns; x++) {
        const cell = line?.getCell(x);
        // The second half of a wide letter.
        if (cell === undefined || cell.getWidth() === 0) continue;
        add(runs, runOf(cell, x === cursor, palette));
      }
      return runs;
    });
  }
}

function newTerminal(cols: number, rows: number): Terminal {
  // What scrolled away is not kept: the recording has it.
  return new Terminal({ cols, rows, scrollback: 0, allowProposedApi: true, logLevel: 'off' });
}

function runOf(cell: IBufferCell, isCursor: boolean, palette: Palette): Run {
  const chars = cell.getChars();
  const unseen = [...chars.matchAll(UNSEEN)].map(([found]) => codePoint(found)).join(' ');
  const text = Array.from(chars.replace(UNSEEN, '')).slice(0, MAX_IN_CELL).join('') || ' ';
  const cells = cell.getWidth();
  const looks = [
    cell.isBold() !== 0 && 'bold',
    cell.isItalic() !== 0 && 'italic',
    (cell.isUnderline() !== 0 || cell.isStrikethrough() !== 0) && 'lined',
    cell.isInvisible() !== 0 && 'concealed',
    unseen !== '' && 'unseen',
    isCursor && 'cursor',
    // A letter that another font may have has its place by force, not by its own width.
    !/^[ -~\u2500-\u259f]*$/.test(text) && 'placed',
  ].filter((look) => look !== false);
  return { text, cells, ...coloursOf(cell, palette), look: looks.join(' '), unseen };
}

function coloursOf(cell: IBufferCell, palette: Palette): { ink: string | undefined; ground: string | undefined } {
  const plain = cell.isFgDefault() && cell.isBgDefault() && cell.isInverse() === 0 && cell.isDim() === 0;
  if (plain) return { ink: undefined, ground: undefined };
  const own = cell.isFgDefault() ? palette.text : colour(palette, cell.isFgRGB(), cell.getFgColor());
  const behind = cell.isBgDefault() ? palette.ground : colour(palette, cell.isBgRGB(), cell.getBgColor());
  const [text, ground] = cell.isInverse() === 0 ? [own, behind] : [behind, own];
  const dimmed = cell.isDim() === 0 ? text : mixed(text, ground);
  return { ink: css(readable(dimmed, ground)), ground: ground === palette.ground ? undefined : css(ground) };
}

function colour(palette: Palette, isRgb: boolean, value: number): Rgb {
  return isRgb ? [(value >> 16) & 255, (value >> 8) & 255, value & 255] : indexed(palette, value);
}

function mixed(one: Rgb, other: Rgb): Rgb {
  return [0, 1, 2].map((at) => Math.round(((one[at] ?? 0) * 2 + (other[at] ?? 0)) / 3)) as unknown as Rgb;
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Joins cells that look the same; what has its place by force stands alone. */
function add(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  const alone = run.look.includes('placed') || run.look.includes('cursor') || run.unseen !== '';
  if (!alone && last !== undefined && last.unseen === '' && last.look === run.look && same(last, run))
    runs.splice(-1, 1, { ...last, text: last.text + run.text, cells: last.cells + run.cells });
  else runs.push(run);
}

function same(one: Run, other: Run): boolean {
  return one.ink === other.ink && one.ground === other.ground;
}
