import type { AccessPolicy, Code, Condition } from '@chaperone/api';
import type { PolicyWarning } from './warnings.ts';

/** A condition before anybody asked since when it holds. Its reason is in the table of codes, unless it came over the wire. */
export interface ConditionDraft<Reason extends string = Code> {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  readonly message: string;
}
/** A condition whose reason is in the table of codes. */
export type CodedCondition<Reason extends string = Code> = Condition & { readonly reason: Reason };
/** Why a check fails: the code becomes the reason, the text the message. */
export interface Problem<Reason extends string = Code> {
  readonly code: Reason;
  readonly message: string;
}

const MAX_MESSAGE = 1024;

export const holds = <R extends string>(type: string, message: string, reason: R): ConditionDraft<R> => ({
  type,
  status: 'True',
  reason,
  message,
});
export const fails = <R extends string>(type: string, { code, message }: Problem<R>): ConditionDraft<R> => ({
  type,
  status: 'False',
  reason: code,
  message,
});
export const unknown = <R extends string>(type: string, problem: Problem<R>): ConditionDraft<R> => ({
  ...fails(type, problem),
  status: 'Unknown',
});

/**
 * Whether a policy is accepted: somebody is asked wherever it needs approval, and can answer as it wants.
 * @param unsigned - why nobody can sign what they decide; undefined: somebody can
 */
export function acceptance(
  policy: AccessPolicy,
  warnings: readonly PolicyWarning[],
  unsigned: string | undefined,
): ConditionDraft {
  const problem = warnings.find(({ code }) => code === 'ApproversMissing') ?? signatureUnavailable(policy, unsigned);
  return problem === undefined ? holds('Accepted', 'the policy is accepted', 'Accepted') : fails('Accepted', problem);
}

/** A rule that wants a signature where nobody can give one holds what it covers until it expires. */
function signatureUnavailable({ spec }: AccessPolicy, unsigned: string | undefined): Problem | undefined {
  if (unsigned === undefined) return undefined;
  const rule = spec.rules.find(({ approval }) => (approval?.assurance ?? 'kubernetes') !== 'kubernetes');
  if (rule === undefined) return undefined;
  const how = rule.approval?.assurance === 'passkey' ? 'by passkey' : 'signed';
  return { code: 'SignatureUnavailable', message: `rule "${rule.name}" wants approvals that are ${how}, and ${unsigned}` };
}

/** What of an accepted policy comes to nothing though it is no failure; the first code stands for all. */
export function ineffective(warnings: readonly PolicyWarning[]): Problem | undefined {
  const vain = warnings.filter(({ code }) => code !== 'ApproversMissing');
  const [first] = vain;
  return first && { code: first.code, message: vain.map(({ message }) => message).join('. ') };
}

/** The first problem that a list of checks finds, in the order of the list. */
export function firstProblem<T>(checks: readonly ((input: T) => Problem | undefined)[], input: T): Problem | undefined {
  for (const check of checks) {
    const problem = check(input);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Unknown because nobody has looked, which only using the object changes. Every other Unknown is a finding. */
const NOT_LOOKED_AT: ReadonlySet<string> = new Set<Code>(['NotDialledYet', 'NotAccepted', 'CaptureNotReported']);

/**
 * Ready repeats the first condition that fails, or else the first that was looked at and could not be told: sessions are refused
 * for either. What nobody has looked at yet does not hold it back.
 */
export function withReady<R extends string>(
  drafts: readonly ConditionDraft<R>[],
  ready: { readonly reason: R; readonly message: string },
): ConditionDraft<R>[] {
  const failing =
    drafts.find(({ status }) => status === 'False') ??
    drafts.find(({ status, reason }) => status === 'Unknown' && !NOT_LOOKED_AT.has(reason));
  if (failing !== undefined) return [...drafts, { ...failing, type: 'Ready', status: 'False' }];
  return [...drafts, holds('Ready', ready.message, ready.reason)];
}

/**
 * Gives drafts their times and generation. `lastTransitionTime` moves only when the status changes; the order of the drafts is
 * the order in the object. An object of a file has no generation.
 */
export function stamp<R extends string>(
  drafts: readonly ConditionDraft<R>[],
  before: readonly Condition[] | undefined,
  { now, generation }: { readonly now: number; readonly generation: number | undefined },
): CodedCondition<R>[] {
  return drafts.map((draft) => {
    const old = before?.find((condition) => condition.type === draft.type);
    const kept = old?.status === draft.status ? old.lastTransitionTime : undefined;
    return {
      ...draft,
      message: draft.message.slice(0, MAX_MESSAGE),
      lastTransitionTime: kept ?? new Date(now).toISOString().replace(/\.\d+Z$/, 'Z'),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
}

/** Names in a sentence: `"a"`, `"a" and "b"`, `"a", "b" and "c"`. */
export function enumerate(names: readonly string[]): string {
  const quoted = names.map((name) => `"${name}"`);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1) ?? ''}`;
}
