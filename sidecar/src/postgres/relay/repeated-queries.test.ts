import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table items (id int primary key, name text, owner text);
insert into items select g, 'item ' || g, 'secret-' || g from generate_series(1, 50) g;
create table changing (id int, a int); insert into changing values (1, 7), (2, 8), (3, 9);
create table log (n int primary key deferrable initially deferred);
create table other (id int); insert into other values (1);
create view cheap as select id, name from items;
create function called(int) returns text language plpgsql as 'begin return $1; end';
grant select, insert, delete on items, changing, log, cheap to agent_role;
grant select on other to agent_role;
create role raw_role login; grant select, insert, delete on items, changing, log, cheap, other to raw_role;`;
const rule = (relations: string[]): object => ({
  rules: [{ name: 'all', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select', 'insert', 'delete'], relations } }],
});
const POLICY = rule(['public.items', 'public.changing', 'public.log', 'public.cheap']);
const OWNED = { sensitive: [{ label: 'secret', columns: ['public.items.owner'] }] };
const HBA = ['host all raw_role 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'];

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: OWNED }, { hba: HBA });
});
afterAll(() => governed[Symbol.asyncDispose]());

const { parse, bind, execute, query } = say;
const insert = (n: number): Buffer[] => [parse(`insert into log values (${n})`), bind(), execute()];
async function owner(...texts: string[]): Promise<unknown[]> {
  const client = await governed.direct();
  let rows: unknown[] = [];
  for (const text of texts) rows = (await client.query(text)).rows as unknown[];
  await client.end();
  return rows;
}
const shown = (heard: readonly Heard[]): string[] => heard.map(([type, first = '']) => `${type} ${first}`.trim());

describe('what was executed before a repeated query, without Sync between them', () => {
  test('stays where the query is answered well, though its prepared form did not fit any more', async () => {
    await using agent = await RawClient.open(governed.port);
    for (const id of [1, 2, 3, 1, 2]) await agent.ask(query(`select * from changing where id = ${id}`));
    await owner("alter table changing add column b text default 'new'");
    agent.send(...insert(1), query('select * from changing where id = 1'));
    const heard = await agent.ready();
    expect(shown(heard).filter((one) => one.startsWith('C'))).toEqual(['C INSERT 0 1', 'C SELECT 1']);
    expect(heard.some(([type]) => type === 'E')).toBe(false);
    expect(await owner('select n from log where n = 1')).toEqual([{ n: 1 }]);
  });

  test('does not stay where the query reached its limit of rows', async () => {
    await using fresh = await governed.anew({ policy: { ...POLICY, limits: { rowsPerStatement: 3 } } });
    await using agent = await RawClient.open(fresh.port);
    for (const id of [47, 48, 49, 47, 48]) await agent.ask(query(`select name from items where id > ${id}`));
    agent.send(...insert(2), query('select name from items where id > 1'));
    const heard = await agent.ready();
    expect(heard.some(([type]) => type === 'E')).toBe(true);
    expect(await owner('select n from log where n = 2')).toEqual([]);
  });
});

describe('evidence of a repeated query that runs together with its Parse', () => {
  test('names what a view reads, or ends the session where it reads something else by then', async () => {
    const policy = rule(['public.items', 'public.cheap', 'public.other']);
    await using fresh = await governed.anew({ policy });
    await using agent = await RawClient.open(fresh.port);
    for (const id of [1, 2, 3]) await agent.ask(query(`select * from cheap where id = ${id}`));
    await agent.ask(query('begin'));
    await owner("create or replace view cheap as select id, 'x' || id as name from other");
    fresh.records.length = 0;
    await agent.ask(query('select * from cheap where id = 1'), query('rollback'));
    const effects = fresh.records.flatMap(({ record }) =>
      record.type === 'action' ? record.effects.map(({ object }) => object) : [],
    );
    await owner('create or replace view cheap as select id, name from items');
    expect(effects).not.toContain('public.other');
    expect(agent.text).toContain('SessionEnded');
    expect(agent.text).not.toContain('x1');
  });

  test('says how it ended where it may not run any more', async () => {
    await using fresh = await governed.anew();
    await using agent = await RawClient.open(fresh.port);
    for (const id of [1, 2, 3]) await agent.ask(query(`select * from cheap where id = ${id}`));
    await agent.ask(query('begin'));
    await owner('create or replace view cheap as select id, called(id) as name from items');
    fresh.records.length = 0;
    await agent.ask(query('select * from cheap where id = 1'));
    await owner('create or replace view cheap as select id, name from items');
    await owner('select 1');
    expect(fresh.records.map(({ record }) => record.type)).toEqual(['action', 'done', 'session.close']);
  });
});
