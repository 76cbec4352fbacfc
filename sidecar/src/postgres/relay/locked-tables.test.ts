import { connect } from 'node:net';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { encodeCancelRequest } from '../wire/index.ts';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `create table items (id int primary key, name text); insert into items select g, 'item ' || g from generate_series(1, 9) g;
grant select on items to agent_role;`;
const POLICY = allowing({ statements: ['select'], relations: ['public.*'] });
const { query } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY });
});
afterAll(() => governed[Symbol.asyncDispose]());

const types = (heard: readonly Heard[]): string[] => heard.map(([type, first = '']) => `${type} ${first}`.trim());
async function locking(client: pg.Client): Promise<void> {
  await client.query('begin; lock table items in access exclusive mode');
}

describe('a repeated query whose table somebody else has locked', () => {
  test('ends when its agent cancels it', async () => {
    await using agent = await RawClient.open(governed.port);
    const key = agent.key;
    for (const id of [1, 2, 3, 4]) await agent.ask(query(`select name from items where id = ${id}`));
    const owner = await governed.direct();
    await locking(owner);
    agent.send(query('select name from items where id = 5'));
    await eventually('the query to wait', async () => {
      const { rows } = await owner.query('select from pg_locks where not granted');
      return rows.length > 0 ? true : undefined;
    });
    if (key === undefined) throw new Error('no key');
    const canceller = connect(governed.port, '127.0.0.1');
    canceller.end(encodeCancelRequest(key));
    const answer = types(await agent.ready());
    await owner.query('rollback');
    await owner.end();
    expect(answer).toEqual(['E 57014', 'Z I']);
  });

  test('does not wait for longer than lock_timeout', async () => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(query("set lock_timeout = '800ms'"));
    for (const id of [1, 2, 3, 4]) await agent.ask(query(`select name from items where id = ${id}`));
    const owner = await governed.direct();
    await locking(owner);
    agent.send(query('select name from items where id = 5'));
    const answer = types(await agent.ready());
    await owner.query('rollback');
    await owner.end();
    expect(answer).toEqual(['E 55P03', 'Z I']);
  });

  test('does not wait for longer than limits.statementDuration', async () => {
    await using fresh = await governed.anew({ policy: { ...POLICY, limits: { statementDuration: '1s' } } });
    await using agent = await RawClient.open(fresh.port);
    for (const id of [1, 2, 3, 4]) await agent.ask(query(`select name from items where id = ${id}`));
    const owner = await governed.direct();
    await locking(owner);
    agent.send(query('select name from items where id = 5'));
    const answer = types(await agent.ready());
    await owner.query('rollback');
    await owner.end();
    expect(answer).toEqual(['E 54000', 'Z I']);
  });
});
