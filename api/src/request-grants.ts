import type { AccessRequest, RequestSpec, RequestStatus } from './request.ts';
import { isApproved } from './request-people.ts';

type Asked = Pick<AccessRequest, 'metadata' | 'spec'>;

/** People may approve that the same runs again for so long. */
export const MIN_GRANT_SECONDS = 60;
export const MAX_GRANT_SECONDS = 12 * 3600;

/** Seconds for which the same may be approved at most: 0 where it may not. */
export function mayGrant({ rules, template }: Pick<RequestSpec, 'rules' | 'template'>): number {
  return template === undefined ? 0 : Math.min(...rules.map(({ grant = 0 }) => grant));
}

type Granting = Pick<RequestSpec, 'rules' | 'template' | 'templateText'>;

/** Why it can be approved for one execution only though its rules would let people grant more; undefined: it is not so. */
export function onceWhy({ rules, template, templateText, once }: Granting & Pick<RequestSpec, 'once'>): string | undefined {
  if (rules.some(({ grant }) => grant === undefined)) return undefined;
  if (template === undefined) return once ?? 'its values may say what it does';
  // Nobody says yes for some time to what is not shown.
  return templateText === undefined ? 'the statement without its values is too large to be shown' : undefined;
}

/** Times that are offered where a rule allows more, s: long enough for a handful of the same, for a task, and for a shift of it. */
const STEPS = [600, 1_800, 3_600, 14_400] as const;

/** For how long the same may be approved, of which a person chooses, s; none where it may not. */
export function grantSteps(spec: Granting): number[] {
  const most = spec.templateText === undefined ? 0 : mayGrant(spec);
  return most < MIN_GRANT_SECONDS ? [] : [...STEPS.filter((step) => step < most), most];
}

/** Whether a grant is open, as far as its request says. */
export function isGranting({ state, grantedUntil: until, revokedBy, grantEnded }: RequestStatus, now: number): boolean {
  if (!isApproved(state) || revokedBy !== undefined || grantEnded !== undefined) return false;
  return until !== undefined && now < Date.parse(until);
}

/**
 * What two requests have in common that ask for the same with other values: agent and pod, whom it acts for, resource, rules of one
 * generation, and the template. Undefined: it has none, since a value may say what it does; nothing is the same as it.
 */
export function sameKey(namespace: string | undefined, spec: RequestSpec): string | undefined {
  const { agent, resource, protocol, rules, template } = spec;
  if (template === undefined) return undefined;
  const { serviceAccount, podUid, onBehalfOf } = agent;
  const asking = rules.map(({ policy, generation, rule }) => [policy.namespace, policy.name, generation, rule].join(' '));
  return JSON.stringify([
    template,
    namespace,
    serviceAccount,
    podUid,
    onBehalfOf?.issuer,
    onBehalfOf?.user,
    resource.namespace,
    resource.name,
    protocol,
    asking.toSorted(),
  ]);
}

/** How often what a request grants was used, of those that are known; they are kept for an hour after they ran. */
export function usesOf({ metadata }: Asked, all: Iterable<Asked>): number {
  let uses = 0;
  for (const each of all) if (each.spec.grantedBy === metadata.name && each.metadata.namespace === metadata.namespace) uses++;
  return uses;
}
