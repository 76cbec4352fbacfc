import type { Access } from '@chaperone/policy';
import { Choices, shrink } from './choices.test-support.ts';
import { generate } from './generator.test-support.ts';
import { analyse, judgeWrites, parseTree, planResult, TreeError } from './index.ts';
import { openSession, type Rows } from './session.test-support.ts';
import { anAccess } from './testbed.test-support.ts';

const SENSITIVE: Access['sensitive'] = [
  { label: 'text', columns: ['gen.person.ssn', 'gen.visit.secret', 'gen.event.token', 'gen.kid.v'] },
  { label: 'other', columns: ['age', 'born', 'doc', 'tags', 'pair'].map((name) => `gen.person.${name}`) },
];
/** Labelled values of testdata/generator.sql, also turned round, in hexadecimal and in base64. */
const CANARY = /qzxw|wxzq|777000|0007 ?77|1777-07|717a7877|cXp4d|F6eH|xenh/i;
/** Columns without labels into which the generated statements write. */
const UNLABELLED = `select concat_ws('|', name) from gen.person union all select concat_ws('|', note) from gen.visit
  union all select concat_ws('|', a, b) from gen.sink`;
/** PostgreSQL's own words for what no choice of expressions can keep from happening: sizes that multiply. */
const TOO_MUCH = new Set(['54000', '57014', '53200', '53400', '54001']);

export interface Counts {
  queries: number;
  /** Queries with a column that held a canary. */
  showing: number;
  /** Result columns, and those of them that held a canary. */
  columns: number;
  holding: number;
  /** Columns that were masked although nothing was in them. */
  overMasked: number;
  refused: number;
  tooMuch: number;
  invalid: string[];
  missed: string[];
}
export const noCounts = (): Counts => ({
  queries: 0,
  showing: 0,
  columns: 0,
  holding: 0,
  overMasked: 0,
  refused: 0,
  tooMuch: 0,
  invalid: [],
  missed: [],
});

type Seen =
  | { readonly kind: 'invalid' | 'tooMuch' | 'refused'; readonly why: string }
  | {
      readonly kind: 'shown';
      readonly columns: number;
      readonly holding: number;
      readonly over: number;
      readonly missed: string | undefined;
    };

/** A server with testdata/generator.sql, and what lineage says against what it does. */
export async function openOracle(options: { package?: string } = {}) {
  const session = await openSession({ ...options, schema: 'generator.sql', user: 'generator', sensitive: SENSITIVE });
  const { catalog, major } = session;
  const access = anAccess({ sensitive: SENSITIVE });
  await session.rows('begin');

  const run = async (sql: string): Promise<Seen> => {
    try {
      const { result, tree } = await session.run(sql);
      if (result instanceof Error) {
        return { kind: TOO_MUCH.has(result.code ?? '') ? 'tooMuch' : 'invalid', why: `${result.code} ${result.message}: ${sql}` };
      }
      const moved =
        result.command === 'SELECT'
          ? false
          : (await session.prepared('unlabelled', UNLABELLED)).rows.some(([line]) => CANARY.test(line ?? ''));
      return compare(sql, tree, result, moved);
    } finally {
      await session.rows('rollback; begin');
    }
  };

  /** What lineage says of a statement against what the server did. */
  const compare = (sql: string, tree: string, result: Rows, moved: boolean): Seen => {
    let analysis;
    try {
      analysis = analyse(parseTree(tree, major), catalog, major);
    } catch (error) {
      if (error instanceof TreeError) return { kind: 'refused', why: error.message };
      throw error;
    }
    const write = judgeWrites(analysis, access);
    if (write !== undefined) return { kind: 'refused', why: write.reason };
    const fields = result.fields.map(({ name, tableID, columnID, dataTypeID }) => ({
      name,
      tableOid: tableID,
      attributeNumber: columnID,
      typeOid: dataTypeID,
    }));
    const plan = planResult({ analysis, fields, access });
    if (plan.kind === 'refuse') return { kind: 'refused', why: plan.reason };
    const holds = fields.map((_, column) => result.rows.some((row) => CANARY.test(row[column] ?? '')));
    const missed = fields
      .filter((_, column) => holds[column] === true && plan.masks[column] === undefined)
      .map(({ name }) => name);
    if (moved) missed.push('a column without a label was written');
    return {
      kind: 'shown',
      columns: fields.length,
      holding: holds.filter(Boolean).length,
      over: plan.masks.filter((mask, column) => mask !== undefined && holds[column] === false).length,
      missed: missed.length === 0 ? undefined : `${missed.join(', ')}: ${sql}`,
    };
  };

  /** Generates one query and adds what was seen to the counts; a missed column is shown by the smallest query that misses it. */
  const check = async (seed: number, counts: Counts): Promise<void> => {
    const choices = new Choices(seed);
    const seen = await run(generate(choices, major));
    counts.queries++;
    if (seen.kind === 'invalid') counts.invalid.push(`seed ${seed}: ${seen.why}`);
    else if (seen.kind !== 'shown') counts[seen.kind]++;
    else {
      if (seen.holding > 0) counts.showing++;
      counts.columns += seen.columns;
      counts.holding += seen.holding;
      counts.overMasked += seen.over;
      if (seen.missed === undefined) return;
      const again = async (list: readonly number[]): Promise<Seen> => run(generate(new Choices(list), major));
      const fails = async (list: readonly number[]): Promise<boolean> => {
        const one = await again(list);
        return one.kind === 'shown' && one.missed !== undefined;
      };
      const least = await again(await shrink(choices.drawn, fails));
      counts.missed.push(`seed ${seed}: ${least.kind === 'shown' ? (least.missed ?? '') : seen.missed}`);
    }
  };

  return {
    major,
    run,
    check,
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
export type Oracle = Awaited<ReturnType<typeof openOracle>>;
