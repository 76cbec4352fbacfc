import type { Snapshot } from '@chaperone/policy';
import type { Surroundings } from './deny.ts';

/** A cluster in which Chaperone is not, and no agent either: no pod there is governed. */
export const ELSEWHERE: Surroundings = {
  ownNamespace: '',
  isGoverned: () => false,
  secrets: new Map(),
  agent: { namespace: '', serviceAccount: '' },
  isNamespaced: () => undefined,
  places: [],
};

/**
 * What the cluster behind a resource has of Chaperone. One that is not known to be the agents' own may still be it: then what is kept
 * safe here is kept safe there, and no pod there is governed.
 */
export function surroundingsOf({ cluster, agent }: Pick<Snapshot, 'cluster' | 'agent'>, isOwn: boolean): Surroundings {
  if (cluster === undefined) return ELSEWHERE;
  const secrets = new Map<string, Set<string>>();
  for (const { namespace, name } of cluster.secrets) secrets.set(namespace, (secrets.get(namespace) ?? new Set()).add(name));
  const governed = new Set(isOwn ? cluster.governed : []);
  return {
    ...ELSEWHERE,
    ownNamespace: cluster.namespace,
    isGoverned: (namespace) => governed.has(namespace),
    secrets,
    places: cluster.places,
    ...(isOwn && { agent: { namespace: agent.namespace, serviceAccount: agent.serviceAccount } }),
  };
}
