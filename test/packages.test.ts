import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imports, root, sources } from './sources.ts';

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly workspaces?: readonly string[];
}

const manifest = (folder: string): Manifest => JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;
const PACKAGES = manifest('.').workspaces ?? [];
const readme = (folder: string): string => readFileSync(join(root, folder, 'README.md'), 'utf8');

/** Whatever the repository imports by a package's name. */
const imported = sources('.')
  .flatMap(imports)
  .filter(({ target }) => target.startsWith('@chaperone/'));
/** The doors of a package by the names that importers use: its own, and `/internal` and the like behind it. */
const doors = (folder: string): [specifier: string, targets: string[]][] =>
  Object.entries(manifest(folder).exports ?? {}).map(([key, target]) => [
    `@chaperone/${folder}${key.slice(1)}`,
    typeof target === 'string' ? [target] : Object.values(target),
  ]);

describe.each(PACKAGES)('%s', (folder) => {
  it('says its doors: without exports, every file would be one', () => {
    expect(manifest(folder)).toMatchObject({ name: `@chaperone/${folder}`, exports: expect.any(Object) });
  });

  it('has doors that lead to a source, or to what is compiled from the same source', () => {
    for (const [, targets] of doors(folder)) {
      const source = targets.find((target) => target.startsWith('./src/')) ?? '';
      expect(existsSync(join(root, folder, source)), `${folder}/${source}`).toBe(true);
      const compiled = source.replace('./src/', './dist/').replace(/\.ts$/, '.js');
      expect(targets.filter((target) => target !== source && target !== compiled)).toEqual([]);
    }
  });

  it('has no door that nobody else goes through, unless its page calls it public', () => {
    const unused = doors(folder)
      .map(([specifier]) => specifier)
      .filter((specifier) => !imported.some(({ file, target }) => target === specifier && !file.startsWith(`${folder}/`)))
      .filter((specifier) => !readme(folder).includes(`\`${specifier}\` is public`));
    expect(unused).toEqual([]);
  });

  it('has a page of 5 to 20 lines that names its entry points', () => {
    const text = readme(folder);
    const lines = text.trimEnd().split('\n').length;
    expect([lines, lines >= 5 && lines <= 20]).toEqual([lines, true]);
    expect(text).toMatch(/^# (@chaperone\/)?[a-z0-9]+/);
    expect(text).toMatch(/entry points?:/i);
  });
});

describe('imports', () => {
  it('go through doors that exist', () => {
    const known = new Set(PACKAGES.flatMap((folder) => doors(folder).map(([specifier]) => specifier)));
    expect(imported.filter(({ target }) => !known.has(target))).toEqual([]);
    expect(imported.length).toBeGreaterThan(100);
  });
});
