import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import type { Asked, GivenDecision } from './tally.ts';

/** A request of the cluster, as what counts decisions takes it. */
export function askedOf({ metadata: { namespace = '', uid = '' }, spec }: AccessRequest): Asked {
  return { namespace, uid, spec };
}

/** A decision of the cluster, likewise. */
export function givenOf({ metadata: { name, creationTimestamp = '' }, spec }: ApprovalDecision): GivenDecision {
  return { name, at: creationTimestamp, spec };
}
