import { spawn, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Database } from './database.ts';
import { ended } from './ended.ts';
import { allManifests } from './manifests.ts';
import type { Path } from './path.ts';

export const root = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 30_000;

export interface Chaperone extends AsyncDisposable {
  readonly plain: Path;
  readonly paths: readonly Path[];
  /** The same, with TLS to the database. */
  readonly tls: Path;
  /** Plain, with detectors beside the labelled columns. */
  readonly scan: Path;
  /** Plain, with a rule that asks people about what no load does. */
  readonly asks: Path;
  readonly pid: number;
  readonly startMs: number;
}

/** Compiles what is measured: images run this, not the TypeScript source. @throws Error */
export function compile(app: 'cli' | 'collector' | 'sidecar'): void {
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-b', app], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the sources cannot be compiled: ${stdout.slice(0, 500)}`);
}

/** Starts `chaperone up`, compiled: decision, masking of people.ssn and accounts.note, recording of results, evidence to its collector. */
export async function startChaperone(database: Database, directory: string, nodeFlags: string[] = []): Promise<Chaperone> {
  const up = await startUp(allManifests(database), directory, nodeFlags);
  const path = (name: string): Path => {
    const { host, port } = up.addressOf(name);
    return { name: 'chaperone', host, port, user: 'bench', password: undefined, ca: undefined, pid: up.pid };
  };
  try {
    const plain = path('bench-plain');
    const [tls, scan, asks] = [path('bench-tls'), path('bench-scan'), path('bench-asks')];
    return { ...up, plain, paths: [plain], tls, scan, asks };
  } catch (error) {
    await up[Symbol.asyncDispose]();
    throw error;
  }
}

/** `chaperone up` with whatever it is granted. */
export interface Up extends AsyncDisposable {
  /** Where it serves the resource of this name. @throws Error where it does not */
  readonly addressOf: (name: string) => { readonly host: string; readonly port: number };
  readonly pid: number;
  readonly startMs: number;
}

/** Starts `chaperone up`, compiled, with these manifests. @throws Error */
export async function startUp(yaml: string, directory: string, nodeFlags: readonly string[] = []): Promise<Up> {
  const manifests = join(directory, 'manifests');
  await mkdir(manifests, { recursive: true });
  await writeFile(join(manifests, 'bench.yaml'), yaml, { mode: 0o600 });
  compile('cli');
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [
      ...nodeFlags,
      '--conditions=chaperone-dist',
      join(root, 'cli/dist/main.js'),
      'up',
      '--manifests',
      manifests,
      '--agent',
      'agents/bench',
      '--labels',
      'app=bench',
      '--data',
      join(directory, 'data'),
      '--output',
      'json',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const stop = ended(child);
  try {
    const line = await firstLine(child);
    const startMs = performance.now() - began;
    const ready = JSON.parse(line) as { resources: { resource: string; address: string }[] };
    const addressOf = (name: string): ReturnType<Up['addressOf']> => {
      const [host = '', port] = (ready.resources.find(({ resource }) => resource === `data/${name}`)?.address ?? '').split(':');
      if (port === undefined) throw new Error(`data/${name} is not served`);
      return { host, port: Number(port) };
    };
    return { addressOf, pid: child.pid ?? Number.NaN, startMs, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function firstLine(child: ReturnType<typeof spawn>): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('chaperone up was not ready in time')), START_TIMEOUT_MS);
    child.once('exit', (code) => reject(new Error(`chaperone up ended with ${code}`)));
    child.once('error', reject);
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).once('line', (line) => {
      clearTimeout(timer);
      resolve(line);
    });
  });
}
