import type { CountedDecision, RequestStatus } from '@chaperone/api';
import { isGranting, mayGrant, sameKey } from '@chaperone/api/requests';
import { type Asked, type GivenDecision, revokes } from './tally.ts';

/**
 * What people granted with an approval: that the same agent does the same again, with other values, for some time. It is the approved
 * request itself, found again by its template.
 */
export interface Grant {
  /** Name of the request that was approved. */
  readonly request: string;
  /** Nothing is approved by it after this, ms since 1970. */
  readonly until: number;
  /** The approvals, as they were counted. */
  readonly decisions: readonly CountedDecision[];
}

/**
 * Until when the same is approved, ms since 1970, of a request that is approved now: as long as the shortest wish of those who
 * approved. Undefined where one of them approved only once, or a rule lets nobody grant more.
 */
export function grantedUntil(
  { spec }: Pick<Asked, 'spec'>,
  decisions: readonly CountedDecision[],
  now: number,
): number | undefined {
  const wishes = decisions.flatMap(({ counted, decision, grantFor = 0 }) =>
    counted && decision === 'Approve' ? [grantFor] : [],
  );
  const seconds = Math.min(mayGrant(spec), ...wishes);
  return wishes.length === 0 || seconds <= 0 ? undefined : now + seconds * 1000;
}

/** What a request grants; undefined: nothing, or not any more. `given` are all decisions on it, counted or not. */
export function grantOf(
  request: string,
  asked: Asked,
  status: RequestStatus,
  given: readonly GivenDecision[],
  now: number,
): Grant | undefined {
  if (!isGranting(status, now) || given.some((decision) => revokes(asked, decision))) return undefined;
  const decisions = (status.decisions ?? []).filter(({ counted, decision }) => counted && decision === 'Approve');
  return { request, until: Date.parse(status.grantedUntil ?? ''), decisions };
}

/** The status of a request whose grant somebody revoked who may decide on it; undefined: nobody did. */
export function revoked(
  asked: Asked,
  status: RequestStatus,
  given: readonly GivenDecision[],
  now: number,
): RequestStatus | undefined {
  if (!isGranting(status, now)) return undefined;
  const denial = given.find((decision) => revokes(asked, decision));
  if (denial === undefined) return undefined;
  const { name, at, spec, via } = denial;
  const { by, reason } = spec;
  const told: CountedDecision = {
    name,
    decision: 'Deny',
    by,
    at,
    counted: true,
    ...(reason !== undefined && { reason }),
    ...(via !== undefined && { via }),
  };
  return { ...status, revokedBy: by, decisions: [...(status.decisions ?? []), told].slice(-64) };
}

/** The status of a request whose grant reaches nothing any more, for a reason; undefined: it has none that is open. */
export function lapsed(status: RequestStatus, why: string, now: number): RequestStatus | undefined {
  return isGranting(status, now) ? { ...status, grantEnded: { at: new Date(now).toISOString(), why } } : undefined;
}

/** Whether one request's grant is about another: the same agent, resource, rules and template. */
export function isSameTemplate(granting: Pick<Asked, 'namespace' | 'spec'>, asked: Pick<Asked, 'namespace' | 'spec'>): boolean {
  const key = sameKey(granting.namespace, granting.spec);
  return key !== undefined && key === sameKey(asked.namespace, asked.spec) && mayGrant(asked.spec) > 0;
}
