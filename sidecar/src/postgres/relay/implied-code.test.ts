import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SECRET = '271828459';
const SCHEMA = `
create table people (id int primary key, ssn text not null); insert into people values (1, '${SECRET}');
create table plain (n int); insert into plain values (1);
create function stash() returns bool language plpgsql as $$ begin
  perform set_config('app.x', (select ssn from public.people), false);
  raise warning 'seen: %', (select ssn from public.people); return true; end $$;
create function loud(int) returns bool language plpgsql as $$ begin raise exception 'bad: %', (select ssn from public.people); end $$;
create domain forbidden as int check (loud(value));
create table refusing (n forbidden); create table refusing_list (n forbidden[]);
create function checked(int) returns bool language plpgsql as 'begin return public.stash(); end';
create function key_of(int) returns int immutable language plpgsql as 'begin perform public.stash(); return 1; end';
create function fallback() returns int language plpgsql as 'begin perform public.stash(); return 1; end';
create domain number as int check (checked(value));
create domain narrower as number;
create domain filled as int default fallback();
create type pair as (a number, b int);
create table nested (n narrower); create table listed (n number[]); create table paired (n pair);
create table via_check (n int check ((n::number) > 0));
create table defaulted (a int, b filled);
create table guarded (n int check (checked(n))); create table ordered (n int); create index on ordered (key_of(n));
create table routed (n int) partition by list (key_of(n)); create table routed_1 partition of routed for values in (1);
create table secured (n int); alter table secured enable row level security; create policy p on secured using (checked(n)) with check (checked(n));
create table stated (n int); insert into stated values (1); create index on stated ((key_of(5)));
create table predicated (n int); insert into predicated values (1); create index on predicated (n) where key_of(7) = 1;
create table base (n int); create table derived (check (n > key_of(7))) inherits (base);
create table target (id int primary key); create table refers (id filled references target on delete set default);
insert into target values (1), (2); insert into refers values (2);
grant select, insert, update, delete on all tables in schema public to agent_role;`;
const RULE = { effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [{ ...RULE, name: 'read', sql: { statements: ['select', 'insert', 'update', 'delete'], relations: ['**'] } }],
};
const RESOURCE = {
  grantedTo: [{ namespace: 'agents', statements: ['*'], reveal: ['pii.ssn'] }],
  sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }],
};

let governed: Governed;
let agent: RawClient;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
});
afterAll(async () => governed?.[Symbol.asyncDispose]());
beforeEach(async () => {
  agent = await RawClient.open(governed.port);
  return async () => agent[Symbol.asyncDispose]();
});

const { query, parse, describe: ask, sync, copyData, copyDone } = say;

/** What the server itself would have told the same role: a case that says nothing proves nothing. */
async function told(text: string): Promise<string> {
  const client = await governed.direct();
  const heard: string[] = [];
  client.on('notice', ({ message }) => heard.push(message ?? ''));
  await client.query('begin; set local role agent_role');
  await client.query(text).catch((error: unknown) => heard.push(String(error)));
  await client.end();
  return heard.join();
}
const SETTING = [query("select current_setting('app.x', true)"), query('show app.x')];

describe('a masked value that the owner’s code says, or leaves in a setting, is not shown', () => {
  it.each([
    ['a row was written to a table with a check', 'insert into guarded values (1)'],
    ['a row was written to a table with an index', 'insert into ordered values (1)'],
    ['a value was cast to a domain whose check fails', 'select 1::forbidden'],
    ['a literal was read as an array of a domain whose check fails', "select '{1}'::forbidden[]"],
    ['a row was written to a column of a domain whose check fails', 'insert into refusing values (1)'],
    ['a row was written to a column of arrays of such a domain', "insert into refusing_list values ('{1}')"],
    ['a value was cast to a domain with a check', 'select 1::number'],
    ['a value was cast to a domain of such a domain', 'select 1::narrower'],
    ['a literal was read as an array of such a domain', "select '{1}'::number[]"],
    ['a literal was read as a row with such a domain', "select '(1,2)'::pair"],
    ['a row of JSON was read with such a domain', `select * from json_to_record('{"a":1}') as r(a number)`],
    ['a row was written to a column of a domain of it', 'insert into nested values (1)'],
    ['a row was written to a column of arrays of it', "insert into listed values ('{1}')"],
    ['a row was written to a column of rows of it', 'insert into paired values (row(1,2))'],
    ['a row was written to a table whose check casts to it', 'insert into via_check values (1)'],
    ['a row was routed to a partition by a function', 'insert into routed values (1)'],
    ['a row was written to a table with row security', 'insert into secured values (1)'],
    ['an index computes a constant when its table is read', 'select n from stated'],
    ['an index has a predicate of constants when its table is read', 'select n from predicated where n = 1'],
    ['a constraint is looked at to leave a table out', 'select n from base where n > 0'],
    ['a foreign key sets the default of a domain', 'delete from target where id = 2'],
    ['text is asked whether it is such a domain', "select pg_input_is_valid('1', 'public.number')"],
    ['the type is given as a number', "select domain_in('1'::cstring, 'public.number'::regtype::oid, -1)"],
  ])('when %s', async (_, text) => {
    expect(await told(text)).toContain(SECRET);
    await agent.ask(query(text));
    await agent.ask(...SETTING);
    await agent.ask(parse(text), ask('statement'), sync());
    expect(agent.text).not.toContain(SECRET);
  });

  it.each([
    ['a domain’s default', 'copy defaulted (a) from stdin'],
    ['the check of a domain of a domain', 'copy nested from stdin'],
    ['the check of an array’s domain', 'copy listed from stdin', '{1}\n'],
    ['the check of a row’s domain', 'copy paired from stdin', '(1,2)\n'],
    ['the routing to a partition', 'copy routed from stdin'],
  ])('when COPY ran %s', async (_, text, row = '1\n') => {
    agent.send(query(text), copyData(row), copyDone());
    await agent.ready();
    await agent.ask(...SETTING);
    expect(agent.text).not.toContain(SECRET);
  });
});
