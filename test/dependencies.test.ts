import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

/** docs/dependencies.md says what we depend on and why; the lock file says what that brings. */
const root = resolve(import.meta.dirname, '..');
const GOLDEN = join(import.meta.dirname, 'testdata/licences.json');

/** Packages whose dependencies run in production; the others are for tests and measurements. */
const SHIPPED = ['api', 'policy', 'kube', 'evidence', 'sidecar', 'operator', 'collector', 'console', 'cli'];
/** Licences that may be in what we ship. */
const ALLOWED = ['MIT', 'Apache-2.0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Unlicense', 'PSF-2.0', 'BlueOak-1.0.0'];

interface Manifest {
  readonly workspaces: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}
interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));
const top = json('package.json') as Manifest;
const lock = (json('package-lock.json') as { packages: Record<string, Locked> }).packages;

interface Named {
  readonly name: string;
  readonly version: string;
  readonly production: boolean;
}

/** Every dependency on others that a package.json names. */
function named(): Named[] {
  const found = ['', ...top.workspaces].flatMap((workspace): Named[] => {
    const manifest = json(join(workspace, 'package.json')) as Manifest;
    const of = (list: Manifest['dependencies'], production: boolean): Named[] =>
      Object.entries(list ?? {}).map(([name, version]) => ({ name, version, production }));
    return [...of(manifest.dependencies, SHIPPED.includes(workspace)), ...of(manifest.devDependencies, false)];
  });
  return found.filter(({ name }) => !name.startsWith('@chaperone/'));
}

const row = ({ name, version }: Pick<Named, 'name' | 'version'>): string => `${name} ${version.replace(/^npm:.*@/, '')}`;
const unique = (rows: readonly string[]): string[] => [...new Set(rows)].toSorted();

/** First two cells of each row of the table under a heading. */
function documented(heading: string): string[] {
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8');
  const section = page.split(/^## /m).find((text) => text.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `([^`]+)` \| ([\w.-]+) \|/gm)].map((match) => `${match[1]} ${match[2]}`).toSorted();
}

/** Where Node finds `name` from a package at `from`. */
function locate(name: string, from: string): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/', at.length - 1)))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (lock[path] !== undefined) return path;
    if (at === '') return undefined;
  }
}

/** All that production brings along, by its place in the lock file. */
function productionTree(): Map<string, Locked> {
  const seen = new Map<string, Locked>();
  const add = (path: string): void => {
    const entry = lock[path];
    if (entry === undefined || seen.has(path)) return;
    if (!SHIPPED.includes(path)) seen.set(path, entry);
    const wanted = { ...entry.dependencies, ...entry.optionalDependencies, ...entry.peerDependencies };
    for (const name of Object.keys(wanted).filter((each) => !each.startsWith('@chaperone/'))) {
      const found = locate(name, path.startsWith('node_modules/') ? path : '');
      if (found !== undefined) add(found);
    }
  };
  for (const workspace of SHIPPED) {
    const manifest = json(join(workspace, 'package.json')) as Manifest;
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      const path =
        lock[`${workspace}/node_modules/${name}`] === undefined ? `node_modules/${name}` : `${workspace}/node_modules/${name}`;
      if (!name.startsWith('@chaperone/')) add(path);
    }
  }
  return seen;
}

describe('docs/dependencies.md', () => {
  it('names every production dependency with its version, and no other', () => {
    expect(documented('Production')).toEqual(
      unique(
        named()
          .filter(({ production }) => production)
          .map(row),
      ),
    );
  });

  it('names every development dependency with its version, and no other', () => {
    expect(documented('Development')).toEqual(
      unique(
        named()
          .filter(({ production }) => !production)
          .map(row),
      ),
    );
  });
});

describe('dependencies', () => {
  it('are pinned', () => {
    expect(named().filter(({ version }) => !/^(npm:.+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  it('are the ones that the lock file has', () => {
    const other = named()
      .filter(({ version }) => !version.startsWith('npm:'))
      .filter(
        ({ name, version }) =>
          !Object.entries(lock).some(([path, entry]) => path.endsWith(`node_modules/${name}`) && entry.version === version),
      );
    expect(other).toEqual([]);
  });
});

describe('the production tree', () => {
  const tree = productionTree();

  it('has no package whose licence is not on the list', () => {
    const wrong = [...tree]
      .filter(([, { license }]) => !ALLOWED.includes(license ?? ''))
      .map(([path, { license }]) => [path, license]);
    expect(wrong).toEqual([]);
  });

  it('runs no script when it is installed', () => {
    expect([...tree].filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)).toEqual([]);
  });

  /** Written by npm run golden:update; a package that is new here is to be looked at. */
  it('is the one that was looked at', () => {
    const byLicence: Record<string, string[]> = {};
    for (const [path, { license = '' }] of tree) (byLicence[license] ??= []).push(path.replace(/^.*node_modules\//, ''));
    const sorted = Object.keys(byLicence)
      .toSorted()
      .map((licence) => [licence, unique(byLicence[licence] ?? [])] as const);
    const text = `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(GOLDEN, text);
    expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
  });
});
