import { readManifests } from '@chaperone/api';
import { CliError, EXIT } from '../errors.ts';
import { counted, type Io, writeLine } from '../io.ts';
import { type Comment, manifestYaml } from '../yaml.ts';
import { seenActions, type SessionCount, type SessionSource } from './seen.ts';
import {
  type Left,
  manifestOf,
  Observed,
  ruleKey,
  type Shape,
  type SuggestOptions,
  suggestionOf,
  type Suggestion,
} from './suggestion.ts';

/** Lines that say what is not covered; the rest is counted. */
const MAX_LEFT = 100;

/**
 * Writes the narrowest policies that cover what an agent was seen doing, as YAML, and says in comments what each rule covers and what none
 * does. Throws CliError NotFound where nothing was seen that a rule could cover.
 */
export async function suggestPolicy(
  sources: AsyncIterable<SessionSource>,
  options: SuggestOptions & { readonly since?: number },
  io: Io,
): Promise<void> {
  const { agent, since } = options;
  const sessions: SessionCount = { read: 0, unread: new Map() };
  const observed = new Observed();
  const wanted = { agent, ...(since === undefined ? {} : { since }) };
  for await (const seen of seenActions(sources, wanted, sessions)) observed.take(seen);
  const suggestion = suggestionOf(observed, options);
  const about = aboutText(observed, suggestion, sessions, options);
  if (suggestion.policies.length === 0) {
    for (const line of about) await writeLine(io.err, commented(line));
    const who = `${agent.namespace}/${agent.serviceAccount}`;
    throw new CliError('NotFound', `nothing that ${who} did can be covered by a rule`, {
      exit: EXIT.notFound,
      why: 'no session of it was read in this time, or all that it did was denied or cannot be named; exit code 5',
      fix: [...(since === undefined ? [] : ['look further back with --since']), 'chaperone sessions ls'],
    });
  }
  const text = suggestion.policies
    .map((policy, at) => policyText(policy, at === 0 ? about : [], suggestion, options))
    .join('---\n');
  demandPolicies(text);
  await writeLine(io.out, text.trimEnd());
}

const commented = (line: string): string => `# ${line}`;

/** The text is what is applied, so it is the text that has to be a policy. Throws CliError InternalFault. */
function demandPolicies(text: string): void {
  const [problem] = readManifests([{ path: 'suggested', text }]).problems;
  if (problem !== undefined)
    throw new CliError('InternalFault', `the suggested policy cannot be read: ${problem.field} ${problem.message}`);
}

function policyText(
  policy: Suggestion['policies'][number],
  about: readonly string[],
  { covered }: Suggestion,
  options: SuggestOptions,
): string {
  const rules = policy.rules.map(
    ({ name }, at): Comment => ({
      path: ['spec', 'rules', at],
      lines: coveredText(covered.get(ruleKey(policy.name, name)) ?? []),
    }),
  );
  return manifestYaml(manifestOf(policy, options), [{ path: [], lines: about }, ...rules]);
}

/** `12 actions, the last 2026-11-30T21:26:13Z; of them 3 by Audit alone: DeniedByRule by rule "never"`. */
function coveredText(shapes: readonly Shape[]): string[] {
  const count = shapes.reduce((total, shape) => total + shape.count, 0);
  const last = shapes.reduce((latest, { lastSeen }) => Math.max(latest, lastSeen), Number.NEGATIVE_INFINITY);
  const audited = new Map<string, number>();
  for (const shape of shapes) for (const [by, times] of shape.audited) audited.set(by, (audited.get(by) ?? 0) + times);
  const more = [...audited].map(([by, times]) => `${times} by Audit alone: ${by}`);
  return [`${counted(count, 'action')}, the last ${time(last)}`, ...(more.length === 0 ? [] : [`of these ${more.join(', ')}`])];
}

function aboutText(
  { actions, first, last }: Pick<Observed, 'actions' | 'first' | 'last'>,
  { actions: covered, left }: Suggestion,
  { read, unread }: SessionCount,
  { agent, exact }: SuggestOptions,
): string[] {
  const span = actions === 0 ? '' : `, ${time(first)} to ${time(last)}`;
  const notes = [...unread].map(([why, count]) => `${counted(count, 'session')} not read, or not whole: ${why}.`);
  return [
    `Covers ${covered} of ${counted(actions, 'action')} in ${counted(read, 'session')} of ${agent.namespace}/${agent.serviceAccount}${span}.`,
    ...notes,
    'It has rules alone: masking, reveal, limits, recording and columns are for you to add.',
    exact
      ? 'Each name is one that was seen.'
      : 'Where three names or more differ in one part, * stands for that part (--exact: never).',
    ...leftText(left),
  ];
}

function leftText(left: readonly Left[]): string[] {
  if (left.length === 0) return [];
  const shown = left.slice(0, MAX_LEFT);
  const rest = left.length - shown.length;
  return [
    'Not covered:',
    ...shown.map(
      ({ count, action, resource, why, lastSeen }) => `  ${count}x ${action}, on ${resource}, the last ${time(lastSeen)}: ${why}`,
    ),
    ...(rest > 0 ? [`  and ${rest} kinds more`] : []),
  ];
}

/** A pod's clock may say anything. */
function time(at: number): string {
  return Math.abs(at) <= 8.64e15 ? new Date(at).toISOString().replace(/[.]\d{3}Z$/, 'Z') : `${at} ms`;
}
