import type { Action, Effect } from '@chaperone/policy';
import type { Noted } from './notes.ts';

/** Verbs whose objects are always relations. */
const OF_RELATIONS: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'copy',
  'truncate',
  'lock',
  'analyze',
  'vacuum',
  'refresh',
]);
/** A statement has one kind of object; more than so many effects of unknown kinds are not enumerated. */
const MAX_UNKNOWN = 4;

/** The object of a utility statement is a relation or something else, and its record does not say which. */
export function sqlActions({ effects }: Noted): readonly Action[] | 'unclear' {
  const kinds = effects.map(kindsOf);
  if (kinds.filter((each) => each.length > 1).length > MAX_UNKNOWN) return 'unclear';
  return effects
    .reduce<readonly Effect[][]>(
      (before, effect, at) => before.flatMap((list) => (kinds[at] ?? []).map((kind) => [...list, { ...effect, kind }])),
      [[]],
    )
    .map((list) => ({ effects: list }));
}

function kindsOf({ verb, object }: Noted['effects'][number]): readonly Effect['kind'][] {
  if (object === '') return ['other'];
  if (verb === 'execute') return ['function'];
  return OF_RELATIONS.has(verb) ? ['relation'] : ['relation', 'other'];
}
