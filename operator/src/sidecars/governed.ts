import type { InjectionProfile } from '@chaperone/api';
import type { KubeObject } from '@chaperone/kube';
import type { Agent } from '@chaperone/policy';
import { matchesProfile } from '../injection/match.ts';
import type { Pod } from '../injection/pod.ts';
import type { PodIdentity } from './identity.ts';
import { SIDECAR_NAME } from './waiting.ts';

export const INJECT_LABEL = 'chaperone.dev/inject';
/** Written by the operator on a governed namespace: since when it is governed, RFC 3339. */
export const GOVERNED_SINCE = 'chaperone.dev/governed-since';

export interface PodFacts {
  readonly identity: PodIdentity;
  readonly pod: KubeObject | undefined;
  readonly namespace: KubeObject | undefined;
  /** The profiles of this release and the last one. */
  readonly profiles: readonly InjectionProfile[];
}
export interface PodRefusal {
  readonly code: 'Unauthenticated' | 'PodNotGoverned' | 'PodNotInjected';
  readonly message: string;
}

export const isGoverned = (namespace: KubeObject | undefined): boolean =>
  namespace?.metadata.labels?.[INJECT_LABEL] === 'enabled';

/** Whether the pod runs or may still run. */
export function isAlive(pod: KubeObject): boolean {
  return pod.metadata.deletionTimestamp === undefined && !hasEnded(pod);
}

/** Whether no container of it runs any more or ever will. */
export function hasEnded(pod: KubeObject): boolean {
  const phase = (pod.status as { phase?: unknown } | undefined)?.phase;
  return phase === 'Succeeded' || phase === 'Failed';
}

export const serviceAccountOf = (pod: KubeObject): string =>
  (pod.spec as { serviceAccountName?: string } | undefined)?.serviceAccountName ?? 'default';

/** The image that the pod's sidecar runs; undefined where it has none. */
export function sidecarImage(pod: KubeObject): string | undefined {
  const { initContainers = [] } = (pod.spec ?? {}) as { initContainers?: readonly { name: string; image?: string }[] };
  return initContainers.find(({ name }) => name === SIDECAR_NAME)?.image;
}

/**
 * Why this pod gets no policy and no credentials; undefined where it may have them. A token stays good while a pod ends and for
 * some seconds after; therefore the pod itself is looked at, not the token alone.
 */
export function refusePod({ identity, pod, namespace, profiles }: PodFacts): PodRefusal | undefined {
  const name = `pod ${identity.namespace}/${identity.pod}`;
  if (pod === undefined || pod.metadata.uid !== identity.podUid)
    return { code: 'Unauthenticated', message: `${name} does not exist` };
  if (!isAlive(pod)) return { code: 'Unauthenticated', message: `${name} has ended or is being deleted` };
  if (serviceAccountOf(pod) !== identity.serviceAccount) {
    return { code: 'Unauthenticated', message: `${name} runs under another ServiceAccount than its token` };
  }
  if (!isGoverned(namespace)) {
    return { code: 'PodNotGoverned', message: `namespace ${identity.namespace} is not labelled ${INJECT_LABEL}=enabled` };
  }
  const since = Date.parse(namespace?.metadata.annotations?.[GOVERNED_SINCE] ?? '');
  const created = Date.parse(pod.metadata.creationTimestamp ?? '');
  if (Number.isNaN(since))
    return { code: 'PodNotGoverned', message: `namespace ${identity.namespace} is being taken over; try again` };
  // Both times are whole seconds.
  if (!(created >= Math.floor(since / 1000) * 1000)) {
    return {
      code: 'PodNotGoverned',
      message: `${name} is older than the opt-in of its namespace; delete it, so that it is made anew`,
    };
  }
  if (!profiles.some((profile) => matchesProfile(pod as unknown as Pod, profile))) {
    return {
      code: 'PodNotInjected',
      message: `${name} does not carry the containers and volumes of a known release; delete it, so that it is injected anew`,
    };
  }
  return undefined;
}

/** The agent that a pod is, for policies. Its labels and annotations cannot change after admission. */
export function agentOf(pod: KubeObject): Agent {
  return {
    namespace: pod.metadata.namespace ?? '',
    serviceAccount: serviceAccountOf(pod),
    pod: pod.metadata.name,
    ...(pod.metadata.uid === undefined ? {} : { podUid: pod.metadata.uid }),
    labels: pod.metadata.labels ?? {},
    annotations: Object.fromEntries(
      Object.entries(pod.metadata.annotations ?? {}).filter(([key]) => key.startsWith('chaperone.dev/')),
    ),
  };
}

/** When the opt-in label was last set, from the API server's own notes. */
export function labelledAt(namespace: KubeObject): string | undefined {
  const entries = (namespace.metadata.managedFields ?? []) as { time?: string; fieldsV1?: Record<string, unknown> }[];
  const owner = entries.find(({ fieldsV1 }) => {
    const metadata = fieldsV1?.['f:metadata'] as Record<string, Record<string, unknown>> | undefined;
    return metadata?.['f:labels']?.[`f:${INJECT_LABEL}`] !== undefined;
  });
  return owner?.time;
}
