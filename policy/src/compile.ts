import {
  type AccessPolicy,
  MAX_GRANT_SECONDS,
  MIN_GRANT_SECONDS,
  type OnBehalfOf,
  type PolicyRule,
  type Protocol,
  type ProtectedResource,
  type ResourceGrant,
} from '@chaperone/api';
import type { Access, AccessRule, Agent, Approval } from './access.ts';
import { canonicalJson, compare, digestOf } from './canonical.ts';
import { tokenDemands } from './demands.ts';
import { PolicyError, type AccessRefusal } from './errors.ts';
import { parseGlob } from './glob.ts';
import { isReadableKubernetes } from './kubernetes-rule.ts';
import { unreadableField } from './ssh-rule.ts';
import { strictestInference, strictestLimits, strictestMasking, strictestRecording } from './stricter.ts';
import { durationMs } from './units.ts';

export interface CompileInput {
  readonly agent: Agent;
  /** All policies there are; those that do not select the agent are passed over. */
  readonly policies: readonly AccessPolicy[];
  readonly resource: ProtectedResource;
}
export type Compiled = { ok: true; access: Access } | { ok: false; code: AccessRefusal; message: string };

/** How long a rule holds an action that does not say it. */
export const DEFAULT_TIMEOUT = '5m';

/** What a grant or a protocol allows where the owner names no statements. */
export const READING_VERBS = {
  postgres: ['select'],
  ssh: ['list', 'read'],
  kubernetes: ['get', 'list', 'watch'],
  tcp: ['connect'],
} as const;
type ApprovalSpec = NonNullable<PolicyRule['approval']>;
/** How long others wait for the locks of a held transaction, where a policy does not say. */
const LOCKS_HELD_MS = 60_000;
/** A purpose read from a pod is shown to people: longer ones are cut. */
const MAX_PURPOSE_LENGTH = 200;

/**
 * Adds up what every policy that selects the agent and the owner's grant say about one resource. The order of policies and
 * of rules never matters: equal sets give an equal access, digest included.
 *
 * An absent list of ServiceAccounts (or an absent selector) means all, an empty list means none.
 */
export function compileAccess(input: CompileInput): Compiled {
  try {
    return { ok: true, access: compile(input) };
  } catch (error) {
    if (error instanceof PolicyError) return { ok: false, code: error.code, message: error.message };
    throw error;
  }
}

function compile({ agent, policies, resource }: CompileInput): Access {
  const at = { namespace: resource.metadata.namespace ?? '', name: resource.metadata.name };
  const who = `${agent.namespace}/${agent.serviceAccount}`;
  const selecting = policies.filter((policy) => selectsAgent(policy, agent));
  if (selecting.length === 0) throw new PolicyError('AgentNotSelected', `no policy in ${agent.namespace} selects ${who}`);
  const naming = selecting.filter((policy) => policy.spec.rules.some((rule) => names(rule, at))).toSorted(byName);
  if (naming.length === 0)
    throw new PolicyError('ResourceNotNamed', `no rule of a policy that selects ${who} names ${at.namespace}/${at.name}`);
  const grants = resource.spec.grantedTo.filter((grant) => grantsTo(grant, agent));
  if (grants.length === 0)
    throw new PolicyError('NotGranted', `the owner of ${at.namespace}/${at.name} grants nothing to ${who}`);

  const specs = naming.map((policy) => policy.spec);
  const permitted = new Set(grants.flatMap((grant) => grant.reveal ?? []));
  const { protocol } = resource.spec;
  const identity = tokenDemands(naming);
  const access: Omit<Access, 'digest'> = {
    resource: { ...at, generation: resource.metadata.generation ?? 0, protocol },
    policies: naming.map((policy) => ({ ...refOf(policy), generation: policy.metadata.generation ?? 0 })),
    mode: resource.spec.allowAudit && selecting.every((policy) => policy.spec.enforcement === 'Audit') ? 'Audit' : 'Enforce',
    purpose: sorted(naming.map((policy) => purposeOf(policy, agent)).filter((purpose) => purpose !== '')).join('; '),
    ...(identity.length > 0 && { identity }),
    disclosure: specs.some((spec) => spec.disclosure === 'code') ? 'code' : 'full',
    ceiling: { statements: sorted(grants.flatMap((grant) => grant.statements ?? grant.operations ?? READING_VERBS[protocol])) },
    rules: naming
      .flatMap((policy) => rulesOf(policy, at, protocol))
      .toSorted((a, b) => compare(canonicalJson(a), canonicalJson(b))),
    searchPath: resource.spec.postgres?.searchPath ?? (protocol === 'postgres' ? ['public'] : []),
    reveal: sorted(specs.flatMap((spec) => spec.reveal).filter((label) => permitted.has(label))),
    masking: strictestMasking(specs),
    sensitive: resource.spec.sensitive.map(({ label, columns = [], fields, detector }) => ({
      label,
      columns,
      ...(fields && { fields }),
      ...(detector && { detector }),
    })),
    inference: strictestInference(specs),
    limits: strictestLimits(specs),
    recording: strictestRecording(
      specs,
      grants.flatMap((grant) => grant.recording?.minimum ?? []),
    ),
  };
  return { ...access, digest: digestOf(access) };
}

/** Whether a policy's selectors take in this agent; a policy without selectors takes in its whole namespace. */
export function selectsAgent(policy: AccessPolicy, agent: Agent): boolean {
  const { podSelector, serviceAccounts } = policy.spec.agents;
  if (policy.metadata.namespace !== agent.namespace) return false;
  if (serviceAccounts && !serviceAccounts.includes(agent.serviceAccount)) return false;
  return Object.entries(podSelector?.matchLabels ?? {}).every(
    ([key, value]) => Object.hasOwn(agent.labels, key) && agent.labels[key] === value,
  );
}

function grantsTo(grant: ResourceGrant, agent: Agent): boolean {
  return grant.namespace === agent.namespace && (grant.serviceAccounts?.includes(agent.serviceAccount) ?? true);
}

function names(rule: PolicyRule, resource: { namespace: string; name: string }): boolean {
  return rule.resource.namespace === resource.namespace && rule.resource.name === resource.name;
}

function purposeOf(policy: AccessPolicy, agent: Agent): string {
  const { purpose = '', purposeFrom } = policy.spec;
  if (!purposeFrom) return purpose;
  const { annotation, required } = purposeFrom;
  const stated = Object.hasOwn(agent.annotations, annotation) ? plain(agent.annotations[annotation] ?? '') : '';
  if (stated === '' && required)
    throw new PolicyError('PurposeMissing', `the pod states no purpose in its annotation ${annotation}`);
  return stated === '' ? purpose : stated;
}

/** One printable line: the pod's author chose this text and people will read it in a terminal. */
function plain(text: string): string {
  const line = text.replaceAll(/[\p{C}\p{Z}]+/gu, ' ').trim();
  return line.slice(0, MAX_PURPOSE_LENGTH).toWellFormed();
}

function rulesOf(policy: AccessPolicy, resource: { namespace: string; name: string }, protocol: Protocol): AccessRule[] {
  return policy.spec.rules
    .filter((rule) => names(rule, resource))
    .map((rule) => {
      checkSelector(rule, protocol, `spec.rules[${policy.spec.rules.indexOf(rule)}]`);
      checkCallers(rule, policy);
      return {
        name: rule.name,
        policy: refOf(policy),
        effect: rule.effect,
        ...(rule.sql && { sql: rule.sql }),
        ...(rule.ssh && { ssh: rule.ssh }),
        ...(rule.kubernetes && { kubernetes: rule.kubernetes }),
        ...(rule.onBehalfOf && { onBehalfOf: callersOf(rule.onBehalfOf) }),
        ...(rule.message !== undefined && { message: rule.message }),
        ...(rule.effect === 'RequireApproval' && { approval: approvalOf(rule) }),
      };
    });
}

/** A selector that its resource has nothing of, or that cannot be read, is no rule. */
function checkSelector(rule: PolicyRule, protocol: Protocol, field: string): void {
  const problem = foreignProblem(rule, protocol) ?? selectorProblem(rule, protocol, field);
  if (problem !== undefined) throw new PolicyError('PolicyInvalid', `rule ${JSON.stringify(rule.name)} ${problem}`);
}

const UNREADABLE = 'has a pattern that cannot be read';

const SELECTORS = { sql: ['postgres', 'tcp'], ssh: ['ssh'], kubernetes: ['kubernetes'] } as const;

/** A selector of another protocol. */
function foreignProblem(rule: PolicyRule, protocol: Protocol): string | undefined {
  const foreign = (['sql', 'ssh', 'kubernetes'] as const).find(
    (name) => rule[name] !== undefined && !SELECTORS[name].some((each) => each === protocol),
  );
  return foreign === undefined ? undefined : `says ${foreign} of a resource that speaks ${protocol}`;
}

function selectorProblem(rule: PolicyRule, protocol: Protocol, field: string): string | undefined {
  if (protocol === 'ssh') return sshProblem(rule, field);
  return protocol === 'kubernetes' ? kubernetesProblem(rule, field) : sqlProblem(rule, field);
}

function kubernetesProblem({ kubernetes, effect }: PolicyRule, field: string): string | undefined {
  if (kubernetes === undefined) return effect === 'Deny' ? undefined : 'lets through and does not say what; add kubernetes';
  return isReadableKubernetes(kubernetes) ? undefined : `${UNREADABLE}: ${field}.kubernetes`;
}

function sshProblem({ ssh, effect }: PolicyRule, field: string): string | undefined {
  if (ssh === undefined) return effect === 'Deny' ? undefined : 'lets through and does not say what; add ssh';
  const unreadable = unreadableField(ssh);
  return unreadable === undefined ? undefined : `${UNREADABLE}: ${field}.ssh.${unreadable}`;
}

function sqlProblem({ sql = {} }: PolicyRule, field: string): string | undefined {
  const { statements, relations, columns, functions } = sql;
  if ([statements, relations, columns, functions].some((list) => list?.length === 0)) return 'has an empty list in its selector';
  for (const [name, patterns = []] of Object.entries({ relations, columns, functions })) {
    const at = patterns.findIndex((pattern) => parseGlob(pattern) === undefined);
    if (at >= 0) return `${UNREADABLE}: ${field}.sql.${name}[${at}]`;
  }
  return undefined;
}

/** Only a policy that demands a token itself knows what the names in its rules stand for. */
function checkCallers({ name, onBehalfOf }: PolicyRule, policy: AccessPolicy): void {
  if (onBehalfOf === undefined) return;
  const { users, groups } = onBehalfOf;
  if (policy.spec.identity === undefined)
    throw new PolicyError('PolicyInvalid', `rule ${JSON.stringify(name)} has onBehalfOf and its policy demands no token`);
  if ((users === undefined && groups === undefined) || users?.length === 0 || groups?.length === 0)
    throw new PolicyError('PolicyInvalid', `rule ${JSON.stringify(name)} has an empty list in onBehalfOf`);
}

function callersOf({ users, groups }: OnBehalfOf): OnBehalfOf {
  return { ...(users && { users: sorted(users) }), ...(groups && { groups: sorted(groups) }) };
}

/** A rule without approvers stays in force: nobody can approve, so what it holds is denied. */
function approvalOf(rule: PolicyRule): Approval {
  const approval: Partial<ApprovalSpec> = rule.approval ?? {};
  const {
    approvers = {},
    minimum = 1,
    all = [],
    timeout = DEFAULT_TIMEOUT,
    mode = 'hold',
    reason = 'optional',
    escalation,
  } = approval;
  const timeoutMs = durationMs(timeout);
  return {
    groups: sorted(approvers.groups ?? []),
    users: sorted(approvers.users ?? []),
    minimum: Math.max(1, minimum),
    all: sorted(all),
    timeoutMs,
    transactionTimeoutMs:
      approval.transactionTimeout === undefined
        ? Math.min(timeoutMs, LOCKS_HELD_MS)
        : Math.min(timeoutMs, durationMs(approval.transactionTimeout)),
    mode,
    reason: reason === 'required',
    ...beyondDefault(approval),
    ...(escalation !== undefined && {
      escalation: {
        afterMs: durationMs(escalation.after),
        groups: sorted(escalation.approvers.groups ?? []),
        users: sorted(escalation.approvers.users ?? []),
      },
    }),
  };
}

/** What a rule says beside what every rule has. */
function beyondDefault({
  maxGrant,
  assurance = 'kubernetes',
}: Partial<ApprovalSpec>): Pick<Approval, 'grantSeconds' | 'assurance'> {
  const seconds = maxGrant === undefined ? 0 : Math.floor(durationMs(maxGrant) / 1000);
  return {
    ...(seconds >= MIN_GRANT_SECONDS && { grantSeconds: Math.min(seconds, MAX_GRANT_SECONDS) }),
    ...(assurance !== 'kubernetes' && { assurance }),
  };
}

function refOf(policy: AccessPolicy): { namespace: string; name: string } {
  return { namespace: policy.metadata.namespace ?? '', name: policy.metadata.name };
}

function byName(a: AccessPolicy, b: AccessPolicy): number {
  return compare(a.metadata.name, b.metadata.name);
}

function sorted(values: readonly string[]): string[] {
  return [...new Set(values)].toSorted(compare);
}
