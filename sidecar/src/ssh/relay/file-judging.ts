import { sshText } from '@chaperone/api';
import type { FileAction, FileDecision, FileJudge } from '../actions/files.ts';

const UNIT = 'file operation';
const FAULT: FileDecision = { verdict: 'deny', line: sshText({ code: 'InternalFault', unit: UNIT }).line };

/**
 * What the judge decides in the end; whoever cannot decide denies.
 * @param onHeld - called with what the agent is told, before it waits for people
 */
export async function decide({ judge }: FileJudge, action: FileAction, onHeld: (line: string) => void): Promise<FileDecision> {
  try {
    const verdict = await judge(action);
    if (verdict.verdict !== 'held') return verdict;
    onHeld(verdict.line);
    return await verdict.outcome;
  } catch {
    return FAULT;
  }
}

/** Tells what became of what people approved: `why` it did not run, or else it was passed on. */
export function tellEnd(decision: FileDecision, why?: string): void {
  if (decision.verdict !== 'allow') return;
  if (why === undefined) decision.ended?.('Ran', 'passed to the host');
  else decision.ended?.('Failed', why);
}

export const GONE = 'the agent was gone; it did not run';
export const MOVED = 'the path leads elsewhere by now; it did not run';

/** What the agent is told of what cannot be judged; `reason` and `advice` are ours and hold nothing of what was asked. */
export function unjudgedLine(reason: string, advice: string): string {
  return sshText({ code: 'NotAnalysable', unit: UNIT, reason, message: advice }).line;
}

/** What the agent is told when a path that was approved leads elsewhere by then. */
export function movedLine(): string {
  return sshText({ code: 'ApprovalVoided', unit: UNIT, reason: 'the path leads elsewhere by now' }).line;
}
