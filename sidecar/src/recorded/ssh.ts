import { FILE_OPERATIONS } from '@chaperone/api';
import type { Action, Effect } from '@chaperone/policy';
import { describedEffects, isResolved } from '../ssh/actions/files.ts';
import { execAction, readExec } from '../ssh/actions/index.ts';
import { withTerminal } from '../ssh/relay/asking.ts';
import { type Noted, sameNotes } from './notes.ts';

const OF_FILES: ReadonlySet<string> = new Set(FILE_OPERATIONS);
/** What a verb is about, where its object says all. */
const KINDS: ReadonlyMap<string, Effect['kind']> = new Map([
  ['forward', 'address'],
  ['subsystem', 'subsystem'],
  ['shell', 'shell'],
]);

/** A command is read again from its text, which says more than its effects do; all else is what it is called. */
export function sshActions(noted: Noted): readonly Action[] | 'masked' | 'shortened' | 'unclear' {
  const plain = plainEffects(noted);
  if (plain !== undefined) return [{ effects: plain }];
  const { text, effects, bytes } = noted;
  if (text === undefined) return 'shortened';
  const described = effects.every(({ verb }) => OF_FILES.has(verb)) ? describedEffects(text, effects) : undefined;
  // A mask may leave nothing of the last part of a path.
  if (described?.some(({ object }) => object !== '' && !isResolved(object)) === true) return 'masked';
  if (described !== undefined) return [{ effects: described }];
  const command = Buffer.from(text);
  if (command.length !== bytes) return 'shortened';
  const action = execAction(readExec(command), command);
  if (action.notAnalysable !== undefined) return 'unclear';
  const read = [action, withTerminal(action)].filter((each) => sameNotes(each, noted));
  return read.length === 0 ? 'unclear' : read;
}

/** scp over ssh starts as sftp does, so a subsystem need not be one that was asked for by name. */
function plainEffects({ effects }: Noted): Effect[] | undefined {
  const plain = effects.flatMap((effect): Effect[] => {
    const kind = KINDS.get(effect.verb);
    return kind === undefined ? [] : [{ ...effect, kind }];
  });
  return plain.length === effects.length ? plain : undefined;
}
