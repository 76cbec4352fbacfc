import { connect } from './client.ts';
import type { Path } from './path.ts';

/**
 * `again` is Chaperone once more: what differs between it and `chaperone` is noise. `sidecar` is that of a cluster, its collector in
 * another process; `bare` a relay in Node that only pipes, `framing` one that finds PostgreSQL's messages; `asks` Chaperone under a policy with a rule that asks people.
 */
export type Slot = 'direct' | 'pgbouncer' | 'chaperone' | 'again' | 'sidecar' | 'bare' | 'framing' | 'asks';
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

export type Rounds<T, S extends string = Slot> = { runs: Partial<Record<S, T[]>>; failed: Partial<Record<S, string>> };

/** Measures every path once per round; who comes first changes from round to round. A path that fails is left out from then on. */
export async function inTurn<T, P, S extends string>(
  paths: Readonly<Partial<Record<S, P>>>,
  rounds: number,
  measure: (path: P) => Promise<T>,
): Promise<Rounds<T, S>> {
  const result: Rounds<T, S> = { runs: {}, failed: {} };
  const slots = Object.entries(paths) as [S, P][];
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
