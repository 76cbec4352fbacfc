import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { type Governed, startGoverned } from './governed.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table notes (id int, owner text, body text);
insert into notes values (1, 'ada', 'first'), (2, 'grace', 'second');
grant select, update on notes to agent_role;`;
const POLICY = {
  rules: [
    { name: 'all', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select', 'update'], relations: ['public.notes'] } },
  ],
};

let governed: Governed;
let agent: pg.Client;
beforeAll(async () => {
  governed = await startGoverned({
    schema: SCHEMA,
    policy: POLICY,
    resource: { sensitive: [{ label: 'who', columns: ['public.notes.owner'] }] },
  });
  agent = await governed.connect();
});
afterAll(() => governed[Symbol.asyncDispose]());

const write = (body: string): Promise<unknown> =>
  agent.query(`with w as (update notes set body = '${body}' where id = 2 returning 1) select count(*) from w`);
const ask = (id: number): Promise<unknown> => agent.query(`select body from notes where id + 0 = ${id}`);

describe('what was judged once', () => {
  test('is judged again for masked text that another text of the same form writes', async () => {
    await write('fine');
    await write('fine too');
    await expect(write('ab***cd')).rejects.toThrow('MaskedValueWrite');
    await write('fine again');
  });

  test('shows in evidence the text that ran, without literals where it compares with a labelled column', async () => {
    governed.records.length = 0;
    await agent.query('begin');
    for (const id of [1, 2]) await agent.query(`select body from notes where id = ${id}`);
    for (const owner of ['ada', 'grace']) await agent.query(`select body from notes where owner = '${owner}'`);
    await agent.query('commit');
    const texts = governed.records.flatMap(({ record }) => (record.type === 'action' ? [record.text] : []));
    expect(texts).toEqual([
      'begin',
      'select body from notes where id = 1',
      'select body from notes where id = 2',
      'select body from notes where owner = ?',
      'select body from notes where owner = ?',
      'commit',
    ]);
  });

  test('keeps bound values that are compared with a labelled column out of evidence', async () => {
    governed.records.length = 0;
    await agent.query('select body from notes where id = $1', [1]);
    await agent.query('select body from notes where owner = $1', ['ada']);
    const kept = governed.records.flatMap(({ record }) => (record.type === 'action' ? [record.parameters] : []));
    expect(kept).toEqual([['t:1'], undefined]);
  });

  test('is void under another policy', async () => {
    await ask(1);
    governed.setPolicy({
      ...POLICY,
      rules: [{ ...POLICY.rules[0], sql: { statements: ['update'], relations: ['public.notes'] } }],
    });
    await expect(ask(2)).rejects.toThrow('NoRuleAllows');
    governed.setPolicy(POLICY);
    expect(await ask(2)).toMatchObject({ rowCount: 1 });
  });

  test('holds for all sessions to one database, each with its own name of a column', async () => {
    const other = await governed.connect();
    for (const client of [agent, other]) {
      expect((await client.query('select owner as a from notes where id = 1')).rows).toEqual([{ a: '*****' }]);
      expect((await client.query('select owner as b from notes where id = 1')).rows).toEqual([{ b: '*****' }]);
      expect((await client.query('select body as a from notes where id = 1')).rows).toEqual([{ a: 'first' }]);
    }
  });
});
