import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const CANARY = 'canary-7781';
const SCHEMA = `
create table people (id int primary key, name text not null, ssn text not null);
create table secrets (id int primary key, word text not null);
create table notes (id int primary key, note text not null);
create function harmless() returns table (name text) language sql stable as 'select note from public.notes';
insert into people values (1, 'Ada', '${CANARY}');
insert into secrets values (1, '${CANARY}');
insert into notes values (1, 'nothing');
create view shown as select id, name from people;
grant select on people, secrets, notes, shown to agent_role;
grant insert, update on notes to agent_role;`;
const CLEAN = 'create or replace view shown as select id, name from people';
const TAINTED = 'create or replace view shown as select id, ssn as name from people';
const RULE = { effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [
    { ...RULE, name: 'read', sql: { statements: ['select'], relations: ['public.people', 'public.notes', 'public.shown'] } },
    { ...RULE, name: 'write', sql: { statements: ['insert', 'update'], relations: ['public.notes'] } },
    { ...RULE, name: 'call', sql: { statements: ['execute'], functions: ['public.harmless'] } },
  ],
};
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };

let governed: Governed;
let owner: pg.Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await owner.query(CLEAN);
});

const { parse, bind, describe: described, execute, close, sync, flush, query } = say;

describe('a statement that was refused', () => {
  it.each([
    ['unnamed', ''],
    ['named', 's'],
  ])('cannot be bound in place of the %s one before it', async (_, name) => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(parse('select note from notes', name), sync());
    if (name !== '') await agent.ask(close('statement', name), sync());
    const refused = await agent.ask(parse('select word from secrets', name), sync());
    expect(refused).toEqual([
      ['E', '42501', expect.stringContaining('NoRuleAllows')],
      ['Z', 'I'],
    ]);
    const after = await agent.ask(bind(name), execute(), sync());
    expect(after).toEqual([
      ['E', '26000', expect.anything()],
      ['Z', 'I'],
    ]);
    expect(agent.text).not.toContain(CANARY);
  });

  it('cannot be bound within the same group either', async () => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(parse('select note from notes'), sync());
    agent.send(parse('select word from secrets'), bind(), execute(), sync(), bind(), execute(), sync());
    await agent.ready(2);
    expect(agent.text).not.toContain(CANARY);
  });
});

describe('a view that is replaced after its statement was judged', () => {
  it.each([
    [
      'bound twice',
      [
        [bind('s'), execute(), sync()],
        [bind('s'), execute(), sync()],
      ],
    ],
    ['bound twice in one group', [[bind('s', 'a'), bind('s', 'b'), execute('b'), execute('a'), sync()]]],
    [
      'described, then bound',
      [
        [described('statement', 's'), sync()],
        [bind('s'), execute(), sync()],
      ],
    ],
    ['described and bound in one group', [[described('statement', 's'), bind('s'), execute(), sync()]]],
    [
      'bound in vain, then bound',
      [
        [bind('s', 'p', ['0']), sync()],
        [bind('s', 'q', ['1']), execute('q'), sync()],
      ],
    ],
  ])('shows nothing when it is %s', async (title, groups) => {
    await using agent = await RawClient.open(governed.port);
    const text = title.includes('in vain') ? 'select name, 1 / $1::int as n from shown' : 'select name from shown';
    await agent.ask(parse(text, 's'), sync());
    await owner.query(TAINTED);
    const heard: string[] = [];
    for (const group of groups) heard.push(JSON.stringify(await agent.ask(...group)));
    expect(agent.text).not.toContain(CANARY);
    // It is masked, not lost.
    expect(heard.at(-1)).toContain('***');
  });

  it('cannot be replaced between its judgement and its execution', async () => {
    await using agent = await RawClient.open(governed.port);
    agent.send(parse('select name from shown', 's'), flush());
    await agent.until((heard) => heard.some(([type]) => type === '1'));
    await owner.query("set lock_timeout = '200ms'");
    await expect(owner.query(TAINTED)).rejects.toThrow('lock timeout');
    await owner.query('reset lock_timeout');
    expect(await agent.ask(bind('s'), execute(), sync())).toEqual([['2'], ['D', 'Ada'], ['C', 'SELECT 1'], ['Z', 'I']]);
  });

  it.each([
    ['COPY of a query', 'copy (select name from shown) to stdout'],
    ['EXPLAIN', 'explain (analyze, verbose) select name from shown'],
  ])('is looked at again when %s runs', async (_, text) => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(parse(text, 's'), sync());
    await owner.query(TAINTED);
    await agent.ask(bind('s'), execute(), sync());
    expect(agent.text).not.toContain(CANARY);
  });

  it('is refused where it now reads what no rule allows', async () => {
    await using agent = await RawClient.open(governed.port);
    await owner.query('create or replace view public.shown as select id, name from people');
    await agent.ask(parse('copy shown to stdout', 's'), sync());
    await owner.query(TAINTED);
    const heard = await agent.ask(bind('s'), execute(), sync());
    expect(heard.map(([type]) => type)).toContain('E');
    expect(agent.text).not.toContain(CANARY);
  });
});

it('a function that the server prints while it plans does not stand for the statement', async () => {
  await using agent = await RawClient.open(governed.port);
  const heard = await agent.ask(say.query('select p.ssn as name from people p, harmless() h'));
  expect(heard).toEqual([['T'], ['D', expect.stringContaining('***')], ['C', 'SELECT 1'], ['Z', 'I']]);
  expect(agent.text).not.toContain(CANARY);
});

it.each([
  ['anew', 'alter table people drop column ssn; alter table people add column ssn text'],
  [
    'in another table',
    'drop view shown; drop table people; create table people (id int, name text, extra text, ssn text); grant select on people to agent_role',
  ],
])('a labelled column that is made %s is labelled for a session that runs already', async (_, ddl) => {
  await using agent = await RawClient.open(governed.port);
  await agent.ask(query('select ssn from people'), parse('select ssn from people', 's'), sync());
  await owner.query(ddl);
  await owner.query(`delete from people; insert into people (id, name, ssn) values (1, 'Ada', '${CANARY}')`);
  await agent.ask(query('select ssn from people'));
  await using other = await RawClient.open(governed.port);
  await other.ask(query('select ssn from people'));
  for (const statement of ['s', 's']) await agent.ask(bind(statement), execute(), sync());
  expect(agent.text + other.text).not.toContain(CANARY);
});
