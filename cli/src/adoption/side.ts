import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import {
  type Access,
  accessOnBehalfOf,
  type Action,
  type Agent,
  type Caller,
  compileAccess,
  judge,
  touches,
  type Verdict,
} from '@chaperone/policy';
import type { Untold } from '@chaperone/sidecar';
import { CliError } from '../errors.ts';
import type { SeenAction } from './seen.ts';

export interface PolicyObjects {
  readonly resources: readonly ProtectedResource[];
  readonly policies: readonly AccessPolicy[];
}

/**
 * Why nobody can tell how an action would be judged, beside what its record leaves open · columns: rules name columns, and no record
 * has them · labels: policies select agents by labels, and no record has them · resource: no file has it · token: a policy demands
 * one that the session did not show.
 */
export type Unjudged = Untold | 'columns' | 'labels' | 'resource' | 'token';

/** allow, audit (allowed since the policy only audits: enforced it would not be), approve, deny. */
export type Word = 'deny' | 'approve' | 'audit' | 'allow';

/** How an action is judged. `rule` decided, where one did. */
export interface Outcome {
  readonly word: Word;
  readonly code: string;
  readonly rule?: string;
}

/** Accesses that are remembered; agents and resources are few, and purposes may be many. */
const MAX_ACCESSES = 10_000;

/** One set of policies, which judges what was recorded under any other. */
export class Side {
  readonly #objects: PolicyObjects;
  readonly #resources: ReadonlyMap<string, ProtectedResource>;
  readonly #labels: Readonly<Record<string, string>> | undefined;
  readonly #known = new Map<string, Access | Outcome | 'labels' | 'resource'>();

  /**
   * @param other - has the resources that these objects leave out
   * @param labels - of the agents; absent: not known
   */
  constructor(objects: PolicyObjects, other: PolicyObjects, labels?: Readonly<Record<string, string>>) {
    this.#objects = objects;
    this.#labels = labels;
    this.#resources = new Map([...other.resources, ...objects.resources].map((each) => [keyOf(each.metadata), each]));
  }

  /** What the policies give the agent of an action; undefined: nothing, or it is not known. */
  accessOf(seen: SeenAction): Access | undefined {
    const found = this.#find(seen);
    return typeof found === 'object' && 'rules' in found ? found : undefined;
  }

  /** Throws CliError PolicyInvalid for a policy that nobody could use. */
  judge(seen: SeenAction): Outcome | Unjudged {
    const { recorded, caller } = seen;
    if ('untold' in recorded) return recorded.untold;
    const found = this.#find(seen);
    if (typeof found === 'string' || 'word' in found) return found;
    if (found.identity !== undefined && !found.identity.every(({ issuer }) => issuer === caller?.issuer)) return 'token';
    if (leavesNoMark(found)) return 'masked';
    return judgedOn(found, recorded.actions, caller);
  }

  #find(seen: SeenAction): Access | Outcome | 'labels' | 'resource' {
    const { namespace, serviceAccount } = seen.agent;
    const key = JSON.stringify([namespace, serviceAccount, seen.resource.namespace, seen.resource.name, seen.purpose]);
    const known = this.#known.get(key) ?? this.#compiled(seen);
    if (this.#known.size < MAX_ACCESSES) this.#known.set(key, known);
    return known;
  }

  #compiled({ agent, resource: { namespace, name, protocol }, purpose }: SeenAction): Access | Outcome | 'labels' | 'resource' {
    const resource = this.#resources.get(`${namespace}/${name}`);
    if (resource?.spec.protocol !== protocol) return 'resource';
    const policies = this.#objects.policies.filter(({ metadata }) => metadata.namespace === agent.namespace);
    if (this.#labels === undefined && policies.some((policy) => selectsByLabels(policy, agent.serviceAccount))) return 'labels';
    const stated = policies.flatMap(({ spec }) => spec.purposeFrom?.annotation ?? []);
    const annotations = Object.fromEntries(purpose === '' ? [] : stated.map((annotation) => [annotation, purpose]));
    const whole: Agent = { ...agent, labels: this.#labels ?? {}, annotations };
    const compiled = compileAccess({ agent: whole, policies, resource });
    if (compiled.ok) return compiled.access;
    if (compiled.code === 'PolicyInvalid') throw new CliError('PolicyInvalid', compiled.message);
    return { word: 'deny', code: compiled.code };
  }
}

/** Where what a detector finds is taken out of texts whole, nobody sees that a name was another one. SQL's names are not masked. */
function leavesNoMark({ resource: { protocol }, sensitive, masking }: Access): boolean {
  if (protocol === 'postgres' || protocol === 'tcp') return false;
  return sensitive.some(({ label, detector }) => detector !== undefined && masking[label]?.null !== undefined);
}

function selectsByLabels({ spec: { agents } }: AccessPolicy, serviceAccount: string): boolean {
  const isOthers = agents.serviceAccounts !== undefined && !agents.serviceAccounts.includes(serviceAccount);
  return !isOthers && Object.keys(agents.podSelector?.matchLabels ?? {}).length > 0;
}

const keyOf = ({ namespace = '', name }: { namespace?: string | undefined; name: string }): string => `${namespace}/${name}`;

/** The one outcome of all that a recorded action may have been. */
export function judgedOn(whole: Access, actions: readonly Action[], caller?: Caller): Outcome | 'columns' | 'unclear' {
  const access = accessOnBehalfOf(whole, caller);
  if (actions.some((action) => action.effects.some((effect) => dependsOnColumns(access, effect)))) return 'columns';
  const outcomes = actions.map((action) => outcomeOf(judge(access, action), access.resource.protocol));
  const [first] = outcomes;
  const isOne = first !== undefined && outcomes.every((each) => JSON.stringify(each) === JSON.stringify(first));
  return isOne ? first : 'unclear';
}

/** A rule about columns may or may not meet an effect whose columns nobody knows. */
function dependsOnColumns({ rules }: Access, effect: Action['effects'][number]): boolean {
  if (effect.via === 'view' || effect.columns !== undefined) return false;
  return rules.some((rule) => rule.sql?.columns !== undefined && touches(rule, effect));
}

function outcomeOf({ verdict, code, rule, wouldDeny }: Verdict, protocol: string): Outcome {
  if (wouldDeny !== undefined) return outcome('audit', wouldDeny.code, wouldDeny.rule);
  // A connection of protocol tcp cannot wait.
  if (verdict === 'approve' && protocol === 'tcp') return outcome('deny', 'DeniedByRule', rule);
  return outcome(verdict, code, rule);
}

function outcome(word: Word, code: string, rule: string | undefined): Outcome {
  return { word, code, ...(rule !== undefined && { rule }) };
}
