import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { testAuthority } from '@chaperone/testing';
import { startUp } from './chaperone.ts';
import { ended } from './ended.ts';
import { inTurn, type Rounds } from './measure.ts';
import type { Options } from './options.ts';
import { cpuMicros, memoryKiB } from './proc.ts';
import { ratio, type Spread, spread } from './statistics.ts';

/** `direct`: none between; `chaperone`: `chaperone up`, which masks a variable in each pod and finds mail addresses. */
export const KUBERNETES_SLOTS = ['direct', 'chaperone'] as const;
export type KubernetesSlot = (typeof KUBERNETES_SLOTS)[number];

export interface KubernetesRun {
  readonly value: number;
  /** Of the process in between. */
  readonly cpuMs: number | undefined;
}

export interface KubernetesResult extends Rounds<KubernetesRun, KubernetesSlot> {
  readonly load: string;
  readonly unit: 'ms' | 'events/s';
}

export interface KubernetesReport {
  readonly results: readonly KubernetesResult[];
  readonly watches: { readonly count: number; readonly beforeKiB: number; readonly withKiB: number } | undefined;
  /** Processes that wanted to run, over a minute, as it began: above the number of cores other work slowed both paths. */
  readonly load: number;
}

const PODS = '/api/v1/namespaces/shop/pods';
const GETS = 200;
const EVENTS = 5_000;
const WATCHES = 200;
const START_TIMEOUT_MS = 30_000;

interface Target extends AsyncDisposable {
  readonly get: (path: string) => Promise<IncomingMessage>;
  readonly pid: number | undefined;
}

/** Connections are kept, as clients keep them. */
function target(host: string, port: number, ca: string | undefined, pid: number | undefined): Target {
  const agent = ca === undefined ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true, ca });
  const request = ca === undefined ? httpRequest : httpsRequest;
  return {
    pid,
    get: async (path) => {
      const asked = request({ host, port, path, agent, headers: { accept: 'application/json' } });
      asked.end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      if (response.statusCode !== 200) throw new Error(`${path} is answered ${response.statusCode}`);
      return response;
    },
    [Symbol.asyncDispose]: async () => agent.destroy(),
  };
}

async function whole(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

/** A figure of a proxy that does not do its work would be worthless. */
async function mustMask(path: Target): Promise<void> {
  const text = (await whole(await path.get(`${PODS}/p-1`))).toString();
  if (text.includes('hunter-1') || text.includes('owner-1@') || !text.includes('*****'))
    throw new Error('pods are not masked as the policy says');
}

/** Milliseconds of one get, the median of many. */
async function getOne({ get }: Target): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < GETS; at++) {
    const began = performance.now();
    await whole(await get(`${PODS}/p-1`));
    times.push(performance.now() - began);
  }
  return spread(times)?.median ?? Number.NaN;
}

async function listAll({ get }: Target): Promise<number> {
  const began = performance.now();
  await whole(await get(PODS));
  return performance.now() - began;
}

async function takeEvents({ get }: Target): Promise<number> {
  const began = performance.now();
  const text = await whole(await get(`${PODS}?watch=true&resourceVersion=${EVENTS}`));
  const seconds = (performance.now() - began) / 1000;
  const lines = text.toString('latin1').split('\n').length - 1;
  if (lines !== EVENTS) throw new Error(`${lines} events came, not ${EVENTS}`);
  return EVENTS / seconds;
}

/** With watches that each had an event, beside what there was with none. */
async function liveWatches({ get, pid = Number.NaN }: Target): Promise<NonNullable<KubernetesReport['watches']>> {
  const beforeKiB = memoryKiB(pid).now;
  const open: IncomingMessage[] = [];
  for (let at = 0; at < WATCHES; at++) {
    const response = await get(`${PODS}?watch=true&resourceVersion=0`);
    await once(response, 'data');
    open.push(response);
  }
  const withKiB = memoryKiB(pid).now;
  for (const response of open) response.destroy();
  return { count: WATCHES, beforeKiB, withKiB };
}

const LOADS = {
  get: { load: 'get of one pod, median', unit: 'ms', measure: getOne },
  list: { load: 'list of 5,000 pods', unit: 'ms', measure: listAll },
  events: { load: 'events of one watch', unit: 'events/s', measure: takeEvents },
} as const;

/** Measures everything, or the loads that were asked for. @throws Error where something cannot be started */
export async function kubernetesReport({
  options,
  directory,
  progress,
}: {
  readonly options: Pick<Options, 'rounds' | 'loads'>;
  readonly directory: string;
  readonly progress: (text: string) => void;
}): Promise<KubernetesReport> {
  const [load = Number.NaN] = loadavg();
  const wanted = options.loads ?? [...Object.keys(LOADS), 'watches'];
  progress('start a stand-in for an API server, and chaperone up');
  await using server = await startServer(directory);
  await using up = await startUp(manifestsOf(server.port, server.ca), join(directory, 'up'));
  const { host, port } = up.addressOf('bench-api');
  await using direct = target('127.0.0.1', server.port, server.ca, undefined);
  await using chaperone = target(host, port, undefined, up.pid);
  await mustMask(chaperone);
  const results: KubernetesResult[] = [];
  for (const [key, { load: name, unit, measure }] of Object.entries(LOADS)) {
    if (!wanted.includes(key)) continue;
    progress(name);
    const run = async (path: Target): Promise<KubernetesRun> => {
      const before = path.pid === undefined ? undefined : cpuMicros(path.pid);
      const value = await measure(path);
      return { value, cpuMs: before === undefined ? undefined : (cpuMicros(path.pid ?? 0) - before) / 1000 };
    };
    const paths = { direct, chaperone };
    // Code that is not compiled yet is not what serves all day.
    await inTurn(paths, 2, run);
    results.push({ load: name, unit, ...(await inTurn(paths, options.rounds, run)) });
  }
  if (!wanted.includes('watches')) return { results, watches: undefined, load };
  progress(`${WATCHES} watches at once`);
  return { results, watches: await liveWatches(chaperone), load };
}

async function startServer(directory: string): Promise<AsyncDisposable & { readonly port: number; readonly ca: string }> {
  const authority = await testAuthority();
  const leaf = await authority.issue(['127.0.0.1']);
  const files = ['server.crt', 'server.key'].map((name) => join(directory, name)) as [string, string];
  await mkdir(directory, { recursive: true });
  await writeFile(files[0], leaf.certificate);
  await writeFile(files[1], leaf.key, { mode: 0o600 });
  const child = spawn(process.execPath, [join(import.meta.dirname, 'kubernetes-server.ts'), ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = ended(child);
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(START_TIMEOUT_MS) })) as [string];
  return { port: Number(line), ca: authority.ca, [Symbol.asyncDispose]: stop };
}

function manifestsOf(port: number, ca: string): string {
  return [
    `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: bench-api, namespace: data}
spec:
  protocol: kubernetes
  hosts: [bench-api]
  port: 6443
  upstream: {address: "127.0.0.1:${port}", tls: {caRef: {name: bench-ca}}}
  credentials: {secretRef: {name: bench-token}}
  kubernetes: {identity: credential}
  sensitive:
    - {label: shop.password, fields: ["env:*_PASSWORD"]}
    - {label: found.mail, detector: email}
  grantedTo: [{namespace: agents}]
`,
    `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bench, namespace: agents}
spec:
  agents: {podSelector: {matchLabels: {app: bench}}}
  purpose: measure what the proxy costs
  rules:
    - {name: look, effect: Allow, resource: {namespace: data, name: bench-api}, kubernetes: {verbs: [get, list, watch], resources: [pods]}}
`,
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-ca, namespace: data}
stringData:
  ca.crt: |
    ${ca.trimEnd().replaceAll('\n', '\n    ')}
`,
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-token, namespace: data, annotations: {chaperone.dev/upstream: "127.0.0.1:${port}"}}
stringData: {token: of-the-owner}
`,
  ].join('---');
}

/** The report as Markdown. */
export function kubernetesText({ results, watches, load }: KubernetesReport): string[] {
  const lines = ['| load | direct | chaperone | adds | of direct | CPU ms of chaperone |', '|---|---|---|---|---|---|'];
  for (const { load: name, unit, runs, failed } of results) {
    const values = (slot: KubernetesSlot): number[] => (runs[slot] ?? []).map(({ value }) => value);
    const median = (slot: KubernetesSlot): number => spread(values(slot))?.median ?? Number.NaN;
    const said = (value: number): string => `${value.toFixed(unit === 'ms' ? 2 : 0)} ${unit}`;
    const adds = unit === 'ms' ? said(median('chaperone') - median('direct')) : '';
    const cpu = spread((runs.chaperone ?? []).flatMap(({ cpuMs }) => cpuMs ?? []));
    const quotient = ratio(values('chaperone'), values('direct'));
    lines.push(
      `| ${[name, said(median('direct')), said(median('chaperone')), adds, shown(quotient), cpu?.median.toFixed(0) ?? ''].join(' | ')} |`,
    );
    for (const [slot, why] of Object.entries(failed)) lines.push(`Not measured: ${name}, ${slot}: ${why}`);
  }
  if (watches !== undefined) {
    const { count, beforeKiB, withKiB } = watches;
    lines.push(
      '',
      `${count} watches: ${mib(beforeKiB)} MiB before, ${mib(withKiB)} with them, ${((withKiB - beforeKiB) / count).toFixed(0)} KiB each`,
    );
  }
  return [...lines, '', `Load of the machine as it began: ${load.toFixed(1)}`];
}

const mib = (kiB: number): string => (kiB / 1024).toFixed(0);

function shown(of: Spread | undefined): string {
  return of === undefined ? '' : `${of.median.toFixed(2)} [${of.min.toFixed(2)}–${of.max.toFixed(2)}]`;
}
