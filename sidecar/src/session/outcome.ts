import type { AgentCode, ApprovalNews } from '@chaperone/api';
import type { RecordBody } from '@chaperone/evidence';
import type { HoldOutcome } from './holds.ts';

const STATES = {
  released: 'Released',
  denied: 'Denied',
  expired: 'Expired',
  pending: 'Pending',
  gone: 'Withdrawn',
  voided: 'Voided',
  unavailable: 'Unavailable',
} as const;

type ApprovalRecord = Extract<RecordBody, { type: 'approval' }>;

/** What evidence says of an action that was held. */
export function approvalRecord(
  outcome: HoldOutcome,
  { change, ...held }: Pick<ApprovalRecord, 'action' | 'digest' | 'waitedMs'> & { readonly change?: readonly string[] },
): Omit<ApprovalRecord, 'type'> {
  const view = outcome.kind === 'unavailable' ? undefined : outcome.view;
  return {
    ...held,
    ...(change !== undefined && { change: [...change] }),
    ...(view !== undefined && { request: view.name }),
    ...(view?.grantedBy !== undefined && { grantedBy: view.grantedBy }),
    state: STATES[outcome.kind],
    decisions: view?.decisions.map((decision) => ({ ...decision })) ?? [],
  };
}

/** What an agent is told of an action that was held and does not run; of one that it is to repeat, too. */
export interface ApprovalRefusal {
  readonly code: AgentCode;
  /** Set where nobody could be asked: why. */
  readonly reason?: string;
  readonly approval?: ApprovalNews;
}

export function approvalRefusal(outcome: Exclude<HoldOutcome, { kind: 'released' | 'gone' }>): ApprovalRefusal {
  if (outcome.kind === 'unavailable') return { code: 'ApprovalUnavailable', reason: outcome.why };
  const { name: request, timeoutMs, expiresInMs, decisions } = outcome.view;
  switch (outcome.kind) {
    case 'voided':
      return { code: 'ApprovalVoided', approval: { request, timeoutMs, why: outcome.why } };
    case 'pending':
      return { code: 'ApprovalPending', approval: { request, timeoutMs: expiresInMs, repeat: true } };
    case 'denied': {
      const reviewer = decisions.find(({ decision, reason }) => decision === 'Deny' && reason !== undefined)?.reason;
      return { code: 'ApprovalDenied', approval: { request, timeoutMs, ...(reviewer !== undefined && { reviewer }) } };
    }
    default:
      return { code: 'ApprovalExpired', approval: { request, timeoutMs } };
  }
}
