import { createHash } from 'node:crypto';
import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import { type Agent, canonicalJson, type GrantedResource, UNNAMED_SECRET } from '@chaperone/policy';
import type { CompiledManifests } from './compile.ts';
import { type Draft, policyConditions, resourceConditions } from './conditions.ts';
import type { Observation } from './control-plane.ts';

/** As the schema of a condition has it. */
const MAX_MESSAGE = 1024;

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
  #since = new Map<string, { readonly status: string; readonly at: string }>();
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
    const { spec, metadata } = this.#files.resources.find((each) => nameOf(each.metadata) === name) ?? {};
    if (spec === undefined || !this.#bases.has(name)) return;
    const secret = `Secret ${metadata?.namespace ?? ''}/${spec.credentials?.secretRef.name ?? ''}`;
    const message = observation.message.replaceAll(UNNAMED_SECRET, secret);
    const of = this.#seen.get(name) ?? new Map<Observation['type'], Observation>();
    this.#seen.set(name, of.set(observation.type, { ...observation, message }));
    this.#tell();
  }

  #tell(): void {
    const { policies, resources, compiled } = this.#files;
    const seen = new Map([...this.#seen].map(([name, of]) => [name, [...of.values()]]));
    const facts = { agent: this.#agent, resources: byName(resources), compiled, seen };
    const before = this.#since;
    this.#since = new Map();
    this.#told = {
      policies: policies.map((policy) => this.#stamped(policy, policyConditions(policy, facts), before)),
      resources: resources.map((resource) => this.#stamped(resource, resourceConditions(resource, facts), before)),
    };
  }

  /** `lastTransitionTime` moves only when the status changes. */
  #stamped<T extends AccessPolicy | ProtectedResource>(
    object: T,
    drafts: readonly Draft[],
    before: ReadonlyMap<string, { readonly status: string; readonly at: string }>,
  ): T {
    const { generation } = object.metadata;
    const observed = generation === undefined ? {} : { observedGeneration: generation };
    const conditions = drafts.map(({ message, ...rest }): Condition => {
      const key = `${object.kind} ${nameOf(object.metadata)} ${rest.type}`;
      const old = before.get(key);
      const at = old?.status === rest.status ? old.at : new Date(this.#now()).toISOString();
      this.#since.set(key, { status: rest.status, at });
      return { ...rest, message: message.slice(0, MAX_MESSAGE), lastTransitionTime: at, ...observed };
    });
    return { ...object, status: { ...observed, conditions } };
  }
}

function basisOf({ upstream, credentials, postgres, notReady }: GrantedResource): string {
  const basis = canonicalJson({ upstream, credentials, postgres, notReady });
  return createHash('sha256').update(basis).digest('base64');
}

function byName(resources: readonly ProtectedResource[]): ReadonlyMap<string, ProtectedResource> {
  return new Map(resources.map((resource) => [nameOf(resource.metadata), resource]));
}

function nameOf({ namespace = '', name }: { readonly namespace?: string | undefined; readonly name: string }): string {
  return `${namespace}/${name}`;
}
