import type { AccessRequest, CountedDecision } from '@chaperone/api';
import { isApproved, isGranting, stateOf } from '@chaperone/api/requests';

/** How long a list of what is over is before somebody asks for more. */
export const SHOWN_ENDED = 50;

export interface Grants {
  /** Those that end soonest first. */
  readonly open: readonly AccessRequest[];
  /** Those that ended last first. */
  readonly ended: readonly AccessRequest[];
}

/** All requests whose approval let the same run again, open or not. */
export function grantsOf(requests: readonly AccessRequest[], now: number): Grants {
  const all = requests.filter(({ status }) => status?.grantedUntil !== undefined);
  return {
    open: all.filter(({ status = {} }) => isGranting(status, now)).toSorted(byEnd),
    ended: all.filter(({ status = {} }) => !isGranting(status, now)).toSorted((a, b) => byEnd(b, a)),
  };
}

function byEnd(a: AccessRequest, b: AccessRequest): number {
  return endedAt(a) - endedAt(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** The approvals that made a grant, as they were counted. */
export function givenBy({ status }: AccessRequest): CountedDecision[] {
  return (status?.decisions ?? []).filter(({ counted, decision }) => counted && decision === 'Approve');
}

/** Why a grant is over. */
export type Ending =
  | { readonly kind: 'time' }
  | { readonly kind: 'revoked'; readonly by: string; readonly at: number; readonly reason?: string | undefined }
  /** It reached nothing any more: its policy changed, say. */
  | { readonly kind: 'lapsed'; readonly at: number; readonly why: string }
  /** What it was given with was denied, or ended otherwise, before it ran. */
  | { readonly kind: 'undone'; readonly state: string };

export function endingOf(request: AccessRequest): Ending {
  const { decisions = [], revokedBy, grantEnded } = request.status ?? {};
  const denial = decisions.findLast(({ counted, decision, by }) => counted && decision === 'Deny' && by === (revokedBy ?? by));
  if (revokedBy !== undefined)
    return { kind: 'revoked', by: revokedBy, at: Date.parse(denial?.at ?? ''), reason: denial?.reason };
  if (grantEnded !== undefined) return { kind: 'lapsed', at: Date.parse(grantEnded.at), why: grantEnded.why };
  if (!isApproved(request.status?.state)) return { kind: 'undone', state: stateOf(request) };
  return { kind: 'time' };
}

/** When it ended, or will, ms; a grant that somebody ended does so before its time. */
function endedAt(request: AccessRequest): number {
  const ending = endingOf(request);
  if ((ending.kind === 'revoked' || ending.kind === 'lapsed') && !Number.isNaN(ending.at)) return ending.at;
  return Date.parse((ending.kind === 'undone' ? request.status?.decidedAt : request.status?.grantedUntil) ?? '') || 0;
}
