import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, rowsOf, say, typesOf } from './raw-client.test-support.ts';

const CANARY = 'canary-4471';
const SCHEMA = `
create table people (id int primary key, name text not null, ssn text not null);
insert into people select g, 'name ' || g, '${CANARY}' from generate_series(1, 10) g;
create table secrets (word text); insert into secrets values ('${CANARY}');
create view shown as select id, name from people;
create function opens(c refcursor) returns refcursor language plpgsql as
  'begin open c for select id, ssn as name from public.people; return c; end';
create function reopens(c refcursor) returns int language plpgsql as
  'begin close c; open c for select id, ssn as name from public.people; return 1; end';
grant select on people, shown, secrets to agent_role;
grant execute on all functions in schema public to agent_role;`;
const RULE = { effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [
    { ...RULE, name: 'read', sql: { statements: ['select'], relations: ['public.people', 'public.shown'] } },
    { ...RULE, name: 'call', sql: { statements: ['execute'], functions: ['public.opens', 'public.reopens'] } },
  ],
};
const RESOURCE = {
  grantedTo: [{ namespace: 'agents', statements: ['*'], reveal: ['pii.ssn'] }],
  sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }],
};
const CLEAN = 'select id, name from people order by id';
const TAINTED = 'select id, ssn as name from people order by id';

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
  return async () => agent[Symbol.asyncDispose]();
});

const { parse, bind, execute, close, sync, query, flush } = say;
const UNKNOWN = ['E', '0A000', expect.stringContaining('no cursor of this name')];
/** Each in a message of its own, as simple queries. */
async function run(...texts: readonly string[]): Promise<Heard[]> {
  const heard: Heard[] = [];
  for (const text of texts) heard.push(...(await agent.ask(query(text))));
  return heard;
}

describe('a cursor', () => {
  it('gives rows in parts, forwards and backwards, masked', async () => {
    await run('begin', `declare c scroll cursor for ${TAINTED}`);
    expect(rowsOf(await run('fetch 2 from c', 'fetch next from c'))).toEqual(['1 *****', '2 *****', '3 *****']);
    expect(rowsOf(await run('move forward 3 in c', 'fetch c', 'fetch backward 2 from c'))).toEqual([
      '7 *****',
      '6 *****',
      '5 *****',
    ]);
    expect(rowsOf(await run('fetch absolute 10 from c', 'fetch last from c', 'fetch first from c'))).toEqual([
      '10 *****',
      '10 *****',
      '1 *****',
    ]);
    expect(typesOf(await run('close c', 'commit'))).toBe('CZCZ');
    expect(agent.text).not.toContain(CANARY);
  });

  it('works in the extended protocol, with parameters and binary results', async () => {
    await run('begin');
    const declare = 'declare "c 1" no scroll cursor for select id, ssn, name from people where id > $1 order by id';
    expect(typesOf(await agent.ask(parse(declare, '', [23]), bind('', '', ['7']), execute(), sync()))).toBe('12CZ');
    const fetched = await agent.ask(parse('fetch forward 2 from "c 1"', 'f'), bind('f'), execute(), bind('f'), execute(), sync());
    expect(rowsOf(fetched)).toEqual(['8 ***** name 8', '9 ***** name 9', '10 ***** name 10']);
    expect(agent.text).not.toContain(CANARY);
  });

  it('can be described as the portal that it is, but not executed as one', async () => {
    await run('begin', `declare c cursor for ${TAINTED}`);
    expect(typesOf(await agent.ask(say.describe('portal', 'c'), sync()))).toBe('TZ');
    expect(await agent.ask(execute('c'), sync())).toContainEqual(['E', '34000', expect.any(String)]);
    await run('rollback', 'begin');
    expect(await agent.ask(say.describe('portal', 'c'), sync())).toContainEqual(['E', '34000', expect.any(String)]);
  });

  it('shows what is not masked, several at once, and is a record of its own', async () => {
    await run('begin', `declare a cursor for ${CLEAN}`, 'declare b cursor for select name from shown where id = 3');
    expect(rowsOf(await run('fetch a', 'fetch all from b', 'fetch a'))).toEqual(['1 name 1', 'name 3', '2 name 2']);
    const texts = governed.records.flatMap(({ record }) => (record.type === 'action' ? [record.text] : []));
    expect(texts.slice(-3)).toEqual(['fetch a', 'fetch all from b', 'fetch a']);
  });

  it('is judged when it is declared', async () => {
    const heard = await run('begin', 'declare c cursor for select word from secrets');
    expect(heard).toContainEqual(['E', '42501', expect.stringContaining('SELECT on public.secrets is not covered')]);
    expect(await run('rollback', 'begin', 'fetch c')).toContainEqual(UNKNOWN);
  });

  it('outside of a transaction is the error of the server', async () => {
    expect(await run(`declare c cursor for ${CLEAN}`)).toContainEqual(['E', '25P01', expect.any(String)]);
  });

  it('reaches limits over all its fetches', async () => {
    governed.setPolicy({ ...POLICY, limits: { rowsPerStatement: 5 } });
    await run('begin', `declare c cursor for ${CLEAN}`);
    expect(rowsOf(await run('fetch 3 from c'))).toHaveLength(3);
    const heard = await run('fetch 3 from c');
    expect([rowsOf(heard).length, heard.find(([type]) => type === 'E')?.[2]]).toEqual([
      2,
      expect.stringContaining('(LimitReached)'),
    ]);
  });

  it('is judged again when the policy changed', async () => {
    governed.setPolicy({ ...POLICY, reveal: ['pii.ssn'] });
    await run('begin', `declare c cursor for ${TAINTED}`);
    expect(rowsOf(await run('fetch c'))).toEqual([`1 ${CANARY}`]);
    governed.setPolicy(POLICY);
    expect(rowsOf(await run('fetch c'))).toEqual(['2 *****']);
    governed.setPolicy({ ...POLICY, rules: POLICY.rules.slice(1) });
    expect(await run('fetch c')).toContainEqual(['E', '42501', expect.stringContaining('(NoRuleAllows)')]);
  });

  it('of a view that was replaced since it was prepared is judged by what it is when it is declared', async () => {
    agent.send(query('begin'), parse('declare c cursor for select id, name from shown order by id', 'd'), flush());
    await agent.until((heard) => heard.some(([type]) => type === '1'));
    await agent.ask(sync());
    await run('commit');
    await owner.query('create or replace view shown as select id, ssn as name from people');
    await run('begin');
    await agent.ask(bind('d'), execute(), sync());
    const heard = await run('fetch c', 'commit');
    await owner.query('create or replace view shown as select id, name from people');
    expect(rowsOf(heard)).toEqual(['1 *****']);
    expect(agent.text).not.toContain(CANARY);
  });
});

describe('a name that was of a clean cursor does not show what has it now', () => {
  const declared = [query('begin'), query(`declare c cursor for ${CLEAN}`)];
  const attacks: Record<string, readonly Buffer[]> = {
    'a function opened it': [query('begin'), query("select opens('c')"), query('fetch c')],
    'a function opened it after CLOSE': [...declared, query('close c'), query("select opens('c')"), query('fetch c')],
    'a function opened it after CLOSE ALL': [...declared, query('close all'), query("select opens('c')"), query('fetch c')],
    'a function closed and opened it': [...declared, query("select reopens('c')"), query('fetch c')],
    'a function of a portal closed and opened it': [
      ...declared,
      parse("select reopens('c')", 'r'),
      bind('r'),
      execute(),
      sync(),
      query('fetch c'),
    ],
    'a function opened it after ROLLBACK TO': [
      query('begin'),
      query('savepoint s'),
      query(`declare c cursor for ${CLEAN}`),
      query('rollback to s'),
      query("select opens('c')"),
      query('fetch c'),
    ],
    'a function opened it after an error': [
      query('begin'),
      query('savepoint s'),
      query(`declare c cursor for ${CLEAN}`),
      query('select 1/0'),
      query('rollback to s'),
      query("select opens('c')"),
      query('fetch c'),
    ],
    'a function opened it in the next transaction': [
      ...declared,
      query('commit'),
      query('begin'),
      query("select opens('c')"),
      query('fetch c'),
    ],
    'a portal has it': [...declared, query('close c'), parse(TAINTED, 's'), bind('s', 'c'), sync(), query('fetch c')],
    'a portal has it that closed it': [
      ...declared,
      parse(TAINTED, 's'),
      close('portal', 'c'),
      bind('s', 'c'),
      sync(),
      query('fetch c'),
    ],
    'a portal has it, all in one pipeline': [
      query('begin'),
      parse(`declare c cursor for ${CLEAN}`, 'd'),
      parse('fetch c', 'f'),
      parse(TAINTED, 's'),
      bind('d'),
      execute(),
      sync(),
      parse('fetch c', 'f2'),
      close('portal', 'c'),
      bind('s', 'c'),
      bind('f2'),
      execute(),
      sync(),
    ],
    'a cursor of a portal of that name': [
      query('begin'),
      parse(CLEAN, 's'),
      bind('s', 'c'),
      sync(),
      query('close c'),
      query(`declare c cursor for ${TAINTED}`),
      execute('c'),
      sync(),
    ],
    'a cursor of a portal of that name, in one pipeline': [
      query('begin'),
      parse(CLEAN, 's'),
      parse('close c', 'x'),
      parse(`declare c cursor for ${TAINTED}`, 'd'),
      bind('s', 'c'),
      bind('x'),
      execute(),
      bind('d'),
      execute(),
      execute('c'),
      sync(),
    ],
    'it was declared again, and FETCH was prepared before': [
      ...declared,
      parse('fetch c', 'f'),
      sync(),
      query('close c'),
      query(`declare c cursor for ${TAINTED}`),
      bind('f'),
      execute(),
      sync(),
    ],
    'it was declared again, and FETCH was bound before': [
      ...declared,
      parse('fetch c', 'f'),
      bind('f', 'p'),
      sync(),
      query('close c'),
      query(`declare c cursor for ${TAINTED}`),
      execute('p'),
      sync(),
    ],
  };

  it.each(Object.entries(attacks))('%s', async (_, messages) => {
    const heard: Heard[] = [];
    let group: Buffer[] = [];
    for (const message of messages) {
      group.push(message);
      if (message[0] !== 0x51 && message[0] !== 0x53) continue;
      heard.push(...(await agent.ask(...group)));
      group = [];
    }
    expect(agent.text).not.toContain(CANARY);
    // What cannot be fetched is said to be so; what can is masked.
    expect(heard.some(([type]) => type === 'E') || rowsOf(heard).some((row) => row.includes('*****'))).toBe(true);
  });

  it('is needed: without the proxy each function shows it', async () => {
    for (const before of ["select opens('c')", `declare c cursor for ${CLEAN}; select reopens('c')`]) {
      await owner.query(`begin; ${before}`);
      const { rows: shown } = await owner.query('fetch c');
      await owner.query('rollback');
      expect(shown).toEqual([{ id: 1, name: CANARY }]);
    }
  });
});
