import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const CANARY = 'canary-3317';
const SCHEMA = `
create table sink (n int);
create table secrets (word text);
create table "a.b" (word text);
create schema a;
create table a.b (word text);
insert into secrets values ('${CANARY}');
insert into "a.b" values ('${CANARY}');
grant usage on schema a to agent_role;
grant select, insert on sink, secrets, "a.b", a.b to agent_role;
create table people (id int primary key, ssn text, constraint one_ssn unique (ssn) deferrable initially deferred);
insert into people values (1, '${CANARY}');
grant select, insert, update on people to agent_role;
create function shout() returns trigger language plpgsql as
  $$ begin raise warning 'all: %', (select string_agg(ssn, ',') from people); return null; end $$;
create constraint trigger shouts after insert on people deferrable initially deferred for each row execute function shout();`;
const POLICY = {
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'insert', 'update'], relations: ['public.sink', 'public.people', 'public.b', '*.b', 'a.b'] },
    },
  ],
};
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };

let governed: Governed;
let owner: pg.Client;
let agent: RawClient;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await owner.query('truncate sink');
  agent = await RawClient.open(governed.port);
  return async () => agent[Symbol.asyncDispose]();
});

const { parse, bind, execute, sync, query } = say;
const INSERT = 'insert into sink values (1)';
let asked = 0;
/** Each another text: the answer to one that is refused again and again is held. */
const denied = (): string => `select word as w${asked++} from secrets`;

async function written(): Promise<number> {
  return (await owner.query('select count(*)::int as n from sink')).rows[0].n;
}
/** The states that ReadyForQuery told, in order. */
async function states(...messages: readonly Buffer[]): Promise<string> {
  const heard = await agent.ask(...messages);
  return heard
    .filter(([type]) => type === 'Z')
    .map(([, state]) => state)
    .join('');
}

describe('a refusal is an error of the transaction', () => {
  it.each([
    ['alone', [query(denied())], 'I', 0],
    ['behind a write of its text', [query(`${INSERT}; ${denied()}`)], 'I', 0],
    ['before a write of its text', [query(`${denied()}; ${INSERT}`)], 'I', 0],
    ['in a text that begins and commits', [query(`begin; ${INSERT}; ${denied()}; commit`)], 'E', 0],
    ['behind a commit of its text', [query(`begin; ${INSERT}; commit; ${denied()}`)], 'I', 1],
    ['in a transaction', [query('begin'), query(INSERT), query(denied()), query(INSERT), query('commit')], 'TTEEI', 0],
    [
      'behind a savepoint',
      [query('begin'), query(INSERT), query('savepoint s'), query(denied()), query('rollback to s'), query('commit')],
      'TTTETI',
      1,
    ],
    ['in a group', [parse(INSERT), bind(), execute(), parse(denied()), bind(), execute(), sync()], 'I', 0],
    ['in a group, as Bind', [parse(INSERT), bind(), execute(), bind('nothing'), execute(), sync()], 'I', 0],
    [
      'in a group of a transaction',
      [query('begin'), parse(INSERT), bind(), execute(), parse(denied()), sync(), query('commit')],
      'TEI',
      0,
    ],
    ['before Sync twice', [parse(denied()), sync(), sync(), query(INSERT)], 'III', 1],
    [
      'as a call message',
      [query('begin'), Buffer.from([0x46, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), query('commit')],
      'TEI',
      0,
    ],
  ])('%s', async (_, messages, expected, rows) => {
    const calls = messages.filter((message) => message[0] === 0x46).length;
    agent.send(...messages);
    const count = messages.filter((message) => message[0] === 0x51 || message[0] === 0x53).length + calls;
    const heard = await agent.ready(count);
    expect(heard.flatMap(([type, state]) => (type === 'Z' ? [state] : [])).join('')).toBe(expected);
    expect(await written()).toBe(rows);
    expect(agent.text).not.toContain(CANARY);
    await agent.ask(query('rollback'));
    expect(await states(query('select 1'))).toBe('I');
  });
});

describe('what a commit brings up', () => {
  it.each([
    ['a simple query', [query(`insert into people values (2, '${'x'.repeat(3)}')`)]],
    ['a commit', [query('begin'), query("insert into people values (3, 'y')"), query('commit')]],
    ['Sync', [parse("insert into people values (4, 'z')"), bind(), execute(), sync()]],
  ])('shows no labelled value in notices: %s', async (_, messages) => {
    await agent.ask(...messages);
    expect(agent.text).not.toContain(CANARY);
  });
});

it('takes a name with a dot for the one name it is', async () => {
  const heard = await agent.ask(query('select word from "a.b"'));
  expect(heard[0]).toEqual(['E', '42501', expect.stringContaining('NoRuleAllows')]);
  expect(agent.text).not.toContain(CANARY);
});
