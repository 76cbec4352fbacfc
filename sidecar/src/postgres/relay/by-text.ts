import { type Access, type Effect, qualifiedName } from '@chaperone/policy';
import type { Reads } from '../actions/index.ts';
import {
  type Analysis,
  type Catalog,
  type CatalogRelation as Relation,
  confirms,
  type Expected,
  type FunctionVerdict,
} from '../masking/index.ts';
import { type Held, type JudgeContext, type Judgement, judgeText } from './judgement.ts';
import type { PrepareOutcome } from './steps.ts';

/** A query that may be executed in the same breath as it is parsed, with what its tree has to confirm before a row of it passes. */
export interface ByTextJudgement extends Expected {
  readonly judgement: Judgement;
  /** By which it was judged: another one may have other labels. */
  readonly catalog: Catalog;
}

type Context = Pick<JudgeContext, 'access' | 'catalog'>;

/** Tables, and partitioned ones. Reading a view or a foreign table may run code of the owner's. */
const TABLES: ReadonlySet<string> = new Set(['r', 'p']);
/** Relations whose statements were not as their texts foretold; with more, all begin anew. */
const MAX_DISTRUSTED = 1000;

/**
 * Judges queries by their text and the catalogue, so that they need not wait for the server's tree: those of tables alone, by
 * functions, operators and types that came with the server, which show and use no labelled column, and which rules simply allow.
 *
 * It only foretells. The names may mean something else by now, within the life of a catalogue: a temporary table, a view that took
 * a table's place, an operator of the owner's that fits better. The server's tree of this very execution tells, before any row.
 */
export class ByText {
  #catalog: Catalog | undefined;
  readonly #named = new Map<string, Relation>();
  readonly #distrusted = new Set<number>();

  /** Undefined: its tree has to be read first. */
  judge(statement: Held, { access, catalog }: Context): ByTextJudgement | undefined {
    if (statement.kind !== 'query' || statement.reads === undefined) return undefined;
    const relations = this.#relations(statement.reads, access, catalog);
    if (relations === undefined) return undefined;
    if (!hidesAll(statement.reads, relations, catalog)) return undefined;
    const judgement = judgeText(statement, analysisOf(relations, catalog), [], access);
    const { verdict, refusal } = judgement;
    if (verdict.verdict !== 'allow' || verdict.wouldDeny !== undefined || refusal !== undefined) return undefined;
    const mayCall = (oid: number): boolean => worksAlone(catalog.functions.get(oid));
    return { judgement, catalog, relations: new Set(relations.map(({ oid }) => oid)), mayCall };
  }

  /** Whether a query reads tables and nothing else, labelled columns or not. */
  readsTables(statement: Held, { access, catalog }: Context): boolean {
    if (statement.kind !== 'query' || statement.reads === undefined) return false;
    return this.#relations(statement.reads, access, catalog) !== undefined;
  }

  /** Their texts did not say what the server understood: until the catalogue is another one, each statement of them is held. */
  distrust(relations: ReadonlySet<number>): void {
    if (this.#distrusted.size > MAX_DISTRUSTED) this.#distrusted.clear();
    for (const oid of relations) this.#distrusted.add(oid);
  }

  /** Each once. Undefined: one of them is no table that is known. */
  #relations({ relations }: Reads, { searchPath }: Access, catalog: Catalog): Relation[] | undefined {
    this.#under(catalog);
    if (catalog.impliesCode) return undefined;
    const found = new Set<Relation>();
    const [only, ...more] = searchPath;
    for (const { schema = more.length > 0 ? undefined : only, name } of relations) {
      const relation = schema === undefined ? undefined : this.#named.get(keyOf(schema, name));
      if (relation === undefined || this.#distrusted.has(relation.oid)) return undefined;
      found.add(relation);
    }
    return [...found];
  }

  #under(catalog: Catalog): void {
    if (this.#catalog === catalog) return;
    this.#catalog = catalog;
    this.#distrusted.clear();
    this.#named.clear();
    for (const relation of catalog.relations.values())
      if (TABLES.has(relation.kind) && isUsers(relation)) this.#named.set(keyOf(relation.schema, relation.name), relation);
  }
}

/** What came with the server holds what agents may not see; temporary tables are one session's. */
function isUsers({ schema }: Relation): boolean {
  return !schema.startsWith('pg_') && schema !== 'information_schema';
}

/** What reading a tree lets pass without a word: neither refused, nor the owner's, nor about the session or whatever types it is given. */
function worksAlone(verdict: FunctionVerdict | undefined): boolean {
  return verdict?.kind === 'allowed' && verdict.session !== true && verdict.input !== true;
}

/** Neither may hold a NUL. */
const keyOf = (schema: string, name: string): string => `${schema}\0${name}`;

/** No column with a label is shown or used. What a name is that is no column's, such as `t.f` for `f(t)`, only the server knows. */
function hidesAll({ names, whole }: Reads, relations: readonly Relation[], { labelled }: Catalog): boolean {
  if (!relations.some(({ oid }) => labelled.has(oid))) return true;
  if (whole) return false;
  const plain = new Set<string>();
  const hidden = new Set<string>();
  for (const { oid, columns } of relations)
    for (const [attribute, { name }] of columns) (labelled.get(oid)?.has(attribute) === true ? hidden : plain).add(name);
  return names.every((name) => plain.has(name) && !hidden.has(name));
}

/** What reading its tree would say. */
function analysisOf(relations: readonly Relation[], { labels, labelled }: Catalog): Analysis {
  const effects = relations.map(
    ({ schema, name }): Effect => ({ verb: 'select', object: qualifiedName(schema, name), via: 'direct', kind: 'relation' }),
  );
  return {
    command: 'select',
    columns: [],
    effects,
    references: [],
    assigns: [],
    targets: [],
    refused: undefined,
    touchesLabelled: labels.size > 0 && relations.some(({ oid }) => labelled.has(oid)),
    impliesCode: false,
    firesOwnersCode: relations.some(({ runsOwnersCode }) => runsOwnersCode),
    ownersCode: false,
    readsSession: false,
    setConfigs: 0,
    unknownObjects: false,
    labelled,
  };
}

/** What was foretold, now that the tree confirms it and the columns of the result are known. Undefined: the tree has to be read. */
export function confirmed(
  foretold: ByTextJudgement,
  { trees, fields }: Extract<PrepareOutcome, { kind: 'prepared' }>,
  { access, catalog }: Context,
): Judgement | undefined {
  if (foretold.catalog !== catalog) return undefined;
  const [tree, ...more] = trees;
  const { statement, basis } = foretold.judgement;
  if (tree === undefined || more.length > 0 || basis.analysis === undefined || !confirms(tree, foretold)) return undefined;
  const columns = fields.map(({ name }) => ({ name, sources: [], exact: true }));
  return judgeText(statement, { ...basis.analysis, columns }, fields, access, tree);
}
