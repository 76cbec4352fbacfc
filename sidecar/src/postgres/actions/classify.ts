import { as, descendants, equalTrees, isFields, list, strings, text, unwrap, type Fields } from './ast.ts';
import { blockAfter, skipPast, skipToken, skipWords, trimSpace } from './literals.ts';
import { readsOf } from './references.ts';
import { refusalOf } from './refusals.ts';
import { classifySet, isHarmlessSetConfig, refusedMode } from './settings.ts';
import type { Statement, StatementClass, StatementOf, TransactionOperation } from './statement.ts';
import { classifyUtility, relationName } from './utility.ts';

/** A text and the tree that libpg-query made of it; `parse` makes the tree of a part, to prove that the part was cut right. */
export interface Parsed {
  readonly sql: string;
  readonly tree: unknown;
  readonly parse: (sql: string) => unknown;
}
export interface RawStatement {
  readonly text: string;
  readonly node: unknown;
}

const QUERIES: Readonly<Record<string, StatementOf<'query'>['command']>> = {
  SelectStmt: 'select',
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
};
const TRANSACTIONS: Readonly<Record<string, TransactionOperation>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollback-to',
};
/** Three stars in a row stand in masked values. */
const MASK_RUN = '***';

/** The statements of a text, each with what it is; whatever is not known by its form is `refused`. */
export function classify(parsed: Parsed): Statement[] {
  return split(parsed.sql, parsed.tree).map(({ text: own, node }) => {
    const found = classOf(own, node, parsed.parse);
    const reads = found.kind === 'query' && found.command === 'select' ? readsOf(node) : undefined;
    return { ...found, text: own, ...flags(node), ...(reads !== undefined && { reads }) };
  });
}

/** Cuts the text where the parser says (UTF-8 byte offsets; a length of 0 runs to the end). */
export function split(sql: string, tree: unknown): RawStatement[] {
  const bytes = Buffer.from(sql);
  return list(isFields(tree) ? tree['stmts'] : undefined).map((raw) => {
    const {
      stmt,
      stmt_location: from = 0,
      stmt_len: length = 0,
    } = raw as { stmt?: unknown; stmt_location?: number; stmt_len?: number };
    const end = length === 0 ? bytes.length : from + length;
    return { text: trimSpace(bytes.toString('utf8', from, end)), node: stmt };
  });
}

function classOf(own: string, node: unknown, parse: Parsed['parse']): StatementClass {
  const found = unwrap(node);
  if (!found) return refused('this kind of statement is not supported');
  const { tag, fields } = found;
  if (Object.hasOwn(QUERIES, tag)) return query(tag, fields);
  switch (tag) {
    case 'ExplainStmt':
      return explain(own, fields, parse);
    case 'CopyStmt':
      return copy(own, fields, parse);
    case 'TransactionStmt': {
      const operation = TRANSACTIONS[text(fields['kind'])];
      if (operation === undefined) return refused('two-phase commit is not supported');
      return refusedMode(list(fields['options'])) ?? { kind: 'transaction', operation };
    }
    case 'VariableSetStmt':
      return classifySet(fields);
    case 'UnlistenStmt':
      return { kind: 'unlisten' };
    case 'VariableShowStmt':
      return { kind: 'show', name: text(fields['name']).toLowerCase() };
    default:
      return ofNames(own, found, parse) ?? classifyUtility(tag, fields) ?? refused(refusalOf(tag));
  }
}

/** What gives names to cursors and statements, or uses them. */
function ofNames(
  own: string,
  { tag, fields }: NonNullable<ReturnType<typeof unwrap>>,
  parse: Parsed['parse'],
): StatementClass | undefined {
  switch (tag) {
    case 'DeclareCursorStmt':
      return declare(own, fields, parse);
    case 'PrepareStmt':
      return prepare(own, fields, parse);
    case 'ExecuteStmt':
      return execute(fields);
    case 'DeallocateStmt':
      return { kind: 'deallocate', name: fields['isall'] === true ? undefined : text(fields['name']) };
    case 'FetchStmt':
      return { kind: 'fetch', cursor: text(fields['portalname']), move: fields['ismove'] === true };
    case 'ClosePortalStmt':
      return { kind: 'close', cursor: fields['portalname'] === undefined ? undefined : text(fields['portalname']) };
    default:
      return undefined;
  }
}

function refused(why: string): StatementClass {
  return { kind: 'refused', code: 'NotAnalysable', why };
}

function query(tag: string, fields: Fields): StatementClass {
  const into = tag === 'SelectStmt' && descendants(fields).some((each) => each['intoClause'] !== undefined);
  if (into) return refused(refusalOf('CreateTableAsStmt'));
  return { kind: 'query', command: QUERIES[tag] ?? 'select' };
}

function explain(own: string, fields: Fields, parse: Parsed['parse']): StatementClass {
  const inner = unwrap(fields['query']);
  if (!inner || !Object.hasOwn(QUERIES, inner.tag)) return refused('EXPLAIN is supported for queries only');
  const within = query(inner.tag, inner.fields);
  if (within.kind === 'refused') return within;
  const options = list(fields['options']).map((node) => as('DefElem', node));
  // EXPLAIN (options) query · EXPLAIN ANALYZE VERBOSE query · EXPLAIN (query)
  const after = skipWords(own, 0, ['explain']);
  const block = blockAfter(own, after);
  const start = block && options.length > 0 ? block.end : skipWords(own, after, ['analyze', 'analyse', 'verbose']);
  const rest = trimSpace(own.slice(start));
  if (!sameTree(parse(rest), fields['query'])) return refused('the query inside EXPLAIN cannot be told from its text');
  return { kind: 'explain', inner: rest, analyze: options.some((option) => option?.['defname'] === 'analyze' && !isOff(option)) };
}

/** Anything but a plain "no" counts as yes. */
function isOff(option: Fields): boolean {
  const word = as('String', option['arg']);
  const number = as('Integer', option['arg']);
  if (word) return ['false', 'off'].includes(text(word['sval']).toLowerCase());
  return number !== undefined && (number['ival'] ?? 0) === 0;
}

function copy(own: string, fields: Fields, parse: Parsed['parse']): StatementClass {
  if (fields['is_program'] === true || fields['filename'] !== undefined)
    return refused('COPY is supported from STDIN and to STDOUT only');
  const options = copyOptions(fields);
  if (fields['query'] !== undefined) {
    const inner = unwrap(fields['query']);
    const block = blockAfter(own, skipWords(own, 0, ['copy']));
    if (!inner || !Object.hasOwn(QUERIES, inner.tag) || !block) return refused('this form of COPY is not supported');
    const within = query(inner.tag, inner.fields);
    if (within.kind === 'refused') return within;
    const rest = trimSpace(own.slice(block.start + 1, block.end - 1));
    if (!sameTree(parse(rest), fields['query'])) return refused('the query inside COPY cannot be told from its text');
    return { kind: 'copy-out', query: rest, options };
  }
  const relation = relationName(fields['relation']);
  const columns = strings(fields['attlist']);
  if (!relation || !columns) return refused('the relation of COPY cannot be told from its text');
  if (fields['is_from'] !== true) return { kind: 'copy-out', relation, columns, options };
  if (fields['whereClause'] !== undefined) return refused('COPY FROM with WHERE is not supported; filter before sending');
  return { kind: 'copy-in', relation, columns, options };
}

/** CURSOR_OPT_BINARY and CURSOR_OPT_HOLD of the server's parsenodes.h. */
const BINARY_CURSOR = 0x0001;
const HELD_CURSOR = 0x0020;

function declare(own: string, fields: Fields, parse: Parsed['parse']): StatementClass {
  const options = Number(fields['options'] ?? 0);
  if (options & BINARY_CURSOR) return refused('a BINARY cursor is not supported; ask for binary results in the protocol');
  if (options & HELD_CURSOR) return refused('a cursor WITH HOLD is not supported; fetch within the transaction');
  const inner = unwrap(fields['query']);
  if (!inner || !Object.hasOwn(QUERIES, inner.tag)) return refused('a cursor is supported for queries only');
  const within = query(inner.tag, inner.fields);
  if (within.kind === 'refused') return within;
  // DECLARE name … FOR query
  const rest = trimSpace(own.slice(skipPast(own, skipToken(own, skipWords(own, 0, ['declare'])), 'for')));
  if (!sameTree(parse(rest), fields['query'])) return refused('the query of the cursor cannot be told from its text');
  return { kind: 'declare', cursor: text(fields['portalname']), inner: rest };
}

function prepare(own: string, fields: Fields, parse: Parsed['parse']): StatementClass {
  const inner = unwrap(fields['query']);
  if (!inner || !Object.hasOwn(QUERIES, inner.tag)) return refused('PREPARE is supported for queries only');
  const within = query(inner.tag, inner.fields);
  if (within.kind === 'refused') return within;
  // PREPARE name (types) AS query
  const named = skipWords(own, skipToken(own, skipWords(own, 0, ['prepare'])), []);
  const rest = trimSpace(own.slice(skipPast(own, blockAfter(own, named)?.end ?? named, 'as')));
  if (!sameTree(parse(rest), fields['query'])) return refused('the query of PREPARE cannot be told from its text');
  return { kind: 'prepare', name: text(fields['name']), inner: rest };
}

function execute(fields: Fields): StatementClass {
  const values = list(fields['params']).map(constantOf);
  if (values.includes(undefined))
    return refused("EXECUTE is supported with plain constants only; use the driver's prepared statements");
  return { kind: 'execute', name: text(fields['name']), values: values.filter((value) => value !== undefined) };
}

/** What the input function of any type reads as this constant; undefined: it is none. */
function constantOf(node: unknown): string | null | undefined {
  const constant = as('A_Const', node);
  if (constant?.['isnull'] === true) return null;
  const [kind, value] = Object.entries(constant ?? {}).find(([key]) => key !== 'location') ?? ['', undefined];
  if (!isFields(value)) return undefined;
  switch (kind) {
    case 'ival':
      return String(Number(value['ival'] ?? 0));
    case 'fval':
      return text(value['fval']);
    case 'sval':
      return text(value['sval']);
    case 'boolval':
      return String(value['boolval'] === true);
    default:
      return undefined;
  }
}

function copyOptions(fields: Fields): Record<string, string> {
  return Object.fromEntries(
    list(fields['options']).map((node) => {
      const option = as('DefElem', node);
      const arg = unwrap(option?.['arg']);
      const listed = strings(arg?.fields['items']) ?? [];
      const value = arg?.tag === 'Integer' ? String(Number(arg.fields['ival'] ?? 0)) : text(arg?.fields['sval']);
      return [text(option?.['defname']), arg?.tag === 'List' ? listed.join(',') : value];
    }),
  );
}

/** Whether `tree` holds one statement and it equals `node` in all but positions. */
function sameTree(tree: unknown, node: unknown): boolean {
  const statements = list(isFields(tree) ? tree['stmts'] : undefined) as { stmt?: unknown }[];
  return statements.length === 1 && equalTrees(statements[0]?.stmt, node);
}

function flags(node: unknown): Pick<Statement, 'mentionsSetConfig' | 'harmlessSetConfigs' | 'maskSentinel'> {
  let setConfigs = 0;
  let harmless = 0;
  let maskSentinel = false;
  for (const fields of descendants(node)) {
    const called = fields['FuncCall'];
    if (isFields(called) && strings(called['funcname'])?.at(-1) === 'set_config') {
      setConfigs++;
      if (isHarmlessSetConfig(called['args'])) harmless++;
    }
    const constant = fields['A_Const'];
    if (isFields(constant) && isFields(constant['sval']) && text(constant['sval']['sval']).includes(MASK_RUN))
      maskSentinel = true;
  }
  return { mentionsSetConfig: setConfigs > 0, harmlessSetConfigs: harmless === setConfigs ? harmless : 0, maskSentinel };
}
