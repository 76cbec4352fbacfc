import type { Code, Condition } from '@chaperone/api';

/** A condition before anybody asked since when it holds. */
export interface ConditionDraft {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Code;
  readonly message: string;
}
/** A condition whose reason is in the table of codes. */
export type CodedCondition = Condition & { readonly reason: Code };
/** Why a check fails: the code becomes the reason, the text the message. */
export interface Problem {
  readonly code: Code;
  readonly message: string;
}

const MAX_MESSAGE = 1024;

export const holds = (type: string, message: string, reason: Code): ConditionDraft => ({ type, status: 'True', reason, message });
export const fails = (type: string, problem: Problem): ConditionDraft => ({
  type,
  status: 'False',
  reason: problem.code,
  message: problem.message,
});
export const unknown = (type: string, problem: Problem): ConditionDraft => ({ ...fails(type, problem), status: 'Unknown' });

/** The first problem that a list of checks finds, in the order of the list. */
export function firstProblem<T>(checks: readonly ((input: T) => Problem | undefined)[], input: T): Problem | undefined {
  for (const check of checks) {
    const problem = check(input);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Unknown because nobody has looked, which only using the object changes. Every other Unknown is a finding. */
const NOT_LOOKED_AT: ReadonlySet<Code> = new Set(['NotDialledYet', 'NotAccepted']);

/**
 * Ready repeats the first condition that fails, or else the first that was looked at and could not be told: sessions are refused
 * for either. What nobody has looked at yet does not hold it back.
 */
export function withReady(drafts: readonly ConditionDraft[], ready: { reason: Code; message: string }): ConditionDraft[] {
  const failing =
    drafts.find(({ status }) => status === 'False') ??
    drafts.find(({ status, reason }) => status === 'Unknown' && !NOT_LOOKED_AT.has(reason));
  if (failing !== undefined) return [...drafts, { ...failing, type: 'Ready', status: 'False' }];
  return [...drafts, { type: 'Ready', status: 'True', ...ready }];
}

/**
 * Gives drafts their times and generation. `lastTransitionTime` moves only when the status changes; the order of the drafts is
 * the order in the object.
 */
export function stamp(
  drafts: readonly ConditionDraft[],
  before: readonly Condition[] | undefined,
  at: { now: number; generation: number },
): CodedCondition[] {
  return drafts.map((draft) => {
    const old = before?.find((condition) => condition.type === draft.type);
    const kept = old?.status === draft.status ? old.lastTransitionTime : undefined;
    return {
      ...draft,
      message: draft.message.slice(0, MAX_MESSAGE),
      lastTransitionTime: kept ?? new Date(at.now).toISOString().replace(/\.\d+Z$/, 'Z'),
      observedGeneration: at.generation,
    };
  });
}

/** Names in a sentence: `"a"`, `"a" and "b"`, `"a", "b" and "c"`. */
export function enumerate(names: readonly string[]): string {
  const quoted = names.map((name) => `"${name}"`);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1) ?? ''}`;
}
