import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { Meddler, TRIGGER } from './meddler.test-support.ts';
import { say } from './raw-client.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table items (id int primary key, name text, owner text);
insert into items select g, 'item ' || g, 'secret-' || g from generate_series(1, 50) g;
insert into items values (99, '${TRIGGER}', 'nobody');
create table log (n int);
create view shown as select id, name from items;
create function called(int) returns text security definer language plpgsql as
  'begin insert into log values ($1); return $1; end';
grant select on items, shown to agent_role;`;
const POLICY = {
  rules: [
    {
      name: 'read',
      effect: 'Allow',
      resource: RESOURCE,
      sql: { statements: ['select'], relations: ['public.items', 'public.shown'] },
    },
  ],
};
const OWNED = { sensitive: [{ label: 'secret', columns: ['public.items.owner'] }] };
const DEFINITIONS = {
  plain: 'select id, name from items',
  labelled: 'select id, owner as name from items',
  failing: 'select id, (1 / (id - 4))::text as name from items',
  writing: 'select id, called(id) as name from items',
  setting: "select id, called(id) || set_config('search_path', 'public', false) as name from items",
  many: "select 4 as id, called(n) || set_config('search_path', 'public', false) || repeat('x', 1000) as name from generate_series(1, 9000) n",
} as const;

let governed: Governed;
let meddler: Meddler;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: OWNED });
  meddler = await Meddler.before(governed.postgres.port);
});
afterAll(async () => {
  await meddler?.[Symbol.asyncDispose]();
  await governed?.[Symbol.asyncDispose]();
});

async function owner(...texts: string[]): Promise<unknown[]> {
  const client = await governed.direct();
  let rows: unknown[] = [];
  for (const text of texts) rows = (await client.query(text)).rows as unknown[];
  await client.end();
  return rows;
}
const define = (definition: keyof typeof DEFINITIONS, before = ''): Promise<unknown[]> =>
  owner(`${before} create or replace view shown as ${DEFINITIONS[definition]}; grant select on shown to agent_role`);
const ask = (client: pg.Client, id: number): Promise<unknown> =>
  client.query(`select * from shown where id = ${id}`).then(
    ({ rows }) => rows[0] as unknown,
    (error: unknown) => error,
  );
/** One of a proxy that has judged the statement in another session. */
async function another(proxy: Governed): Promise<pg.Client> {
  await define('plain', 'drop view if exists shown;');
  const first = await proxy.connect();
  expect(await ask(first, 1)).toEqual({ id: 1, name: 'item 1' });
  await first.end();
  return proxy.connect();
}

describe('a statement that another session of the database asked', () => {
  test('is parsed and run in one breath, and shows what it shows', async () => {
    await using proxy = await governed.anew({ upstream: meddler.address });
    const said: Buffer[] = [];
    meddler.meddling = { heard: (chunk) => said.push(chunk) };
    const heard = async (): Promise<boolean> => {
      said.length = 0;
      const client = await proxy.connect();
      expect((await client.query(`select id, owner from items where name = '${TRIGGER}'`)).rows).toEqual([
        { id: 99, owner: '*****' },
      ]);
      await client.end();
      return said[0]?.includes(say.sync()) === true;
    };
    expect(await heard()).toBe(false);
    expect(await heard()).toBe(true);
  });

  test.each<[string, keyof typeof DEFINITIONS, string, object]>([
    ['is as it was', 'plain', '', { id: 4, name: 'item 4' }],
    ['shows what is labelled', 'labelled', '', { id: 4, name: '*****' }],
    ['fails', 'failing', '', { code: '22012', message: 'division by zero' }],
    ['was made again', 'plain', 'drop view shown;', { id: 4, name: 'item 4' }],
  ])('is answered as it is now where what it reads %s, and the session goes on', async (_what, definition, before, expected) => {
    await using proxy = await governed.anew();
    const client = await another(proxy);
    await define(definition, before);
    expect(await ask(client, 4)).toMatchObject(expected);
    await define('plain', 'drop view shown;');
    expect(await ask(client, 5)).toEqual({ id: 5, name: 'item 5' });
    await client.end();
  });

  test.each(['setting', 'many'] as const)(
    'is refused where it may not run any more, and leaves nothing behind: %s',
    async (definition) => {
      await using proxy = await governed.anew();
      const client = await another(proxy);
      await define(definition, 'drop view shown;');
      await owner('truncate log');
      proxy.records.length = 0;
      expect(await ask(client, 4)).toMatchObject({ message: expect.stringContaining('NotAnalysable') as unknown });
      expect(await owner('select n from log')).toEqual([]);
      expect(proxy.records.flatMap(({ record }) => (record.type === 'action' ? record.verdict : []))).toEqual(['allow', 'deny']);
      const done = proxy.records.flatMap(({ record }) => (record.type === 'done' ? [record] : []));
      expect(done).toMatchObject([{ rows: 0, error: { code: 'NotAnalysable', message: expect.stringContaining('taken back') } }]);
      await define('plain', 'drop view shown;');
      expect(await ask(client, 5)).toEqual({ id: 5, name: 'item 5' });
      await client.end();
    },
  );

  test('runs no more than once where code of the owner’s came into it', async () => {
    await using proxy = await governed.anew();
    const client = await another(proxy);
    await define('writing');
    await owner('truncate log');
    expect(await ask(client, 4)).toEqual({ id: 4, name: '*****' });
    expect(await owner('select n from log')).toEqual([{ n: 4 }]);
    await client.end();
  });

  test('fails with the server’s own words where it cannot be parsed any more', async () => {
    await using proxy = await governed.anew();
    const client = await another(proxy);
    await owner('drop view shown');
    expect(await ask(client, 4)).toMatchObject({ code: '42P01', message: 'relation "shown" does not exist', position: '15' });
    await define('plain');
    expect(await ask(client, 4)).toEqual({ id: 4, name: 'item 4' });
    await client.end();
  });

  test('is held where the policy changed, or bounds rows', async () => {
    await using proxy = await governed.anew();
    const client = await another(proxy);
    proxy.setPolicy({ ...POLICY, limits: { rowsPerStatement: 1 } });
    expect(await ask(client, 4)).toEqual({ id: 4, name: 'item 4' });
    await expect(client.query('select * from shown where id > 4')).rejects.toThrow('LimitReached');
    proxy.setPolicy({ rules: [{ ...POLICY.rules[0], sql: { statements: ['select'], relations: ['public.items'] } }] });
    expect(await ask(client, 5)).toMatchObject({ message: expect.stringContaining('NoRuleAllows') as unknown });
    await client.end();
  });
});

test.each([
  "select ('select owner::tsvector from public.items'::text).ts_stat",
  'select i.name from items i where (i.id).pg_advisory_lock is not null',
  'select (16400).lo_unlink',
])('a function in the notation of a field is judged before it runs: %s', async (sql) => {
  await using proxy = await governed.anew();
  const client = await proxy.connect();
  for (const text of [sql, { text: sql, values: [], queryMode: 'extended' }])
    await expect(client.query(text as string)).rejects.toThrow('NotAnalysable');
  expect(proxy.records.flatMap(({ record }) => (record.type === 'action' ? record.verdict : []))).toEqual(['deny', 'deny']);
  await client.end();
});
