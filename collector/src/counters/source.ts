import {
  type Counter,
  type CounterStatement,
  MAX_COUNTERS,
  orUndefined,
  type Trust,
  verifyCounterStatement,
} from '@chaperone/evidence';
import { NothingToExport } from '../nothing-to-export.ts';

/** A pod that has something pending says so every 10 s: what is older than this is of one that is gone, or silent. */
const QUIET_MS = 60_000;

/** What a pod said last of what there is of its evidence, where this collector cannot write. */
export interface KeptStatement {
  readonly statement: CounterStatement;
  /** ms since 1970, by the clock of who keeps it. */
  readonly receivedAt: number;
}
export interface CounterSource {
  /** Rejects where they cannot be read. */
  list(): Promise<readonly KeptStatement[]>;
}

export const NO_COUNTERS: CounterSource = { list: () => Promise.resolve([]) };

/** Whose counters are asked for, and which. */
export interface Wanted {
  readonly namespace: (namespace: string) => boolean;
  readonly counter: (counter: Counter, receivedAt: number) => boolean;
}

/**
 * Those of pods that are gone or silent, verified, by their keys, one of each: of others something is on its way at any time, so that it would
 * seem to be missing. Rejects with NothingToExport where they are more than a file holds: one that left some out would hide what is missing.
 */
export async function settledCounters(
  source: CounterSource,
  { namespace, counter: isWanted }: Wanted,
  { trust, now, most = MAX_COUNTERS }: { readonly trust: Trust; readonly now: number; readonly most?: number },
): Promise<{ readonly statement: CounterStatement; readonly counter: Counter }[]> {
  const found = new Map<string, { readonly statement: CounterStatement; readonly counter: Counter }>();
  for (const { statement, receivedAt } of await source.list()) {
    if (now - receivedAt < QUIET_MS) continue;
    const verified = orUndefined(() => verifyCounterStatement(statement, trust));
    if (verified === undefined || !namespace(verified.agent.namespace) || !isWanted(verified.counter, receivedAt)) continue;
    const { counter } = verified;
    const before = found.get(counter.nkey);
    if (before === undefined || before.counter.number < counter.number) found.set(counter.nkey, { statement, counter });
  }
  if (found.size > most)
    throw new NothingToExport(
      'BadRequest',
      `${found.size} pods counted evidence that belongs in this file, which holds what ${most} counted; ask for less time, or for one session`,
    );
  return [...found.values()].toSorted((a, b) => (a.counter.nkey < b.counter.nkey ? -1 : 1));
}
