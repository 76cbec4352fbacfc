import type { GrantedResource, Snapshot, Whereabouts } from '@chaperone/policy';
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
export function surroundingsOf({ cluster, agent, resources, elsewhere = [] }: Known, resource: Behind): Surroundings {
  const own = nameOf(resource);
  const places = [...resources.filter((other) => nameOf(other) !== own), ...elsewhere];
  if (cluster === undefined) return { ...ELSEWHERE, places };
  const secrets = new Map<string, Set<string>>();
  for (const { namespace, name } of cluster.secrets) secrets.set(namespace, (secrets.get(namespace) ?? new Set()).add(name));
  const isOwn = resource.kubernetes?.own ?? false;
  const governed = new Set(isOwn ? cluster.governed : []);
  return {
    ...ELSEWHERE,
    ownNamespace: cluster.namespace,
    isGoverned: (namespace) => governed.has(namespace),
    secrets,
    places,
    ...(isOwn && { agent: { namespace: agent.namespace, serviceAccount: agent.serviceAccount } }),
  };
}

type Named = { readonly access: { readonly resource: { readonly namespace: string; readonly name: string } } };
type Known = Pick<Snapshot, 'cluster' | 'agent' | 'elsewhere'> & { readonly resources: readonly (Named & Whereabouts)[] };
type Behind = Named & Pick<GrantedResource, 'kubernetes'>;

function nameOf({ access: { resource } }: Named): string {
  return `${resource.namespace}/${resource.name}`;
}
