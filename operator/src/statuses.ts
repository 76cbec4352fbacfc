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

/** What was written of one object, while its events are still to come. */
interface Written {
  /** Versions that informers may hold meanwhile: what the first write was decided on, and what each made. */
  readonly versions: Set<string>;
  /** The last of them, and the status that it has. */
  readonly latest: string;
  readonly status: NonNullable<Owned['status']>;
}

/** Objects of which it is remembered what was written; of one that was forgotten a write may have to be decided on again. */
const MAX_REMEMBERED = 4096;

/**
 * Writes statuses where they differ from what is there, each for the very version of the object that it was decided on: what was edited,
 * deleted or made anew meanwhile keeps what it has. Its event brings it here again, so nothing is tried twice. What was written here
 * itself is no edit, though informers hear of it later.
 */
export class Statuses {
  readonly #to: { readonly kube: Kube; readonly events: EventRecorder; readonly signal: AbortSignal };
  /** By kind and name. */
  readonly #written = new Map<string, Written>();

  constructor(to: { readonly kube: Kube; readonly events: EventRecorder; readonly signal: AbortSignal }) {
    this.#to = to;
  }

  /** Also tells people what became of the object. One that is gone is no fault. */
  async write(kind: ResourceKind, object: Owned, status: { readonly conditions: readonly CodedCondition[] }): Promise<undefined> {
    const { kube, events, signal } = this.#to;
    const { name, namespace, resourceVersion } = object.metadata;
    const key = `${kind.kind} ${namespace ?? ''}/${name}`;
    const own = this.#written.get(key);
    const isOurs = resourceVersion !== undefined && own?.versions.has(resourceVersion) === true;
    const before = isOurs ? own : { latest: resourceVersion, status: object.status };
    if (isDeepStrictEqual(before.status, status)) return;
    const at = { name, ...(namespace === undefined ? {} : { namespace }), subresource: 'status' as const };
    const metadata = before.latest === undefined ? {} : { resourceVersion: before.latest };
    try {
      const { resourceVersion: latest = '' } = (await apply(kube, kind, at, { metadata, status }, { signal })).metadata;
      // What informers hold by now is the oldest that they will ever show.
      const versions = isOurs ? [...own.versions] : [resourceVersion ?? ''];
      const since = versions.slice(versions.indexOf(resourceVersion ?? ''));
      this.#remember(key, { versions: new Set([...since, latest]), latest, status });
    } catch (error) {
      this.#written.delete(key);
      if (isNotFound(error) || isConflict(error)) return;
      throw error;
    }
    await tell(events, { ...object, status: before.status }, status.conditions);
  }

  #remember(key: string, written: Written): void {
    this.#written.delete(key);
    this.#written.set(key, written);
    const oldest = this.#written.keys().next();
    if (this.#written.size > MAX_REMEMBERED && oldest.done === false) this.#written.delete(oldest.value);
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
