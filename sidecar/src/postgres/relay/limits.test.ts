import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say, typesOf } from './raw-client.test-support.ts';

const SCHEMA = `
create table numbers as select g as n from generate_series(1, 100) g;
create table sink (n int);
create table unique_later (n int primary key deferrable initially deferred);
grant select, insert, update, delete on numbers, sink, unique_later to agent_role;`;
const RULE = {
  name: 'all',
  effect: 'Allow',
  resource: { namespace: 'data', name: 'orders-db' },
  sql: { statements: ['select', 'insert', 'update', 'delete'], relations: ['public.*'] },
};
const LIMITED = { rules: [RULE], limits: { rowsPerStatement: 10 } };

let governed: Governed;
let owner: pg.Client;
let agent: RawClient;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: LIMITED });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  governed.setPolicy(LIMITED);
  await owner.query('truncate sink, unique_later');
  agent = await RawClient.open(governed.port);
  return async () => agent[Symbol.asyncDispose]();
});

const { parse, bind, execute, sync, query } = say;
const ALL = 'select n from numbers order by n';
const LIMIT_REACHED = ['E', '54000', expect.stringContaining('LimitReached')];
const ten = 'D'.repeat(10);

async function written(table: string): Promise<number> {
  return (await owner.query(`select count(*)::int as n from ${table}`)).rows[0].n;
}

describe('the number of rows of one statement', () => {
  it.each([
    ['a simple query', [query(ALL)], `T${ten}EZ`],
    ['the extended protocol', [parse(ALL), bind(), execute(), sync()], `12${ten}EZ`],
    ['a fetch size', [parse(ALL), bind(), execute('', 4), execute('', 4), execute('', 4), sync()], '12DDDDsDDDDsDDEZ'],
    ['COPY', [query(`copy (${ALL}) to stdout`)], `H${'d'.repeat(10)}EZ`],
    ['a statement behind another', [query(`select 1; ${ALL}; select 2`)], `TDCT${ten}EZ`],
  ])('holds for %s, and the session goes on', async (_, messages, expected) => {
    const heard = await agent.ask(...messages);
    expect(heard).toContainEqual(LIMIT_REACHED);
    expect(typesOf(heard)).toBe(expected);
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
  });

  it('is met exactly without an error', async () => {
    expect(typesOf(await agent.ask(query('select n from numbers where n <= 10')))).toBe(`T${ten}CZ`);
  });

  it.each([
    ['a simple query', [query('insert into sink select n from numbers returning n')]],
    ['the extended protocol', [parse('insert into sink select n from numbers returning n'), bind(), execute(), sync()]],
    [
      'a write that was bound before',
      [
        parse(ALL, 'a'),
        parse('insert into sink values (1)', 'b'),
        bind('a', 'a'),
        bind('b', 'b'),
        execute('a'),
        execute('b'),
        sync(),
      ],
    ],
    ['a write before it', [query(`insert into sink values (1); ${ALL}`)]],
    [
      'a write before it in the group',
      [parse('insert into sink values (1)'), bind(), execute(), parse(ALL), bind(), execute(), sync()],
    ],
    ['a transaction', [query('begin; insert into sink values (1)'), query(ALL), query('commit')]],
  ])('undoes what was written: %s', async (_, messages) => {
    const heard = await agent.ask(...messages);
    expect(heard).toContainEqual(LIMIT_REACHED);
    expect(await written('sink')).toBe(0);
  });

  it('is that of the policy in force, not of the one at the beginning', async () => {
    governed.setPolicy({ rules: [RULE], limits: { rowsPerStatement: 3 } });
    expect(typesOf(await agent.ask(query(ALL)))).toBe('TDDDEZ');
    governed.setPolicy({ rules: [RULE] });
    expect((await agent.ask(query(ALL))).filter(([type]) => type === 'D')).toHaveLength(100);
  });
});

describe('a policy that changes under a session', () => {
  it('refuses what was prepared, bound or suspended under the old one', async () => {
    governed.setPolicy({ rules: [RULE] });
    await agent.ask(query('begin'), parse(ALL, 's'), bind('s', 'p'), execute('p', 2), sync());
    governed.setPolicy({ rules: [{ ...RULE, sql: { statements: ['insert'], relations: ['public.*'] } }] });
    expect(await agent.ask(execute('p', 2), sync())).toEqual([
      ['E', '42501', expect.stringContaining('NoRuleAllows')],
      ['Z', 'E'],
    ]);
    await agent.ask(query('rollback'));
    expect(typesOf(await agent.ask(bind('s'), execute(), sync()))).toMatch(/^2?EZ$/);
  });
});

describe('what a session may take in time', () => {
  it.each([
    ['sessionDuration', { sessionDuration: '1s' }],
    ['idle', { idle: '1s' }],
  ])('%s ends it with a clear word', async (_, limits) => {
    await using client = await RawClient.open(governed.port);
    governed.setPolicy({ rules: [RULE], limits });
    const heard = await client.until(() => client.closed);
    expect(heard).toEqual([['E', '57P01', expect.stringMatching(/time that its policy allows|idle for longer/)]]);
  });
});

describe('a commit that fails', () => {
  const twice = 'insert into unique_later values (1), (1)';
  it.each([
    ['in a simple query', [query(twice)], 'EZ'],
    ['in the extended protocol', [parse(twice), bind(), execute(), sync()], '12CEZ'],
    ['as a statement', [query(`begin; ${twice}; commit`)], 'CCEZ'],
  ])('%s is an error as it is without us, and the session goes on', async (_, messages, expected) => {
    const heard = await agent.ask(...messages);
    expect(heard).toContainEqual(['E', '23505', expect.anything()]);
    expect(typesOf(heard)).toBe(expected);
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
  });
});

/** A CopyData message. */
function data(text: string): Buffer {
  const bytes = Buffer.alloc(5 + text.length);
  bytes.write('d');
  bytes.writeInt32BE(4 + text.length, 1);
  bytes.write(text, 5);
  return bytes;
}

describe('COPY FROM STDIN', () => {
  const done = Buffer.from([0x63, 0, 0, 0, 4]);

  it('ends for a client that stops at the error without CopyDone', async () => {
    agent.send(query('copy sink from stdin'));
    await agent.until((heard) => heard.some(([type]) => type === 'G'));
    agent.send(data('no number\n'));
    for (let at = 0; at < 100; at++) agent.send(data('1\n'));
    agent.send(done);
    expect(typesOf(await agent.ready())).toBe('EZ');
    agent.send(query('copy sink from stdin'));
    await agent.until((heard) => heard.some(([type]) => type === 'G'));
    agent.send(data('no number\n'.repeat(20_000)));
    await agent.until((heard) => heard.some(([type]) => type === 'E'));
    agent.send(query('select 1'));
    expect(typesOf(await agent.until((heard) => heard.some(([type]) => type === 'C')))).toMatch(/^Z?TDC/);
    expect(await written('sink')).toBe(0);
  });

  it('ignores Sync and Flush within, and takes what comes behind', async () => {
    agent.send(parse('copy sink from stdin'), bind(), execute());
    await new Promise((resolve) => setTimeout(resolve, 50));
    agent.send(data('1\n'), sync(), say.flush(), data('2\n'), done, sync(), query('select 1'));
    const heard = await agent.ready(2);
    expect(typesOf(heard)).toBe('12GCZTDCZ');
    expect(await written('sink')).toBe(2);
  });
});
