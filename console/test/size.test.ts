import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';

/** A phone on a slow line waits for this before it sees anything. */
const MAX_FIRST_VIEW_SCRIPT = 90_000;
const MAX_STYLE = 12_000;
/** A terminal's emulator is most of it. */
const MAX_PLAYER = 60_000;
/** The packages of the log, zod, and what computes digests and signatures. */
const MAX_VERIFIER = 80_000;

/** What the page is made of. A chunk that is new here is looked at first: what does it bring, and who waits for it? */
const CHUNKS = [
  'assets/change.js',
  'assets/copy.js',
  'assets/evidence.js',
  'assets/fact.js',
  'assets/grants.js',
  'assets/heading.js',
  'assets/icon.svg',
  'assets/index.js',
  'assets/jsxRuntime.js',
  'assets/left.js',
  'assets/load.js',
  'assets/looking.js',
  'assets/nowhere.js',
  'assets/object-link.js',
  'assets/one.js',
  'assets/player.js',
  'assets/policies.js',
  'assets/policy.js',
  'assets/progress.js',
  // What was ordered about evidence, and who read it.
  'assets/reads.js',
  'assets/request.js',
  'assets/requests.js',
  'assets/resource.js',
  'assets/resources.js',
  // Of the list of sessions, and of policies.
  'assets/rows.js',
  'assets/rows.js',
  'assets/session.js',
  'assets/sessions.js',
  'assets/sign-in.js',
  'assets/style.css',
  'assets/time.js',
  'assets/words.js',
  // Verifies evidence, in a thread of its own.
  'assets/worker.js',
  'index.html',
];

const files = new Map<string, Buffer>();
beforeAll(async () => {
  const folder = await temporaryDirectory('chaperone-page-');
  // As a person builds it: what runs tests sets variables that vite heeds.
  const vite = join(import.meta.dirname, '../../node_modules/vite/bin/vite.js');
  await promisify(execFile)(process.execPath, [vite, 'build', '--logLevel', 'warn', '--outDir', folder.path, '--emptyOutDir'], {
    cwd: join(import.meta.dirname, '..'),
    env: { PATH: process.env['PATH'] },
  });
  for (const entry of await readdir(folder.path, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path.slice(folder.path.length + 1), await readFile(path));
  }
  await folder[Symbol.asyncDispose]();
});

const withoutHash = (name: string): string => name.replace(/-[\w-]{8}(\.\w+)$/, '$1');
const named = (name: string): string => [...files.keys()].find((each) => withoutHash(each) === name) ?? '';
const packed = (name: string): number => gzipSync(files.get(name) ?? Buffer.alloc(0), { level: 9 }).length;

/** A script and all that it imports before it runs. */
function withImports(name: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(name)) return seen;
  seen.add(name);
  const text = files.get(name)?.toString() ?? '';
  for (const match of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+)["']/g)) withImports(`assets/${match[1]}`, seen);
  return seen;
}

test('the page is made of the chunks that were looked at', () => {
  expect([...files.keys()].map(withoutHash).toSorted()).toEqual(CHUNKS);
});

const ROUTES = [
  'requests',
  'request',
  'grants',
  'sessions',
  'session',
  'evidence',
  'policies',
  'policy',
  'resources',
  'resource',
  'sign-in',
];
test.each(ROUTES)('the first view of %s waits for little', (route) => {
  const scripts = withImports(named(`assets/${route}.js`), withImports(named('assets/index.js')));
  expect([...scripts].every((name) => files.has(name))).toBe(true);
  const bytes = [...scripts].reduce((sum, name) => sum + packed(name), 0);
  // Without its framework a page would be less than this: the count is of something.
  expect(bytes).toBeGreaterThan(5_000);
  expect(bytes).toBeLessThanOrEqual(MAX_FIRST_VIEW_SCRIPT);
  expect(packed(named('assets/style.css'))).toBeLessThanOrEqual(MAX_STYLE);
});

test('the player, which brings a terminal, is loaded by no page before it is wanted', () => {
  const first = ROUTES.flatMap((route) => [...withImports(named(`assets/${route}.js`), withImports(named('assets/index.js')))]);
  expect(named('assets/player.js')).not.toBe('');
  expect(first).not.toContain(named('assets/player.js'));
  expect(packed(named('assets/player.js'))).toBeLessThanOrEqual(MAX_PLAYER);
});

test('the verifier is loaded when somebody verifies, and by nothing else', () => {
  const naming = [...files].filter(([, bytes]) => bytes.includes('assets/worker-')).map(([name]) => withoutHash(name));
  expect(naming).toEqual(['assets/evidence.js']);
  expect(packed(named('assets/worker.js'))).toBeGreaterThan(20_000);
  expect(packed(named('assets/worker.js'))).toBeLessThanOrEqual(MAX_VERIFIER);
});

describe('what a browser is told to run and draw', () => {
  test('is in files: the page holds no script, style or handler of its own', () => {
    const html = files.get('index.html')?.toString() ?? '';
    expect(html).toMatch(/<script type="module" crossorigin src="\/assets\/index-[\w-]{8}\.js"><\/script>/);
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|data:|javascript:|https?:/i);
  });

  test('makes no script and no markup out of text', () => {
    for (const [name, bytes] of files)
      if (name.endsWith('.js'))
        expect([name, /\beval\(|new Function\(|document\.write/.test(bytes.toString())]).toEqual([name, false]);
  });

  test('comes from here: no file names another address', () => {
    // Names that are written as addresses, and a text of zod's by which it tries hosts; nothing is fetched from these.
    const known =
      /http:\/\/www\.w3\.org\/(?:1999\/xhtml|2000\/svg|1998\/Math\/MathML)|https?:\/\/json-schema\.org\/draft[\w/-]+#?|http:\/\/\[\$\{\w+\}\]/g;
    for (const [name, bytes] of files)
      expect([
        name,
        bytes
          .toString()
          .replaceAll(known, '')
          .match(/https?:\/\/[^"'`\s]*/g) ?? [],
      ]).toEqual([name, []]);
  });

  test('is what lies in console/dist, which the browser tests use and the collector serves', async () => {
    const dist = join(import.meta.dirname, '../dist');
    const built = (await readdir(join(dist, 'assets')).catch(() => [])).map((name) => `assets/${name}`);
    expect(built.toSorted(), 'build it: npm run build').toEqual(
      [...files.keys()].filter((name) => name !== 'index.html').toSorted(),
    );
  });
});
