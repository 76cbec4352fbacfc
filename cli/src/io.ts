import { once } from 'node:events';
import { visible } from '@chaperone/api/text';

/** What a command needs of the process it runs in. */
export interface Io {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream;
  readonly in: NodeJS.ReadableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

export function processIo(): Io {
  return { out: process.stdout, err: process.stderr, in: process.stdin, env: process.env, now: () => Date.now() };
}

/** Writes a line, and waits while the reader is slower than we are. */
export async function writeLine(out: NodeJS.WritableStream, line: string): Promise<void> {
  if (!out.write(`${line}\n`)) await once(out, 'drain');
}

const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * JSON that is safe on a terminal: what would not be seen there (control characters, bidirectional overrides, zero-width code
 * points) is written as \uXXXX, which changes no value. With `indent` over several lines.
 */
export function safeJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(INVISIBLE, (character) =>
    character === '\n' ? character : Array.from({ length: character.length }, (_, at) => escapeUnit(character, at)).join(''),
  );
}

function escapeUnit(text: string, at: number): string {
  return `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`;
}

/** Columns padded to their widest cell, two blanks between them; foreign text in cells is made visible, and no cell is empty. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map((row) => row.map((cell) => (cell === '' ? '-' : visible(cell))))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return all.map((row) => line(row).trimEnd()).join('\n');
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
