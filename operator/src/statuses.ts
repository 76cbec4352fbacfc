import { isDeepStrictEqual } from 'node:util';
import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import { apply, isConflict, isNotFound, type Kube, type ResourceKind } from '@chaperone/kube';
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

/** Whether both are of the same object, with nothing but its status written in between. */
export function isSameSpec(a: Owned, b: Owned): boolean {
  return a.metadata.uid === b.metadata.uid && a.metadata.generation === b.metadata.generation;
}

/** A status that was written, and the object's version since then. */
interface Written {
  readonly version: string | undefined;
  readonly status: NonNullable<Owned['status']>;
}

/**
 * Writes statuses where they differ from what is there, each for the very version of the object that it was decided on: what was edited,
 * deleted or made anew meanwhile keeps what it has. Its event brings it here again, so nothing is tried twice.
 */
export class Statuses {
  readonly #to: { readonly kube: Kube; readonly events: EventRecorder; readonly signal: AbortSignal };
  /** By the object as informers hold it: theirs is older until the event of the write has come. */
  readonly #written = new WeakMap<Owned, Written>();

  constructor(to: { readonly kube: Kube; readonly events: EventRecorder; readonly signal: AbortSignal }) {
    this.#to = to;
  }

  /** Also tells people what became of the object. One that is gone is no fault. */
  async write(kind: ResourceKind, object: Owned, status: { readonly conditions: readonly CodedCondition[] }): Promise<undefined> {
    const { kube, events, signal } = this.#to;
    const { name, namespace, resourceVersion } = object.metadata;
    const before = this.#written.get(object) ?? { version: resourceVersion, status: object.status };
    if (isDeepStrictEqual(before.status, status)) return;
    const at = { name, ...(namespace === undefined ? {} : { namespace }), subresource: 'status' as const };
    const metadata = before.version === undefined ? {} : { resourceVersion: before.version };
    try {
      const after = await apply(kube, kind, at, { metadata, status }, { signal });
      this.#written.set(object, { version: after.metadata.resourceVersion, status });
    } catch (error) {
      if (isNotFound(error) || isConflict(error)) return;
      throw error;
    }
    await tell(events, { ...object, status: before.status }, status.conditions);
  }
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
