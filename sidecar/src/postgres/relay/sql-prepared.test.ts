import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, rowsOf, say, typesOf } from './raw-client.test-support.ts';

const CANARY = 'canary-9013';
const SCHEMA = `
create table people (id int primary key, name text not null, ssn text not null);
insert into people values (1, 'Ada', '${CANARY}'), (2, 'Bob', '${CANARY}');
create table secrets (word text); insert into secrets values ('${CANARY}');
create table notes (id int, note text);
create view shown as select id, name from people;
grant select on people, shown, secrets, notes to agent_role;
grant insert on notes to agent_role;`;
const RULE = { effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [
    { ...RULE, name: 'read', sql: { statements: ['select'], relations: ['public.people', 'public.shown', 'public.notes'] } },
    { ...RULE, name: 'write', sql: { statements: ['insert'], relations: ['public.notes'] } },
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
  governed.setPolicy(POLICY);
  agent = await RawClient.open(governed.port);
  return async () => {
    const { text } = agent;
    await agent[Symbol.asyncDispose]();
    expect(text).not.toContain(CANARY);
  };
});

const { parse, bind, execute, close, sync, query } = say;
const error = (heard: readonly Heard[]): string =>
  heard
    .find(([type]) => type === 'E')
    ?.slice(1)
    .join(' ') ?? '';
const run = (text: string): Promise<Heard[]> => agent.ask(query(text));

describe('PREPARE, EXECUTE and DEALLOCATE of SQL', () => {
  it('run a query with values, masked', async () => {
    expect(await run('prepare p (int) as select id, name, ssn from people where id = $1')).toEqual([
      ['C', 'PREPARE'],
      ['Z', 'I'],
    ]);
    expect(rowsOf(await run('execute p(2)'))).toEqual(['2 Bob *****']);
    expect(rowsOf(await run("execute p('1'); execute p(2)"))).toEqual(['1 Ada *****', '2 Bob *****']);
    expect(await run('execute p(null)')).toContainEqual(['C', 'SELECT 0']);
    expect(await run('deallocate p')).toContainEqual(['C', 'DEALLOCATE']);
    expect(error(await run('execute p(1)'))).toBe('26000 prepared statement "p" does not exist');
  });

  it('answer as the server does where a name or a number of values is wrong', async () => {
    await run('prepare p as select 1');
    expect(error(await run('prepare p as select 2'))).toContain('42P05');
    expect(error(await run('execute p(1)'))).toBe('42601 wrong number of parameters for prepared statement "p"');
    expect(error(await run('deallocate q'))).toBe('26000 prepared statement "q" does not exist');
    expect(error(await run('prepare q as select nothing from people'))).toContain('42703');
    expect(rowsOf(await run('execute p'))).toEqual(['1']);
    expect(error(await run('prepare q (int) as select id from people where id = $1; execute q(1.5)'))).toContain('22P02');
  });

  it('end a transaction that failed with it', async () => {
    await run('begin');
    await run('prepare w as insert into notes values (1)');
    expect((await run('execute nothing')).at(-1)).toEqual(['Z', 'E']);
    await run('rollback');
    await run('begin');
    expect((await run("prepare q as select pg_read_file('x')")).at(-1)).toEqual(['Z', 'E']);
    expect((await run('rollback')).at(-1)).toEqual(['Z', 'I']);
    // As at the server, statements outlive the transaction.
    expect(await run('execute w')).toContainEqual(['C', 'INSERT 0 1']);
  });

  it.each([
    ['a relation without a rule', 'prepare p as select word from secrets', 'NoRuleAllows'],
    ['a write without a rule', 'prepare p as delete from notes', 'NoRuleAllows'],
    ['masked text', "prepare p as insert into notes values (1, '*****')", 'MaskedValueWrite'],
    ['a labelled value that is copied', 'prepare p as insert into notes select id, ssn from people', 'LabelledValueWrite'],
    ['a reserved name', 'prepare "chaperone.t1" as select 1', 'ProtocolViolation'],
    ['a definition', 'prepare p as create table t as select 1', 'StatementSyntax'],
  ])('are refused for %s, and nothing stays under the name', async (_, text, code) => {
    expect(error(await run(text))).toContain(`(${code})`);
    expect(error(await run('execute p'))).toContain('26000');
    expect(await run('prepare p as select 1')).toContainEqual(['C', 'PREPARE']);
  });

  it('are refused for values that are computed, and for masked ones that would be written', async () => {
    await run('prepare p (text) as insert into notes values (7, $1)');
    expect(error(await run("execute p('a' || 'b')"))).toContain('plain constants');
    expect(error(await run("execute p('*****')"))).toContain('(MaskedValueWrite)');
    expect(await run("execute p('kept')")).toContainEqual(['C', 'INSERT 0 1']);
    expect((await owner.query('select note from notes where id = 7')).rows).toEqual([{ note: 'kept' }]);
  });

  it('are refused in the extended protocol, with a word on what to do', async () => {
    for (const text of ['prepare p as select 1', 'execute p'])
      expect(error(await agent.ask(parse(text), bind(), execute(), sync()))).toContain("use the driver's prepared statements");
  });

  it('are freed in the extended protocol too', async () => {
    await run('prepare p as select id, name from people');
    await agent.ask(parse('select id, name from people', 'q'), parse('deallocate p', 'd'), bind('d'), execute(), sync());
    expect(error(await run('execute p'))).toContain('26000');
    expect(rowsOf(await run('execute q'))).toHaveLength(2);
    await agent.ask(parse('deallocate all'), bind(), execute(), sync());
    for (const name of ['q', 'd']) expect(error(await agent.ask(bind(name), execute(), sync()))).toContain('26000');
    // The name is free for another statement.
    await agent.ask(parse('select id, ssn as name from people', 'q'), sync());
    expect(rowsOf(await agent.ask(bind('q'), execute(), sync()))).toEqual(['1 *****', '2 *****']);
  });

  it('count guesses like any other comparison', async () => {
    await run('prepare p (text) as select id from people where ssn = $1');
    const said = [];
    for (let guess = 0; guess < 62; guess++) said.push(error(await run(`execute p('${guess}')`)));
    expect(said.filter((each) => each.includes('(InferenceLimited)'))).toHaveLength(2);
  });

  it('are in the evidence, without values that may be of labelled columns', async () => {
    governed.setPolicy({ ...POLICY, inference: 'allow' });
    governed.records.length = 0;
    await run('prepare p (text) as select id from people where ssn = $1');
    await run(`execute p('${CANARY}')`);
    await run('deallocate all');
    const records = governed.records.map(({ record }) => record);
    expect(records.flatMap((record) => (record.type === 'action' ? [record.text] : []))).toEqual([
      'prepare p (text) as select id from people where ssn = $1',
      'execute p(?)',
      'deallocate all',
    ]);
    expect(records.flatMap((record) => (record.type === 'done' ? [record.tag] : []))).toEqual([
      'PREPARE',
      'SELECT 2',
      'DEALLOCATE ALL',
    ]);
    expect(JSON.stringify(records)).not.toContain(CANARY);
  });
});

describe('a name shows what the server has under it', () => {
  it('after the policy changed', async () => {
    await run('prepare p as select name from people');
    governed.setPolicy({ ...POLICY, rules: POLICY.rules.slice(1) });
    expect(error(await run('execute p'))).toContain('(NoRuleAllows)');
  });

  it.each([
    ['read', 'select id, name from shown order by id'],
    ['write', 'insert into notes select id, name from shown'],
  ])('after a view was replaced under what is to %s', async (_, text) => {
    await run(`prepare p as ${text}`);
    await run('execute p');
    await owner.query('create or replace view shown as select id, ssn as name from people');
    try {
      const heard = await run('execute p');
      expect(error(heard) !== '' || rowsOf(heard).every((row) => row.endsWith('*****'))).toBe(true);
      expect(rowsOf(await run('execute p')).every((row) => row.endsWith('*****'))).toBe(true);
      const { rows: written } = await owner.query('select note from notes');
      expect(JSON.stringify(written)).not.toContain(CANARY);
    } finally {
      await owner.query('create or replace view shown as select id, name from people');
    }
  });

  it('whoever prepared it: SQL or the protocol', async () => {
    await agent.ask(parse('select id, ssn from people order by id', 's'), sync());
    expect(rowsOf(await run('execute s'))).toEqual(['1 *****', '2 *****']);
    await run('prepare q as select id, ssn from people order by id');
    expect(rowsOf(await agent.ask(bind('q'), execute(), sync()))).toEqual(['1 *****', '2 *****']);
  });

  it('when the one takes the name that the other freed', async () => {
    await run('prepare a as select id, name as ssn from people order by id');
    await agent.ask(close('statement', 'a'), parse('select id, ssn from people order by id', 'a'), sync());
    expect(rowsOf(await run('execute a'))).toEqual(['1 *****', '2 *****']);
    await run('deallocate a');
    await run('prepare a as select id, ssn from people where id = 2');
    expect(rowsOf(await agent.ask(bind('a'), execute(), sync()))).toEqual(['2 *****']);
    await run('deallocate all');
    expect(typesOf(await agent.ask(bind('a'), execute(), sync()))).toBe('EZ');
  });
});
