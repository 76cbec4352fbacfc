import type { Snapshot } from '@chaperone/policy';
import type { Surroundings } from './deny.ts';

/** A cluster in which Chaperone is not, and no agent either: no pod there is governed. */
export const ELSEWHERE: Surroundings = {
  ownNamespace: '',
  isGoverned: () => false,
  secrets: new Map(),
  agent: { namespace: '', serviceAccount: '' },
  isNamespaced: () => undefined,
};

/** Names by which a pod finds the API server of its own cluster. */
const OWN = /^kubernetes\.default\.svc(\.cluster\.local)?\.?$/;

/**
 * What the cluster behind an upstream has of Chaperone. By any other name than its own Service it may be this cluster or another: then
 * what is kept safe here is kept safe there, and no pod there is governed.
 */
export function surroundingsOf({ cluster, agent }: Pick<Snapshot, 'cluster' | 'agent'>, host: string): Surroundings {
  if (cluster === undefined) return ELSEWHERE;
  const secrets = new Map<string, Set<string>>();
  for (const { namespace, name } of cluster.secrets) secrets.set(namespace, (secrets.get(namespace) ?? new Set()).add(name));
  const isOwn = OWN.test(host);
  const governed = new Set(isOwn ? cluster.governed : []);
  return {
    ...ELSEWHERE,
    ownNamespace: cluster.namespace,
    isGoverned: (namespace) => governed.has(namespace),
    secrets,
    ...(isOwn && { agent: { namespace: agent.namespace, serviceAccount: agent.serviceAccount } }),
  };
}
