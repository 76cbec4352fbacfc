import { inCluster } from './in-cluster.ts';
import type { ClusterAccess } from './transport.ts';

/**
 * How a program reaches the API server: as its pod does, or by a kubeconfig where KUBECONFIG names one or there is no pod. What reads
 * kubeconfigs takes some 50 MiB and a second, so it is loaded where there is one to be read.
 * @throws ApiError where the environment of a pod is incomplete; Error where the kubeconfig cannot be read.
 */
export async function findCluster(environment: Readonly<Record<string, string | undefined>>): Promise<ClusterAccess> {
  const isPod = environment['KUBERNETES_SERVICE_HOST'] !== undefined;
  if (isPod && environment['KUBECONFIG'] === undefined) return inCluster(environment);
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}
