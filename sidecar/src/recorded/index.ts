import type { SessionRecord } from '@chaperone/evidence';
import type { Action } from '@chaperone/policy';
import { kubernetesActions } from './kubernetes.ts';
import { sqlActions } from './postgres.ts';
import { type Noted, sameNotes } from './notes.ts';
import { sshActions } from './ssh.ts';

/**
 * Why an action cannot be judged again from its record. refused: something else than rules decided it, so that they would not be all ·
 * masked: a value in it may be hidden · shortened: its text is not whole · unclear: what it did cannot be told from its record ·
 * protocol: actions of its protocol are not known here.
 */
export type Untold = 'refused' | 'masked' | 'shortened' | 'unclear' | 'protocol';

/** What a recorded action may have been: one, or several where the record leaves open which; a judge must say the same of all. */
export type Recorded = { readonly actions: readonly [Action, ...Action[]] } | { readonly untold: Untold };

/** Verdicts that rules and grants alone decided. */
const BY_RULES: ReadonlySet<string> = new Set(['Allowed', 'DeniedByRule', 'NoRuleAllows', 'NotGranted', 'ApprovalPending']);
/** What masks write in place of a value: redacted or partial ones have stars, hashes begin so. */
const MASKED = /[*]|h:[\w+/=-]{16}/;

const READERS: Readonly<Record<string, (noted: Noted) => readonly Action[] | Untold>> = {
  postgres: sqlActions,
  ssh: sshActions,
  kubernetes: kubernetesActions,
  tcp: ({ effects }) => [{ effects: effects.map((effect) => ({ ...effect, kind: 'other' })) }],
};

/**
 * Reads again what an action's record says that it did, for a judge. Nothing is guessed: what a rule could ask for and the record does
 * not hold makes it untold. Columns of SQL are in no record; {@link Action} has none then, and a rule about columns is not to be
 * judged by it. Pure.
 */
export function recordedActions(record: SessionRecord & { type: 'action' }, protocol: string): Recorded {
  const { code, effects, text, bytes, kubernetes } = record;
  if (!BY_RULES.has(code) || (effects.length === 0 && !isOfNothing(record, protocol))) return { untold: 'refused' };
  const noted: Noted = { effects: effects.map(({ verb, object, via }) => ({ verb, object, via })), text, bytes, kubernetes };
  if (noted.effects.some(({ object }) => MASKED.test(object))) return { untold: 'masked' };
  if (noted.effects.length === 0) return { actions: [{ effects: [] }] };
  const read = Object.hasOwn(READERS, protocol) ? READERS[protocol] : undefined;
  const found = read === undefined ? 'protocol' : read(noted);
  if (typeof found === 'string') return { untold: found };
  const [first, ...more] = distinct(found.filter((action) => sameNotes(action, noted)));
  return first === undefined ? { untold: 'unclear' } : { actions: [first, ...more] };
}

/** What touches nothing is judged by whether there is any rule. */
function isOfNothing({ code }: { readonly code: string }, protocol: string): boolean {
  return protocol !== 'tcp' && (code === 'Allowed' || code === 'NoRuleAllows');
}

function distinct(actions: readonly Action[]): Action[] {
  return [...new Map(actions.map((action) => [JSON.stringify(action), action])).values()];
}
