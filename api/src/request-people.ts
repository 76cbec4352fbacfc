import type { AccessRequest, Approvers, RequestState } from './request.ts';

/** Who would answer a request. `whoever is asked`: one who stands for everybody, where no people are known. */
export interface Viewer {
  readonly user: string;
  readonly groups: readonly string[] | 'whoever is asked';
  /** Who that is, for people, where the name does not say it. */
  readonly note?: string;
}

const OPEN: ReadonlySet<RequestState> = new Set(['Pending', 'Approved']);
/** Whether anything can still become of it. */
export function isOpen(state: RequestState | undefined): boolean {
  return OPEN.has(state ?? 'Pending');
}

const APPROVED: ReadonlySet<RequestState> = new Set(['Approved', 'Released', 'Ran', 'Failed']);
/** Whether it is in a state that only an approval leads to, whether that was used or may be. */
export function isApproved(state: RequestState | undefined): boolean {
  return APPROVED.has(state ?? 'Pending');
}

/** Whether a rule asks this person, at the time of the decision. */
export function mayDecide(rule: Approvers, { by, groups, at }: { by: string; groups: readonly string[]; at: string }): boolean {
  const asks = (asked: { users: readonly string[]; groups: readonly string[] }): boolean =>
    asked.users.includes(by) || asked.groups.some((group) => groups.includes(group));
  const { escalation } = rule;
  return (
    asks(rule) ||
    rule.all.some((group) => groups.includes(group)) ||
    (escalation !== undefined && Date.parse(at) >= Date.parse(escalation.at) && asks(escalation))
  );
}

/** All groups that a request's rules name, also those that may decide only later. */
export function groupsNamed({ spec }: AccessRequest): string[] {
  return [...new Set(spec.rules.flatMap(({ groups, all, escalation }) => [...groups, ...all, ...(escalation?.groups ?? [])]))];
}

/** Groups of a person, as far as a request is about them. */
export function groupsOf(request: AccessRequest, { groups }: Viewer): readonly string[] {
  return groups === 'whoever is asked' ? groupsNamed(request) : groups;
}

/** What stands between a prefix and the name that a token says: https://login.corp#mira, oidc:mira. */
const PREFIX_ENDS = new Set([':', '#', '/', '|']);

/**
 * Whether the request may be this person's own: nobody decides on one of those. The token of a caller says a name without the prefix that
 * the API server puts before it, and who issues tokens may not tell people apart by case: a name that could be the caller's is.
 */
export function isOwn(namespace: string | undefined, { agent }: AccessRequest['spec'], by: string): boolean {
  if (by === `system:serviceaccount:${namespace ?? ''}:${agent.serviceAccount}`) return true;
  if (agent.onBehalfOf === undefined) return false;
  const [name, caller] = [by.toLowerCase(), agent.onBehalfOf.user.toLowerCase()];
  return name === caller || (name.endsWith(caller) && PREFIX_ENDS.has(name[name.length - caller.length - 1] ?? ''));
}

/** The rules of a request that ask this person now. */
export function rulesThatAsk(request: AccessRequest, viewer: Viewer, now: number): Approvers[] {
  if (isOwn(request.metadata.namespace, request.spec, viewer.user)) return [];
  const person = { by: viewer.user, groups: groupsOf(request, viewer), at: new Date(now).toISOString() };
  return request.spec.rules.filter((rule) => mayDecide(rule, person));
}

/** The newest first; of the same second by name. */
export function newestFirst(requests: readonly AccessRequest[]): AccessRequest[] {
  return requests.toSorted((a, b) => madeAt(b) - madeAt(a) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

function madeAt({ metadata }: AccessRequest): number {
  return Date.parse(metadata.creationTimestamp ?? '') || 0;
}
