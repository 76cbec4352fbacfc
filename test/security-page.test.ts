import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './sources.ts';
import { hasTest } from './titles.ts';

/** Pages that say of each attack which test holds what: `file` and, in quotes behind it, titles of tests. */
const PAGES = [
  { page: 'ssh', letter: 'S', faults: 19, rooms: 'wire|actions|relay' },
  { page: 'kubernetes', letter: 'K', faults: 13, rooms: 'wire|actions|masking|relay' },
] as const;

interface Named {
  readonly path: string;
  readonly titles: readonly string[];
}

function named(cell: string, { page, rooms }: (typeof PAGES)[number]): Named[] {
  return [...cell.matchAll(/`([\w./-]+\.(?:test|e2e)\.ts)`((?:,? "[^"]+")*)/g)].map(([, name = '', titles = '']) => ({
    path: name.replace(new RegExp(`^(?:${rooms})/`), `sidecar/src/${page}/$&`),
    titles: [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title),
  }));
}

describe.each(PAGES)('the security page of $page', (of) => {
  const text = readFileSync(join(root, `docs/security/${of.page}.md`), 'utf8');
  const rows = [...text.matchAll(/^\| (?!attack|-)(.*) \|$/gm)].map(([, row = '']) => row.split(' | '));

  it('has each public fault of other implementations once, in order', () => {
    const numbers = rows.flatMap(([attack = '']) => new RegExp(`^${of.letter}(\\d+)\\b`).exec(attack)?.[1] ?? []).map(Number);
    expect(numbers).toEqual(Array.from({ length: of.faults }, (_, index) => index + 1));
  });

  it.each(rows.map((row) => [row[0] ?? '', row] as const))('names tests that exist: %s', (_, row) => {
    const tests = named(row.at(-1) ?? '', of);
    expect(row).toHaveLength(3);
    expect(tests.flatMap(({ titles }) => titles).length).toBeGreaterThan(0);
    const missing = tests.flatMap(({ path, titles }) =>
      existsSync(join(root, path))
        ? titles.filter((title) => !hasTest([path], title)).map((title) => `${path}: ${title}`)
        : [path],
    );
    expect(missing).toEqual([]);
  });
});
