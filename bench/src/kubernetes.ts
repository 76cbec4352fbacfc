import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { KUBECTL } from '@chaperone/testing';
import { startCollected } from './collected.ts';
import {
  KUBERNETES_SLOTS,
  type KubernetesSlot,
  type Paths,
  pathsTo,
  PODS,
  startReal,
  startRunning,
  startStandIn,
  type Target,
} from './kubernetes-paths.ts';
import { type Lag, liveWatches, pacedText, pacedWatches, type Watches, watchesText } from './kubernetes-watches.ts';
import { inTurn, type Rounds } from './measure.ts';
import type { Options } from './options.ts';
import { cpuMicros, memoryKiB, resetPeak } from './proc.ts';
import { ratio, shown, spread } from './statistics.ts';

export interface KubernetesRun {
  readonly value: number;
  /** Of the process in between. */
  readonly cpuMs: number | undefined;
  readonly peakKiB: number | undefined;
}

export interface KubernetesResult extends Rounds<KubernetesRun, KubernetesSlot> {
  readonly load: string;
  readonly unit: 'ms' | 'events/s' | 'MB/s';
}

export interface KubernetesReport {
  readonly results: readonly KubernetesResult[];
  readonly watches: Partial<Record<KubernetesSlot, Watches>>;
  readonly paced: Readonly<Record<KubernetesSlot, Lag>> | undefined;
  /** Processes that wanted to run, over a minute, as it began: above the number of cores other work slowed both paths. */
  readonly load: number;
}

const GETS = 200;
const EVENTS = 5_000;
/** A log that a command prints. */
const LOG_LINE = '2026-11-29T12:00:00Z info request handled path=/orders/1532 status=200 took=12ms\n';
const LOG_BYTES = 128 * 1024 * 1024;

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
  for await (const part of await get(PODS)) void part;
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

/** MB per second of what a command in a pod prints, from its first byte on. */
async function execCat({ at: { host, port, token = 'of-the-agent' } }: Target, file: string): Promise<number> {
  const where = ['--server', `https://${host}:${port}`, '--insecure-skip-tls-verify', '--token', token];
  const args = [...where, '--kubeconfig', '/dev/null', '-n', 'shop', 'exec', 'web', '-c', 'app', '--', 'cat', file];
  const child = spawn(KUBECTL ?? '', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let began = 0;
  let bytes = 0;
  for await (const part of child.stdout as AsyncIterable<Buffer>) {
    if (bytes === 0) began = performance.now();
    bytes += part.length;
  }
  if (bytes !== LOG_BYTES) throw new Error(`${bytes} bytes came, not ${LOG_BYTES}`);
  return bytes / 1000 / (performance.now() - began);
}

/** What is asked, by the server that is asked. */
const LOADS = {
  get: { load: 'get of one pod, median', unit: 'ms', measure: getOne, server: 'stand-in' },
  list: { load: 'list of 5,000 pods', unit: 'ms', measure: listAll, server: 'stand-in' },
  events: { load: 'events of one watch', unit: 'events/s', measure: takeEvents, server: 'stand-in' },
  real: { load: 'list of 5,000 pods of kube-apiserver', unit: 'ms', measure: listAll, server: 'real' },
  exec: { load: 'exec of cat', unit: 'MB/s', measure: execCat, server: 'running' },
} as const;
const SERVERS = { 'stand-in': startStandIn, real: startReal, running: startRunning } as const;

interface ReportOptions {
  readonly options: Pick<Options, 'rounds' | 'loads'>;
  readonly directory: string;
  /** For the Node that runs the sidecar. */
  readonly flags?: readonly string[];
  readonly progress: (text: string) => void;
}

/** Measures everything, or the loads that were asked for. @throws Error where something cannot be started */
export async function kubernetesReport({ options, directory, flags = [], progress }: ReportOptions): Promise<KubernetesReport> {
  const [load = Number.NaN] = loadavg();
  const wanted = options.loads ?? [...Object.keys(LOADS), 'watches', 'paced'];
  const log = join(directory, 'log');
  if (wanted.includes('exec')) await writeFile(log, Buffer.alloc(LOG_BYTES, LOG_LINE));
  const results: KubernetesResult[] = [];
  let watches: KubernetesReport['watches'] = {};
  let paced: KubernetesReport['paced'];
  await using collected = await startCollected(join(directory, 'collected'));
  for (const [kind, start] of Object.entries(SERVERS)) {
    const loads = Object.entries(LOADS).filter(([key, { server }]) => server === kind && wanted.includes(key));
    const ofStandIn = kind === 'stand-in' ? wanted.filter((key) => key === 'watches' || key === 'paced') : [];
    if (loads.length + ofStandIn.length === 0) continue;
    progress(`start a server (${kind}), a bare relay and the sidecar`);
    await using server = await start(directory);
    await using paths = await pathsTo(server, { directory: join(directory, kind), collected, flags });
    if (kind !== 'running') await mustMask(paths.sidecar);
    // Before there is more in memory than a sidecar has that did nothing else.
    if (ofStandIn.includes('watches'))
      watches = { bare: await liveWatches(paths.bare), sidecar: await liveWatches(paths.sidecar) };
    for (const [, { load: name, unit, measure }] of loads) {
      progress(name);
      results.push({ load: name, unit, ...(await rounds(paths, options.rounds, (path) => measure(path, log))) });
    }
    if (!ofStandIn.includes('paced')) continue;
    progress('watches at a steady pace');
    paced = await pacedWatches(paths);
  }
  return { results, watches, paced, load };
}

async function rounds(
  { direct, bare, sidecar }: Paths,
  count: number,
  measure: (path: Target) => Promise<number>,
): Promise<Rounds<KubernetesRun, KubernetesSlot>> {
  const run = async (path: Target): Promise<KubernetesRun> => {
    const { pid } = path.at;
    if (pid === undefined) return { value: await measure(path), cpuMs: undefined, peakKiB: undefined };
    resetPeak(pid);
    const before = cpuMicros(pid);
    const value = await measure(path);
    return { value, cpuMs: (cpuMicros(pid) - before) / 1000, peakKiB: memoryKiB(pid).peak };
  };
  const paths = { direct, bare, sidecar };
  // Code that is not compiled yet is not what serves all day.
  await inTurn(paths, 2, run);
  return inTurn(paths, count, run);
}

/** The report as Markdown. */
export function kubernetesText({ results, watches, paced, load }: KubernetesReport): string[] {
  const lines = ['| load | path | median | adds | of direct | CPU ms | MiB at most |', '|---|---|---|---|---|---|---|'];
  for (const { load: name, unit, runs, failed } of results) {
    const values = (slot: KubernetesSlot): number[] => (runs[slot] ?? []).map(({ value }) => value);
    const median = (slot: KubernetesSlot): number => spread(values(slot))?.median ?? Number.NaN;
    const said = (value: number): string => `${value.toFixed(unit === 'ms' ? 2 : 0)} ${unit}`;
    for (const slot of KUBERNETES_SLOTS) {
      const isDirect = slot === 'direct';
      const cpu = spread((runs[slot] ?? []).flatMap(({ cpuMs }) => cpuMs ?? []));
      const peak = Math.max(...(runs[slot] ?? []).flatMap(({ peakKiB }) => peakKiB ?? []));
      const cells = [
        name,
        slot,
        said(median(slot)),
        unit === 'ms' && !isDirect ? said(median(slot) - median('direct')) : '',
        isDirect ? '' : shown(ratio(values(slot), values('direct'))),
        cpu?.median.toFixed(0) ?? '',
        isDirect ? '' : (peak / 1024).toFixed(0),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
    for (const [slot, why] of Object.entries(failed)) lines.push(`Not measured: ${name}, ${slot}: ${why}`);
  }
  for (const [slot, each] of Object.entries(watches)) lines.push('', watchesText(slot as KubernetesSlot, each));
  if (paced !== undefined) lines.push('', ...pacedText(paced));
  return [...lines, '', `Load of the machine as it began: ${load.toFixed(1)}`];
}
