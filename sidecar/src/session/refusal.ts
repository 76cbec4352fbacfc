import type { AgentCode, ApprovalNews } from '@chaperone/api';
import type { Verdict } from '@chaperone/policy';

/** Why we did not do something. */
export interface Refusal {
  readonly code: AgentCode;
  /** What happened, for the agent: no literals. Said where the code covers several situations. */
  readonly reason?: string;
  /** What to change, where the code's own advice and the rule's message are about something else. */
  readonly instead?: string;
  readonly verdict?: Verdict;
  readonly approval?: ApprovalNews;
}

/** A refusal by a verdict, with the message of its rule. */
export function refusalOf(verdict: Verdict): Refusal {
  const code = verdict.code as AgentCode;
  return code === 'NotAnalysable' ? { code, verdict, reason: verdict.reason } : { code, verdict };
}
