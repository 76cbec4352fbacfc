import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Run } from './measure.ts';
import { cpuMicros, machineMicros, memoryKiB, resetPeak } from './proc.ts';
import type { SshPath, SshSlot, SshWorld } from './ssh-paths.ts';

export const SSH_LOADS = ['download', 'upload', 'text', 'get', 'put', 'true'] as const;
export type SshLoadKey = (typeof SSH_LOADS)[number];

/** What the whole machine did meanwhile, of which CPU is per gigabyte. */
export interface SshRun extends Run {
  readonly machine?: { readonly cpuMicros: number; readonly cores: number };
  readonly peakKiB?: number;
}

/** CPU of the process in between is per gigabyte, or for `ms` per connection. */
export interface SshLoad {
  readonly name: string;
  readonly unit: 'MB/s' | 'ms';
  /** Takes so long that it is measured half as often, and its first run counts. */
  readonly isLong?: true;
  readonly slots: readonly SshSlot[];
  readonly measure: (path: SshPath) => Promise<SshRun>;
}

const GB = 1e9;
const ALL: readonly SshSlot[] = ['direct', 'bare', 'metadata', 'results'];
const BULK: readonly SshSlot[] = ['direct', 'bare', 'floor', 'metadata', 'results'];
const GO = 'echo go >&2;';
const SETTLE_MS = 2_000;
/** Opened at once: sshd lets in few that have not said who they are. */
const AT_ONCE = 8;

/** The loads, on the files of `bytes` at the host; what scp copies is `large` here, and of its name in the host's area. */
export function sshLoads({ files }: SshWorld, bytes: number, large: string): Record<SshLoadKey, SshLoad> {
  const down = (file: string) => (path: SshPath) => streamed(path, `${GO} cat ${file}`, bytes, '/dev/null', 'out');
  const mib = `${Math.round(bytes / 2 ** 20)} MiB`;
  return {
    download: { name: `cat of ${mib}`, unit: 'MB/s', slots: BULK, measure: down(files.random) },
    upload: {
      name: `cat into nothing of ${mib}`,
      unit: 'MB/s',
      slots: BULK,
      measure: (path) => streamed(path, `${GO} cat >/dev/null`, bytes, files.random, 'in'),
    },
    text: {
      name: `cat of ${mib} of a log`,
      unit: 'MB/s',
      slots: ['direct', 'bare', 'results', 'detectors'],
      measure: down(files.text),
    },
    get: {
      name: 'scp of 1 GB from the host',
      unit: 'MB/s',
      isLong: true,
      slots: ALL,
      measure: (path) => copied(path, large, files.area, 'get'),
    },
    put: {
      name: 'scp of 1 GB to the host',
      unit: 'MB/s',
      isLong: true,
      slots: ALL,
      measure: (path) => copied(path, large, files.area, 'put'),
    },
    true: { name: 'ssh host true', unit: 'ms', slots: ALL, measure: (path) => answered(path) },
  };
}

function ssh(path: SshPath, command: readonly string[], stdio: ('pipe' | 'ignore' | number)[]): ChildProcess {
  return spawn('ssh', [...path.options, '-p', `${path.port}`, `${path.user}@${path.host}`, ...command], { stdio });
}

async function succeeded(child: ChildProcess, said: () => string): Promise<void> {
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}: ${said().slice(-300)}`);
}

function stderrOf(child: ChildProcess): () => string {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000);
  });
  return () => said;
}

const cpuOf = ({ pid }: SshPath): number => (pid === undefined ? 0 : cpuMicros(pid));

/** From the command's first word on its standard error, when everything is set up, to its end. */
async function streamed(path: SshPath, command: string, bytes: number, file: string, way: 'in' | 'out'): Promise<SshRun> {
  const fd = openSync(file, way === 'in' ? 'r' : 'w');
  try {
    const child = ssh(path, [command], way === 'in' ? [fd, 'ignore', 'pipe'] : ['ignore', fd, 'pipe']);
    const said = stderrOf(child);
    const ended = succeeded(child, said);
    const begun: (() => SshRun)[] = [];
    child.stderr?.once('data', () => begun.push(begin(path, bytes)));
    await ended;
    const [done] = begun;
    if (done === undefined) throw new Error('the command said nothing');
    return done();
  } finally {
    closeSync(fd);
  }
}

/** Begins to measure how `bytes` go a path. @returns what ends it */
function begin(path: SshPath, bytes: number): () => SshRun {
  const [began, before, machine] = [performance.now(), cpuOf(path), machineMicros()];
  return () => {
    const [ms, cpu, now] = [performance.now() - began, cpuOf(path) - before, machineMicros()];
    const used = now.used - machine.used;
    return {
      value: bytes / 1e6 / (ms / 1000),
      cpuMicros: path.pid === undefined ? undefined : (cpu / bytes) * GB,
      machine: { cpuMicros: (used / bytes) * GB, cores: (used / (now.all - machine.all)) * availableParallelism() },
    };
  };
}

async function copied(path: SshPath, here: string, area: string, way: 'get' | 'put'): Promise<SshRun> {
  const { size } = await stat(here);
  // What is put is what is got: sshd is on this machine.
  const there = join(area, 'large');
  const remote = `${path.user}@${path.host}:${there}`;
  const back = `${here}-back`;
  if (path.pid !== undefined) resetPeak(path.pid);
  const done = begin(path, size);
  const child = spawn('scp', [...path.options, '-P', `${path.port}`, ...(way === 'get' ? [remote, back] : [here, remote])], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await succeeded(child, stderrOf(child));
  const run = done();
  const copy = way === 'get' ? back : there;
  if ((await stat(copy)).size !== size) throw new Error('the copy is not whole');
  if (way === 'get') await rm(copy);
  return path.pid === undefined ? run : { ...run, peakKiB: memoryKiB(path.pid).peak };
}

async function answered(path: SshPath): Promise<Run> {
  const [began, before] = [performance.now(), cpuOf(path)];
  const child = ssh(path, ['true'], ['ignore', 'ignore', 'pipe']);
  await succeeded(child, stderrOf(child));
  return { value: performance.now() - began, cpuMicros: path.pid === undefined ? undefined : cpuOf(path) - before };
}

/** Resident memory of the process in between, before and while `count` sessions each have a command that waits. */
export async function liveSessions(path: SshPath, count: number): Promise<{ beforeKiB: number; withKiB: number }> {
  if (path.pid === undefined) throw new Error('there is no process in between');
  const open: ChildProcess[] = [];
  try {
    await sleep(SETTLE_MS);
    const beforeKiB = memoryKiB(path.pid).now;
    for (let at = 0; at < count; at += AT_ONCE) {
      const next = Array.from({ length: Math.min(AT_ONCE, count - at) }, () => {
        const child = ssh(path, [`${GO} cat`], ['pipe', 'ignore', 'pipe']);
        open.push(child);
        return new Promise<void>((resolve, reject) => {
          child.stderr?.once('data', () => resolve());
          child.once('close', () => reject(new Error('a session ended early')));
        });
      });
      await Promise.all(next);
    }
    await sleep(SETTLE_MS);
    return { beforeKiB, withKiB: memoryKiB(path.pid).now };
  } finally {
    const ends = open.filter((child) => child.exitCode === null).map((child) => once(child, 'close'));
    for (const child of open) child.stdin?.end();
    await Promise.all(ends);
  }
}
