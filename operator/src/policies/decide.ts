import type { AccessPolicy, PolicyRule, ProtectedResource } from '@chaperone/api';
import { type CaptureRequest, policyWarnings } from '@chaperone/policy';
import {
  acceptance,
  type ConditionDraft,
  enumerate,
  fails,
  holds,
  ineffective,
  type Problem,
  unknown,
  withReady,
} from '@chaperone/policy/conditions';

/** A pod of the policy's namespace that is governed and has not ended. */
export interface CandidatePod {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
}
/** What is known of the sidecar in a selected pod. */
export interface SidecarState {
  readonly pod: string;
  /** It acknowledged a snapshot that holds this generation of the policy. */
  readonly current: boolean;
  /** It was injected by another release than the operator's. */
  readonly outdated: boolean;
  /** Seconds since it was last heard; undefined: never. */
  readonly heardSecondsAgo: number | undefined;
  /** Whether it proved that nothing of its pod goes around it; undefined: it has not said. */
  readonly capture: CaptureRequest | undefined;
}
export interface PolicyFacts {
  readonly policy: AccessPolicy;
  /** Resources that its rules name, by NAMESPACE/NAME. */
  readonly resources: ReadonlyMap<string, ProtectedResource>;
  /** NAMESPACE/NAME of what is granted to the policy's namespace, for help. */
  readonly granted: readonly string[];
  /** Why a resource is blocked, by NAMESPACE/NAME. */
  readonly blocked: ReadonlyMap<string, Problem>;
  readonly candidates: readonly CandidatePod[];
  /** Whether there is a page where people sign what they decide. */
  readonly signing: boolean;
  /** Of pods that had it: what of their evidence has not arrived, a sentence each. */
  readonly missingEvidence: readonly string[];
  /** One per pod that the policy selects. */
  readonly sidecars: readonly SidecarState[];
}
export interface PolicyDecision {
  readonly conditions: ConditionDraft[];
  readonly selectedPods: number;
  readonly programmedPods: number;
  readonly outdated: number;
}

const MAX_LISTED = 5;
const target = (rule: PolicyRule): string => `${rule.resource.namespace}/${rule.resource.name}`;
const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;
const ruleList = (rules: readonly PolicyRule[]): string => {
  const names = enumerate(rules.slice(0, MAX_LISTED).map((rule) => rule.name));
  return `${rules.length === 1 ? 'rule' : 'rules'} ${names}${rules.length > MAX_LISTED ? ` and ${rules.length - MAX_LISTED} more` : ''}`;
};

const UNSIGNED = 'there is no page to sign them on; set operator.decide of the chart. Until then nobody can approve';

function resourceNotFound({ policy, resources, granted }: PolicyFacts): Problem | undefined {
  const missing = policy.spec.rules.find((rule) => !resources.has(target(rule)));
  if (missing === undefined) return undefined;
  const rules = policy.spec.rules.filter((rule) => target(rule) === target(missing));
  const verb = rules.length === 1 ? 'names' : 'name';
  const known =
    granted.length === 0
      ? 'nothing is granted to this namespace'
      : `granted to this namespace: ${granted.slice(0, MAX_LISTED).join(', ')}${granted.length > MAX_LISTED ? ' and more' : ''}`;
  const others = rules.length < policy.spec.rules.length ? '. Other rules work' : '';
  return {
    code: 'ResourceNotFound',
    message: `${ruleList(rules)} ${verb} ${target(missing)}, which does not exist; ${known}${others}`,
  };
}

function notGranted({ policy, resources }: PolicyFacts): Problem | undefined {
  const namespace = policy.metadata.namespace ?? '';
  for (const rule of policy.spec.rules) {
    const resource = resources.get(target(rule));
    if (resource !== undefined && !resource.spec.grantedTo.some((grant) => grant.namespace === namespace)) {
      return {
        code: 'NotGranted',
        message: `${target(rule)} is not granted to namespace ${namespace}; its owner adds {namespace: ${namespace}} to spec.grantedTo`,
      };
    }
  }
  return undefined;
}

function resourceNotReady({ policy, blocked }: PolicyFacts): Problem | undefined {
  for (const rule of policy.spec.rules) {
    const cause = blocked.get(target(rule));
    if (cause !== undefined) {
      return { code: 'ResourceNotReady', message: `${target(rule)} is not ready: ${cause.message} (${cause.code})` };
    }
  }
  return undefined;
}

function ruleShadowed({ policy }: PolicyFacts): Problem | undefined {
  for (const rule of policy.spec.rules) {
    if (rule.effect === 'Deny') continue;
    const by = policy.spec.rules.find(
      (other) => other.effect === 'Deny' && target(other) === target(rule) && covers(other, rule),
    );
    if (by !== undefined) {
      return { code: 'RuleShadowed', message: `rule "${rule.name}" can never decide: rule "${by.name}" denies all it covers` };
    }
  }
  return undefined;
}

/** Whether a Deny surely covers all that another rule does. Where that takes understanding globs, it says no. */
function covers(deny: PolicyRule, rule: PolicyRule): boolean {
  if (deny.onBehalfOf !== undefined) return false;
  if (deny.sql === undefined) return true;
  const { statements, relations, columns, functions } = deny.sql;
  if (columns !== undefined) return false;
  return (
    includesAll(statements, rule.sql?.statements, ['*']) &&
    includesAll(relations, rule.sql?.relations, ['**']) &&
    includesAll(functions, rule.sql?.functions, ['**'])
  );
}

function includesAll(
  outer: readonly string[] | undefined,
  inner: readonly string[] | undefined,
  all: readonly string[],
): boolean {
  if (outer === undefined || outer.some((each) => all.includes(each))) return true;
  return inner !== undefined && inner.every((each) => outer.includes(each));
}

function programmed(facts: PolicyFacts): ConditionDraft {
  const { policy, sidecars } = facts;
  if (sidecars.length === 0) return holds('Programmed', noAgents(facts), 'NoAgentsYet');
  const behind = sidecars.filter((sidecar) => !sidecar.current);
  const done = sidecars.length - behind.length;
  const generation = policy.metadata.generation ?? 0;
  const [first] = behind;
  if (first === undefined) {
    const all = `${done} of ${plural(sidecars.length, 'sidecar')} run generation ${generation}`;
    const old = outdated(facts);
    return old === undefined ? holds('Programmed', all, 'Programmed') : holds('Programmed', `${all}; ${old}`, 'SidecarsOutdated');
  }
  const heard = first.heardSecondsAgo === undefined ? 'has not been heard yet' : `was last heard ${first.heardSecondsAgo} s ago`;
  return fails('Programmed', {
    code: 'Programming',
    message: `${done} of ${plural(sidecars.length, 'sidecar')} run generation ${generation}; ${first.pod} ${heard}`,
  });
}

/** Whether nothing of the selected pods goes around its sidecar. Absent where there is no pod to say it of. */
function captureProven({ sidecars, policy }: PolicyFacts): ConditionDraft | undefined {
  if (sidecars.length === 0) return undefined;
  const failing = sidecars.filter(({ capture }) => capture?.proven === false);
  const [first] = failing;
  if (first !== undefined) {
    const others = failing.length === 1 ? '' : ` (and ${plural(failing.length - 1, 'other pod')})`;
    const what = first.capture?.message ?? 'nothing is known of it';
    const namespace = policy.metadata.namespace ?? '';
    return fails('CaptureProven', {
      code: 'CaptureNotProven',
      message: `pod ${first.pod}${others}: ${what}; its sessions were ended and none opens. Run kubectl delete pod ${first.pod} -n ${namespace}, then chaperone doctor`,
    });
  }
  const proven = sidecars.filter(({ capture }) => capture?.proven === true).length;
  const message = `${proven} of ${plural(sidecars.length, 'sidecar')} proved that nothing goes around them`;
  return proven === sidecars.length
    ? holds('CaptureProven', message, 'CaptureProven')
    : unknown('CaptureProven', { code: 'CaptureNotReported', message });
}

/** What pods that had this policy counted and nobody has. */
function evidenceMissing({ missingEvidence }: PolicyFacts): Problem | undefined {
  const [first] = missingEvidence;
  if (first === undefined) return undefined;
  const others = missingEvidence.length === 1 ? '' : `. So did ${plural(missingEvidence.length - 1, 'other pod')}`;
  return { code: 'EvidenceMissing', message: `${first}${others}` };
}

/** A sidecar of an earlier release goes on governing; it gets what the new one brings when its pod is made anew. */
function outdated({ policy, sidecars }: PolicyFacts): string | undefined {
  const old = sidecars.filter((sidecar) => sidecar.outdated);
  const [first] = old;
  if (first === undefined) return undefined;
  const whose = old.length === 1 ? `that of ${first.pod} is` : `${old.length} of them, such as that of ${first.pod}, are`;
  return `${whose} of another release than the operator; run kubectl rollout restart for their workloads in ${policy.metadata.namespace ?? ''}`;
}

function noAgents({ policy, candidates }: PolicyFacts): string {
  const { podSelector, serviceAccounts } = policy.spec.agents;
  const labels = Object.entries(podSelector?.matchLabels ?? {});
  const wanted = labels.map(([key, value]) => `${key}=${value}`).join(',');
  const accounts = (serviceAccounts ?? []).join(' or ');
  const selector = [wanted === '' ? 'the selector' : wanted, accounts === '' ? '' : `with ServiceAccount ${accounts}`];
  const near = candidates.filter((pod) => labels.length > 0 && labels.every(([key, value]) => pod.labels[key] === value));
  const [first] = near;
  const hint =
    first === undefined
      ? ''
      : `; ${plural(near.length, 'pod')} ${near.length === 1 ? 'has' : 'have'} the labels but ServiceAccount ${first.serviceAccount}`;
  return `no running pod matches ${selector.filter((part) => part !== '').join(' ')}${hint}`;
}

/** The conditions of an AccessPolicy, in their fixed order, Ready last; Conflicted, Ineffective and EvidenceMissing only while they are true. */
export function decidePolicy(facts: PolicyFacts): PolicyDecision {
  const { policy, resources, signing } = facts;
  const warnings = policyWarnings(policy, resources);
  const unresolved = resourceNotFound(facts) ?? notGranted(facts) ?? resourceNotReady(facts);
  const shadowed = ruleShadowed(facts);
  const vain = ineffective(warnings);
  const running = programmed(facts);
  const captured = captureProven(facts);
  const lost = evidenceMissing(facts);
  const drafts: ConditionDraft[] = [
    acceptance(policy, warnings, signing ? undefined : UNSIGNED),
    unresolved === undefined
      ? holds('ResolvedRefs', 'all that its rules name is there and ready', 'RefsResolved')
      : fails('ResolvedRefs', unresolved),
    ...(shadowed === undefined ? [] : [holds('Conflicted', shadowed.message, shadowed.code)]),
    ...(vain === undefined ? [] : [holds('Ineffective', vain.message, vain.code)]),
    ...(lost === undefined ? [] : [holds('EvidenceMissing', lost.message, lost.code)]),
    ...(captured === undefined ? [] : [captured]),
    running,
  ];
  // STATUS shows Ready's reason: what is no failure and still wants somebody's eye shows there too.
  const eyed = lost ?? vain;
  const ready =
    running.reason !== 'Programmed'
      ? { reason: running.reason, message: running.message }
      : eyed === undefined
        ? { reason: 'Ready' as const, message: running.message }
        : { reason: eyed.code, message: `${running.message}; ${eyed.message}` };
  return {
    conditions: withReady(drafts, ready),
    selectedPods: facts.sidecars.length,
    programmedPods: facts.sidecars.filter((sidecar) => sidecar.current).length,
    outdated: facts.sidecars.filter((sidecar) => sidecar.outdated).length,
  };
}
