import { type AccessRequest, type ApprovalDecision, ATTESTED_BY, DECISION_WAYS } from '@chaperone/api';
import type { Asked, GivenDecision } from './tally.ts';

/** A request of the cluster, as what counts decisions takes it. */
export function askedOf({ metadata: { namespace = '', uid = '' }, spec }: AccessRequest): Asked {
  return { namespace, uid, spec };
}

/** A decision of the cluster, likewise. */
export function givenOf({ metadata: { name, creationTimestamp = '', annotations }, spec }: ApprovalDecision): GivenDecision {
  const via = DECISION_WAYS.find((way) => way === annotations?.[ATTESTED_BY]);
  return { name, at: creationTimestamp, spec, ...(via !== undefined && { via }) };
}
