import { type AccessPolicy, MAX_POLICY_RULES, type ProtectedResource, readManifests } from '@chaperone/api';
import { type Access, type Action, compileAccess, covers, describeEffect, type Effect, touches } from '@chaperone/policy';
import { CliError } from '../errors.ts';
import { type Draft, draftsOf, isNameable, type Selector } from './rules.ts';
import type { SeenAction } from './seen.ts';
import { judgedOn, type Word } from './side.ts';
import { WHY } from './why.ts';

/** Actions that are alike, on one resource. */
export interface Shape {
  readonly resource: ResourceName;
  readonly effects: readonly Effect[];
  /** What it may have been; one, mostly. */
  readonly actions: readonly Action[];
  count: number;
  /** ms since 1970 */
  lastSeen: number;
  /** Of them, those that Audit alone let through, by the rule that stood in their way or its code. */
  readonly audited: Map<string, number>;
  /** Who approved some of them. */
  readonly approvers: Set<string>;
}
export interface ResourceName {
  readonly namespace: string;
  readonly name: string;
  readonly protocol: string;
}

/** What no rule covers, and why. */
export interface Left {
  readonly why: string;
  readonly resource: string;
  readonly action: string;
  count: number;
  lastSeen: number;
}

/** A rule as it is written; `notes` stand above it. */
export interface SuggestedRule extends Selector {
  readonly name: string;
  readonly effect: 'Allow' | 'RequireApproval';
  readonly resource: { readonly namespace: string; readonly name: string };
  readonly approval?: { readonly approvers: { readonly users: readonly string[] } };
}
export interface Suggestion {
  readonly policies: readonly { readonly name: string; readonly rules: readonly SuggestedRule[] }[];
  /** What each rule covers, by policy and rule. */
  readonly covered: ReadonlyMap<string, readonly Shape[]>;
  readonly actions: number;
  readonly left: readonly Left[];
}

export interface SuggestOptions {
  readonly agent: { readonly namespace: string; readonly serviceAccount: string };
  readonly name: string;
  /** No patterns: each name as it was seen. */
  readonly exact: boolean;
  readonly includeApproved: boolean;
}

/** Kinds of action, far more than a policy has room for. */
const MAX_SHAPES = 20_000;
/** People that a rule names as approvers. */
const MAX_APPROVERS = 8;
/** What a policy takes for a user. */
const PERSON = /^[^\t\r\n]{1,256}$/;
/** Characters of what is said of an action. */
const MAX_ACTION = 200;

/** What was seen of one agent, by kinds. Memory is bounded by these, not by the actions. */
export class Observed {
  readonly allowed = new Map<string, Shape>();
  readonly approved = new Map<string, Shape>();
  readonly #left = new Map<string, Left>();
  /** Of each resource the protocol that it spoke last. */
  readonly #resources = new Map<string, ResourceName & { at: number }>();
  actions = 0;
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;

  /** Throws CliError LimitReached. */
  take(seen: SeenAction): void {
    const { recorded, resource, at, verdict, released } = seen;
    this.actions++;
    this.first = Math.min(this.first, at);
    this.last = Math.max(this.last, at);
    const key = nameOf(resource);
    if ((this.#resources.get(key)?.at ?? Number.NEGATIVE_INFINITY) <= at) this.#resources.set(key, { ...resource, at });
    if (verdict === 'deny') this.leave(seen, `denied (${seen.code})`);
    else if (verdict === 'approve' && released === undefined) this.leave(seen, 'held by a rule, and not approved');
    else if ('untold' in recorded) this.leave(seen, WHY[recorded.untold]);
    else this.#add(verdict === 'allow' ? this.allowed : this.approved, seen, recorded.actions);
  }

  protocolOf(resource: ResourceName): string | undefined {
    return this.#resources.get(nameOf(resource))?.protocol;
  }

  leave({ resource, effects, at }: Pick<SeenAction, 'resource' | 'effects' | 'at'>, why: string, count = 1): void {
    const left = { why, resource: nameOf(resource), action: actionText(effects) };
    const key = JSON.stringify(left);
    const known = this.#left.get(key) ?? { ...left, count: 0, lastSeen: at };
    demandRoom(this.#left, key);
    this.#left.set(key, known);
    known.count += count;
    known.lastSeen = Math.max(known.lastSeen, at);
  }

  get left(): Left[] {
    return [...this.#left.values()].toSorted((a, b) => b.count - a.count || (a.action < b.action ? -1 : 1));
  }

  #add(shapes: Map<string, Shape>, seen: SeenAction, actions: readonly Action[]): void {
    const { resource, at, wouldDeny, released } = seen;
    const key = JSON.stringify([resource, actions]);
    demandRoom(shapes, key);
    const effects = (actions[0]?.effects ?? []).filter(({ via }) => via !== 'view');
    const made = {
      resource,
      effects,
      actions,
      count: 0,
      lastSeen: at,
      audited: new Map<string, number>(),
      approvers: new Set<string>(),
    };
    const shape = shapes.get(key) ?? made;
    shapes.set(key, shape);
    shape.count++;
    shape.lastSeen = Math.max(shape.lastSeen, at);
    for (const person of released?.by ?? [])
      if (PERSON.test(person) && shape.approvers.size < MAX_APPROVERS) shape.approvers.add(person);
    if (wouldDeny === undefined) return;
    const by = wouldDeny.rule === undefined ? wouldDeny.code : `${wouldDeny.code} by rule ${JSON.stringify(wouldDeny.rule)}`;
    shape.audited.set(by, (shape.audited.get(by) ?? 0) + 1);
  }
}

function demandRoom(map: ReadonlyMap<string, unknown>, key: string): void {
  if (map.size >= MAX_SHAPES && !map.has(key))
    throw new CliError('LimitReached', `the agent did more than ${MAX_SHAPES} kinds of things; narrow them by --since`);
}

const nameOf = ({ namespace, name }: Pick<ResourceName, 'namespace' | 'name'>): string => `${namespace}/${name}`;

function actionText(effects: readonly Pick<Effect, 'verb' | 'object' | 'via'>[]): string {
  const own = [...new Set(effects.filter(({ via }) => via !== 'view').map(describeEffect))].join(', ');
  return own.length > MAX_ACTION ? `${own.slice(0, MAX_ACTION - 1)}…` : own || 'nothing that is named';
}

const UNNAMEABLE = 'no rule can name it';
const UNASKABLE = 'nobody is known whom a rule could ask';
const APPROVED = 'approved by people (--include-approved)';

/**
 * The narrowest policies that cover what was allowed. What the policies say is read back and judged as a sidecar would: they claim no
 * action that they do not allow. What they do not cover is in `left`.
 */
export function suggestionOf(observed: Observed, options: SuggestOptions): Suggestion {
  const allow = settled(observed, [...observed.allowed.values()], 'Allow', options);
  const held = options.includeApproved ? settled(observed, [...observed.approved.values()], 'RequireApproval', options) : [];
  if (!options.includeApproved) for (const shape of observed.approved.values()) leave(observed, shape, APPROVED);
  const allowing = rulesOf(allow, 'Allow', options);
  const approvals = asking(held, allow, allowing, options);
  const policies = policiesOf(named([...allowing, ...approvals]), options);
  const accesses = new Accesses(policies, options);
  for (const shape of held)
    if (accesses.wordOn(shape) !== 'approve') leave(observed, shape, 'a rule that asks would hold what is allowed');
  const asked = held.filter((shape) => accesses.wordOn(shape) === 'approve');
  const covered = coverage(policies, accesses, [...allow, ...asked]);
  const actions = [...allow, ...asked].reduce((total, { count }) => total + count, 0);
  return { policies, covered, actions, left: observed.left };
}

function leave(observed: Observed, { resource, effects, count, lastSeen }: Shape, why: string): void {
  observed.leave({ resource, effects: effects.map((effect) => ({ ...effect, verdict: 'deny' })), at: lastSeen }, why, count);
}

/** Those of the shapes that rules made of them judge as wanted; the others are left, and none of their rules stays. */
function settled(
  observed: Observed,
  all: readonly Shape[],
  wanted: SuggestedRule['effect'],
  options: SuggestOptions,
): readonly Shape[] {
  const word: Word = wanted === 'Allow' ? 'allow' : 'approve';
  let shapes = kept(observed, all, wanted, ({ effects, resource }) => {
    const isCurrent = observed.protocolOf(resource) === resource.protocol;
    return isCurrent && isName(resource) && effects.every((effect) => isNameable(effect, wanted));
  });
  // Each round leaves one at least.
  for (;;) {
    const accesses = new Accesses(policiesOf(named(rulesOf(shapes, wanted, options)), options), options);
    const next = kept(observed, shapes, wanted, (shape) => accesses.wordOn(shape) === word);
    if (next.length === shapes.length) return shapes;
    shapes = next;
  }
}

/** Why there is no rule for a shape. */
function leftReason({ effects, approvers, actions }: Shape, wanted: SuggestedRule['effect']): string {
  if (actions.length > 1) return WHY.unclear;
  if (effects.length === 0) return 'no other action on its resource is covered';
  return wanted === 'RequireApproval' && approvers.size === 0 ? UNASKABLE : UNNAMEABLE;
}

function kept(
  observed: Observed,
  shapes: readonly Shape[],
  wanted: SuggestedRule['effect'],
  isCovered: (shape: Shape) => boolean,
): Shape[] {
  return shapes.filter((shape) => {
    const covered = isCovered(shape);
    if (!covered) leave(observed, shape, leftReason(shape, wanted));
    return covered;
  });
}

/** Names of resources come from evidence too. */
function isName({ namespace, name }: ResourceName): boolean {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace) && /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name);
}

type Unnamed = Omit<SuggestedRule, 'name'> & { readonly word: string };

function rulesOf(shapes: readonly Shape[], effect: SuggestedRule['effect'], { exact }: SuggestOptions): Unnamed[] {
  const isOne = new Set(shapes.map(({ resource }) => nameOf(resource))).size === 1;
  // Whoever approved one thing is not asked for another.
  const people = ({ approvers }: Shape): string[] => (effect === 'Allow' ? [] : [...approvers].toSorted());
  const groups = Map.groupBy(shapes, (shape) => JSON.stringify([nameOf(shape.resource), people(shape)]));
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, own]) => {
      const [first] = own;
      if (first === undefined) return [];
      const { namespace, name } = first.resource;
      const users = people(first);
      return draftsOf(distinct(own.flatMap((shape) => shape.effects)), exact).map(
        ({ word, selector }: Draft): Unnamed => ({
          word: isOne ? word : `${name}-${word}`,
          effect,
          resource: { namespace, name },
          ...selector,
          ...(users.length > 0 && { approval: { approvers: { users } } }),
        }),
      );
    });
}

/** Rules that ask for what no rule allows, but for those that would hold some of what is allowed. */
function asking(
  held: readonly Shape[],
  allowed: readonly Shape[],
  allowing: readonly Unnamed[],
  options: SuggestOptions,
): Unnamed[] {
  const accesses = new Accesses(policiesOf(named(allowing), options), options);
  const open = held.map((shape) => {
    const rules = accesses.of(shape.resource)?.rules ?? [];
    return { ...shape, effects: shape.effects.filter((effect) => !rules.some((rule) => covers(rule, effect))) };
  });
  return rulesOf(open, 'RequireApproval', options).filter((rule) => !touchesAny(rule, allowed, options));
}

function distinct(effects: readonly Effect[]): Effect[] {
  return [...new Map(effects.map((effect) => [JSON.stringify(effect), effect])).values()];
}

/** Lower-case letters, digits and dashes, 63 of them; the second of a name is NAME-2. */
function named(rules: readonly Unnamed[]): SuggestedRule[] {
  const used = new Set<string>();
  return rules.map(({ word, ...rule }) => {
    const asked = rule.effect === 'Allow' ? word : `ask-${word}`;
    const base =
      asked
        .replaceAll(/[^a-z0-9]+/g, '-')
        .slice(0, 56)
        .replace(/^-+|-+$/g, '') || 'rule';
    let name = base;
    for (let number = 2; used.has(name); number++) name = `${base}-${number}`;
    used.add(name);
    return { name, ...rule };
  });
}

/** As many policies as the rules need: those of one agent add up. */
function policiesOf(rules: readonly SuggestedRule[], { name }: SuggestOptions): Suggestion['policies'] {
  const count = Math.ceil(rules.length / MAX_POLICY_RULES);
  return Array.from({ length: count }, (_, at) => ({
    name: at === 0 ? name : `${name}-${at + 1}`,
    rules: rules.slice(at * MAX_POLICY_RULES, (at + 1) * MAX_POLICY_RULES),
  }));
}

/** The manifest of one policy. */
export function manifestOf(
  { name, rules }: Suggestion['policies'][number],
  { agent: { namespace, serviceAccount } }: Pick<SuggestOptions, 'agent'>,
): object {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name, namespace },
    spec: { agents: { serviceAccounts: [serviceAccount] }, rules },
  };
}

/** What suggested policies give the agent, under owners who grant everything. */
class Accesses {
  readonly #policies: readonly AccessPolicy[];
  readonly #agent: SuggestOptions['agent'];
  readonly #known = new Map<string, Access | undefined>();

  /** Throws CliError InternalFault for policies that no API server would take. */
  constructor(policies: Suggestion['policies'], options: SuggestOptions) {
    this.#agent = options.agent;
    const files = policies.map((policy) => ({ path: policy.name, text: JSON.stringify(manifestOf(policy, options)) }));
    const read = readManifests(files);
    const [problem] = read.problems;
    if (problem !== undefined)
      throw new CliError('InternalFault', `the suggested policy is none: ${problem.field} ${problem.message}`);
    this.#policies = read.policies;
  }

  of(resource: ResourceName): Access | undefined {
    const key = nameOf(resource);
    if (!this.#known.has(key)) this.#known.set(key, this.#compiled(resource));
    return this.#known.get(key);
  }

  wordOn({ resource, actions }: Shape): Word | undefined {
    const access = this.of(resource);
    const outcome = access === undefined ? undefined : judgedOn(access, actions);
    return typeof outcome === 'object' ? outcome.word : undefined;
  }

  #compiled({ namespace, name, protocol }: ResourceName): Access | undefined {
    const grantedTo = [{ namespace: this.#agent.namespace, statements: ['*'] }];
    const spec = { protocol, grantedTo, sensitive: [] } as unknown as ProtectedResource['spec'];
    const resource = { metadata: { namespace, name }, spec } as unknown as ProtectedResource;
    const agent = { ...this.#agent, labels: {}, annotations: {} };
    const compiled = compileAccess({ agent, policies: this.#policies, resource });
    return compiled.ok ? compiled.access : undefined;
  }
}

/** Whether a rule that asks would hold some of what is allowed. */
function touchesAny(rule: Unnamed, allowed: readonly Shape[], options: SuggestOptions): boolean {
  const own = allowed.filter(({ resource }) => nameOf(resource) === nameOf(rule.resource));
  const [first] = own;
  if (first === undefined) return false;
  const access = new Accesses(policiesOf(named([rule]), options), options).of(first.resource);
  return own.some(({ effects }) => effects.some((effect) => access?.rules.some((each) => touches(each, effect))));
}

function coverage(
  policies: Suggestion['policies'],
  accesses: Accesses,
  shapes: readonly Shape[],
): ReadonlyMap<string, readonly Shape[]> {
  const covered = new Map<string, Shape[]>();
  const byResource = Map.groupBy(shapes, ({ resource }) => nameOf(resource));
  for (const own of byResource.values()) {
    const access = own[0] === undefined ? undefined : accesses.of(own[0].resource);
    for (const rule of access?.rules ?? [])
      covered.set(
        ruleKey(rule.policy.name, rule.name),
        own.filter(({ effects }) => effects.some((effect) => covers(rule, effect))),
      );
  }
  return policies.length === 0 ? new Map() : covered;
}

export const ruleKey = (policy: string, rule: string): string => `${policy}/${rule}`;
