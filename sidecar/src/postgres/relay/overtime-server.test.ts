import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const POLICY = {
  limits: { statementDuration: '1s' },
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select'], relations: ['public.*'] },
    },
  ],
};
const { parse, bind, execute, sync, query } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: 'create table plain (n int)', policy: POLICY });
});
afterAll(() => governed[Symbol.asyncDispose]());

describe('a statement that ends in time is not cancelled', () => {
  test.each([
    [
      'where two that were bound before run one after the other',
      [bind('p', 'a'), bind('p', 'b'), execute('a'), execute('b'), sync()],
    ],
    [
      'where there is a Sync between two that were bound before',
      [bind('p', 'a'), bind('p', 'b'), execute('a'), sync(), execute('b'), sync()],
    ],
  ])('%s', async (_what, messages) => {
    await using agent = await RawClient.open(governed.port);
    await agent.ask(query('begin'));
    await agent.ask(parse('select 1 from pg_sleep(0.7)', 'p'), sync());
    const heard = await agent.ask(...messages);
    expect(heard.filter(([type]) => type === 'E' || type === 'C').map(([, first]) => first)).toEqual(['SELECT 1', 'SELECT 1']);
  });
});
