import { connect } from './client.ts';
import type { Path } from './path.ts';
import { type Load, pgbench } from './pgbench.ts';
import type { Program } from './programs.ts';

/** `again` is Chaperone once more: what differs between it and `chaperone` is noise. */
export type Slot = 'direct' | 'pgbouncer' | 'chaperone' | 'again';
export type Paths = Readonly<Partial<Record<Slot, Path>>>;

export interface Run {
  readonly value: number;
  /** CPU of the process in between per statement, or per result for large ones. */
  readonly cpuMicros: number | undefined;
}

export interface Result {
  readonly load: string;
  /** Of `value`; for milliseconds and MiB less is better, for the others more. */
  readonly unit: 'statements/s' | 'rows/s' | 'ms' | 'MiB';
  readonly runs: Partial<Record<Slot, readonly Run[]>>;
  /** Why a path has no figures, or none from some round on. */
  readonly failed: Partial<Record<Slot, string>>;
}

type Rounds<T> = { runs: Partial<Record<Slot, T[]>>; failed: Partial<Record<Slot, string>> };

/** Measures every path once per round; who comes first changes from round to round. A path that fails is left out from then on. */
export async function inTurn<T>(paths: Paths, rounds: number, measure: (path: Path) => Promise<T>): Promise<Rounds<T>> {
  const result: Rounds<T> = { runs: {}, failed: {} };
  const slots = Object.entries(paths) as [Slot, Path][];
  for (let round = 0; round < rounds; round++) {
    const first = round % slots.length;
    for (const [slot, path] of [...slots.slice(first), ...slots.slice(0, first)]) {
      if (result.failed[slot] !== undefined) continue;
      try {
        (result.runs[slot] ??= []).push(await measure(path));
      } catch (error) {
        result.failed[slot] = error instanceof Error ? error.message : 'failed';
      }
    }
  }
  return result;
}

export async function pointSelects(options: {
  name: string;
  program: Program;
  paths: Paths;
  load: Load;
  rounds: number;
  seconds: number;
  script: string;
  caFile: string;
}): Promise<Result> {
  const { name, program, paths, load, rounds, ...rest } = options;
  const measured = await inTurn(paths, rounds, async (path): Promise<Run> => {
    const { perSecond, cpuMicrosPerStatement } = await pgbench(program, path, load, rest);
    return { value: perSecond, cpuMicros: cpuMicrosPerStatement };
  });
  return { load: name, unit: 'statements/s', ...measured };
}

/** Milliseconds from dialling to the first answer, as a client that connects for one question feels it. */
export async function newSessions(paths: Paths, rounds: number): Promise<Result> {
  const measured = await inTurn(paths, rounds, async (path): Promise<Run> => {
    const began = performance.now();
    const client = await connect(path);
    try {
      await client.query('SELECT abalance FROM accounts WHERE aid = 1');
      return { value: performance.now() - began, cpuMicros: undefined };
    } finally {
      await client.end();
    }
  });
  return { load: 'new session to its first answer', unit: 'ms', ...measured };
}
