import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table items (id int, name text); insert into items select i, repeat('a', 1000) from generate_series(1, 20000) i;
create table log (n int primary key deferrable initially deferred);
grant select on items, log to agent_role; grant insert on log to agent_role;`;
const POLICY = {
  recording: { content: 'results' },
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'insert'], relations: ['public.*'] },
    },
  ],
};
const TERMINATE = Buffer.from([0x58, 0, 0, 0, 4]);
const { parse, bind, execute, sync, query } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY });
});
afterAll(() => governed[Symbol.asyncDispose]());

const types = (): string[] => governed.records.map(({ record }) => record.type);
async function closed(): Promise<string[]> {
  for (let turn = 0; turn < 40 && !types().includes('session.close'); turn++) await sleep(50);
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
    agent.send(parse('insert into log values (2)'), bind(), execute(), sync(), TERMINATE);
    const seen = await closed();
    await sleep(200);
    expect([await count(2), seen.filter((type) => type === 'done').length]).toEqual([1, 1]);
  });

  test('where what it deferred fails at Sync', async () => {
    governed.records.length = 0;
    await using agent = await RawClient.open(governed.port);
    const heard = await agent.ask(parse('insert into log values (3), (3)'), bind(), execute(), sync());
    expect(heard.some(([type, code]) => type === 'E' && code === '23505')).toBe(true);
    expect(JSON.stringify(governed.records)).toContain('23505');
  });
});
