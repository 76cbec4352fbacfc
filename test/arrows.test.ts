import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');

/** Which package may import which: the picture in docs/architecture.md. Everybody's tests may import `testing`. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  api: [],
  policy: ['api'],
  evidence: [],
  sidecar: ['api', 'policy', 'evidence'],
  operator: ['api', 'policy', 'evidence'],
  collector: ['api', 'evidence'],
  cli: ['api', 'policy', 'evidence', 'sidecar', 'collector'],
  testing: [],
};

/** Packages that take values and return values: no sockets, no files, no processes. */
const PURE = ['api', 'policy', 'evidence'];
/** Rooms of the sidecar that are pure too. */
const PURE_ROOMS = ['sidecar/src/postgres/wire', 'sidecar/src/postgres/masking', 'sidecar/src/masking'];
const IMPURE_MODULES = /^node:(net|tls|http|https|http2|dgram|fs|fs\/promises|child_process|worker_threads|dns)$/;

interface Import {
  readonly file: string;
  readonly target: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules') && !name.startsWith('dist'))
    .map((name) => join(folder, name));
}

function imports(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(
    /^\s*(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm,
  );
  return [...found].map((match) => ({ file, target: match[1] ?? match[2] ?? match[3] ?? '' }));
}

const isTest = (file: string): boolean =>
  file.endsWith('.test.ts') ||
  file.endsWith('.case.ts') ||
  file.includes('/test/') ||
  file.endsWith('.test-support.ts') ||
  file.includes('/testdata/');

describe('the arrows between packages', () => {
  for (const [name, allowed] of Object.entries(ARROWS)) {
    it(`${name} imports ${allowed.length === 0 ? 'no other package' : allowed.join(', ')} only`, () => {
      const wrong = sources(`${name}/src`)
        .flatMap(imports)
        .filter(({ target }) => target.startsWith('@chaperone/'))
        .filter(({ file, target }) => {
          const other = target.slice('@chaperone/'.length).split('/')[0] ?? '';
          return other !== name && !allowed.includes(other) && !(other === 'testing' && isTest(file));
        });
      expect(wrong).toEqual([]);
    });
  }

  it('no file reaches into another package by path', () => {
    const wrong = Object.keys(ARROWS)
      .flatMap((name) => sources(`${name}/src`))
      .flatMap(imports)
      .filter(({ target }) => target.startsWith('.'))
      .filter(({ file, target }) => {
        const reached = relative(root, resolve(root, dirname(file), target));
        return reached.split('/')[0] !== file.split('/')[0];
      });
    expect(wrong).toEqual([]);
  });

  it('pure packages and rooms touch no socket, file or process', () => {
    const wrong = [...PURE.map((name) => `${name}/src`), ...PURE_ROOMS]
      .flatMap(sources)
      .filter((file) => !isTest(file))
      .flatMap(imports)
      .filter(({ target }) => IMPURE_MODULES.test(target));
    expect(wrong).toEqual([]);
  });
});

describe('the size of files', () => {
  it('no source file is longer than 500 lines', () => {
    const long = Object.keys(ARROWS)
      .flatMap((name) => sources(`${name}/src`))
      .filter((file) => !isTest(file) && !file.includes('testdata'))
      .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > 500);
    expect(long).toEqual([]);
  });
});
