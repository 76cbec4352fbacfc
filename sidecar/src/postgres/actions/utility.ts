import type { Statement as Verb } from '@chaperone/api';
import { as, descendants, isFields, list, stringOf, strings, text, unwrap, type Fields } from './ast.ts';
import type { ObjectName, StatementClass } from './statement.ts';

type Utility = Omit<Extract<StatementClass, { kind: 'utility' }>, 'kind'>;
const UNCLEAR = Symbol('names cannot be read');
type Read = Utility | { readonly why: string } | typeof UNCLEAR;

/** ALTER TABLE commands that neither move data, nor compute anything, nor tie the table to another. */
const PLAIN_ALTERATIONS = new Set([
  'AT_AddColumn',
  'AT_DropColumn',
  'AT_ColumnDefault',
  'AT_SetNotNull',
  'AT_DropNotNull',
  'AT_DropConstraint',
  'AT_SetStatistics',
]);
/** Nodes that compute: what they call or read is judged nowhere in a definition. */
const COMPUTING = ['FuncCall', 'A_Expr', 'SubLink', 'ColumnRef', 'SQLValueFunction', 'XmlExpr'];

/**
 * Definitions and maintenance whose whole effect is (verb, the objects they name). Everything else that is not a query is
 * refused; see `refusals.ts` for the words.
 */
const READERS: Readonly<Record<string, (fields: Fields) => Read>> = {
  TruncateStmt: (fields) => onRelations('truncate', 'table', list(fields['relations'])),
  LockStmt: (fields) => onRelations('lock', 'table', list(fields['relations'])),
  DropStmt: drop,
  GrantStmt: grant,
  GrantRoleStmt: (fields) => grantRole(fields),
  CommentStmt: (fields) => onNamed('comment', text(fields['objtype']), [fields['object']]),
  VacuumStmt: vacuum,
  RefreshMatViewStmt: (fields) => onRelation('refresh', 'matview', fields['relation']),
  CreateStmt: createTable,
  IndexStmt: (fields) => computing(fields) ?? onRelation('create', 'index', fields['relation']),
  CreateSeqStmt: (fields) => temporary(fields['sequence']) ?? onRelation('create', 'sequence', fields['sequence']),
  AlterSeqStmt: (fields) => onRelation('alter', 'sequence', fields['sequence']),
  CreateSchemaStmt: (fields) =>
    list(fields['schemaElts']).length > 0
      ? { why: 'create the objects of a schema in statements of their own' }
      : onNames('create', 'schema', [{ name: text(fields['schemaname']) }]),
  CreateEnumStmt: (fields) => onNames('create', 'type', [qualified(strings(fields['typeName']))]),
  AlterEnumStmt: (fields) => onNames('alter', 'type', [qualified(strings(fields['typeName']))]),
  AlterTableStmt: alterTable,
};

/** The class of a utility statement; undefined when this file knows nothing of it. */
export function classifyUtility(tag: string, fields: Fields): StatementClass | undefined {
  const read = Object.hasOwn(READERS, tag) ? READERS[tag]?.(fields) : undefined;
  if (read === undefined) return undefined;
  if (read === UNCLEAR)
    return { kind: 'refused', code: 'NotAnalysable', why: 'the objects it names cannot be told from its text' };
  if ('why' in read) return { kind: 'refused', code: 'NotAnalysable', why: read.why };
  return { kind: 'utility', ...read };
}

/** A RangeVar's name, without its tag; a name with a database in front is left to nobody. */
export function relationName(node: unknown): ObjectName | undefined {
  const fields = as('RangeVar', node) ?? (isFields(node) ? node : undefined);
  const name = text(fields?.['relname']);
  if (!fields || name === '' || fields['catalogname'] !== undefined) return undefined;
  return qualified([text(fields['schemaname']), name].filter((part) => part !== ''));
}

function qualified(parts: readonly string[] | undefined): ObjectName | undefined {
  const [first, second] = parts ?? [];
  if (!parts || first === undefined || parts.length > 2 || parts.includes('')) return undefined;
  return second === undefined ? { name: first } : { schema: first, name: second };
}

function onNames(verb: Verb, objectKind: string, names: readonly (ObjectName | undefined)[]): Read {
  const objects = names.filter((name) => name !== undefined);
  return objects.length === names.length && objects.every(({ name }) => name !== '') ? { verb, objectKind, objects } : UNCLEAR;
}

function onRelations(verb: Verb, objectKind: string, nodes: readonly unknown[]): Read {
  return onNames(verb, objectKind, nodes.map(relationName));
}

function onRelation(verb: Verb, objectKind: string, node: unknown): Read {
  return onRelations(verb, objectKind, [node]);
}

/** Objects as DROP and COMMENT write them: a list of strings, a bare string, a function with its arguments, a type. */
function onNamed(verb: Verb, type: string, nodes: readonly unknown[]): Read {
  const objectKind = kindOf(type);
  return onNames(
    verb,
    objectKind,
    nodes.map((node) => {
      const found = unwrap(node);
      switch (found?.tag) {
        case 'String':
          return { name: stringOf(node) };
        case 'List':
          return qualified(ofRelation(type, strings(found.fields['items'])));
        case 'ObjectWithArgs':
          return qualified(strings(found.fields['objname']));
        case 'TypeName':
          return qualified(strings(found.fields['names']));
        default:
          return undefined;
      }
    }),
  );
}

/** A column, trigger, rule, policy or constraint is written after its relation, which is what rules speak about. */
function ofRelation(type: string, parts: string[] | undefined): string[] | undefined {
  const inside = ['OBJECT_COLUMN', 'OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY', 'OBJECT_TABCONSTRAINT'].includes(type);
  return inside ? parts?.slice(0, -1) : parts;
}

/** `OBJECT_FOREIGN_TABLE` → `foreign table`; what belongs to a relation counts as the relation. */
function kindOf(type: string): string {
  const kind = type
    .replace(/^OBJECT_/, '')
    .replaceAll('_', ' ')
    .toLowerCase();
  return ['column', 'trigger', 'rule', 'policy', 'tabconstraint'].includes(kind) ? 'table' : kind;
}

function drop(fields: Fields): Read {
  return onNamed('drop', text(fields['removeType']), list(fields['objects']));
}

function grant(fields: Fields): Read {
  const verb = fields['is_grant'] === true ? 'grant' : 'revoke';
  const nodes = list(fields['objects']);
  switch (fields['targtype']) {
    case 'ACL_TARGET_ALL_IN_SCHEMA':
      return onNamed(verb, 'OBJECT_SCHEMA', nodes);
    case 'ACL_TARGET_OBJECT':
      return nodes.every((node) => as('RangeVar', node))
        ? onRelations(verb, kindOf(text(fields['objtype'])), nodes)
        : onNamed(verb, text(fields['objtype']), nodes);
    default:
      return UNCLEAR;
  }
}

function grantRole(fields: Fields): Read {
  const roles = list(fields['granted_roles']).map((node) => ({ name: text(as('AccessPriv', node)?.['priv_name']) }));
  return onNames(fields['is_grant'] === true ? 'grant' : 'revoke', 'role', roles);
}

/** VACUUM and ANALYZE without a name are about the whole database. */
function vacuum(fields: Fields): Read {
  const relations = list(fields['rels']).map((node) => as('VacuumRelation', node)?.['relation']);
  return onRelations(fields['is_vacuumcmd'] === true ? 'vacuum' : 'analyze', 'table', relations);
}

function createTable(fields: Fields): Read {
  if (list(fields['inhRelations']).length > 0 || fields['partbound'] !== undefined || fields['ofTypename'] !== undefined)
    return { why: 'a table that inherits shares its rows with another' };
  return temporary(fields['relation']) ?? computing(fields) ?? onRelation('create', 'table', fields['relation']);
}

function alterTable(fields: Fields): Read {
  const commands = list(fields['cmds']).map((node) => text(as('AlterTableCmd', node)?.['subtype']));
  if (!commands.every((command) => PLAIN_ALTERATIONS.has(command)))
    return { why: 'this form of ALTER can move, rename or expose data; it belongs into a migration' };
  return computing(fields) ?? onRelation('alter', kindOf(text(fields['objtype'])), fields['relation']);
}

/** A temporary object hides one of the same name from every later statement of the session. */
function temporary(relation: unknown): Read | undefined {
  const persistent = isFields(relation) && relation['relpersistence'] === 'p' && relation['schemaname'] !== 'pg_temp';
  return persistent ? undefined : { why: 'temporary and unlogged objects are not supported' };
}

function computing(fields: Fields): Read | undefined {
  const found = descendants(fields).some((node) => COMPUTING.some((tag) => node[tag] !== undefined));
  return found ? { why: 'it computes something that is not judged; only constants may stand in a definition' } : undefined;
}
