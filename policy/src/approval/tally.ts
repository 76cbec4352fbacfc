import type { Approvers, CountedDecision, DecisionSpec, RequestSpec } from '@chaperone/api';
import { isOwn, mayDecide } from '@chaperone/api/requests';

export { mayDecide } from '@chaperone/api/requests';

/** A decision as the store has it. */
export interface GivenDecision {
  readonly name: string;
  /** When the store took it, RFC 3339; whole seconds. */
  readonly at: string;
  readonly spec: DecisionSpec;
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
 * people as it wants, of whom it wants them. Nobody decides on a request of their own, and no workload of the agent's namespace does.
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

function shown({ name, at, spec: { decision, by, reason } }: GivenDecision, why: string | undefined): CountedDecision {
  return {
    name,
    decision,
    by,
    at,
    ...(reason !== undefined && { reason }),
    counted: why === undefined,
    ...(why !== undefined && { why }),
  };
}

function satisfied(rule: Approvers, approvals: readonly { by: string; groups: readonly string[]; at: string }[]): boolean {
  const fitting = approvals.filter((approval) => mayDecide(rule, approval));
  if (new Set(fitting.map(({ by }) => by)).size < rule.minimum) return false;
  return rule.all.every((group) => fitting.some(({ groups }) => groups.includes(group)));
}

/** Why a decision does not count; undefined: it does. */
function refused({ namespace, uid, spec }: Asked, { at, spec: decision }: GivenDecision): string | undefined {
  if (decision.requestUid !== uid) return 'it is about another request of this name';
  if (decision.digest !== spec.digest) return 'it names another digest than what was asked for';
  const { by, groups, reason } = decision;
  if (isOwn(namespace, spec, by)) return 'nobody decides on a request of their own';
  if (by.startsWith(`system:serviceaccount:${namespace}:`)) return 'no workload of the agent’s namespace decides';
  if (Date.parse(at) > Date.parse(spec.expiresAt)) return 'it came too late';
  const asking = spec.rules.filter((rule) => mayDecide(rule, { by, groups, at }));
  if (asking.length === 0) return 'the rule does not ask this person';
  if (!/[\p{L}\p{N}]/u.test(reason ?? '') && asking.some((rule) => rule.reason)) return 'the rule wants a reason';
  return undefined;
}
