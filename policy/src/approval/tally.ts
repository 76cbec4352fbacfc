import {
  type Approvers,
  type Assurance,
  type CountedDecision,
  type DecisionSpec,
  type DecisionWay,
  isAssured,
  type RequestSpec,
} from '@chaperone/api';
import { isOwn, mayDecide, mayGrant, onceWhy } from '@chaperone/api/requests';

/** A decision as the store has it. */
export interface GivenDecision {
  readonly name: string;
  /** When the store took it, RFC 3339; whole seconds. */
  readonly at: string;
  readonly spec: DecisionSpec;
  /** The way by which the operator heard it. */
  readonly via?: DecisionWay;
}
export interface Tally {
  readonly outcome: 'Pending' | 'Approved' | 'Denied';
  /** Approvals given of those needed: `1/2`. */
  readonly votes: string;
  readonly decisions: readonly CountedDecision[];
}

/** The request that decisions are about. */
export interface Asked {
  readonly namespace: string;
  readonly uid: string;
  readonly spec: RequestSpec;
}

/**
 * Counts the decisions on a request. One counted Deny denies, whatever was approved; every rule that asks must have as many distinct
 * people as it wants, of whom it wants them, each as sure as it wants. Nobody decides on a request of their own, and no workload of the agent's namespace does.
 * The order in which decisions are given makes no difference.
 */
export function tally(asked: Asked, given: readonly GivenDecision[]): Tally {
  const decisions = given
    .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at) || (a.name < b.name ? -1 : 1))
    .map((decision) => ({ decision, why: refused(asked, decision) }));
  const valid = decisions.flatMap(({ decision: { at, spec }, why }) => (why === undefined ? [{ ...spec, at }] : []));
  const approvals = valid.filter(({ decision }) => decision === 'Approve');
  const denied = valid.some(({ decision }) => decision === 'Deny');
  const approved = asked.spec.rules.every((rule) => satisfied(rule, approvals));
  const needed = Math.max(...asked.spec.rules.map(({ minimum }) => minimum));
  return {
    outcome: denied ? 'Denied' : approved ? 'Approved' : 'Pending',
    votes: `${new Set(approvals.map(({ by }) => by)).size}/${needed}`,
    decisions: decisions.map(({ decision, why }) => shown(decision, why)),
  };
}

function shown({ name, at, spec, via }: GivenDecision, why: string | undefined): CountedDecision {
  const { decision, by, reason, grantFor } = spec;
  return {
    name,
    decision,
    by,
    at,
    assurance: assuranceOf(spec),
    ...(via !== undefined && { via }),
    ...(reason !== undefined && { reason }),
    ...(grantFor !== undefined && { grantFor }),
    counted: why === undefined,
    ...(why !== undefined && { why }),
  };
}

/** How a decision is known to be its author's. Admission lets nobody but the operator say more than kubernetes. */
function assuranceOf({ attestation }: Pick<DecisionSpec, 'attestation'>): Assurance {
  return attestation?.assurance ?? 'kubernetes';
}

/** A Deny stops what would run, and needs no more than its author. */
function assures(rule: Approvers, decision: Pick<DecisionSpec, 'decision' | 'attestation'>): boolean {
  return decision.decision === 'Deny' || isAssured(assuranceOf(decision), rule.assurance ?? 'kubernetes');
}

function satisfied(rule: Approvers, approvals: readonly (DecisionSpec & { readonly at: string })[]): boolean {
  const fitting = approvals.filter((approval) => mayDecide(rule, approval) && assures(rule, approval));
  if (new Set(fitting.map(({ by }) => by)).size < rule.minimum) return false;
  return rule.all.every((group) => fitting.some(({ groups }) => groups.includes(group)));
}

/** Whether a decision ends what was granted with an approval: whoever may decide may, at any time. */
export function revokes(asked: Asked, given: GivenDecision): boolean {
  return given.spec.decision === 'Deny' && stranger(asked, given) === undefined;
}

/** Why a decision does not count; undefined: it does. */
function refused(asked: Asked, given: GivenDecision): string | undefined {
  if (Date.parse(given.at) > Date.parse(asked.spec.expiresAt)) return stranger(asked, given, 'it came too late');
  return stranger(asked, given) ?? beyond(asked, given);
}

/** Why somebody cannot say that the same may run again. */
function beyond({ spec }: Asked, { spec: { grantFor = 0 } }: GivenDecision): string | undefined {
  const most = mayGrant(spec);
  if (grantFor <= most) return undefined;
  if (most > 0) return `the same can be approved for ${most} s at most`;
  const once = onceWhy(spec);
  return `it can be approved for one execution only${once === undefined ? '' : `: ${once}`}`.slice(0, 256);
}

/** Why this person's word on exactly this request is worth nothing, `late` if nothing else is wrong with it. */
function stranger({ namespace, uid, spec }: Asked, { at, spec: decision }: GivenDecision, late?: string): string | undefined {
  if (decision.requestUid !== uid) return 'it is about another request of this name';
  if (decision.digest !== spec.digest) return 'it names another digest than what was asked for';
  const { by, groups, reason } = decision;
  if (isOwn(namespace, spec, by)) return 'nobody decides on a request of their own';
  if (by.startsWith(`system:serviceaccount:${namespace}:`)) return 'no workload of the agent’s namespace decides';
  if (late !== undefined) return late;
  const asking = spec.rules.filter((rule) => mayDecide(rule, { by, groups, at }));
  if (asking.length === 0) return 'the rule does not ask this person';
  const assured = asking.filter((rule) => assures(rule, decision));
  if (assured.length === 0) return `the rule wants an approval that is ${leastOf(asking)}; decide on the page of the operator`;
  if (!/[\p{L}\p{N}]/u.test(reason ?? '') && assured.some((rule) => rule.reason)) return 'the rule wants a reason';
  return undefined;
}

/** What is enough for one of these rules. */
function leastOf(rules: readonly Approvers[]): string {
  return rules.some(({ assurance }) => assurance === 'signed') ? 'signed' : 'by passkey';
}
