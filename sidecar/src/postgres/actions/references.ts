import { as, isFields, list, stringOf, strings, text, unwrap, type Fields } from './ast.ts';
import type { Reads, Reference, References } from './statement.ts';
import { relationName } from './utility.ts';

/** Deeper nesting is left to the server. */
const MAX_DEPTH = 2_000;

/** Functions that compute from their arguments alone and that pg_catalog owns in every supported major. */
const FUNCTIONS = new Set(
  (
    'abs array_agg array_length avg bool_and bool_or btrim cardinality ceil ceiling char_length concat concat_ws count cume_dist ' +
    'date_part date_trunc dense_rank every exp extract first_value floor format greatest initcap json_agg json_build_array ' +
    'json_build_object jsonb_agg jsonb_build_array jsonb_build_object lag last_value lead least left length ln log lower lpad ' +
    'ltrim make_date max md5 min mod nth_value ntile now nullif octet_length overlay percent_rank position power random rank ' +
    'regexp_replace repeat replace reverse right round row_number row_to_json rpad rtrim sign split_part sqrt starts_with ' +
    'statement_timestamp stddev string_agg string_to_array strpos substr substring sum timezone to_char to_date to_json to_jsonb ' +
    'to_number to_timestamp transaction_timestamp translate trim trunc unnest upper variance'
  ).split(' '),
);
const TYPES = new Set(
  (
    'bool bpchar bytea char date float4 float8 inet int2 int4 int8 interval json jsonb money numeric text time timestamp ' +
    'timestamptz timetz uuid varchar bigint boolean decimal integer real smallint'
  ).split(' '),
);
/** Nodes whose meaning is the sum of their parts; a name the server might resolve to code is checked on the way. */
const TRANSPARENT = new Set(
  (
    'A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Boolean BooleanTest BoolExpr CaseExpr CaseWhen CoalesceExpr ' +
    'CollateClause ColumnRef Float FuncCall GroupingFunc GroupingSet IndexElem Integer JoinExpr List LockingClause MergeWhenClause ' +
    'MinMaxExpr MultiAssignRef NamedArgExpr NullTest ParamRef RangeFunction RangeSubselect RangeVar ResTarget RowExpr ' +
    'ReturningOption SetToDefault SortBy SQLValueFunction String SubLink TypeCast TypeName WindowDef ' +
    'SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt'
  ).split(' '),
);
const MERGE_VERBS: Readonly<Record<string, Reference['verb']>> = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
};

type Scope = ReadonlySet<string>;

/**
 * What a query names, from its text alone: relations with what is done to each, CTE names left out where they are in scope.
 * `unknown` is set where only the catalogue could tell (functions, types and operators that are not surely built in, fields, forms
 * that this file does not know). Attribute notation (`t.f` for `f(t)`) is not seen here; the server sees it.
 */
export function references(query: unknown): References {
  const walk = new Walk();
  walk.node(query, new Set(), 0);
  return { effects: walk.effects, ...(walk.unknown !== undefined && { unknown: walk.unknown }) };
}

/** Names of columns and relations that are told on; a text with more is left to the server. */
const MAX_NAMES = 200;

/**
 * What a SELECT reads, if its text tells all of it: see {@link references}. Undefined where only the server can, and where it locks
 * rows.
 */
export function readsOf(query: unknown): Reads | undefined {
  const walk = new Walk();
  walk.node(query, new Set(), 0);
  const { effects, names, ranges } = walk;
  if (walk.unknown !== undefined || walk.session || effects.some(({ verb }) => verb !== 'select')) return undefined;
  if (effects.length + names.size > MAX_NAMES) return undefined;
  const relations = effects.map(({ schema, name }) => (schema === undefined ? { name } : { schema, name }));
  return { relations, names: [...names], whole: walk.whole || [...names].some((name) => ranges.has(name)) };
}

class Walk {
  readonly effects: Reference[] = [];
  /** Last parts of what may name a column. */
  readonly names = new Set<string>();
  /** What stands in FROM is called so: as a column's name it is the whole row. */
  readonly ranges = new Set<string>();
  /** It shows what an earlier statement may have left in the session. */
  session = false;
  /** It names columns in a way that their names do not show. */
  whole = false;
  unknown: string | undefined;

  node(value: unknown, scope: Scope, depth: number): void {
    if (depth > MAX_DEPTH) this.fail('it is nested too deeply');
    if (this.unknown !== undefined || typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const item of value as unknown[]) this.node(item, scope, depth + 1);
      return;
    }
    const found = unwrap(value);
    if (found && /^[A-Z]/.test(found.tag)) this.tagged(found.tag, found.fields, scope, depth);
    else this.members(value as Fields, scope, depth);
  }

  private members(fields: Fields, scope: Scope, depth: number, except: readonly string[] = []): void {
    for (const [key, member] of Object.entries(fields)) {
      if (key === 'typeName') this.type(member);
      if (!except.includes(key)) this.node(member, scope, depth + 1);
    }
  }

  private tagged(tag: string, fields: Fields, scope: Scope, depth: number): void {
    if (!TRANSPARENT.has(tag)) {
      this.fail('it uses a form that only the server can resolve');
      return;
    }
    if (tag.endsWith('Stmt')) this.statement(tag, fields, this.commonTables(fields, scope, depth), depth);
    else if (tag === 'RangeVar') this.read(fields, scope);
    else {
      if (tag === 'FuncCall') this.call(fields);
      if (tag === 'A_Expr') this.operator(fields['name']);
      if (tag === 'SubLink') this.operator(fields['operName']);
      if (tag === 'SortBy') this.operator(fields['useOp']);
      if (tag === 'TypeName') this.type(fields);
      this.column(tag, fields);
      this.members(fields, scope, depth);
    }
  }

  private column(tag: string, fields: Fields): void {
    if (tag === 'ColumnRef') this.names.add(stringOf(list(fields['fields']).at(-1)));
    const parts = list(fields['indirection']);
    // `(x).f` is a field of x, or f(x).
    if (tag === 'A_Indirection' && parts.some((part) => as('String', part) !== undefined))
      this.fail('it uses a field that may be a function, which only the server can resolve');
    if (tag === 'A_Star' || fields['isNatural'] === true) this.whole = true;
    for (const part of [...parts, ...list(fields['usingClause'])]) this.names.add(stringOf(part));
    this.called(fields['alias']);
  }

  private called(alias: unknown): void {
    if (!isFields(alias)) return;
    this.ranges.add(text(alias['aliasname']));
    // Columns that are called otherwise hide their names.
    if (alias['colnames'] !== undefined) this.whole = true;
  }

  /** Each CTE sees the ones before it, all of them under RECURSIVE; the statement sees all. */
  private commonTables(fields: Fields, outer: Scope, depth: number): Scope {
    const clause = isFields(fields['withClause']) ? fields['withClause'] : {};
    const tables = list(clause['ctes']).map((node) => as('CommonTableExpr', node) ?? {});
    const names = tables.map((table) => text(table['ctename']));
    let scope = new Set(clause['recursive'] === true ? [...outer, ...names] : outer);
    for (const [index, table] of tables.entries()) {
      if (table['search_clause'] !== undefined || table['cycle_clause'] !== undefined) this.fail('it uses SEARCH or CYCLE');
      this.node(table['ctequery'], scope, depth + 1);
      scope = new Set([...scope, names[index] ?? '']);
    }
    return scope;
  }

  private statement(tag: string, fields: Fields, scope: Scope, depth: number): void {
    if (fields['intoClause'] !== undefined) this.fail('it writes its rows to a new table');
    if (tag === 'SelectStmt') {
      const before = this.effects.length;
      this.node(fields['fromClause'], scope, depth + 1);
      // FOR UPDATE and its kin lock rows of what stands in FROM; which of it, the aliases say, so all of it counts.
      if (fields['lockingClause'] !== undefined)
        for (const effect of this.effects.slice(before)) this.effects.push({ ...effect, verb: 'lock' });
      this.members(fields, scope, depth, ['withClause', 'fromClause', 'lockingClause']);
      return;
    }
    const target = relationName(fields['relation']);
    if (!target) {
      this.fail('its target cannot be told from its text');
      return;
    }
    const verbs = readsTarget(fields, target.name) ? [...targetVerbs(tag, fields), 'select' as const] : targetVerbs(tag, fields);
    for (const verb of verbs) this.effects.push({ verb, ...target });
    this.members(fields, scope, depth, ['withClause', 'relation']);
  }

  private read(fields: Fields, scope: Scope): void {
    const name = relationName(fields);
    this.called(fields['alias']);
    if (name) this.ranges.add(name.name);
    if (!name) this.fail('it names a relation of another database');
    else if (name.schema !== undefined || !scope.has(name.name)) this.effects.push({ verb: 'select', ...name });
  }

  private call(fields: Fields): void {
    const parts = strings(fields['funcname']) ?? [];
    const [schema, name] = parts.length === 2 ? parts : ['pg_catalog', parts[0]];
    const known = schema === 'pg_catalog' && parts.length <= 2 && FUNCTIONS.has(name ?? '');
    if (name === 'random') this.session = true;
    if (!known) this.fail('it calls a function that only the server can resolve');
  }

  private operator(name: unknown): void {
    const parts = list(name);
    if (parts.length > 1 && stringOf(parts[0]) !== 'pg_catalog')
      this.fail('it uses an operator that only the server can resolve');
  }

  private type(value: unknown): void {
    const parts = strings(isFields(value) ? value['names'] : []) ?? [''];
    const [schema, name] = parts.length === 2 ? parts : ['pg_catalog', parts[0]];
    if (schema !== 'pg_catalog' || !TYPES.has(name ?? '')) this.fail('it uses a type that only the server can resolve');
  }

  private fail(why: string): void {
    this.unknown ??= why;
  }
}

/** What is done to the target of a writing statement. MERGE does what its branches do. */
function targetVerbs(tag: string, fields: Fields): Reference['verb'][] {
  switch (tag) {
    case 'InsertStmt': {
      const conflict = fields['onConflictClause'];
      return isFields(conflict) && conflict['action'] === 'ONCONFLICT_UPDATE' ? ['insert', 'update'] : ['insert'];
    }
    case 'UpdateStmt':
      return ['update'];
    case 'DeleteStmt':
      return ['delete'];
    default:
      return list(fields['mergeWhenClauses']).flatMap(
        (clause) => MERGE_VERBS[text(as('MergeWhenClause', clause)?.['commandType'])] ?? [],
      );
  }
}

/** Parts of a writing statement that cannot see its target, or name it only to write to it. */
const BLIND = new Set(['withClause', 'relation', 'selectStmt', 'fromClause', 'usingClause', 'sourceRelation', 'cols']);

/**
 * Whether the server would want SELECT on the target as well, because a column of it is read: in a condition, an assigned
 * value, RETURNING, or the columns of ON CONFLICT. A bare name counts as the target's, inside a sub-query as the
 * sub-query's; a qualified one by its qualifier.
 */
function readsTarget(fields: Fields, name: string): boolean {
  const relation = isFields(fields['relation']) ? fields['relation'] : {};
  const alias = isFields(relation['alias']) ? text(relation['alias']['aliasname']) : name;
  const waiting: { value: unknown; nested: boolean }[] = Object.entries(fields)
    .filter(([key]) => !BLIND.has(key))
    .map(([, value]) => ({ value, nested: false }));
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, nested } = next;
    if (Array.isArray(value)) for (const item of value as unknown[]) waiting.push({ value: item, nested });
    if (!isFields(value)) continue;
    if (isFields(value['infer'])) return true;
    const column = as('ColumnRef', value);
    if (column && namesTarget(list(column['fields']), alias, nested)) return true;
    const inside = nested || value['SelectStmt'] !== undefined;
    for (const member of Object.values(value)) if (typeof member === 'object') waiting.push({ value: member, nested: inside });
  }
  return false;
}

function namesTarget(parts: readonly unknown[], alias: string, nested: boolean): boolean {
  if (parts.length === 1) return !nested;
  return stringOf(parts.at(-2)) === alias;
}
