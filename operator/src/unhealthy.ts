import type { Condition } from '@chaperone/api';

interface Judged {
  readonly kind?: string | undefined;
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}

/** A condition that somebody should look at, as labels of a metric. Not `namespace`: Prometheus has that of the operator's own pod there. */
export interface Unhealthy {
  readonly kind: string;
  readonly object_namespace: string;
  readonly object_name: string;
  readonly type: string;
  readonly reason: string;
}

/** Series of one scrape: a cluster where everything is wrong must not be what fills Prometheus. */
export const MAX_UNHEALTHY = 1_000;
/** True, and still to be dealt with. */
const SIGNED_OFF_TOO_EARLY = 'SidecarsOutdated';

/** Conditions that are False, or say that old sidecars run, in the order of the objects; `Ready` repeats others and is left out. */
export function unhealthyConditions(objects: Iterable<Judged>): Unhealthy[] {
  const found: Unhealthy[] = [];
  for (const { kind = '', metadata, status } of objects) {
    for (const condition of status?.conditions ?? []) {
      if (condition.type === 'Ready' || (condition.status !== 'False' && condition.reason !== SIGNED_OFF_TOO_EARLY)) continue;
      if (found.length === MAX_UNHEALTHY) return found;
      const { type, reason } = condition;
      found.push({ kind, object_namespace: metadata.namespace ?? '', object_name: metadata.name, type, reason });
    }
  }
  return found;
}
