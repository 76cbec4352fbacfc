import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imports, root, sources } from './sources.ts';

/** Which package may import which: the picture in docs/architecture.md. Everybody's tests may import `testing`. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  api: [],
  policy: ['api'],
  evidence: [],
  kube: ['api'],
  sidecar: ['api', 'policy', 'evidence', 'kube'],
  operator: ['api', 'policy', 'evidence', 'kube'],
  collector: ['api', 'evidence', 'kube'],
  console: ['api', 'evidence'],
  cli: ['api', 'policy', 'evidence', 'sidecar', 'collector'],
  testing: [],
};

/**
 * What stands outside of packages' sources: tests that span packages, and the tools of this repository. They may import `testing`
 * too, and reach what they name by path where the package has no door for it (docs/adr/0012).
 */
const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
  e2e: ['operator'],
  bench: ['api', 'collector', 'evidence', 'policy', 'sidecar'],
  scripts: ['api', 'sidecar'],
  test: ['api', 'cli', 'scripts'],
  'helm/test': ['api'],
  'evidence/test': ['evidence'],
  'sidecar/test': ['sidecar', 'evidence'],
  // Other programs judge the log wherever it is made.
  'collector/test': ['collector', 'evidence', 'evidence/test', 'sidecar'],
  // The page is tested in a browser, against a real collector and a real `chaperone up`.
  'console/test': ['api', 'cli', 'collector', 'evidence', 'evidence/test'],
};

/** Of kube, what posts to others than the API server: traces of sidecars go by it too (docs/adr/0046). */
const POST = '@chaperone/kube/post';
/** Packages that take values and return values: no sockets, no files, no processes. */
const PURE = ['api', 'policy', 'evidence'];
/** Rooms of the sidecar that are pure too. */
const PURE_ROOMS = [
  'sidecar/src/postgres/wire',
  'sidecar/src/postgres/actions',
  'sidecar/src/postgres/masking',
  'sidecar/src/masking',
  'sidecar/src/ssh/actions',
];
/** The parser is foreign code in WebAssembly; it has a thread, which is all that these two may touch (docs/adr/0012). */
const THREADS = new Set(['sidecar/src/postgres/actions/parser.ts', 'sidecar/src/postgres/actions/worker.ts']);
const IMPURE_MODULES = /^node:(net|tls|http|https|http2|dgram|fs|fs\/promises|child_process|worker_threads|dns)$/;

/** The package, or the folder beside the packages, that an import reaches; undefined for what is not of this repository. */
function packageOf(file: string, target: string): string | undefined {
  if (target.startsWith('@chaperone/')) return target.split('/')[1];
  if (!target.startsWith('.')) return undefined;
  const reached = relative(root, resolve(root, dirname(file), target));
  return Object.keys(OUTSIDE).find((folder) => reached.startsWith(`${folder}/`)) ?? reached.split('/')[0];
}

const isTest = (file: string): boolean =>
  file.endsWith('.test.ts') ||
  file.endsWith('.case.ts') ||
  file.includes('/test/') ||
  file.endsWith('.test-support.ts') ||
  file.includes('/testdata/');

/** Files that a file imports by path, and not for their types alone. */
const ofOwnPackage = (file: string): string[] =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/^(?:import|export)(?! type)\b[^'"]*?'(\.[^'"]+)'/gm)].map(
    ([, target = '']) => join(dirname(file), target),
  );

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
      .filter(({ target }) => IMPURE_MODULES.test(target))
      .filter(({ file, target }) => !(THREADS.has(file) && target === 'node:worker_threads'));
    expect(wrong).toEqual([]);
  });

  it('the page imports no module of Node, and of evidence the types alone but in the worker that verifies', () => {
    const files = sources('console/src').filter((file) => !isTest(file));
    expect(files.flatMap(imports).filter(({ target }) => target.startsWith('node:'))).toEqual([]);
    const ofEvidence = /^(?:import|export)(?! type)[^'"]*?from '@chaperone\/evidence/m;
    expect(files.filter((file) => ofEvidence.test(readFileSync(join(root, file), 'utf8')))).toEqual([
      'console/src/verify/verification.ts',
    ]);
    const inWorker = ['verification', 'primitives', 'bytes', 'environment'].map((name) => `console/src/verify/${name}.ts`);
    expect(files.filter((file) => ofOwnPackage(file).some((target) => inWorker.includes(target))).toSorted()).toEqual([
      'console/src/verify/environment.ts',
      'console/src/verify/worker.ts',
    ]);
  });

  it('what verifies evidence asks Node in one module alone, which a browser has another of', () => {
    const reached = new Set<string>();
    const follow = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const target of ofOwnPackage(file)) follow(target);
    };
    follow('evidence/src/verifier.ts');
    expect(reached.size).toBeGreaterThan(30);
    const asking = [...reached].flatMap(imports).filter(({ target }) => target.startsWith('node:'));
    expect([...new Set(asking.map(({ file }) => file))]).toEqual(['evidence/src/primitives.ts']);
  });

  it('what reads kubeconfigs is loaded where there is one, since it takes 50 MiB of each part in a pod', () => {
    const reading = ['operator/src', 'collector/src', 'kube/src', 'sidecar/src']
      .flatMap(sources)
      .filter((file) => !/\.test(-support)?\.ts$/.test(file))
      .flatMap(imports)
      .filter(({ target }) => target === '@kubernetes/client-node')
      .map(({ file }) => file);
    expect([...new Set(reading)]).toEqual(['kube/src/find-cluster.ts']);
  });

  it('in the sidecar’s package the agent of nodes alone speaks to the API server (docs/adr/0044)', () => {
    const asking = sources('sidecar/src')
      .flatMap(imports)
      .filter(({ target }) => target.startsWith('@chaperone/kube') && target !== POST)
      .filter(({ file }) => !file.startsWith('sidecar/src/node/'));
    expect(asking).toEqual([]);
  });

  it('no protocol reaches into the relay of another: what they share has a room of its own', () => {
    const wrong = sources('sidecar/src')
      .filter((file) => !isTest(file))
      .flatMap(imports)
      .filter(({ file, target }) => {
        const [, protocol] = /^sidecar\/src\/(postgres|ssh|kubernetes)\//.exec(file) ?? [];
        const [, other] = /^sidecar\/src\/(postgres|ssh|kubernetes)\/relay\//.exec(join(dirname(file), target)) ?? [];
        return protocol !== undefined && other !== undefined && other !== protocol;
      });
    expect(wrong).toEqual([]);
  });

  for (const [folder, allowed] of Object.entries(OUTSIDE)) {
    it(`${folder} imports ${[...allowed, 'testing'].join(', ')} only`, () => {
      const wrong = sources(folder)
        .flatMap(imports)
        .filter(({ file, target }) => {
          const other = packageOf(file, target);
          return other !== undefined && other !== folder && other !== 'testing' && !allowed.includes(other);
        });
      expect(wrong).toEqual([]);
    });
  }

  it('every source is in the picture', () => {
    const known = [...Object.keys(ARROWS).map((name) => `${name}/src/`), ...Object.keys(OUTSIDE).map((folder) => `${folder}/`)];
    const wrong = sources('.').filter((file) => !known.some((folder) => file.startsWith(folder)));
    expect(wrong).toEqual(['vitest.config.ts', 'console/vite.config.ts']);
  });

  it('modules of Node are named node:…, so that no other module can take their place and no rule above is passed by', () => {
    const builtin = new Set(builtinModules.filter((name) => !name.startsWith('node:')));
    const wrong = sources('.')
      .flatMap(imports)
      .filter(({ target }) => builtin.has(target));
    expect(wrong).toEqual([]);
  });
});

describe('the size of files', () => {
  it('no source file is longer than 500 lines', () => {
    const long = Object.keys(ARROWS)
      .flatMap((name) => sources(`${name}/src`))
      .filter((file) => !isTest(file) && !file.includes('testdata'))
      .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))
      // Tables that a program writes are as long as what they are of.
      .filter(({ text }) => !text.startsWith('// Written by '))
      .map(({ file, text }) => ({ file, lines: text.split('\n').length }))
      .filter(({ lines }) => lines > 500);
    expect(long).toEqual([]);
  });
});
