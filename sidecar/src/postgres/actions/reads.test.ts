import { afterAll, expect, it } from 'vitest';
import { StatementParser } from './parser.ts';
import type { Reads } from './statement.ts';

const parser = new StatementParser();
afterAll(() => parser.close());

async function readsOf(sql: string): Promise<Reads | undefined> {
  const [statement] = await parser.classify(Buffer.from(sql));
  return statement?.reads;
}

const t = [{ name: 't' }];
it.each<[string, Reads]>([
  ['select 1', { relations: [], names: [], whole: false }],
  ['select a from t', { relations: t, names: ['a'], whole: false }],
  [
    'select x.a, count(*) from s.t x where lower(b) = $1 group by c order by d',
    {
      relations: [{ schema: 's', name: 't' }],
      names: ['a', 'b', 'c', 'd'],
      whole: false,
    },
  ],
  ['select "A b" from t', { relations: t, names: ['A b'], whole: false }],
  ['select a from t join u using (b)', { relations: [...t, { name: 'u' }], names: ['a', 'b'], whole: false }],
  ['with x as (select a from t) select a from x', { relations: t, names: ['a'], whole: false }],
  ['select x.json_agg from t x', { relations: t, names: ['json_agg'], whole: false }],
])('%s', async (sql, expected) => {
  const found = await readsOf(sql);
  expect({ ...found, names: found?.names.toSorted() }).toEqual({ ...expected, names: expected.names.toSorted() });
});

it.each([
  'select * from t',
  'select t.* from t',
  'select t from t',
  'select x from t as x',
  'select to_json(x) from t as x',
  'select a from t natural join u',
  'select a from t as x(a)',
  'select (x.c).* from t x',
  'table t',
])('%s: columns are used that it does not name', async (sql) => expect(await readsOf(sql)).toMatchObject({ whole: true }));

it.each([
  'select f(a) from t',
  'select public.lower(a) from t',
  'select a operator(public.=) b from t',
  'select a::mine from t',
  "select ('a').ts_stat",
  'select (x.a).f from t x',
  'select (a)[1].f from t',
  'select (((a).f).g) from t',
  'select a from t order by (a).f',
  'select random()',
  'select a from t for update',
  'select a into u from t',
  'with x as (delete from t returning a) select a from x',
  'select set_config($1, $2, false)',
  'select pg_sleep(1)',
  'select a from generate_series(1, 2) a',
  'insert into t values (1)',
  'explain select a from t',
  `select ${Array.from({ length: 201 }, (_, at) => `c${at}`).join()} from t`,
])('%s: only the server can tell', async (sql) => expect(await readsOf(sql)).toBeUndefined());
