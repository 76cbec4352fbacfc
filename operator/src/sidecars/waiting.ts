import type { KubeObject } from '@chaperone/kube';
import { CONTAINER_NAMES } from '../injection/profile.ts';

export const [, SIDECAR_NAME] = CONTAINER_NAMES;
/** After this long a person looks for the reason; the kubelet itself waits for ever. */
const PATIENCE_S = 60;

/** What of a container's status is looked at. */
export interface ContainerStatus {
  readonly name: string;
  /** Its startup probe has passed. */
  readonly started?: boolean;
  readonly state?: { readonly running?: { readonly startedAt?: string } };
}

/**
 * The sentence about a pod whose sidecar runs and has not let the agent in for a minute; undefined where all is well, or where
 * something else holds the pod. It does not change while it holds, so that its Event is counted and not repeated.
 */
export function waitingSidecar(pod: KubeObject, at: { readonly now: number; readonly enrolled: boolean }): string | undefined {
  const { initContainerStatuses = [] } = (pod.status ?? {}) as { initContainerStatuses?: readonly ContainerStatus[] };
  const sidecar = initContainerStatuses.find(({ name }) => name === SIDECAR_NAME);
  const startedAt = Date.parse(sidecar?.state?.running?.startedAt ?? '');
  if (sidecar === undefined || sidecar.started === true || !(at.now - startedAt >= PATIENCE_S * 1000)) return undefined;
  const { name, namespace = '' } = pod.metadata;
  const what = at.enrolled ? 'has its policy and is not ready after' : 'has asked for no policy in';
  return `${SIDECAR_NAME} ${what} ${PATIENCE_S} s; the agent waits rather than start ungoverned: kubectl logs ${name} -c ${SIDECAR_NAME} -n ${namespace}`;
}
