import type { AccessPolicy } from '@chaperone/api';
import { keyOf, type KubeObject } from '@chaperone/kube';
import { selectsAgent } from '@chaperone/policy';
import type { AssessedResource } from '../resources/assess.ts';
import { agentOf, isAlive, serviceAccountOf, sidecarImage } from '../sidecars/governed.ts';
import { type Shortfall, sentenceOf } from '../sidecars/comparison.ts';
import type { SidecarHub } from '../sidecars/hub.ts';
import type { PolicyFacts } from './decide.ts';

export interface GatherInput {
  readonly policy: AccessPolicy;
  readonly resources: ReadonlyMap<string, AssessedResource>;
  readonly pods: readonly KubeObject[];
  readonly hub: Pick<SidecarHub, 'stateOf'>;
  /** What this release injects. */
  readonly image: string;
  readonly signing: boolean;
  readonly shortfalls: readonly Shortfall[];
  readonly now: number;
}

/** Keys of the resources that a policy's rules name. */
export function resourcesOf({ spec }: AccessPolicy): string[] {
  return spec.rules.map(({ resource }) => `${resource.namespace}/${resource.name}`);
}

/** Collects what the conditions of one policy depend on. */
export function gatherPolicy({ policy, resources, pods, hub, image, signing, shortfalls, now }: GatherInput): PolicyFacts {
  const namespace = policy.metadata.namespace ?? '';
  const named = resourcesOf(policy).flatMap((key) => {
    const state = resources.get(key);
    return state === undefined ? [] : [[key, state] as const];
  });
  const alive = pods.filter((pod) => pod.metadata.namespace === namespace && isAlive(pod));
  const about = { uid: policy.metadata.uid ?? '', generation: policy.metadata.generation ?? 0 };
  return {
    policy,
    signing,
    missingEvidence: shortfalls
      .filter(({ kept }) => kept.agent.namespace === namespace && kept.policies.includes(policy.metadata.name))
      .map(sentenceOf),
    resources: new Map(named.map(([key, state]) => [key, state.resource])),
    granted: [...resources.values()]
      .filter(({ resource }) => resource.spec.grantedTo.some((grant) => grant.namespace === namespace))
      .map(({ resource }) => keyOf(resource))
      .toSorted(),
    blocked: new Map(named.flatMap(([key, state]) => (state.blocked === undefined ? [] : [[key, state.blocked] as const]))),
    candidates: alive.map((pod) => ({
      name: pod.metadata.name,
      labels: pod.metadata.labels ?? {},
      serviceAccount: serviceAccountOf(pod),
    })),
    sidecars: alive
      .filter((pod) => selectsAgent(policy, agentOf(pod)))
      .map((pod) => {
        const { current, heardAt, capture } = hub.stateOf(pod.metadata.uid ?? '', about);
        const heardSecondsAgo = heardAt === undefined ? undefined : Math.max(0, Math.round((now - heardAt) / 1000));
        return { pod: pod.metadata.name, current, outdated: (sidecarImage(pod) ?? image) !== image, heardSecondsAgo, capture };
      }),
  };
}
