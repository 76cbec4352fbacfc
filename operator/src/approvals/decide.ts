import { isDeepStrictEqual } from 'node:util';
import type { AccessRequest, ApprovalDecision, RequestStatus } from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import {
  askedOf,
  counted,
  ended,
  type GenerationOf,
  givenOf,
  type Grant,
  isDrifted,
  lapsed,
  lapseOf,
  revoked,
  tally,
} from '@chaperone/policy';

export interface RequestFacts {
  readonly request: AccessRequest;
  /** On a request of this name. */
  readonly decisions: readonly ApprovalDecision[];
  readonly generationOf: GenerationOf;
  /** What people granted before, of a request that names it. */
  readonly grant: Grant | undefined;
  /** Nobody waits for it any more. */
  readonly gone: boolean;
  /** Its pod is there no more. */
  readonly podGone: boolean;
  /** What the pod may do on the resource now, by digest; `none`: nothing. Undefined: that is not known. */
  readonly access: string | undefined;
  readonly now: number;
}
export interface RequestIntent {
  /** To write, where it differs from what is there. */
  readonly status: RequestStatus | undefined;
  /** What becomes of decisions that do not say it yet. */
  readonly told: readonly {
    readonly decision: ApprovalDecision;
    readonly status: { counted: boolean; why?: string | undefined };
  }[];
}

/** What becomes of a request: decided by people or by time, else voided by another policy, else withdrawn with its agent. */
export function decideRequest(facts: RequestFacts): RequestIntent {
  const { request, decisions } = facts;
  const before = request.status ?? {};
  const status = statusOf(facts, before);
  return {
    status: isDeepStrictEqual(status, before) ? undefined : status,
    told: isOpen(before.state) ? tallied(request, decisions) : late(status, decisions),
  };
}

function statusOf(facts: RequestFacts, before: RequestStatus): RequestStatus {
  const { request, decisions, generationOf, grant, gone, now } = facts;
  const asked = askedOf(request);
  const given = decisions.map(givenOf);
  const status = isOpen(before.state)
    ? counted(asked, before, given, now, grant)
    : (revoked(asked, before, given, now) ?? before);
  if (!isOpen(status.state)) {
    const why = facts.podGone ? 'its pod is gone' : lapseOf(asked, generationOf, facts.access);
    return (why === undefined ? undefined : lapsed(status, why, now)) ?? status;
  }
  if (isDrifted(request, generationOf)) return ended(asked, status, { state: 'Voided' }, now) ?? status;
  if (gone) return ended(asked, status, { state: 'Withdrawn' }, now) ?? status;
  return status;
}

function tallied(request: AccessRequest, decisions: readonly ApprovalDecision[]): RequestIntent['told'] {
  const counts = new Map(tally(askedOf(request), decisions.map(givenOf)).decisions.map((each) => [each.name, each]));
  return decisions.flatMap((decision) => {
    const made = counts.get(decision.metadata.name);
    if (made === undefined) return [];
    const status = { counted: made.counted, why: made.why };
    if (decision.status?.counted === status.counted && decision.status.why === status.why) return [];
    return [{ decision, status }];
  });
}

/** Of a request that is over, what had not been looked at before. */
function late(status: RequestStatus, decisions: readonly ApprovalDecision[]): RequestIntent['told'] {
  return decisions
    .filter((decision) => decision.status?.counted === undefined)
    .map((decision) => {
      const made = status.decisions?.find(({ name }) => name === decision.metadata.name);
      const why = made === undefined ? `it was over already: ${status.state ?? ''}` : made.why;
      return { decision, status: { counted: made?.counted ?? false, why } };
    });
}

/** When a request was over, ms since 1970; undefined: it is not. */
export function overSince({ status, metadata }: AccessRequest): number | undefined {
  if (isOpen(status?.state)) return undefined;
  const times = [metadata.creationTimestamp, ...(status?.conditions ?? []).map(({ lastTransitionTime }) => lastTransitionTime)];
  return Math.max(...times.map((time) => Date.parse(time ?? '')).filter((time) => !Number.isNaN(time)));
}
