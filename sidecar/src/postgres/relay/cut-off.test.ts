import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table items (id int, name text); insert into items select i, repeat('a', 1000) from generate_series(1, 20000) i;
create table log (n int primary key deferrable initially deferred);
grant select on items, log to agent_role; grant insert on log to agent_role;`;
const POLICY = { recording: { content: 'results' }, ...allowing({ statements: ['select', 'insert'], relations: ['public.*'] }) };
const { parse, bind, execute, sync, flush, query, terminate } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY });
});
afterAll(() => governed[Symbol.asyncDispose]());

const types = (): string[] => governed.records.map(({ record }) => record.type);
async function closed(): Promise<string[]> {
  await expect.poll(types).toContain('session.close');
  return types();
}
async function count(n: number): Promise<number> {
  const owner = await governed.direct();
  const { rows } = await owner.query<{ n: number }>('select n from log where n = $1', [n]);
  await owner.end();
  return rows.length;
}

describe('evidence of a statement has an end', () => {
  test('where the agent leaves when it has rows', async () => {
    governed.records.length = 0;
    const agent = await RawClient.open(governed.port);
    agent.send(query('select * from items'));
    await agent.until((heard) => heard.filter(([type]) => type === 'D').length > 20);
    agent.socket.destroy();
    expect(await closed()).toContain('done');
  });

  test('where the agent has all rows but not the end of the statement', async () => {
    governed.records.length = 0;
    const agent = await RawClient.open(governed.port);
    const slow = 'select name from items where id < 40 or (id = 20000 and pg_sleep(3) is not null)';
    agent.send(query(slow));
    await agent.until((heard) => heard.filter(([type]) => type === 'D').length >= 30);
    agent.socket.destroy();
    expect(await closed()).toContain('done');
  });

  test('where it says Terminate in the same breath, and the statement is committed', async () => {
    governed.records.length = 0;
    const agent = await RawClient.open(governed.port);
    agent.send(parse('insert into log values (2)'), bind(), execute(), sync(), terminate());
    const seen = await closed();
    await sleep(200);
    expect([await count(2), seen.filter((type) => type === 'done').length]).toEqual([1, 1]);
  });

  test('where what it deferred fails at Sync', async () => {
    governed.records.length = 0;
    await using agent = await RawClient.open(governed.port);
    const heard = await agent.ask(parse('insert into log values (3), (3)'), bind(), execute(), sync());
    expect(heard.some(([type, code]) => type === 'E' && code === '23505')).toBe(true);
    await expect.poll(() => JSON.stringify(governed.records)).toContain('23505');
  });
});

/** How each statement ended, in the order of their beginning. */
function ends(): (string | undefined)[] {
  const found: (string | undefined)[] = [];
  for (const { record } of governed.records) {
    if (record.type === 'action') found[record.action] = undefined;
    if (record.type === 'done') found[record.action] = record.error?.code ?? record.tag;
  }
  return found;
}

const selected = (): number => ends().filter((end) => end === 'SELECT 1').length;

describe('evidence says how a statement ended while the session goes on', () => {
  test.each<[string, readonly Buffer[], readonly string[]]>([
    [
      'what COMMIT kept, though the rest of the text failed',
      [query('insert into log values (10); commit; select 1 / 0')],
      ['INSERT 0 1', 'COMMIT', '22012'],
    ],
    ['what the rest of the text undid', [query('insert into log values (11); select 1 / 0')], ['22012', '22012']],
    [
      'what did not run, since what stood before it failed',
      [parse('select 1 / $1::int', 'f'), bind('f', '', ['0']), execute(), parse('select 2'), bind(), execute(), sync()],
      ['22012'],
    ],
    ['what was not planned', [query('select 1 / 0'), query('select 2')], ['22012', 'SELECT 1']],
    [
      'what BEGIN stands before',
      [parse('begin'), bind(), execute(), parse('insert into log values (12)'), bind(), execute(), sync(), query('rollback')],
      ['BEGIN', 'INSERT 0 1', 'ROLLBACK'],
    ],
  ])('%s', async (_what, messages, expected) => {
    governed.records.length = 0;
    await using agent = await RawClient.open(governed.port);
    await agent.ask(...messages);
    await agent.ask(query('select name from items where id = 1'));
    await expect.poll(ends).not.toContain(undefined);
    expect(ends().slice(0, expected.length)).toEqual(expected);
  });

  test('of the first ones, where there are more without Sync than are remembered', async () => {
    governed.records.length = 0;
    await using agent = await RawClient.open(governed.port);
    for (let at = 0; at < 1100; at++) agent.send(parse('select 1'), bind(), execute());
    agent.send(flush());
    await agent.until((heard) => heard.filter(([type]) => type === 'C').length === 1100);
    await expect.poll(selected).toBe(100);
    await agent.ask(sync());
    await expect.poll(selected).toBe(1100);
  });
});
