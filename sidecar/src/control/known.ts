import { createHash } from 'node:crypto';
import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { type Agent, canonicalJson, credentialSource, type GrantedResource, UNNAMED_SECRET } from '@chaperone/policy';
import { type ConditionDraft, stamp } from '@chaperone/policy/conditions';
import { type CompiledManifests, nameOf } from './compile.ts';
import { policyConditions, resourceConditions } from './conditions.ts';
import type { Observation } from './control-plane.ts';

export interface KnownObjects {
  readonly policies: readonly AccessPolicy[];
  readonly resources: readonly ProtectedResource[];
}

/**
 * Policies and resources that are in force, each with what this process knows of it as conditions: what files say, what compiling
 * them came to, and what sessions saw at upstreams.
 */
export class Known {
  readonly #agent: Agent;
  readonly #now: () => number;
  readonly #seen = new Map<string, Map<Observation['type'], Observation>>();
  /** For what an observation was made; of another upstream or credential it would say what nobody saw. */
  readonly #bases = new Map<string, string>();
  #files: KnownObjects & { readonly compiled: CompiledManifests } = {
    policies: [],
    resources: [],
    compiled: { resources: [], inboundPorts: [], problems: [], warnings: [], selected: false },
  };
  #told: KnownObjects = { policies: [], resources: [] };

  constructor(agent: Agent, now: () => number) {
    this.#agent = agent;
    this.#now = now;
  }

  policies(): readonly AccessPolicy[] {
    return this.#told.policies;
  }

  resources(): readonly ProtectedResource[] {
    return this.#told.resources;
  }

  /** Takes what is in force from now on. */
  adopt({ policies, resources }: KnownObjects, compiled: CompiledManifests): void {
    this.#files = { policies, resources, compiled };
    const bases = new Map(compiled.resources.map((granted) => [nameOf(granted.access.resource), basisOf(granted)]));
    for (const [name, basis] of this.#bases) if (bases.get(name) !== basis) this.#seen.delete(name);
    this.#bases.clear();
    for (const [name, basis] of bases) this.#bases.set(name, basis);
    this.#tell();
  }

  /** Takes what a session saw; of what is not in force it tells nothing. */
  see(observation: Observation): void {
    const name = nameOf(observation.resource);
    const resource = this.#files.resources.find((each) => nameOf(each.metadata) === name);
    if (resource === undefined || !this.#bases.has(name)) return;
    const message = observation.message.replaceAll(UNNAMED_SECRET, credentialSource(resource) ?? UNNAMED_SECRET);
    const of = this.#seen.get(name) ?? new Map<Observation['type'], Observation>();
    this.#seen.set(name, of.set(observation.type, { ...observation, message }));
    this.#tell();
  }

  #tell(): void {
    const { policies, resources, compiled } = this.#files;
    const seen = new Map([...this.#seen].map(([name, of]) => [name, [...of.values()]]));
    const facts = { agent: this.#agent, resources: byName(resources), compiled, seen };
    const before = { policies: byName(this.#told.policies), resources: byName(this.#told.resources) };
    const now = this.#now();
    this.#told = {
      policies: policies.map((each) => withConditions(each, policyConditions(each, facts), before.policies, now)),
      resources: resources.map((each) => withConditions(each, resourceConditions(each, facts), before.resources, now)),
    };
  }
}

/** An object with its conditions; `told` is what was said of it and others before. */
function withConditions<T extends AccessPolicy | ProtectedResource>(
  object: T,
  drafts: readonly ConditionDraft<string>[],
  told: ReadonlyMap<string, T>,
  now: number,
): T {
  const { generation } = object.metadata;
  const before = told.get(nameOf(object.metadata))?.status?.conditions;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  return { ...object, status: { ...observed, conditions: stamp(drafts, before, { now, generation }) } };
}

function basisOf({ upstream, credentials, postgres, notReady }: GrantedResource): string {
  const basis = canonicalJson({ upstream, credentials, postgres, notReady });
  return createHash('sha256').update(basis).digest('base64');
}

function byName<T extends AccessPolicy | ProtectedResource>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map((object) => [nameOf(object.metadata), object]));
}
