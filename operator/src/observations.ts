import type { ProtectedResource } from '@chaperone/api';
import { keyOf } from '@chaperone/kube';
import { credentialSource, type ResourceObservation, UNNAMED_SECRET } from '@chaperone/policy';

const TYPES = ['Reachable', 'UpstreamSuitable', 'CredentialsAvailable'] as const;
/** Reasons that the operator writes itself into these conditions; they are no observations. */
const OWN_REASONS = new Set([
  'NotDialledYet',
  'CredentialsAvailable',
  'CredentialsNotFound',
  'CredentialsInvalid',
  'NotBoundToUpstream',
  'VaultPathNotPermitted',
  'VaultUnavailable',
  'VaultRefused',
]);

/** The observation with the name of what keeps the credential, which no sidecar is told, in place of what sidecars call it. */
export function withSourceName(observation: ResourceObservation, resource: ProtectedResource): ResourceObservation {
  const name = credentialSource(resource);
  return name === undefined ? observation : { ...observation, message: observation.message.replace(UNNAMED_SECRET, () => name) };
}

/**
 * What sidecars saw last of each resource. An observation holds for the spec and the credentials that it was made with; after a
 * change of either it is forgotten, because it would blame what is not there any more.
 */
export class Observations {
  readonly #seen = new Map<string, Map<string, { observation: ResourceObservation; basis: string }>>();

  /** `basis` names the spec and credentials in force. Returns whether anything new was said. */
  record(observation: ResourceObservation, basis: string): boolean {
    const key = `${observation.resource.namespace}/${observation.resource.name}`;
    const of = this.#seen.get(key) ?? new Map<string, { observation: ResourceObservation; basis: string }>();
    const before = of.get(observation.type);
    if (before?.basis === basis && saysTheSame(before.observation, observation)) return false;
    of.set(observation.type, { observation, basis });
    this.#seen.set(key, of);
    return true;
  }

  /** Takes over what an earlier leader wrote into the status. */
  restore(resource: ProtectedResource, basis: string): void {
    const { namespace = '', name, generation } = resource.metadata;
    for (const condition of resource.status?.conditions ?? []) {
      const type = TYPES.find((each) => each === condition.type);
      if (type === undefined || OWN_REASONS.has(condition.reason) || condition.observedGeneration !== generation) continue;
      const { status, reason, message } = condition;
      this.record({ resource: { namespace, name }, type, status, reason, message }, basis);
    }
  }

  of(resource: ProtectedResource, basis: string): ResourceObservation[] {
    const seen = [...(this.#seen.get(keyOf(resource))?.values() ?? [])];
    return seen.filter((entry) => entry.basis === basis).map((entry) => entry.observation);
  }

  /** Forgets resources that are gone. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#seen.keys()) if (!keys.has(key)) this.#seen.delete(key);
  }
}

/**
 * Each sidecar says since when it has seen a failure itself. The first to say it stands: with many of them the status would
 * otherwise change with every report.
 */
function saysTheSame(a: ResourceObservation, b: ResourceObservation): boolean {
  return a.status === b.status && a.reason === b.reason && withoutTimes(a.message) === withoutTimes(b.message);
}
const withoutTimes = (text: string): string => text.replaceAll(/\b\d\d:\d\d:\d\d UTC\b/g, '');
