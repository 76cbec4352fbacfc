import { spawn, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Database, DATABASE, ROLE } from './database.ts';
import { ended } from './ended.ts';
import type { Path } from './path.ts';

const root = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 30_000;

export interface Chaperone extends AsyncDisposable {
  readonly plain: Path;
  /** The same, with TLS to the database. */
  readonly tls: Path;
  readonly pid: number;
  readonly startMs: number;
}

/** Compiles what is measured: images run this, not the TypeScript source. @throws Error */
function compile(): void {
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-b', 'cli'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the sources cannot be compiled: ${stdout.slice(0, 500)}`);
}

/** Starts `chaperone up`, compiled: decision, masking of people.ssn and accounts.note, recording of results, evidence to its collector. */
export async function startChaperone(database: Database, directory: string, nodeFlags: string[] = []): Promise<Chaperone> {
  const manifests = join(directory, 'manifests');
  await mkdir(manifests, { recursive: true });
  await writeFile(join(manifests, 'bench.yaml'), manifest(database), { mode: 0o600 });
  compile();
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
    const pid = child.pid ?? Number.NaN;
    const path = (name: string): Path => {
      const [host = '', port] = (ready.resources.find(({ resource }) => resource === `data/${name}`)?.address ?? '').split(':');
      if (port === undefined) throw new Error(`data/${name} is not served`);
      return { name: 'chaperone', host, port: Number(port), user: 'bench', password: undefined, ca: undefined, pid };
    };
    return { plain: path('bench-plain'), tls: path('bench-tls'), pid, startMs, [Symbol.asyncDispose]: stop };
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

function manifest(database: Database): string {
  const address = `${database.host}:${database.port}`;
  const resource = (name: string, tls: string): string => `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: data}
spec:
  protocol: postgres
  hosts: [${name}]
  port: 5432
  upstream: {address: "${address}", tls: ${tls}}
  credentials: {secretRef: {name: bench-login}}
  postgres: {database: ${DATABASE}}
  sensitive:
    - {label: pii.ssn, columns: [public.people.ssn]}
    - {label: pii.note, columns: [public.accounts.note]}
  grantedTo:
    - {namespace: agents, recording: {minimum: durable}}
`;
  return [
    resource('bench-plain', '{mode: disable}'),
    resource('bench-tls', '{mode: verify-full, caRef: {name: bench-ca}}'),
    `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bench, namespace: agents}
spec:
  agents: {podSelector: {matchLabels: {app: bench}}}
  purpose: measure what the proxy costs
  rules:${rule('bench-plain')}${rule('bench-tls')}
  masking:
    - {label: pii.ssn, strategy: {partial: {last: 4}}}
  recording: {mode: durable, content: results}
`,
    `
apiVersion: v1
kind: Secret
metadata:
  name: bench-login
  namespace: data
  annotations: {chaperone.dev/upstream: "${address}"}
stringData: {username: ${ROLE.user}, password: ${ROLE.password}}
`,
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-ca, namespace: data}
stringData:
  ca.crt: |
    ${database.ca.trimEnd().replaceAll('\n', '\n    ')}
`,
  ].join('---');
}

function rule(resource: string): string {
  return `
    - name: read-${resource}
      effect: Allow
      resource: {namespace: data, name: ${resource}}
      sql: {statements: [select], relations: [public.accounts, public.people]}`;
}
