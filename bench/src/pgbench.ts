import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DATABASE } from './database.ts';
import type { Load } from './loads.ts';
import type { Path } from './path.ts';
import { cpuMicros } from './proc.ts';
import type { Program } from './programs.ts';

const run = promisify(execFile);
const MARGIN_MS = 20_000;

export interface PgbenchRun {
  readonly perSecond: number;
  /** CPU of the process in between for one statement; undefined without one. */
  readonly cpuMicrosPerStatement: number | undefined;
}

/** Runs a load for some seconds; rates are of its statements. Rejects where a statement failed or a client was cut off: such a rate would mean nothing. */
export async function pgbench(
  program: Program,
  path: Path,
  load: Load,
  options: { script: string; seconds: number; caFile: string },
): Promise<PgbenchRun> {
  const before = path.pid === undefined ? 0 : cpuMicros(path.pid);
  const { stdout } = await run(
    program.path,
    [
      '--no-vacuum',
      `--file=${options.script}`,
      `--protocol=${load.protocol}`,
      `--client=${load.clients}`,
      `--jobs=${Math.min(2, load.clients)}`,
      `--time=${options.seconds}`,
    ],
    {
      timeout: options.seconds * 1000 + MARGIN_MS,
      env: {
        PATH: process.env['PATH'] ?? '',
        ...program.environment,
        PGHOST: path.host,
        PGPORT: String(path.port),
        PGUSER: path.user,
        PGDATABASE: DATABASE,
        ...(path.password === undefined ? {} : { PGPASSWORD: path.password }),
        PGGSSENCMODE: 'disable',
        ...(path.ca === undefined ? { PGSSLMODE: 'disable' } : { PGSSLMODE: 'verify-full', PGSSLROOTCERT: options.caFile }),
      },
    },
  ).catch((error: unknown) => {
    // Its first complaint is about its own script and this run's servers: nothing secret, and all that helps.
    const said = (error as { stderr?: string }).stderr?.split('\n').find((line) => line.includes('error:'));
    throw new Error(said ?? 'pgbench failed', { cause: error });
  });
  const used = path.pid === undefined ? undefined : cpuMicros(path.pid) - before;
  const number = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const perSecond = number(/^tps = ([\d.]+) \(without initial connection time\)/m);
  const done = number(/^number of transactions actually processed: (\d+)/m);
  if (!(perSecond > 0) || !(done > 0)) throw new Error('pgbench reported no rate');
  const { statements } = load;
  return {
    perSecond: perSecond * statements,
    cpuMicrosPerStatement: used === undefined ? undefined : used / done / statements,
  };
}
