import { type AccessPolicy, nearest, type ProtectedResource, type ResourceGrant } from '@chaperone/api';
import { DEFAULT_TIMEOUT, READING_VERBS } from './compile.ts';
import { kubernetesVerbs } from './kubernetes-rule.ts';
import { CORE_RESOURCES, groupOf } from './kubernetes-resources.ts';
import { labelsOf } from './mask.ts';
import { sshVerbs } from './ssh-rule.ts';
import { durationMs } from './units.ts';

/** A part of a policy that has no effect, or hardly the one that is meant, though nothing refuses it. */
export interface PolicyWarning {
  readonly code:
    | 'ApproversMissing'
    | 'DenyBesideAllowAll'
    | 'EscalationTooLate'
    | 'LabelUnknown'
    | 'PodsNotOpened'
    | 'ResourceUnknown'
    | 'RevealNotGranted'
    | 'StatementNotGranted'
    | 'TimeoutTooLong'
    | 'TokenNotCarried';
  readonly message: string;
}

/**
 * What of a policy comes to nothing: labels that no resource of its rules has, or that no owner lets it reveal, and statements that
 * the owner's grant leaves out; and questions to nobody, too late or for too long. That errs on the strict side, so it is no
 * failure; the author means something else all the same. And a Deny that stands in nobody's way who means to pass it.
 * @param resources - all that there are, by NAMESPACE/NAME. What is not there or not granted is told elsewhere.
 */
export function policyWarnings(policy: AccessPolicy, resources: ReadonlyMap<string, ProtectedResource>): PolicyWarning[] {
  const named = new Set(policy.spec.rules.map(targetOf));
  const known = [...named].flatMap((name) => resources.get(name) ?? []);
  const labels = known.length === named.size ? labelWarnings(policy, known) : [];
  const tokens = known.flatMap((resource) => tokenWarning(policy, resource));
  return [
    ...labels,
    ...tokens,
    ...policy.spec.rules.flatMap(approvalWarnings),
    ...policy.spec.rules.flatMap((rule) => denyWarning(policy, rule)),
    ...policy.spec.rules.flatMap(podWarnings),
    ...policy.spec.rules.flatMap(groupWarnings),
    ...policy.spec.rules.flatMap((rule) => statementWarning(policy, rule, resources.get(targetOf(rule)))),
  ];
}

/** A person who has not decided within a day has forgotten, and so has whoever runs the agent. */
const LONG_MS = 24 * 60 * 60 * 1000;

function approvalWarnings({ name, effect, approval }: Rule, at: number): PolicyWarning[] {
  if (effect !== 'RequireApproval') return [];
  const { groups = [], users = [] } = approval?.approvers ?? {};
  const warnings: PolicyWarning[] = [];
  if (groups.length + users.length + (approval?.all ?? []).length === 0) {
    const message = `rule "${name}" needs approval but names nobody; add spec.rules[${at}].approval.approvers. Until then it denies`;
    warnings.push({ code: 'ApproversMissing', message });
  }
  const { timeout, escalation } = { timeout: DEFAULT_TIMEOUT, ...approval };
  if (msOf(timeout) > LONG_MS) {
    const message = `rule "${name}": timeout ${timeout} holds an action for longer than a day; nobody looks at what was asked so long ago`;
    warnings.push({ code: 'TimeoutTooLong', message });
  }
  if (escalation !== undefined && msOf(escalation.after) >= msOf(timeout)) {
    const message = `rule "${name}": escalation after ${escalation.after} comes too late, since the action is refused after ${timeout}; nobody more is asked`;
    warnings.push({ code: 'EscalationTooLate', message });
  }
  return warnings;
}

/** Under an Allow of all commands a program that nobody knows is allowed, and may run what is denied. */
function denyWarning({ spec: { rules } }: AccessPolicy, { name, effect, ssh, kubernetes, resource }: Rule): PolicyWarning[] {
  const denied = ((ssh ?? kubernetes)?.commands ?? []).find((command) => command !== '**');
  if (effect !== 'Deny' || denied === undefined) return [];
  const target = targetOf({ resource });
  const allowsAll = (rule: Rule): boolean => (rule.ssh ?? rule.kubernetes)?.commands?.includes('**') === true;
  const broad = rules.find((rule) => rule.effect === 'Allow' && targetOf(rule) === target && allowsAll(rule));
  if (broad === undefined) return [];
  const message = `rule "${name}" is no wall on ${target}: rule "${broad.name}" allows **, also programs that nobody here knows, and one of them may run what "${denied}" denies; allow what is meant by name`;
  return [{ code: 'DenyBesideAllowAll', message }];
}

/** Verbs that let through nothing of themselves; every verb at once means none of them. */
function podWarnings({ name, effect, kubernetes, resource }: Rule): PolicyWarning[] {
  if (effect === 'Deny' || kubernetes === undefined) return [];
  const { verbs = [], commands, files, ports, shell } = kubernetes;
  const named = { exec: commands ?? files ?? shell, attach: shell, portforward: ports };
  const idle = verbs.flatMap((verb) => (verb === 'exec' || verb === 'attach' || verb === 'portforward' ? [verb] : []));
  return idle
    .filter((verb) => named[verb] === undefined)
    .map((verb) => {
      const missing = { exec: 'commands, files or shell', attach: 'shell', portforward: 'ports' }[verb];
      const message = `rule "${name}": ${verb} on ${targetOf({ resource })} lets nothing through, since the rule names no ${missing}; add what is meant`;
      return { code: 'PodsNotOpened', message };
    });
}

/** Nobody can add to the core group, so what is not in it is nothing without its group. */
function groupWarnings({ name, kubernetes }: Rule): PolicyWarning[] {
  const plain = (kubernetes?.resources ?? []).filter((each) => !/[.*]/.test(each.split('/')[0] ?? ''));
  return plain.flatMap((each) => {
    const [resource = '', ...rest] = each.split('/');
    if (CORE_RESOURCES.includes(resource)) return [];
    const group = groupOf(resource);
    const meant = group === undefined ? nearest(resource, CORE_RESOURCES) : `${resource}.${group}`;
    const hint =
      meant === undefined ? 'write it as kubectl api-resources --output name does' : `write ${[meant, ...rest].join('/')}`;
    return [{ code: 'ResourceUnknown', message: `rule "${name}": the core group has no resource "${resource}"; ${hint}` }];
  });
}

/** NaN, which is compared with nothing, for what cannot be read: that is told elsewhere. */
function msOf(duration: string): number {
  try {
    return durationMs(duration);
  } catch {
    return Number.NaN;
  }
}

function tokenWarning({ spec: { identity } }: AccessPolicy, { metadata, spec }: ProtectedResource): PolicyWarning[] {
  if (identity === undefined || spec.protocol !== 'tcp') return [];
  const message = `spec.identity: no session opens on ${metadata.namespace ?? ''}/${metadata.name}, since protocol tcp cannot carry a token; name it in policies without identity`;
  return [{ code: 'TokenNotCarried', message }];
}

type Rule = AccessPolicy['spec']['rules'][number];
const targetOf = ({ resource }: Pick<Rule, 'resource'>): string => `${resource.namespace}/${resource.name}`;

function labelWarnings(policy: AccessPolicy, resources: readonly ProtectedResource[]): PolicyWarning[] {
  const { reveal, masking } = policy.spec;
  const known = [...new Set(resources.flatMap(({ spec }) => labelsOf(spec.protocol, spec.sensitive)))].toSorted();
  const permitted = new Set(resources.flatMap((resource) => grantsOf(policy, resource).flatMap((grant) => grant.reveal ?? [])));
  const unknown = (field: string, label: string): PolicyWarning => {
    const near = nearest(label, known);
    const has = known.length === 0 ? 'they have none' : `they have ${known.slice(0, MAX_LISTED).join(', ')}`;
    const hint = near === undefined ? has : `did you mean "${near}"?`;
    return { code: 'LabelUnknown', message: `${field}: no resource of the rules has the label "${label}"; ${hint}` };
  };
  return [
    ...reveal.flatMap((label, at): PolicyWarning[] => {
      const field = `spec.reveal[${at}]`;
      if (!known.includes(label)) return [unknown(field, label)];
      if (permitted.has(label)) return [];
      const who = policy.metadata.namespace ?? '';
      const message = `${field}: "${label}" stays masked, since no owner lets namespace ${who} reveal it; it belongs in spec.grantedTo[].reveal of the resource`;
      return [{ code: 'RevealNotGranted', message }];
    }),
    ...masking.flatMap(({ label }, at) => (known.includes(label) ? [] : [unknown(`spec.masking[${at}].label`, label)])),
  ];
}

function statementWarning(policy: AccessPolicy, rule: Rule, resource: ProtectedResource | undefined): PolicyWarning[] {
  const grants = resource === undefined ? [] : grantsOf(policy, resource);
  if (resource === undefined || grants.length === 0 || rule.effect === 'Deny') return [];
  const ceiling = new Set<string>(
    grants.flatMap((grant) => grant.statements ?? grant.operations ?? READING_VERBS[resource.spec.protocol]),
  );
  const asked = verbsAsked(rule);
  const beyond = asked.filter((verb) => verb !== '*' && !ceiling.has(verb));
  if (ceiling.has('*') || beyond.length === 0) return [];
  const granted = [...ceiling].toSorted().join(', ');
  const message = `rule "${rule.name}": ${beyond.join(', ')} on ${targetOf(rule)} stays denied, since its owner grants ${granted}; it belongs in spec.grantedTo[].${(rule.ssh ?? rule.kubernetes) ? 'operations' : 'statements'} of the resource`;
  return [{ code: 'StatementNotGranted', message }];
}

function verbsAsked({ sql, ssh, kubernetes }: Rule): readonly string[] {
  if (kubernetes !== undefined) return kubernetesVerbs(kubernetes);
  return ssh === undefined ? (sql?.statements ?? []) : sshVerbs(ssh);
}

/** Grants that agents of the policy may have; another policy of the namespace may have others. */
function grantsOf(policy: AccessPolicy, { spec }: ProtectedResource): ResourceGrant[] {
  const { serviceAccounts } = policy.spec.agents;
  return spec.grantedTo.filter(
    (grant) =>
      grant.namespace === policy.metadata.namespace &&
      (serviceAccounts === undefined || (grant.serviceAccounts?.some((each) => serviceAccounts.includes(each)) ?? true)),
  );
}

const MAX_LISTED = 5;
