import { type SshText, sshText, type Unit } from '@chaperone/api';
import { type Access, type Action, allowedHere, type Effect, judge, type JudgedEffect, type Verdict } from '@chaperone/policy';
import { type Refusal, refusalOf } from '../../session/refusal.ts';
import { type Unknown, untold } from '../actions/index.ts';
import type { Asking } from './asking.ts';
import type { Side } from '../../running/file-record.ts';

/** What people are told of what they cannot see in a text. */
export const OPEN_ENDED =
  'what it is sent once it runs may be anything, and is not judged; it is recorded, and its time is limited';
/** What is clearer about a refusal than its code: the reason, and what to write in its place. */
type Clearer = Pick<Refusal, 'reason' | 'instead'>;

/**
 * As {@link refusalOf}, with what a client of SSH cannot know: that a rule may be about what cannot be read, what a path has to be, what
 * lies below it, what a terminal counts as, and what kind of rule there would have to be.
 * @param asking - of what runs; absent: a file operation or a forward
 */
export function refusalOfSsh(access: Access, action: Action, verdict: Verdict, asking?: Asking): Refusal {
  // The host did not say where a path leads.
  if (verdict.code === 'NotAnalysable' && asking?.unknown === undefined)
    return refusalOf({ ...verdict, message: 'copy by sftp or scp instead.' });
  const at = decidingAt(verdict);
  const effect = action.effects[at];
  const isOfRules = verdict.code === 'DeniedByRule' || verdict.code === 'NoRuleAllows';
  return { ...(isOfRules && effect !== undefined && clearer(access, action, verdict, effect, asking)), ...refusalOf(verdict) };
}

function clearer(access: Access, action: Action, verdict: Verdict, effect: Effect, asking?: Asking): Clearer {
  const isUncovered = verdict.code === 'NoRuleAllows';
  switch (effect.kind) {
    case 'command':
      return effect.words === undefined && asking?.unknown !== undefined ? ofUnknown(asking.unknown, isUncovered) : {};
    case 'path':
      if (effect.object === '' && asking?.unplaced !== undefined) return ofNoPlace(asking.unplaced);
      return effect.below === true ? ofWhatIsBelow(access, verdict, effect) : {};
    case 'shell':
      return asking?.unit === 'command' ? ofTerminal(access, action, isUncovered) : ofShell(isUncovered);
    default:
      return isUncovered ? ofMissingRule(effect) : {};
  }
}

function ofUnknown(unknown: Unknown, isUncovered: boolean): Clearer {
  const may = isUncovered ? '' : ', and so it may be what the rule denies';
  return { reason: `${untold(unknown)}${may}`, instead: unknown.instead };
}

function ofNoPlace(why: string): Clearer {
  return {
    reason: `${why}, and what lies there is not known`,
    instead: 'give the whole path, which begins with / and has no .. in it',
  };
}

function ofMissingRule({ kind, object }: Effect): Clearer {
  if (kind === 'address') return { reason: 'it wants a rule with ssh.forward that names it' };
  if (kind !== 'subsystem') return {};
  return { reason: `it wants a rule with ${object === 'sftp' ? 'ssh.files' : 'ssh.subsystems'}` };
}

/** The rule may say nothing of the path itself. */
function ofWhatIsBelow(access: Access, verdict: Verdict, effect: Effect): Clearer {
  const alone = judge(access, { effects: [{ ...effect, below: false }] });
  if (alone.code === verdict.code && alone.rule === verdict.rule) return {};
  return verdict.code === 'NoRuleAllows'
    ? { reason: 'all that is below it is meant too, and a rule has to cover that' }
    : {
        reason: 'all that is below it is meant too, and the rule denies some of that',
        instead: 'ask for what is below it one by one',
      };
}

const ONLY_ASKED = 'it wants a rule with ssh.shell, by which people are asked';

function ofTerminal(access: Access, action: Action, isUncovered: boolean): Clearer {
  const reason = isUncovered ? `with a terminal ${ONLY_ASKED}` : 'with a terminal it counts as a shell';
  const without = judge(access, { effects: action.effects.filter(({ kind }) => kind !== 'shell') });
  return { reason, ...(without.verdict !== 'deny' && { instead: 'ask without a terminal; with OpenSSH leave out -t' }) };
}

function ofShell(isUncovered: boolean): Clearer {
  return isUncovered ? { reason: ONLY_ASKED, instead: 'name the command that is to run, one a request' } : {};
}

/** Where the effect is that decided. */
function decidingAt({ verdict, rule, effects }: Verdict): number {
  const at = effects.findIndex((each) => each.verdict === verdict && each.rule === rule);
  return at >= 0 ? at : effects.findIndex((each) => each.verdict !== 'allow');
}

function deciding(verdict: Verdict): JudgedEffect | undefined {
  return verdict.effects[decidingAt(verdict)];
}

/** What an agent is told where a protocol of files was broken: never that it did what the host has done. */
export function brokenBy(by: Side, message: string): Refusal {
  if (by === 'agent') return { code: 'ProtocolViolation', reason: message };
  return { code: 'ResourceNotReady', reason: `the host broke the protocol: ${message}` };
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
  const { verdict, ...said } = refusal;
  const effect = verdict && deciding(verdict);
  const isFull = access.disclosure === 'full';
  const policy = isFull ? access.policies.map(({ namespace, name }) => `${namespace}/${name}`).join(', ') : '';
  return sshText({
    ...said,
    unit,
    ...(effect !== undefined && { verb: effect.verb, object: effect.object }),
    ...(isFull && verdict?.rule !== undefined && { rule: verdict.rule }),
    ...(verdict?.message !== undefined && { message: verdict.message }),
    ...(policy !== '' && { policy }),
    ...(reference !== '' && { reference }),
    isOver,
    allowedHere: isFull && !isOver ? allowedHere(access) : [],
  });
}
