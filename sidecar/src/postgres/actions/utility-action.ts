import { qualifiedName, type Access, type Action, type Effect } from '@chaperone/policy';
import type { ObjectName, StatementOf } from './statement.ts';

/** Kinds of object that rules about relations speak of. */
const RELATION_KINDS = new Set(['table', 'view', 'matview', 'foreign table', 'sequence', 'index']);
/** Kinds whose names stand in no schema. */
const GLOBAL_KINDS = new Set([
  'schema',
  'role',
  'database',
  'tablespace',
  'extension',
  'language',
  'fdw',
  'foreign server',
  'event trigger',
  'publication',
  'subscription',
  'access method',
  'parameter acl',
  'largeobject',
]);

/**
 * The action of a utility statement, for which the server prints no tree: its verb on each object it names, or on nothing
 * (VACUUM of a whole database). An unqualified name is the search path's when that holds exactly one schema; such an effect
 * says `qualified: false`. With any other search path it cannot be judged.
 */
export function utilityAction(statement: StatementOf<'utility'>, access: Access): Action {
  const { verb, objectKind, objects } = statement;
  const kind = RELATION_KINDS.has(objectKind) ? 'relation' : 'other';
  if (objects.length === 0) return { effects: [{ verb, object: '', via: 'direct', kind: 'other' }] };
  if (GLOBAL_KINDS.has(objectKind))
    return { effects: objects.map(({ name }) => ({ verb, object: qualifiedName(name), via: 'direct', kind })) };
  const resolved = objects.map((object) => resolve(object, access.searchPath));
  if (resolved.includes(undefined)) return { effects: [], notAnalysable: NAME_NEEDS_SCHEMA };
  return {
    effects: resolved.filter((name) => name !== undefined).map((name) => ({ verb, via: 'direct', kind, ...name })),
  };
}

export const NAME_NEEDS_SCHEMA = 'it names an object without its schema; write schema.name';

/**
 * The full name under a search path. Names that begin with pg_ are the system catalogue's, which every search path starts
 * with; undefined where only the catalogue can tell.
 */
export function resolve(
  { schema, name }: ObjectName,
  searchPath: readonly string[],
): Pick<Effect, 'object' | 'qualified'> | undefined {
  if (schema !== undefined) return { object: qualifiedName(schema, name) };
  if (name.startsWith('pg_')) return { object: qualifiedName('pg_catalog', name), qualified: false };
  const [only, ...more] = searchPath;
  if (only === undefined || more.length > 0) return undefined;
  return { object: qualifiedName(only, name), qualified: false };
}
