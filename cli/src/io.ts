/** What a command needs of the process it runs in; tests give their own. */
export interface Io {
  readonly out: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly err: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly in: NodeJS.ReadableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

export function processIo(): Io {
  return { out: process.stdout, err: process.stderr, in: process.stdin, env: process.env, now: () => Date.now() };
}

/** Columns padded to their widest cell, two blanks between them; no cell holds a blank that would break `awk`. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
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
