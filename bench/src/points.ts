import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Load } from './loads.ts';
import { inTurn, type Paths, type Result, type Run } from './measure.ts';
import { pgbench } from './pgbench.ts';
import type { Program } from './programs.ts';

export interface PointOptions {
  readonly program: Program;
  readonly paths: Paths;
  readonly loads: readonly Load[];
  readonly rounds: number;
  readonly secondsPerRun: number;
  /** For the first load of ours; the others are warm by then but for their own code. */
  readonly warmUpSeconds: number;
  /** Where scripts go. */
  readonly directory: string;
  readonly caFile: string;
  readonly suffix: string;
  /** Runs one load; what fails is told and has no result. */
  readonly attempt: (name: string, act: () => Promise<Result>) => Promise<Result | undefined>;
}

/** A load's script as pgbench reads it. */
export async function scriptOf(load: Load, directory: string): Promise<string> {
  const script = join(directory, `${load.key}.sql`);
  await writeFile(script, load.script);
  return script;
}

/** Measures loads of short statements, each on every path in turn. */
export async function pointResults(options: PointOptions): Promise<Result[]> {
  const found: Result[] = [];
  for (const [index, load] of options.loads.entries()) {
    const name = `${load.name}${options.suffix}`;
    const result = await options.attempt(name, () => onEveryPath(options, load, name, index === 0));
    if (result !== undefined) found.push(result);
  }
  return found;
}

async function onEveryPath(options: PointOptions, load: Load, name: string, first: boolean): Promise<Result> {
  const { program, paths, rounds, caFile } = options;
  const script = await scriptOf(load, options.directory);
  // Unmeasured; a path that fails here fails again where it is reported.
  for (const [slot, path] of Object.entries(paths)) {
    if (slot === 'again') continue;
    const seconds = first && ['chaperone', 'sidecar'].includes(slot) ? options.warmUpSeconds : 1;
    await pgbench(program, path, load, { script, caFile, seconds }).catch(() => undefined);
  }
  const measured = await inTurn(paths, rounds, async (path): Promise<Run> => {
    const { perSecond, cpuMicrosPerStatement } = await pgbench(program, path, load, {
      script,
      caFile,
      seconds: options.secondsPerRun,
    });
    return { value: perSecond, cpuMicros: cpuMicrosPerStatement };
  });
  return { load: name, unit: 'statements/s', ...measured };
}
