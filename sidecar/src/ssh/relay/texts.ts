import { type AgentCode, type ApprovalNews, type SshText, sshText, type Unit } from '@chaperone/api';
import { type Access, allowedHere, type Verdict } from '@chaperone/policy';
import type { Unknown } from '../actions/index.ts';

/** Why we did not do something. */
export interface Refusal {
  readonly code: AgentCode;
  /** What happened, for the agent: no literals. Said where the code covers several situations. */
  readonly reason?: string;
  readonly verdict?: Verdict;
  readonly approval?: ApprovalNews;
}

/**
 * A refusal by a verdict, with the message of its rule.
 * @param unknown - why it could not be told what runs, where that may be all that stands in the way
 */
export function refusalOf(verdict: Verdict, unknown?: Unknown): Refusal {
  const code = verdict.code as AgentCode;
  if (code === 'NotAnalysable') return { code, verdict, reason: verdict.reason };
  return { code, verdict, ...(unknown !== undefined && { reason: untold(unknown) }) };
}

export function untold({ why }: Unknown): string {
  return `what it runs cannot be told, since ${why}`;
}

export interface Said {
  readonly unit: Unit;
  /** Names the record. */
  readonly reference: string;
  /** The connection ends with it. Default: false */
  readonly isOver?: boolean;
}

/** All that this proxy itself says to an agent of one session. */
export function textOf(access: Access, refusal: Refusal, { unit, reference, isOver = false }: Said): SshText {
  const { code, reason, verdict, approval } = refusal;
  const effect = verdict?.effects.find((each) => each.verdict !== 'allow');
  const isFull = access.disclosure === 'full';
  const policy = isFull ? access.policies.map(({ namespace, name }) => `${namespace}/${name}`).join(', ') : '';
  return sshText({
    code,
    unit,
    ...(effect !== undefined && { verb: effect.verb, object: effect.object }),
    ...(isFull && verdict?.rule !== undefined && { rule: verdict.rule }),
    ...(reason !== undefined && { reason }),
    ...(verdict?.message !== undefined && { message: verdict.message }),
    ...(policy !== '' && { policy }),
    ...(reference !== '' && { reference }),
    isOver,
    allowedHere: isFull && !isOver ? allowedHere(access) : [],
    ...(approval !== undefined && { approval }),
  });
}
