import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './sources.ts';
import { hasTest } from './titles.ts';

/** docs/security/ssh.md says of each attack which test holds what: `file` and, in quotes behind it, titles of tests. */
const page = readFileSync(join(root, 'docs/security/ssh.md'), 'utf8');
const HOMES = { wire: 'sidecar/src/ssh/wire', actions: 'sidecar/src/ssh/actions', relay: 'sidecar/src/ssh/relay' };
const rows = [...page.matchAll(/^\| (?!attack|-)(.*) \|$/gm)].map(([, row = '']) => row.split(' | '));

interface Named {
  readonly path: string;
  readonly titles: readonly string[];
}

function named(cell: string): Named[] {
  return [...cell.matchAll(/`([\w./-]+\.test\.ts)`((?:,? "[^"]+")*)/g)].map(([, name = '', titles = '']) => ({
    path: name.replace(/^(wire|actions|relay)\//, (_, home: keyof typeof HOMES) => `${HOMES[home]}/`),
    titles: [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title),
  }));
}

describe('docs/security/ssh.md', () => {
  it('has each public fault of other implementations once, S1 to S19', () => {
    const numbers = rows.flatMap(([attack = '']) => /^S(\d+)\b/.exec(attack)?.[1] ?? []).map(Number);
    expect(numbers).toEqual(Array.from({ length: 19 }, (_, index) => index + 1));
  });

  it.each(rows.map((row) => [row[0] ?? '', row] as const))('names tests that exist: %s', (_, row) => {
    const tests = named(row.at(-1) ?? '');
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
