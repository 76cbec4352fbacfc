import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './sources.ts';

/** What names a test in a file: the literal parts of titles, and the first cell of rows of a table of tests. */
function names(path: string): { readonly titles: string[]; readonly rows: string[] } {
  const text = readFileSync(join(root, path), 'utf8');
  const quoted = String.raw`\s*(['"\`])((?:\\.|(?!\1).)+)\1`;
  const called = new RegExp(String.raw`\b(?:it|test|describe)(?:\.\w+)*\(${quoted}`, 'g');
  const tabled = new RegExp(String.raw`\)\(${quoted},\s*(?:\{[^{}]*\},\s*)?(?:async )?\(`, 'g');
  const row = /^\s*\[?(['"])((?:\\.|(?!\1).)+)\1(?:,|:)/gm;
  const found = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map((match) => match[2] ?? '');
  return {
    titles: [...found(called), ...found(tabled)].flatMap((title) => title.split(/%[sijd]|\$\w+|\$\{[^}]*\}/)),
    rows: found(row),
  };
}

/** Whether one of the files has a test of which that is the title, a part of it, or the row of its table. */
export function hasTest(paths: readonly string[], title: string): boolean {
  return paths.some((path) => {
    const named = names(path);
    return named.titles.some((known) => known.includes(title)) || named.rows.includes(title);
  });
}
