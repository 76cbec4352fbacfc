import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { type Agent, credentialSource, policyWarnings, selectsAgent } from '@chaperone/policy';
import { acceptance, type ConditionDraft, fails, holds, ineffective, unknown, withReady } from '@chaperone/policy/conditions';
import { type CompiledManifests, nameOf } from './compile.ts';
import type { Observation } from './control-plane.ts';

/** Everything that the conditions of objects from files depend on. */
export interface Facts {
  readonly agent: Agent;
  /** By NAMESPACE/NAME. */
  readonly resources: ReadonlyMap<string, ProtectedResource>;
  readonly compiled: CompiledManifests;
  /** What was seen last at upstreams, by NAMESPACE/NAME of the resource. */
  readonly seen: ReadonlyMap<string, readonly Observation[]>;
}

/** Reasons come from other processes too. */
type Draft = ConditionDraft<string>;

const UNSIGNED = 'chaperone up has no page to sign them on; nobody can approve here';
const NOT_DIALLED_YET = 'no session has used it yet; it is tried when an agent connects';

/**
 * What this process knows of a policy, in the words and the order of a cluster: Ready last, Ineffective only while it is true. Of a
 * policy that does not select the agent nobody has asked what its rules name.
 */
export function policyConditions(policy: AccessPolicy, facts: Facts): Draft[] {
  const warnings = policyWarnings(policy, facts.resources);
  const vain = ineffective(warnings);
  const selected = selectsAgent(policy, facts.agent);
  const now = running(policy, facts.agent, selected);
  const drafts = [
    acceptance(policy, warnings, UNSIGNED),
    ...(selected ? [references(policy, facts)] : []),
    ...(vain === undefined ? [] : [holds('Ineffective', vain.message, vain.code)]),
    now,
  ];
  // What is no failure and still wants somebody's eye is the reason of Ready.
  if (!selected) return withReady(drafts, now);
  return withReady(
    drafts,
    vain === undefined ? { reason: 'Ready', message: now.message } : { reason: vain.code, message: vain.message },
  );
}

function references({ spec }: AccessPolicy, { compiled }: Facts): Draft {
  const named = new Set(spec.rules.map(({ resource }) => nameOf(resource)));
  const left = compiled.problems.find(({ resource }) => named.has(resource));
  if (left !== undefined) return fails('ResolvedRefs', left);
  for (const { access, notReady } of compiled.resources) {
    const name = nameOf(access.resource);
    if (notReady === undefined || !named.has(name)) continue;
    const message = `${name} is not ready: ${notReady.message} (${notReady.code})`;
    return fails('ResolvedRefs', { code: 'ResourceNotReady', message });
  }
  return holds('ResolvedRefs', 'all that its rules name is there and ready', 'RefsResolved');
}

/** Whether it is in force for the one agent that there is. */
function running({ metadata }: AccessPolicy, { namespace, serviceAccount }: Agent, selected: boolean): Draft {
  const who = `${namespace}/${serviceAccount}`;
  return selected
    ? holds('Programmed', `chaperone up runs generation ${metadata.generation ?? 0} for ${who}`, 'Programmed')
    : holds('Programmed', `it does not select ${who}, the one agent of this chaperone up`, 'NoAgentsYet');
}

/** What this process knows of a resource. One that its agent has no use for was looked at by nobody, beyond its text. */
export function resourceConditions(resource: ProtectedResource, { compiled, seen }: Facts): Draft[] {
  const name = nameOf(resource.metadata);
  const accepted = holds('Accepted', `${name} is accepted`, 'Accepted');
  const granted = compiled.resources.find(({ access }) => nameOf(access.resource) === name);
  if (granted === undefined) return [accepted];
  const observed = (type: Observation['type']): Draft | undefined => {
    const found = seen.get(name)?.find((each) => each.type === type);
    return found && { type, status: found.status, reason: found.reason, message: found.message };
  };
  const untried = (type: Observation['type']): Draft =>
    observed(type) ?? unknown(type, { code: 'NotDialledYet', message: NOT_DIALLED_YET });
  return withReady(
    [
      accepted,
      ...secrets(resource, granted.notReady, observed('CredentialsAvailable')),
      untried('Reachable'),
      ...(resource.spec.protocol === 'postgres' ? [untried('UpstreamSuitable')] : []),
    ],
    { reason: 'Ready', message: `${name} is ready` },
  );
}

/** Both are read in turn, and the first that is wanting is told: of the credential nothing is known then. */
function secrets(
  resource: ProtectedResource,
  problem: { readonly code: string; readonly message: string } | undefined,
  observed: Draft | undefined,
): Draft[] {
  if (problem?.code === 'CANotFound') return [fails('ResolvedRefs', problem)];
  const resolved = holds('ResolvedRefs', 'all that it refers to exists', 'RefsResolved');
  if (resource.spec.credentials === undefined) return [resolved];
  const type = 'CredentialsAvailable';
  if (problem !== undefined) return [resolved, fails(type, problem)];
  const complete = `${credentialSource(resource) ?? ''} is complete`;
  return [resolved, observed ?? holds(type, complete, type)];
}
