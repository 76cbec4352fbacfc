import { randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startCollected } from './collected.ts';
import { inTurn } from './measure.ts';
import type { Options } from './options.ts';
import { selfTimes } from './profile.ts';
import { SSH_SLOTS, type SshPath, type SshSlot, startSshWorld } from './ssh-paths.ts';
import { liveSessions, type SshLoad, sshLoads, SSH_LOADS, type SshRun } from './ssh-loads.ts';
import { ratio, type Spread, spread } from './statistics.ts';

const MIB = 1024 * 1024;
const LARGE_BYTES = 1e9;
const LIVE_SESSIONS = 150;

export interface SshResult {
  readonly load: string;
  readonly unit: SshLoad['unit'];
  readonly runs: Partial<Record<SshSlot, SshRun[]>>;
  readonly failed: Partial<Record<SshSlot, string>>;
}

export interface SshReport {
  readonly results: readonly SshResult[];
  readonly live: { readonly sessions: number; readonly beforeKiB: number; readonly withKiB: number } | undefined;
  /** Where the sidecar's time went, as lines for people. */
  readonly profile: readonly string[];
}

export interface SshBench {
  readonly options: Pick<Options, 'rounds' | 'bulkRounds' | 'sshMib' | 'profile' | 'loads'>;
  readonly directory: string;
  readonly progress: (text: string) => void;
}

/** Measures everything, or the loads that were asked for. @throws Error where sshd, the sidecar or the relay cannot be started */
export async function sshReport({ options, directory, progress }: SshBench): Promise<SshReport> {
  const { loads: wanted = [...SSH_LOADS, 'live'], sshMib: mib, profile } = options;
  progress('start a broker, a collector, sshd, the sidecar and a bare relay');
  await using collected = await startCollected(join(directory, 'collected'));
  const folder = join(directory, 'profile');
  const flags = profile ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : [];
  await using world = await startSshWorld(directory, { mib, collected, flags });
  const large = join(directory, 'large');
  await writeFile(large, randomFillSync(Buffer.alloc(LARGE_BYTES)));
  await writeFile(join(world.files.area, 'large'), randomFillSync(Buffer.alloc(LARGE_BYTES)));
  const live = wanted.includes('live') ? await measuredLive(world.paths.results, progress) : undefined;
  const results: SshResult[] = [];
  for (const [key, load] of Object.entries(sshLoads(world, mib * MIB, large))) {
    if (!wanted.includes(key)) continue;
    progress(load.name);
    results.push(await measured(load, world.paths, options));
  }
  if (!profile) return { results, live, profile: [] };
  await world[Symbol.asyncDispose]();
  return { results, live, profile: selfTimes(folder, { count: 40, skipMs: 1_000 }) };
}

async function measuredLive(path: SshPath, progress: SshBench['progress']): Promise<NonNullable<SshReport['live']>> {
  progress(`${LIVE_SESSIONS} live sessions`);
  // Code and pools that all sessions share are there before it counts.
  await liveSessions(path, 1);
  return { sessions: LIVE_SESSIONS, ...(await liveSessions(path, LIVE_SESSIONS)) };
}

/** The first run of each path does not count where many are made: code that is not compiled yet is not what serves all day. */
async function measured(
  load: SshLoad,
  paths: Readonly<Record<SshSlot, SshPath>>,
  { rounds, bulkRounds, profile }: SshBench['options'],
): Promise<SshResult> {
  const slots = profile ? load.slots.filter((slot) => slot === 'results' || slot === 'detectors') : load.slots;
  const used = Object.fromEntries(slots.map((slot) => [slot, paths[slot]])) as Partial<Record<SshSlot, SshPath>>;
  if (load.isLong !== true) await inTurn(used, 1, load.measure);
  const times = load.unit === 'ms' ? rounds * 3 : load.isLong === true ? Math.ceil(bulkRounds / 2) : bulkRounds;
  const measuredRuns = await inTurn(used, times, load.measure);
  return { load: load.name, unit: load.unit, ...measuredRuns };
}

/** Speed over another path's, above 1 is faster; for latency above 1 is faster too. */
function speed({ runs, unit }: SshResult, ours: SshSlot, theirs: SshSlot): Spread | undefined {
  const values = (slot: SshSlot): number[] => (runs[slot] ?? []).map(({ value }) => value);
  return unit === 'ms' ? ratio(values(theirs), values(ours)) : ratio(values(ours), values(theirs));
}

/** The report as Markdown. */
export function sshText({ results, live, profile }: SshReport): string[] {
  const lines = [
    '| load | path | median | of direct | of bare relay | CPU s/GB, or ms each | of the machine | cores busy | MiB at most |',
    '|---|---|---|---|---|---|---|---|---|',
  ];
  for (const result of results)
    for (const slot of SSH_SLOTS) {
      const runs = result.runs[slot];
      if (runs === undefined) continue;
      const cpu = runs.flatMap(({ cpuMicros }) => cpuMicros ?? []);
      const machine = runs.flatMap((run) => run.machine ?? []);
      const peaks = runs.flatMap(({ peakKiB }) => peakKiB ?? []);
      const cells = [
        result.load,
        slot,
        `${spread(runs.map(({ value }) => value))?.median.toFixed(0)} ${result.unit}`,
        slot === 'direct' ? '' : shown(speed(result, slot, 'direct')),
        slot === 'direct' || slot === 'bare' ? '' : shown(speed(result, slot, 'bare')),
        shown(spread(cpu.map((micros) => micros / (result.unit === 'ms' ? 1e3 : 1e6)))),
        shown(spread(machine.map(({ cpuMicros }) => cpuMicros / 1e6))),
        shown(spread(machine.map(({ cores }) => cores))),
        peaks.length === 0 ? '' : (Math.max(...peaks) / 1024).toFixed(0),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  if (live !== undefined)
    lines.push(
      '',
      `${live.sessions} live sessions: ${(live.beforeKiB / 1024).toFixed(0)} MiB before, ${(live.withKiB / 1024).toFixed(0)} with them`,
    );
  for (const { load, failed } of results)
    for (const [slot, why] of Object.entries(failed)) lines.push(`Not measured: ${load}, ${slot}: ${why}`);
  return [...lines, ...profile];
}

function shown(of: Spread | undefined): string {
  return of === undefined ? '' : `${of.median.toFixed(2)} [${of.min.toFixed(2)}–${of.max.toFixed(2)}]`;
}
