import { visible } from './text.ts';

/**
 * What a spreadsheet takes for a formula, or for the beginning of one after it has read the file its own way; the apostrophe itself, so that
 * what it stands before is told from what began with one. Full-width forms count: some programs fold them.
 */
const FORMULA = /^[\s]*[=+\-@＝＋－＠'|%]/u;

/**
 * One line of CSV (RFC 4180, UTF-8), its CR LF included. Texts are made visible: what is not seen is written as `\n` or `\u{202e}`, so that
 * no cell has a line of its own; those that a spreadsheet would calculate have an apostrophe before them, which is not part of the text.
 * Numbers are written as they are, and null as nothing.
 */
export function csvLine(cells: readonly (string | number | null)[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

function csvCell(cell: string | number | null): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const shown = visible(cell);
  const inert = FORMULA.test(shown) ? `'${shown}` : shown;
  return /[",\r\n]/.test(inert) || inert === '' ? `"${inert.replaceAll('"', '""')}"` : inert;
}
