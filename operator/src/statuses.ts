import { isDeepStrictEqual } from 'node:util';
import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import { apply, isNotFound, type Kube, type ResourceKind } from '@chaperone/kube';
import { type CodedCondition, stamp } from '@chaperone/policy/conditions';
import { type EventRecorder, regardingOf } from './kube/events.ts';
import type { PolicyDecision } from './policies/decide.ts';
import type { AssessedResource } from './resources/assess.ts';

type Owned = Pick<ProtectedResource | AccessPolicy, 'apiVersion' | 'kind' | 'metadata'> & {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
};

type Coded<T> = NonNullable<T> & { readonly conditions: readonly CodedCondition[] };

export function resourceStatus(state: AssessedResource, policies: number, now: number): Coded<ProtectedResource['status']> {
  const { resource, decision, addresses } = state;
  const generation = resource.metadata.generation ?? 0;
  const labels = [...new Set(resource.spec.sensitive.map(({ label }) => label))].join(',');
  return {
    observedGeneration: generation,
    addresses: [...addresses],
    policies,
    ...(labels === '' ? {} : { labels: labels.slice(0, 2048) }),
    conditions: stamp(decision.conditions, resource.status?.conditions, { now, generation }),
  };
}

export function policyStatus(policy: AccessPolicy, decision: PolicyDecision, now: number): Coded<AccessPolicy['status']> {
  const generation = policy.metadata.generation ?? 0;
  return {
    observedGeneration: generation,
    selectedPods: decision.selectedPods,
    programmedPods: decision.programmedPods,
    programmed: `${decision.programmedPods}/${decision.selectedPods}`,
    outdated: decision.outdated,
    rules: policy.spec.rules.length,
    conditions: stamp(decision.conditions, policy.status?.conditions, { now, generation }),
  };
}

/** Writes a status where it differs from what is there, and tells people what became of it. An object that is gone is no fault. */
export async function writeStatus(
  to: { readonly kube: Kube; readonly events: EventRecorder; readonly signal: AbortSignal },
  kind: ResourceKind,
  object: Owned,
  status: { readonly conditions: readonly CodedCondition[] },
): Promise<void> {
  if (isDeepStrictEqual(object.status, status)) return;
  const { name, namespace } = object.metadata;
  const at = { name, ...(namespace === undefined ? {} : { namespace }), subresource: 'status' as const };
  try {
    await apply(to.kube, kind, at, { status }, { signal: to.signal });
  } catch (error) {
    if (isNotFound(error)) return;
    throw error;
  }
  await tell(to.events, object, status.conditions);
}

async function tell(events: EventRecorder, object: Owned, conditions: readonly CodedCondition[]): Promise<void> {
  const before = (type: string): Condition | undefined => object.status?.conditions?.find((condition) => condition.type === type);
  const regarding = regardingOf(object);
  const ready = conditions.find((condition) => condition.type === 'Ready');
  if (ready?.status === 'False' && ready.reason !== before('Ready')?.reason && ready.reason !== 'Programming') {
    await events.emit(regarding, { type: 'Warning', reason: ready.reason, action: 'Reconcile', note: ready.message });
  }
  const programmed = conditions.find((condition) => condition.type === 'Programmed');
  if (programmed !== undefined && isProgrammed(programmed) && !isProgrammed(before('Programmed'))) {
    await events.emit(regarding, { type: 'Normal', reason: 'PolicyProgrammed', action: 'Reconcile', note: programmed.message });
  }
}

/** In force in at least one sidecar; before there are agents there is nothing to tell. */
function isProgrammed(condition: Condition | undefined): boolean {
  return condition?.status === 'True' && condition.reason !== 'NoAgentsYet';
}
