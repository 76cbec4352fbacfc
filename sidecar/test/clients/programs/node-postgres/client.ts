import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Client, Pool, type QueryConfig, type QueryResult } from 'pg';
import { errorOf, say } from '../step.ts';

const ssl = { ca: readFileSync(process.env['PGSSLROOTCERT'] ?? '', 'utf8') };
const client = new Client({ ssl });
const notices: string[] = [];
client.on('notice', ({ message }) => void notices.push(String(message)));
await client.connect();

say({ step: 'client', result: (createRequire(import.meta.url)('pg/package.json') as { version: string }).version });

async function step(name: string, act: () => Promise<unknown>): Promise<void> {
  try {
    say({ step: name, result: (await act()) ?? null });
  } catch (error) {
    say({ step: name, error: errorOf(error) });
  }
}
/** All that the protocol says of a result, so that types and formats are compared too. */
const shown = ({ command, rowCount, rows, fields }: QueryResult): unknown => ({
  command,
  rowCount,
  rows: rows as unknown[],
  fields: fields.map(({ name, dataTypeID, dataTypeModifier, format }) => [name, dataTypeID, dataTypeModifier, format]),
});
const query = async (text: string | (QueryConfig & { binary?: boolean }), values?: unknown[]): Promise<unknown> => {
  const result = await client.query(text, values);
  return Array.isArray(result) ? (result as QueryResult[]).map(shown) : shown(result);
};
const CUSTOMERS = 'select id, name, email, salary, born from customers';
const TYPES = `select 1::int2, 2::int4, 3::int8, 4.5::float8, 6.7::numeric, true, 'x'::text, null, date '2020-01-02',
  timestamptz '2020-01-02 03:04:05+00', '{1,2}'::int[], '{"a":1}'::jsonb, '\\x01ff'::bytea, interval '1 day', uuid '0e37df36-f698-11e6-8dd4-cb9ced3df976'`;

await step('simple query', () => query('select id, name, mood, tags, made, note from customers order by id'));
await step('types, in text', () => query(TYPES));
await step('types, in binary', () => query({ text: TYPES, binary: true }));
await step('values', () => query('select name from customers where id = $1 and made > $2', [1, new Date(0)]));
await step('array of values', () => query('select name from customers where id = any($1::int[]) order by 1', [[1, 3]]));
await step('named statement', async () => {
  const named = { name: 'by-id', text: 'select name from customers where id = $1' };
  return [await query({ ...named, values: [1] }), await query({ ...named, values: [2] })];
});
await step('rows as arrays', async () => (await client.query({ text: 'select 1 as a, 2 as a', rowMode: 'array' })).rows);
await step('several statements', () => query(`select 1 as a; select 'b' as b`));
await step('empty query', () => query(''));
await step('masked in text', () => query(`${CUSTOMERS} order by id`));
await step('masked with values', () => query(`${CUSTOMERS} where id = $1`, [2]));
await step('masked in binary', () => query({ text: `${CUSTOMERS} order by id`, binary: true }));
await step('masked in a named statement', () => query({ name: 'masked', text: `${CUSTOMERS} where id = $1`, values: [1] }));
await step('masked through a view', () => query('select * from contacts order by id'));
await step('masked in jsonb', () => query('select to_jsonb(email) as mail from customers order by id'));
await step('insert returning', () =>
  query('insert into scratch (id, word, doc) values ($1, $2, $3) returning id, word, doc', [201, 'w', { a: [1] }]),
);
await step('update', () => query('update scratch set amount = $2 where id = $1', [201, '12.50']));
await step('upsert', () =>
  query('insert into scratch (id, word) values ($1, $2) on conflict (id) do update set word = excluded.word returning word', [
    201,
    'v',
  ]),
);
await step('delete', () => query('delete from scratch where id = $1', [201]));
await step('transaction', async () => {
  await client.query('begin');
  await client.query('insert into scratch (id) values ($1)', [202]);
  const inside = await client.query('select count(*)::int as n from scratch where id = 202');
  await client.query('rollback');
  const after = await client.query('select count(*)::int as n from scratch where id = 202');
  return [inside.rows, after.rows];
});
await step('error in a transaction', async () => {
  await client.query('begin');
  await client.query('select 1 / 0').catch(() => undefined);
  try {
    return await query('select 1');
  } finally {
    await client.query('rollback');
  }
});
await step('many at once', () => Promise.all([1, 2, 3].map((id) => query('select name from customers where id = $1', [id]))));
await step('error with values', () => query('select 1 / $1::int', [0]));
await step('unknown column', () => query('select nothing from customers'));
await step('wrong value', () => query('select $1::int', ['x']));
await step('constraint', () => query('insert into orders (id, customer_id, cents) values (900, 1, -1)'));
await step('large row', async () =>
  String(((await client.query(`select repeat('x', 3000000) as t`)).rows[0] as { t: string }).t.length),
);
await step('many rows', async () => (await client.query('select g from generate_series(1, 20000) g')).rows.length);
await step('notices', async () => {
  await client.query('drop table if exists nothing_there');
  return notices;
});
await step('statement_timeout', async () => {
  await client.query('set statement_timeout = 50');
  try {
    return await query('select pg_sleep(5)');
  } finally {
    await client.query('reset statement_timeout');
  }
});
await step('listen', () => query('listen news'));
await step('advisory lock', () => query('select pg_try_advisory_lock(1)'));
await step('set_config', () => query(`select set_config('application_name', 'other', false)`));
await step('at the end', () => query('select current_user, current_database(), $1::text as still_here', ['yes']));
await client.end();

// As web applications do.
const pool = new Pool({ ssl, max: 3 });
await step('pool', async () =>
  (await Promise.all([1, 2, 3, 4, 5].map((n) => pool.query('select $1::int as n', [n])))).map(({ rows }) => rows as unknown),
);
await pool.end();
