/**
 * Joins the sources of the command line into few files, as the sidecar's image has them (docs/adr/0016): most of a start of up to 1,500
 * modules is to find, read and link them. cli/bin/chaperone runs what this makes, and so do tests, which start it some thousand times.
 */
import { createHash } from 'node:crypto';
import { cp, glob, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'rolldown';

const root = join(import.meta.dirname, '..');
const CACHE = join(root, '.cache');
const PROGRAM = join(CACHE, 'program');
const MAIN = 'main.js';
const DIGEST = join(PROGRAM, 'digest');
const OWN = ['api', 'cli', 'collector', 'evidence', 'kube', 'policy', 'sidecar'];
/** One that runs goes on to load files that it was made with. */
const KEPT_MS = 86_400_000;

/** Makes the program unless it is of these sources, and says in CHAPERONE_PROGRAM where it is. Vitest calls it before any test. */
export default async function makeProgram(): Promise<void> {
  const began = new Date();
  const digest = await digestOfSources();
  const main = join(PROGRAM, 'src', MAIN);
  if ((await readFile(DIGEST, 'utf8').catch(() => '')) !== digest) {
    await make();
    await writeFile(DIGEST, digest);
  }
  // What is newer than this may be no part of it.
  await utimes(main, began, began);
  process.env['CHAPERONE_PROGRAM'] = main;
}

async function digestOfSources(): Promise<string> {
  const sources = ['package-lock.json', 'scripts/program.ts'];
  for await (const path of glob(`{${OWN.join()}}/{package.json,src/**/*.ts}`, { cwd: root }))
    if (!/\.test(-support)?\.ts$/.test(path)) sources.push(path);
  const hash = createHash('sha256');
  for (const path of sources.toSorted()) hash.update(`${path}\0`).update(await readFile(join(root, path)));
  return hash.digest('hex');
}

async function make(): Promise<void> {
  const files = join(PROGRAM, 'src');
  await mkdir(files, { recursive: true });
  const work = await mkdtemp(join(CACHE, 'program-'));
  await build({
    input: { main: join(root, 'cli/src/main.ts'), worker: join(root, 'sidecar/src/postgres/actions/worker.ts') },
    platform: 'node',
    // Its WebAssembly lies beside it.
    external: ['libpg-query'],
    treeshake: { moduleSideEffects: [{ test: new RegExp(`/(${OWN.join('|')})/src/`), sideEffects: false }] },
    logLevel: 'warn',
    output: { dir: work, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js', keepNames: true },
  });
  // As deep in the checkout as the sources are, it finds what they find: package.json, the parser's thread, the console's page.
  await cp(join(root, 'cli/package.json'), join(PROGRAM, 'package.json'));
  for (const name of await readdir(files)) {
    const path = join(files, name);
    if ((await stat(path)).mtimeMs < Date.now() - KEPT_MS) await rm(path);
  }
  // Until then the one before leads to files of its own.
  const others = (await readdir(work)).filter((name) => name !== MAIN);
  for (const name of [...others, MAIN]) await rename(join(work, name), join(files, name));
  await rm(work, { recursive: true });
}

if (import.meta.main) await makeProgram();
