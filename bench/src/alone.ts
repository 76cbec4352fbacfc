import { execFileSync, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compileDirectory } from '@chaperone/sidecar';
import { eventually, freePort } from '@chaperone/testing';
import { captureProbes } from './captured.ts';
import { compile, root } from './chaperone.ts';
import type { Collected } from './collected.ts';
import { type Database, ownAddress } from './database.ts';
import { ended } from './ended.ts';
import { plainManifests } from './manifests.ts';
import type { Path } from './path.ts';
import { startOperator } from './stand-in.ts';

/** A range of this machine's own, so that addresses in it can be listened on without routes; another one for each process. */
const PREFIX = `127.240.${process.pid % 256}`;
const PORT = 5432;
/** An agent may have 256 connections to one resource. */
const RESOURCES = ['one', 'two', 'three', 'four'] as const;
const START_TIMEOUT_MS = 30_000;

/** The sidecar of a cluster as its image runs it, alone in its process. */
export interface Alone extends AsyncDisposable {
  /** The same database by each of its resources. */
  readonly paths: readonly Path[];
  readonly pid: number;
  readonly startMs: number;
}

/** A sidecar with whatever it is granted. */
export interface Sidecar extends AsyncDisposable {
  /** Where it listens for a resource, by its first host. */
  readonly addressOf: (name: string) => string;
  /** Of the certificates that it shows. */
  readonly ca: string;
  readonly pid: number;
  readonly startMs: number;
}

export interface SidecarSettings {
  /** Manifests in YAML. */
  readonly manifests: string;
  /** Where evidence goes; undefined: there is no broker, and it waits in the spool. */
  readonly collected?: Collected | undefined;
  readonly flags?: readonly string[];
}

/** What the image runs. @throws Error */
function bundle(): string {
  compile('sidecar');
  const target = join(root, '.cache/bench/sidecar');
  execFileSync(process.execPath, [join(root, 'scripts/bundle.ts'), target], { stdio: 'ignore' });
  return join(target, 'main.js');
}

/** What a pod's sidecar is started with, by the golden of its injection. */
async function injectedFlags(): Promise<readonly string[]> {
  const text = await readFile(join(root, 'operator/src/injection/testdata/bare.patch.json'), 'utf8');
  const [, found = '[]'] = /"command":\s*(\[[^\]]*"\/app\/sidecar\/dist\/main\.js"\s*\])/.exec(text) ?? [];
  return (JSON.parse(found) as string[]).slice(1, -1);
}

/** Environment of the image. */
async function imageEnvironment(): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(root, 'images/sidecar.Dockerfile'), 'utf8');
  const pairs = [...text.matchAll(/^ENV (.+)$/gm)].flatMap(([, line = '']) => line.split(' '));
  return Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]));
}

/** Starts one in front of the database; see {@link startSidecar}. Needs root, for a port below 1024. @throws Error */
export async function startAlone(database: Database, directory: string, options: { collected?: Collected } = {}): Promise<Alone> {
  const manifests = plainManifests({ ...database, host: reachable() }, RESOURCES);
  const sidecar = await startSidecar(directory, { manifests, ...options });
  const { pid, startMs } = sidecar;
  const common = { name: 'sidecar', port: PORT, user: 'bench', password: undefined, ca: undefined, pid } as const;
  const paths = RESOURCES.map((name): Path => ({ ...common, host: sidecar.addressOf(name) }));
  return { paths, pid, startMs, [Symbol.asyncDispose]: () => sidecar[Symbol.asyncDispose]() };
}

/** This machine's own address, where servers have to listen that a sidecar dials. @throws Error where it has none but loopback */
export function reachable(): string {
  const host = ownAddress();
  if (host === undefined) throw new Error('this machine has no address but loopback, which a sidecar never dials');
  return host;
}

/** Starts the sidecar as its image and the chart's defaults do; one at a time. Its operator is a stand-in. @throws Error */
export async function startSidecar(directory: string, settings: SidecarSettings): Promise<Sidecar> {
  const path = (name: string): string => join(directory, name);
  for (const name of ['manifests', 'run', 'spool']) await mkdir(path(name), { recursive: true });
  await writeFile(path('token'), 'token');
  await writeFile(path('manifests/bench.yaml'), settings.manifests, { mode: 0o600 });
  const agent = { namespace: 'agents', serviceAccount: 'bench', labels: { app: 'bench' }, annotations: {} };
  const { resources } = await compileDirectory(path('manifests'), agent);
  const addresses = new Map(resources.map(({ hosts: [host = ''] }, at) => [host, `${PREFIX}.${at + 1}`]));
  const addressed = resources.map((resource) => ({
    ...resource,
    addresses: resource.hosts.map((host) => ({ host, ipv4: addresses.get(host) })),
  }));
  const operator = await startOperator({ agent, resources: addressed }, settings.collected);
  const program = bundle();
  const [probe, dns, deny, self] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const release = captureProbes({ selfPort: self, denyPort: deny });
  const began = performance.now();
  const child = spawn(process.execPath, [...(settings.flags ?? []), ...(await injectedFlags()), program], {
    // It says every second that the broker cannot be reached.
    stdio: 'ignore',
    env: {
      ...(await imageEnvironment()),
      CHAPERONE_OPERATOR: operator.address,
      CHAPERONE_OPERATOR_CA: operator.ca,
      CHAPERONE_TOKEN_FILE: path('token'),
      CHAPERONE_RUN_DIRECTORY: path('run'),
      CHAPERONE_SPOOL_DIRECTORY: path('spool'),
      CHAPERONE_SSH_DIRECTORY: path('run'),
      CHAPERONE_IPV4_RANGE: `${PREFIX}.0/24`,
      CHAPERONE_DNS_PORT: `${dns}`,
      CHAPERONE_DENY_PORT: `${deny}`,
      CHAPERONE_PROBE_PORT: `${probe}`,
      CHAPERONE_SELF_PORT: `${self}`,
    },
  });
  const end = ended(child);
  const stop = async (): Promise<void> => {
    await end();
    release();
    await operator[Symbol.asyncDispose]();
  };
  try {
    const started = async (): Promise<true | undefined> => {
      if (child.exitCode !== null) throw new Error(`the sidecar ended with ${child.exitCode}`);
      return (await fetch(`http://127.0.0.1:${probe}/startz`)).status === 200 ? true : undefined;
    };
    await eventually('the sidecar', started, START_TIMEOUT_MS);
    const startMs = performance.now() - began;
    const addressOf = (name: string): string => addresses.get(name) ?? '';
    return { addressOf, ca: operator.ca, pid: child.pid ?? Number.NaN, startMs, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
