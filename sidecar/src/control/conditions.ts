import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import { type Agent, policyWarnings, selectsAgent } from '@chaperone/policy';
import type { CompiledManifests } from './compile.ts';
import type { Observation } from './control-plane.ts';

/** A condition before anybody asked since when it holds. */
export interface Draft {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Everything that the conditions of objects from files depend on. */
export interface Facts {
  readonly agent: Agent;
  /** By NAMESPACE/NAME. */
  readonly resources: ReadonlyMap<string, ProtectedResource>;
  readonly compiled: CompiledManifests;
  /** What was seen last at upstreams, by NAMESPACE/NAME of the resource. */
  readonly seen: ReadonlyMap<string, readonly Observation[]>;
}

const draft = (status: Draft['status'], type: string, reason: Code, message: string): Draft => ({
  type,
  status,
  reason,
  message,
});
const NOT_DIALLED_YET = 'no session has used it yet; it is tried when an agent connects';

/**
 * What this process knows of a policy, in the words and the order of a cluster: Ready last, Ineffective only while it is true. Of a
 * policy that does not select the agent nobody has asked what its rules name.
 */
export function policyConditions(policy: AccessPolicy, facts: Facts): Draft[] {
  const warnings = policyWarnings(policy, facts.resources);
  const nobody = warnings.find(({ code }) => code === 'ApproversMissing');
  const [vain, ...more] = warnings.filter(({ code }) => code !== 'ApproversMissing');
  const selected = selectsAgent(policy, facts.agent);
  const now = running(policy, facts.agent, selected);
  const drafts = [
    nobody === undefined
      ? (unsignable(policy) ?? draft('True', 'Accepted', 'Accepted', 'the policy is accepted'))
      : draft('False', 'Accepted', nobody.code, nobody.message),
    ...(selected ? [references(policy, facts)] : []),
    ...(vain === undefined
      ? []
      : [draft('True', 'Ineffective', vain.code, [vain, ...more].map(({ message }) => message).join('. '))]),
    now,
  ];
  // What is no failure and still wants somebody's eye is the reason of Ready.
  if (!selected) return withReady(drafts, { code: now.reason, message: now.message });
  return withReady(drafts, vain ?? { code: 'Ready', message: now.message });
}

/** A rule that wants a signature holds what it covers until it expires: there is no page to sign on. */
function unsignable({ spec }: AccessPolicy): Draft | undefined {
  const rule = spec.rules.find(({ approval }) => (approval?.assurance ?? 'kubernetes') !== 'kubernetes');
  if (rule === undefined) return undefined;
  const how = rule.approval?.assurance === 'passkey' ? 'by passkey' : 'signed';
  const message = `rule "${rule.name}" wants approvals that are ${how}, and chaperone up has no page to sign them on; nobody can approve here`;
  return draft('False', 'Accepted', 'SignatureUnavailable', message);
}

function references({ spec }: AccessPolicy, { compiled }: Facts): Draft {
  const named = new Set(spec.rules.map(({ resource }) => nameOf(resource)));
  const left = compiled.problems.find(({ resource }) => named.has(resource));
  if (left !== undefined) return { type: 'ResolvedRefs', status: 'False', reason: left.code, message: left.message };
  for (const { access, notReady } of compiled.resources) {
    const name = nameOf(access.resource);
    if (notReady === undefined || !named.has(name)) continue;
    const message = `${name} is not ready: ${notReady.message} (${notReady.code})`;
    return draft('False', 'ResolvedRefs', 'ResourceNotReady', message);
  }
  return draft('True', 'ResolvedRefs', 'RefsResolved', 'all that its rules name is there and ready');
}

/** Whether it is in force for the one agent that there is. */
function running({ metadata }: AccessPolicy, { namespace, serviceAccount }: Agent, selected: boolean): Draft {
  const who = `${namespace}/${serviceAccount}`;
  return selected
    ? draft('True', 'Programmed', 'Programmed', `chaperone up runs generation ${metadata.generation ?? 0} for ${who}`)
    : draft('True', 'Programmed', 'NoAgentsYet', `it does not select ${who}, the one agent of this chaperone up`);
}

/** What this process knows of a resource. One that its agent has no use for was looked at by nobody, beyond its text. */
export function resourceConditions(resource: ProtectedResource, { compiled, seen }: Facts): Draft[] {
  const name = nameOf(resource.metadata);
  const accepted = draft('True', 'Accepted', 'Accepted', `${name} is accepted`);
  const granted = compiled.resources.find(({ access }) => nameOf(access.resource) === name);
  if (granted === undefined) return [accepted];
  const observed = (type: Observation['type']): Draft | undefined => {
    const found = seen.get(name)?.find((each) => each.type === type);
    return found && { type, status: found.status, reason: found.reason, message: found.message };
  };
  const untried = (type: Observation['type']): Draft =>
    observed(type) ?? draft('Unknown', type, 'NotDialledYet', NOT_DIALLED_YET);
  return withReady(
    [
      accepted,
      ...secrets(resource, granted.notReady, observed('CredentialsAvailable')),
      untried('Reachable'),
      ...(resource.spec.protocol === 'postgres' ? [untried('UpstreamSuitable')] : []),
    ],
    { code: 'Ready', message: `${name} is ready` },
  );
}

/** Both are read in turn, and the first that is wanting is told: of the credential nothing is known then. */
function secrets(
  { metadata, spec }: ProtectedResource,
  problem: { readonly code: string; readonly message: string } | undefined,
  observed: Draft | undefined,
): Draft[] {
  if (problem?.code === 'CANotFound')
    return [{ type: 'ResolvedRefs', status: 'False', reason: problem.code, message: problem.message }];
  const resolved = draft('True', 'ResolvedRefs', 'RefsResolved', 'all that it refers to exists');
  if (spec.credentials === undefined) return [resolved];
  const type = 'CredentialsAvailable';
  if (problem !== undefined) return [resolved, { type, status: 'False', reason: problem.code, message: problem.message }];
  const complete = `Secret ${metadata.namespace ?? ''}/${spec.credentials.secretRef.name} is complete`;
  return [resolved, observed ?? draft('True', type, type, complete)];
}

/** Ready repeats the first condition that fails, or else the first that was looked at and could not be told. */
function withReady(drafts: readonly Draft[], ready: { readonly code: string; readonly message: string }): Draft[] {
  const failing =
    drafts.find(({ status }) => status === 'False') ??
    drafts.find(({ status, reason }) => status === 'Unknown' && reason !== 'NotDialledYet');
  if (failing !== undefined) return [...drafts, { ...failing, type: 'Ready', status: 'False' }];
  return [...drafts, { type: 'Ready', status: 'True', reason: ready.code, message: ready.message }];
}

function nameOf({ namespace = '', name }: { readonly namespace?: string | undefined; readonly name: string }): string {
  return `${namespace}/${name}`;
}
