import type { Informer } from '@chaperone/kube';

/** An API server says that it lives once a minute; what was heard longer ago may be untrue by now. */
const HEARD_MS = 180_000;

/** Why copies of the cluster's objects cannot be shown now, as a sentence. */
export function notHeard(what: string, informers: readonly Informer<unknown>[], now: number): string | undefined {
  if (informers.some(({ hasSynced }) => !hasSynced)) return `${what} have not been read yet`;
  const silent = now - Math.min(...informers.map(({ lastEventAt }) => lastEventAt));
  if (silent <= HEARD_MS) return undefined;
  return `the API server has not been heard for ${Math.round(silent / 1000)} s; ${what} may have changed`;
}
