import { once } from 'node:events';
import { visible } from '@chaperone/api/text';

/** What a command needs of the process it runs in. */
export interface Io {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream;
  readonly in: NodeJS.ReadableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Which of them is a terminal. */
  readonly terminal: { readonly in: boolean; readonly out: boolean; readonly err: boolean };
}

export function processIo(): Io {
  return {
    out: process.stdout,
    err: process.stderr,
    in: process.stdin,
    env: process.env,
    now: () => Date.now(),
    terminal: { in: process.stdin.isTTY, out: process.stdout.isTTY, err: process.stderr.isTTY },
  };
}

/** Writes a line, and waits while the reader is slower than we are. */
export async function writeLine(out: NodeJS.WritableStream, line: string): Promise<void> {
  if (!out.write(`${line}\n`)) await once(out, 'drain');
}

/**
 * Columns padded to their widest cell, two blanks between them; foreign text in cells is made visible, and no cell is empty. `paint`
 * colours the cells below a head, which changes no width. `least` are widths that columns have at least, for a table that goes on.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (cell: string, head: string) => string = (cell) => cell,
  least: readonly number[] = [],
): string {
  const shown = rows.map((row) => row.map((cell) => (cell === '' ? '-' : visible(cell))));
  // One by one: a call takes no hundred thousand arguments.
  const widths = head.map((name, column) =>
    shown.reduce((most, row) => Math.max(most, (row[column] ?? '').length), Math.max(name.length, least[column] ?? 0)),
  );
  const line = (row: readonly string[], of: typeof paint): string =>
    row
      .map((cell, column) => of(cell, head[column] ?? '') + ' '.repeat((widths[column] ?? 0) - cell.length))
      .join('  ')
      .trimEnd();
  return [line(head, (cell) => cell), ...shown.map((row) => line(row, paint))].join('\n');
}

/** An age as kubectl shows it: 45s, 3m, 2h, 5d. */
export function age(fromMs: number | undefined, nowMs: number): string {
  if (fromMs === undefined) return '-';
  const seconds = Math.max(0, Math.round((nowMs - fromMs) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** 1 record, 2 records. */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
