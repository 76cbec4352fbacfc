import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { type Governed, startGoverned } from './governed.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table items (id int primary key, name text, price numeric, big bigint, made date, code varchar(8), owner text);
insert into items select g, 'item ' || g, g * 1.5, g * 10000000000, date '2020-01-01' + g, 'c' || g, 'secret-' || g from generate_series(1, 50) g;
create view cheap as select id, name from items where price < 10;
create table other (id int);
grant select on items, cheap, other to agent_role;
grant update on items to agent_role;
grant usage, create on schema public to agent_role;`;
const POLICY = {
  rules: [
    {
      name: 'read',
      effect: 'Allow',
      resource: RESOURCE,
      sql: { statements: ['select'], relations: ['public.items', 'public.cheap'] },
    },
    { name: 'make', effect: 'Allow', resource: RESOURCE, sql: { statements: ['create'], relations: ['public.*'] } },
  ],
};
const OWNED = { sensitive: [{ label: 'secret', columns: ['public.items.owner'] }] };

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: OWNED });
});
afterAll(() => governed[Symbol.asyncDispose]());

const agents = new WeakMap<pg.Client, string>();
/** An agent whose queries can be told from others' at the server. */
async function agent(proxy: Governed = governed): Promise<pg.Client> {
  const application_name = `agent-${Math.random().toString(36).slice(2)}`;
  const client = await proxy.connect({ application_name });
  agents.set(client, application_name);
  return client;
}
/** Whether the last thing that its server was asked by `client` had parameters. */
async function ranPrepared(client: pg.Client): Promise<boolean> {
  const admin = await governed.direct();
  try {
    const { rows } = await admin.query<{ query: string }>('select query from pg_stat_activity where application_name = $1', [
      agents.get(client),
    ]);
    expect(rows).toHaveLength(1);
    return rows[0]?.query.includes('$1') === true;
  } finally {
    await admin.end();
  }
}
async function repeated(client: pg.Client, texts: readonly string[]): Promise<unknown[][]> {
  const answers: unknown[][] = [];
  for (const text of texts) answers.push((await client.query<unknown[]>({ text, rowMode: 'array' })).rows.flat());
  return answers;
}

describe('a statement that is repeated with other literals', () => {
  test.each<[string, (value: number) => string, (value: number) => unknown]>([
    ['int4', (value) => `select name from items where id = ${value}`, (value) => `item ${value}`],
    ['int8', (value) => `select name from items where big = ${value}0000000000`, (value) => `item ${value}`],
    ['numeric', (value) => `select name from items where price = ${(value * 1.5).toFixed(1)}`, (value) => `item ${value}`],
    ['text', (value) => `select id from items where name = 'item ${value}'`, (value) => value],
    [
      'a date out of a string',
      (value) => `select id from items where made = '2020-01-${String(value + 1).padStart(2, '0')}'`,
      (value) => value,
    ],
    ['varchar', (value) => `select id from items where code = 'c${value}' and id > 0`, (value) => value],
    ['a view', (value) => `select name from cheap where id = ${value}`, (value) => `item ${value}`],
    ['an int4 compared with a string', (value) => `select name from items where id = '${value}'`, (value) => `item ${value}`],
  ])('answers the same and runs as one prepared statement: %s', async (_what, text, expected) => {
    const client = await agent();
    const values = [2, 3, 4, 5, 2];
    expect(await repeated(client, values.map(text))).toEqual(values.map((value) => [expected(value)]));
    expect(await ranPrepared(client)).toBe(true);
    await client.end();
  });

  test('is recorded with its own literals, and with none where they are compared with a labelled column', async () => {
    const client = await agent();
    governed.records.length = 0;
    await repeated(
      client,
      [1, 2, 3, 4].map((id) => `select name from items where id = ${id}`),
    );
    await repeated(
      client,
      [1, 2, 3, 4].map((id) => `select id from items where owner = 'secret-${id}'`),
    );
    const texts = governed.records.flatMap(({ record }) => (record.type === 'action' ? [record.text] : []));
    expect(texts).toEqual([
      ...[1, 2, 3, 4].map((id) => `select name from items where id = ${id}`),
      ...[1, 2, 3, 4].map(() => 'select id from items where owner = ?'),
    ]);
    await client.end();
  });

  test('is masked as its texts are', async () => {
    const client = await agent();
    const answers = await repeated(
      client,
      [1, 2, 3, 4].map((id) => `select owner from items where id = ${id}`),
    );
    expect(answers).toEqual([['*****'], ['*****'], ['*****'], ['*****']]);
    await client.end();
  });

  test('counts each value against the budget of guesses', async () => {
    const fresh = await governed.anew();
    const client = await agent(fresh);
    const ask = (id: number): Promise<unknown> => client.query(`select id from items where owner = 'guess-${id}'`);
    for (let id = 0; id < 62; id++) await ask(id).catch(() => undefined);
    await expect(ask(99)).rejects.toThrow('InferenceLimited');
    await fresh[Symbol.asyncDispose]();
  });

  test('says what the server says of a value that does not fit, word for word', async () => {
    const client = await agent();
    const ask = (value: string): Promise<unknown> =>
      client.query(`select name from items where id = '${value}'`).catch((error: unknown) => error);
    const first = await ask('x');
    for (const value of ['1', '2', '3', '4']) await ask(value);
    const { message, code, position } = first as pg.DatabaseError;
    expect(await ask('x')).toMatchObject({ message, code, position });
    expect(await ask('5')).toMatchObject({ rows: [{ name: 'item 5' }] });
    await client.end();
  });

  test('stays within limits.rowsPerStatement', async () => {
    const fresh = await governed.anew({ policy: { ...POLICY, limits: { rowsPerStatement: 3 } } });
    const client = await agent(fresh);
    for (const id of [1, 2, 3, 4])
      await expect(client.query(`select name from items where id > ${id}`)).rejects.toThrow('LimitReached');
    for (const id of [48, 49]) expect((await client.query(`select name from items where id > ${id}`)).rowCount).toBe(50 - id);
    await fresh[Symbol.asyncDispose]();
  });
});

describe('a template is judged anew', () => {
  test('when the policy changes under it', async () => {
    const fresh = await governed.anew();
    const client = await agent(fresh);
    const ask = (id: number): Promise<unknown> => client.query(`select name from items where id = ${id}`);
    for (const id of [1, 2, 3]) await ask(id);
    fresh.setPolicy({ ...POLICY, rules: [{ ...POLICY.rules[0], sql: { statements: ['select'], relations: ['public.cheap'] } }] });
    await expect(ask(4)).rejects.toThrow('NoRuleAllows');
    fresh.setPolicy(POLICY);
    expect(await ask(5)).toMatchObject({ rows: [{ name: 'item 5' }] });
    await fresh[Symbol.asyncDispose]();
  });

  test('when a view that it reads is replaced by one that shows what is labelled', async () => {
    const owner = await governed.direct();
    const client = await agent();
    await owner.query('create or replace view cheap as select id, name from items where price < 10');
    const ask = async (id: number): Promise<unknown> =>
      (await client.query<{ name: string }>(`select name from cheap where id = ${id}`)).rows[0]?.name;
    for (const id of [1, 2, 3]) expect(await ask(id)).toBe(`item ${id}`);
    await owner.query('create or replace view cheap as select id, owner as name from items where price < 10');
    expect(await ask(4)).toBe('*****');
    expect(await ask(5)).toBe('*****');
    await owner.query('create or replace view cheap as select id, name from items where price < 10');
    await owner.end();
    await client.end();
  });

  test('when its table is made again with another type of result', async () => {
    const owner = await governed.direct();
    const client = await agent();
    await owner.query(
      'create table public.changing (id int, a int); grant select on changing to agent_role; insert into changing values (1, 7)',
    );
    const fresh = await governed.anew({
      policy: {
        rules: [
          { name: 'all', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select'], relations: ['public.changing'] } },
        ],
      },
    });
    const reader = await agent(fresh);
    const ask = async (): Promise<unknown> => (await reader.query('select * from changing where id = 1')).rows[0];
    for (let turn = 0; turn < 3; turn++) expect(await ask()).toEqual({ id: 1, a: 7 });
    await owner.query("alter table changing add column b text default 'new'");
    expect(await ask()).toEqual({ id: 1, a: 7, b: 'new' });
    await owner.query('drop table changing');
    await owner.end();
    await fresh[Symbol.asyncDispose]();
    await client.end();
  });
});

const ofCheap = (client: pg.Client, id = 4): Promise<unknown> =>
  client.query(`select * from cheap where id = ${id}`).then(
    ({ rows }) => rows[0] as unknown,
    (error: unknown) => error,
  );

describe('a text that is sent together with its execution, since another of its template was judged', () => {
  const DEFINITIONS = {
    plain: 'select id, name from items where price < 10',
    labelled: 'select id, owner as name from items where price < 10',
    wider: "select id, name, 'more' as more from items where price < 10",
    failing: 'select id, (1 / (id - 4))::text as name from items where price < 10',
    unknown: 'select id, unknown_to_us(id) as name from items where price < 10',
  };
  async function define(definition: keyof typeof DEFINITIONS, before = ''): Promise<void> {
    const owner = await governed.direct();
    await owner.query(
      `${before} create or replace view cheap as ${DEFINITIONS[definition]}; grant select on cheap to agent_role`,
    );
    await owner.end();
  }
  /** Judged and in a transaction: what comes now is neither held nor prepared. */
  async function judged(): Promise<pg.Client> {
    await define('plain', 'drop view cheap;');
    const client = await agent();
    client.on('error', () => undefined);
    for (const id of [1, 2, 3]) await client.query(`select * from cheap where id = ${id}`);
    await client.query('begin');
    return client;
  }
  test.each<[keyof typeof DEFINITIONS, object]>([
    ['plain', { id: 4, name: 'item 4' }],
    ['labelled', { id: 4, name: '*****' }],
    ['failing', { code: '22012', message: 'division by zero' }],
  ])('shows what it is now: %s', async (definition, expected) => {
    const client = await judged();
    await define(definition);
    expect(await ofCheap(client)).toMatchObject(expected);
    expect((await client.query('rollback')).command).toBe('ROLLBACK');
    expect(await ofCheap(client, 5)).toMatchObject({ id: 5 });
    await client.end();
  });

  test('ends the session where it may not run any more, before anything of it is shown', async () => {
    const owner = await governed.direct();
    await owner.query("create or replace function unknown_to_us(int) returns text language plpgsql as 'begin return $1; end'");
    await owner.end();
    const client = await judged();
    await define('unknown');
    governed.records.length = 0;
    expect(await ofCheap(client)).toMatchObject({ message: expect.stringContaining('SessionEnded') as unknown });
    await expect(client.query('select 1')).rejects.toThrow();
    await define('plain');
  });

  test.each<[string, keyof typeof DEFINITIONS, string]>([
    ['was made again', 'plain', 'drop view cheap;'],
    ['has a column more', 'wider', ''],
  ])('ends the session where what it names %s, since it is not known what that is', async (_what, definition, before) => {
    const client = await judged();
    await define(definition, before);
    expect(await ofCheap(client)).toMatchObject({ message: expect.stringContaining('SessionEnded') as unknown });
  });
});

describe('BEGIN, COMMIT and ROLLBACK', () => {
  test('answer as they do, also when they are repeated', async () => {
    const client = await agent();
    const seen: string[] = [];
    for (let turn = 0; turn < 4; turn++) {
      for (const text of [
        'begin',
        'select 1 / 0',
        'commit',
        'BEGIN;',
        'select 1',
        'COMMIT',
        'begin read only',
        'rollback',
        'commit and chain',
      ]) {
        const answer = await client.query(text).catch((error: unknown) => error as pg.DatabaseError);
        if (turn === 0) seen.push(String('command' in answer ? answer.command : answer.code));
        else expect('command' in answer ? answer.command : answer.code).toBe(seen.shift());
        if (turn > 0) seen.push(String('command' in answer ? answer.command : answer.code));
      }
    }
    expect(seen).toEqual(['BEGIN', '22012', 'ROLLBACK', 'BEGIN', 'SELECT', 'COMMIT', 'BEGIN', 'ROLLBACK', '25P01']);
    await client.end();
  });
});

describe('a statement runs as its own text', () => {
  test('inside a transaction', async () => {
    const client = await agent();
    await repeated(
      client,
      [1, 2, 3].map((id) => `select name from items where id = ${id}`),
    );
    await client.query('begin');
    await client.query('select name from items where id = 4');
    expect(await ranPrepared(client)).toBe(false);
    await client.query('commit');
    await client.end();
  });

  test.each([
    ['the same transaction', []],
    ['what a savepoint gave back', ['savepoint a', 'select name from items where id = 5', 'rollback to a']],
    ['another transaction', ['select name from items where id = 5', 'commit and chain']],
  ])('until its locks keep others from changing its table, in %s', async (_what, before) => {
    const client = await agent();
    const ask = async (id: number): Promise<unknown> => (await client.query(`select name from items where id = ${id}`)).rows[0];
    for (const id of [1, 2, 3]) await ask(id);
    await client.query('begin');
    for (const text of before) await client.query(text);
    expect(await ask(6)).toEqual({ name: 'item 6' });
    expect(await ranPrepared(client)).toBe(false);
    expect(await ask(7)).toEqual({ name: 'item 7' });
    expect(await ranPrepared(client)).toBe(true);
    await client.query('rollback');
    await client.end();
  });

  test('inside a transaction, where a value may not fit', async () => {
    const client = await agent();
    const ask = (value: string): Promise<unknown> =>
      client.query(`select name from items where id = '${value}'`).catch((error: unknown) => error);
    const first = await ask('x');
    for (const value of ['1', '2', '3']) await ask(value);
    await client.query('begin');
    await ask('4');
    const { message, code, position } = first as pg.DatabaseError;
    expect(await ask('x')).toMatchObject({ message, code, position });
    expect(await ask('5')).toMatchObject({ code: '25P02' });
    await client.query('rollback');
    expect(await ask('5')).toMatchObject({ rows: [{ name: 'item 5' }] });
    await client.end();
  });

  test('after a setting was changed, until it proved itself again', async () => {
    const client = await agent();
    await repeated(
      client,
      [1, 2, 3].map((id) => `select made from items where id = ${id}`),
    );
    await client.query("set DateStyle = 'German'");
    await client.query('select made::text from items where id = 4');
    expect(await ranPrepared(client)).toBe(false);
    await client.end();
  });

  test('where the owner says so', async () => {
    const fresh = await governed.anew({ resource: { ...OWNED, postgres: { database: 'orders', autoPrepare: false } } });
    const client = await agent(fresh);
    await repeated(
      client,
      [1, 2, 3, 4].map((id) => `select name from items where id = ${id}`),
    );
    expect(await ranPrepared(client)).toBe(false);
    await fresh[Symbol.asyncDispose]();
  });

  test.each([
    ["select id from items where made > date '2020-01-01' and id = 1"],
    ["select id from items where id = 1 and made <> 'now'::date"],
    ['select id from items where id = 1 for update'],
  ])('where a constant could freeze or rows are locked: %s', async (text) => {
    const client = await agent();
    for (let turn = 0; turn < 4; turn++) await client.query(text).catch(() => undefined);
    expect(await ranPrepared(client)).toBe(false);
    await client.end();
  });
});
