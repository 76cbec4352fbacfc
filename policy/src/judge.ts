import { FILE_OPERATIONS } from '@chaperone/api';
import type { Access, AccessRule, Caller } from './access.ts';
import type { Action, AskingRule, Effect, JudgedEffect, Verdict } from './action.ts';
import { accessOnBehalfOf } from './caller.ts';
import { canonicalJson, compare } from './canonical.ts';
import { isForwardStart } from './kubernetes-rule.ts';
import { covers, denies, touches } from './rule.ts';
import { isOfFiles } from './ssh-rule.ts';

/** Outcomes of one effect; the worst one of an action is its verdict, in this order. */
const SEVERITY = ['DeniedByRule', 'NoRuleAllows', 'NotGranted', 'ApprovalPending', 'Allowed'] as const;
type Outcome = (typeof SEVERITY)[number];

interface Judged {
  readonly effect: Effect;
  readonly outcome: Outcome;
  readonly rule?: AccessRule;
  /** All that ask for approval of it. */
  readonly asking?: readonly AccessRule[];
  readonly granted: boolean;
}

/**
 * Judges one action: any rule that denies wins, then rules that ask for approval, then rules that allow; what no rule
 * covers is denied. Each effect needs a rule of its own and must lie within the owner's grant. The order of rules and of
 * effects never matters.
 *
 * In Audit, what rules deny, hold or do not cover is allowed and told in `wouldDeny` (the effects keep their own verdicts);
 * the owner's grant and NotAnalysable are never relaxed.
 *
 * @param caller - whom a verified token names; without one, rules with `onBehalfOf` are not there.
 */
export function judge(whole: Access, action: Action, caller?: Caller): Verdict {
  const access = accessOnBehalfOf(whole, caller);
  const resource = `${access.resource.namespace}/${access.resource.name}`;
  const refuse = (code: string, reason: string): Verdict => ({
    verdict: 'deny',
    code,
    reason,
    effects: action.effects.map((effect) => note(effect, 'deny')),
  });
  if (action.notAnalysable !== undefined) return refuse('NotAnalysable', `This cannot be judged: ${action.notAnalysable}`);
  if (action.effects.length > 0 && action.effects.every((effect) => effect.via === 'view'))
    return refuse('NotAnalysable', 'This cannot be judged: it shows what a view reads and not the view');

  const judged = action.effects.map((effect) => judgeEffect(access, effect));
  const effects = judged.map(({ effect, outcome, rule }) => note(effect, VERDICTS[outcome], rule));
  const worst = worstOf(judged);
  const verdict = worst ? verdictOn(worst, resource, effects, asksOf(judged)) : withoutEffects(access, resource);
  if (access.mode === 'Enforce' || verdict.verdict === 'allow') return verdict;

  const outside = worstOf(judged.filter(({ granted }) => !granted));
  if (outside) return verdictOn({ ...outside, outcome: 'NotGranted' }, resource, effects);
  const { code, rule, reason } = verdict;
  return {
    verdict: 'allow',
    code: 'Allowed',
    reason: 'Allowed, since the policy only audits',
    effects,
    wouldDeny: { code, ...(rule !== undefined && { rule }), reason },
  };
}

const VERDICTS: Readonly<Record<Outcome, JudgedEffect['verdict']>> = {
  DeniedByRule: 'deny',
  NoRuleAllows: 'deny',
  NotGranted: 'deny',
  ApprovalPending: 'approve',
  Allowed: 'allow',
};

function isGranted({ ceiling: { statements } }: Access, effect: Effect): boolean {
  if (statements.includes('*') || statements.includes(effect.verb)) return true;
  return isOfFiles(effect) && FILE_OPERATIONS.some((operation) => statements.includes(operation));
}

function judgeEffect(access: Access, effect: Effect): Judged {
  if (effect.via === 'view') return { effect, outcome: 'Allowed', granted: true };
  const granted = isGranted(access, effect);
  const having = (wanted: AccessRule['effect']): AccessRule[] => access.rules.filter((rule) => rule.effect === wanted);
  const asking = having('RequireApproval').filter((rule) => touches(rule, effect));
  const denying = first(having('Deny').filter((rule) => touches(rule, effect))) ?? first(asking.filter(denies));
  if (denying) return { effect, outcome: 'DeniedByRule', rule: denying, granted };
  // What opens by a grant of anything within asks nobody: each thing within does.
  const mayAsk = isForwardStart(effect) ? having('RequireApproval') : asking;
  const covering = first([...having('Allow'), ...mayAsk].filter((rule) => covers(rule, effect)));
  if (!covering) return { effect, outcome: 'NoRuleAllows', granted };
  if (!granted) return { effect, outcome: 'NotGranted', granted };
  const approval = first(asking);
  if (approval) return { effect, outcome: 'ApprovalPending', rule: approval, asking, granted };
  return { effect, outcome: 'Allowed', rule: covering, granted };
}

/** The same rule is named whatever order they came in. */
function first(rules: readonly AccessRule[]): AccessRule | undefined {
  return rules.toSorted(byName)[0];
}

function byName(a: AccessRule, b: AccessRule): number {
  return compare(a.name, b.name) || compare(canonicalJson(a), canonicalJson(b));
}

function worstOf(judged: readonly Judged[]): Judged | undefined {
  const key = ({ effect, rule }: Judged): string => canonicalJson([effect.object, effect.verb, effect.via, rule?.name]);
  // Two policies may each have a rule of one name: then all of them decides.
  const whole = ({ effect, rule }: Judged): string => canonicalJson([effect, rule ?? null]);
  return judged.toSorted(
    (a, b) => SEVERITY.indexOf(a.outcome) - SEVERITY.indexOf(b.outcome) || compare(key(a), key(b)) || compare(whole(a), whole(b)),
  )[0];
}

/** Whoever approves one effect has not approved the others: each rule asks its own people. */
function asksOf(judged: readonly Judged[]): AskingRule[] {
  const asks = judged.flatMap(({ asking = [] }) => asking.map(({ policy, name }) => ({ policy, rule: name })));
  return [...new Map(asks.map((ask) => [canonicalJson(ask), ask])).entries()]
    .toSorted(([a], [b]) => compare(a, b))
    .map(([, ask]) => ask);
}

function verdictOn(
  { effect, outcome, rule }: Judged,
  resource: string,
  effects: JudgedEffect[],
  asks: readonly AskingRule[] = [],
): Verdict {
  return {
    verdict: VERDICTS[outcome],
    code: outcome,
    ...(rule && { rule: rule.name, policy: rule.policy }),
    ...(rule?.message !== undefined && { message: rule.message }),
    ...(outcome === 'ApprovalPending' && { asks }),
    reason: reasonFor(effect, outcome, resource, rule),
    effects,
  };
}

function reasonFor(effect: Effect, outcome: Outcome, resource: string, rule: AccessRule | undefined): string {
  const what = describeEffect(effect);
  const named = `rule ${JSON.stringify(rule?.name ?? '')}`;
  switch (outcome) {
    case 'DeniedByRule':
      return rule?.effect === 'RequireApproval'
        ? `${what} needs approval by ${named}, which names nobody who could approve`
        : `${what} is denied by ${named}`;
    case 'NoRuleAllows':
      return `${what} is not covered by any rule`;
    case 'NotGranted':
      return `${what} is beyond what the owner of ${resource} grants`;
    case 'ApprovalPending':
      return `${what} needs approval by ${named}`;
    default:
      return rule ? `${what} is allowed by ${named}` : `${what} is allowed`;
  }
}

/** `UPDATE on public.tickets`, `EXEC ls -l`; only the verb where there is no object. */
export function describeEffect(effect: Pick<Effect, 'verb' | 'object'>): string {
  const verb = effect.verb.toUpperCase();
  if (effect.object === '') return verb;
  return effect.verb === 'exec' ? `${verb} ${effect.object}` : `${verb} on ${effect.object}`;
}

/** `select 1`, `begin`: nothing of the resource is touched, so a right to anything there is enough. */
function withoutEffects(access: Access, resource: string): Verdict {
  const some = access.rules.some((rule) => rule.effect !== 'Deny');
  return some
    ? { verdict: 'allow', code: 'Allowed', reason: 'It touches no object', effects: [] }
    : { verdict: 'deny', code: 'NoRuleAllows', reason: `No rule allows anything on ${resource}`, effects: [] };
}

function note({ verb, object, via }: Effect, verdict: JudgedEffect['verdict'], rule?: AccessRule): JudgedEffect {
  return { verb, object, via, verdict, ...(rule && { rule: rule.name }) };
}
