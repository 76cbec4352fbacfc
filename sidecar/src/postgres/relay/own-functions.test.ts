import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SECRET = '271828459';
const SCHEMA = `
create table people (id int primary key, ssn text not null); insert into people values (1, '${SECRET}');
create table notes (note text); create sequence counter; create table plain (n int); insert into plain values (1);
create function stash() returns int language plpgsql as $$ begin
  perform set_config('app.x', (select ssn from public.people), false);
  perform set_config('application_name', (select ssn from public.people), false);
  perform set_config('timezone', (select '<S' || ssn || '>-1' from public.people), false);
  perform setval('public.counter', (select ssn::int from public.people));
  perform nextval('public.counter');
  create temp table if not exists kept as select ssn as note from public.people;
  return 1; end $$;
create function stash_by_trigger() returns trigger language plpgsql as 'begin perform public.stash(); return new; end';
create trigger stash before insert on notes for each row execute function stash_by_trigger();
create view calling as select stash() as one;
create function stash_now() returns int immutable language plpgsql as 'begin perform set_config(''app.x'', (select ssn from public.people), false); return 1; end';
create table parent (id int primary key); create table child (id int references parent on delete cascade);
create trigger stash before delete on child for each row execute function stash_by_trigger();
create table split (id int) partition by list (id); create table split_1 partition of split for values in (1);
create trigger stash before insert on split_1 for each row execute function stash_by_trigger();
create function checked(int) returns bool language plpgsql as 'begin perform public.stash(); return true; end';
create table guarded (id int check (checked(id))); create table ordered (id int);
create function key_of(int) returns int immutable language plpgsql as 'begin perform public.stash(); return 1; end';
create index on ordered (key_of(id));
insert into parent values (1), (2); insert into child values (1), (2);
grant select, insert, delete on people, notes, plain, calling, parent, child, split, guarded, ordered to agent_role; grant usage on sequence counter to agent_role;
grant temporary on database orders to agent_role; grant select, update on sequence counter to agent_role;`;
const RULE = { effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [
    { ...RULE, name: 'read', sql: { statements: ['select', 'insert', 'update', 'delete'], relations: ['**'] } },
    { ...RULE, name: 'call', sql: { statements: ['execute'], functions: ['public.stash', 'public.stash_now'] } },
  ],
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
  governed.setPolicy(POLICY);
  agent = await RawClient.open(governed.port);
  return async () => agent[Symbol.asyncDispose]();
});

const { query, parse, bind, execute, sync, copyData, copyDone } = say;
const READS = [
  "select current_setting('app.x')",
  'show app.x',
  'show application_name',
  "select setting from pg_settings where name = 'application_name'",
  'select lastval()',
  "select currval('public.counter')",
  "select nextval('public.counter')",
  'select last_value from public.counter',
  "select last_value from pg_sequences where sequencename = 'counter'",
  'select note from kept',
  "copy (select current_setting('app.x')) to stdout",
  "select id from people where current_setting('app.x') like '2%'",
  "insert into plain select current_setting('app.x')::int",
];

describe('what a function of your own may have left in the session', () => {
  it.each([
    ['was called', 'select stash()'],
    ['was called in a view', 'select one from calling'],
    ['was a trigger', "insert into notes values ('x')"],
    ['was a trigger of a table that a foreign key leads to', 'delete from parent where id = 1'],
    ['was a trigger of a partition', 'insert into split values (1)'],
    ['was in a constraint', 'insert into guarded values (1)'],
    ['was in an index', 'insert into ordered values (1)'],
  ])('is not shown after it %s', async (_, call) => {
    await agent.ask(query(call));
    for (const read of READS) {
      expect([read, (await agent.ask(query(read))).find(([type]) => type === 'E')?.[1]]).toEqual([read, '0A000']);
      expect((await agent.ask(parse(read), bind(), execute(), sync())).at(-2)?.[0]).toBe('E');
    }
    for (const text of ['select n from plain', 'select 1']) expect((await agent.ask(query(text)))[1]).toEqual(['D', '1']);
    expect(agent.text).not.toContain(SECRET);
  });

  it('is not shown after COPY fired a trigger, nor after a plan ran it', async () => {
    agent.send(query('copy notes from stdin'), copyData('x\n'), copyDone());
    await agent.ready();
    expect((await agent.ask(query('show app.x')))[0]?.[1]).toBe('0A000');
    await using other = await RawClient.open(governed.port);
    await other.ask(parse('select stash_now()'), bind(), sync());
    expect((await other.ask(query('show app.x')))[0]?.[1]).toBe('0A000');
    expect(agent.text + other.text).not.toContain(SECRET);
  });

  it('is not shown by the same statement, nor by one that was prepared or repeated before', async () => {
    const again = "select current_setting('app.x', true)";
    for (let time = 0; time < 4; time++) expect((await agent.ask(query(again)))[1]?.[0]).toBe('D');
    await agent.ask(query('prepare p as select last_value from public.counter'), parse(again, 's'), sync());
    await agent.ask(query("select stash(), current_setting('app.x', true)"));
    await agent.ask(query("select stash(); select current_setting('app.x', true)"));
    await agent.ask(query(again), query('execute p'), bind('s'), execute(), sync());
    expect(agent.text).not.toContain(SECRET);
  });

  it('is none of another session’s, but for what is in tables and sequences, which are the owner’s to label', async () => {
    await agent.ask(query('select stash()'));
    await using other = await RawClient.open(governed.port);
    const heard = await other.ask(query("select current_setting('app.x', true)"), query('show application_name'));
    expect(heard.filter(([type]) => type === 'E')).toEqual([]);
    expect(other.text).not.toContain(SECRET);
  });

  it('is shown where nothing is hidden', async () => {
    governed.setPolicy({ ...POLICY, reveal: ['pii.ssn'] });
    await agent.ask(query('select stash()'));
    expect((await agent.ask(query("select current_setting('app.x')")))[1]).toEqual(['D', SECRET]);
  });

  it('is needed: without the proxy each of them shows it', async () => {
    const owner = await governed.direct();
    await owner.query('select stash()');
    let shown = 0;
    for (const read of READS.slice(0, 10)) {
      const { rows } = await owner.query(read);
      if (/27182845\d|27182846\d/.test(JSON.stringify(rows))) shown++;
    }
    await owner.end();
    expect(shown).toBe(10);
  });
});
