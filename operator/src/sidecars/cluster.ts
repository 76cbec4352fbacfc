import type { ProtectedResource } from '@chaperone/api';
import type { KubeObject } from '@chaperone/kube';
import type { ClusterFacts } from '@chaperone/policy';
import { wantedSecrets } from '../resources/assess.ts';
import { isGoverned } from './governed.ts';

/** What this cluster has of Chaperone, in a fixed order. Pure. */
export function clusterFacts(
  namespace: string,
  namespaces: readonly KubeObject[],
  resources: readonly ProtectedResource[],
): ClusterFacts {
  return {
    namespace,
    governed: namespaces
      .filter(isGoverned)
      .map(({ metadata }) => metadata.name)
      .toSorted(),
    secrets: [...wantedSecrets(resources)].toSorted().map((key) => {
      const [of = '', name = ''] = key.split('/', 2);
      return { namespace: of, name };
    }),
  };
}
