import type { AccessPolicy } from '@chaperone/api';
import { canonicalJson } from '@chaperone/policy';

/**
 * Numbers the versions of policies that come from files, as the API server numbers those of objects: one more whenever the spec is
 * another. What a policy asked for is void with the version that asked.
 */
export class Generations {
  #known = new Map<string, { readonly spec: string; readonly generation: number }>();

  /** The policies of one version of the files, each with its generation; what is not among them is forgotten. */
  number(policies: readonly AccessPolicy[]): AccessPolicy[] {
    const before = this.#known;
    this.#known = new Map();
    return policies.map((policy) => {
      const { metadata } = policy;
      const name = `${metadata.namespace ?? ''}/${metadata.name}`;
      const spec = canonicalJson(policy.spec);
      const old = before.get(name);
      const generation = old?.spec === spec ? old.generation : (old?.generation ?? 0) + 1;
      this.#known.set(name, { spec, generation });
      return { ...policy, metadata: { ...metadata, generation } };
    });
  }
}
