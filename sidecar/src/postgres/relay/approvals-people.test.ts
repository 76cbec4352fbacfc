import type { RequestContent } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../platform.ts';
import {
  agent,
  approve,
  clear,
  decide,
  failure,
  fix,
  fresh,
  governed,
  here,
  looked,
  pending,
  policy,
  start,
  stateOf,
  statusOf,
} from './approvals.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const until = <T>(look: () => T | undefined | false): Promise<T> => eventually('what is to come', () => look() || undefined);

beforeAll(() => start());
afterEach(clear);
afterAll(() => governed[Symbol.asyncDispose]());

describe('people', () => {
  test('see what would run, with values of labelled columns hidden', async () => {
    await fresh();
    const { client } = await agent();
    const answer = failure(client.query(`update tickets set status = 'x\u202e', ssn = $1 where id = $2`, ['999-88-7777', 1]));
    const request = await approve({ decision: 'Deny' });
    await answer;
    expect(request.spec).toMatchObject({
      sentence: 'UPDATE on public.tickets',
      effects: expect.arrayContaining([
        { verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' },
      ]),
      protocol: 'postgres',
      agent: { serviceAccount: 'support-agent', purpose: 'test' },
      mode: 'hold',
    });
    expect(request.spec.text).toBe(String.raw`update tickets set status = 'x\u{202e}', ssn = $1 where id = $2`);
    expect(request.spec.parameters).toEqual(['(hidden)', "'1'"]);
    expect(JSON.stringify(request)).not.toMatch(/999-88|\u202e/);
    expect(JSON.stringify(here.records)).not.toContain('999-88');
  });
  test('do not see a value that is also compared with a labelled column', async () => {
    await fresh();
    const { client } = await agent();
    const answer = failure(client.query('update tickets set status = $1 where ssn = $1 and id = $2', ['999-88-7777', 1]));
    const request = await approve({ decision: 'Deny' });
    await answer;
    expect(request.spec.parameters).toEqual(['(hidden)', "'1'"]);
  });
  test('see bound values of other columns', async () => {
    await fresh();
    const { client } = await agent();
    const answer = failure(client.query('update notes set body = $1 where body = $2', ["it's", 'x\u0007']));
    const request = await approve({ decision: 'Deny' });
    await answer;
    expect(request.spec.parameters).toEqual(["'it's'", "'x\\u{7}'"]);
  });
  test('of every rule that asks have to agree', async () => {
    const second = {
      ...fix({ approvers: { groups: ['security'] } }),
      name: 'second',
      sql: { statements: ['update'], relations: ['public.tickets'] },
    };
    await fresh(policy(fix(), second));
    const { client } = await agent();
    const answer = client.query(`update tickets set status = 'closed' where id = 1`);
    const request = await approve();
    await systemClock.after(100);
    expect(stateOf(request)).toBe('Pending');
    expect(await statusOf(1)).toBe('open');
    decide(request, { by: 'bob@corp', groups: ['security'] });
    await answer;
    expect(await statusOf(1)).toBe('closed');
  });
  test('are asked once for what two connections want at the same time, and again for the second', async () => {
    await fresh();
    const one = await agent();
    const two = await agent();
    const text = `update tickets set status = 'closed' where id = 1`;
    const answers = [one.client.query(text), two.client.query(text)];
    const request = await pending();
    await until(() => one.notices.length > 0 && two.notices.length > 0);
    expect(here.desk.list()).toHaveLength(1);
    decide(request);
    await Promise.race(answers);
    const again = await pending();
    expect(again.metadata.name).not.toBe(request.metadata.name);
    decide(again);
    await Promise.all(answers);
    expect(here.desk.list().map(({ status }) => status?.state)).toEqual(['Ran', 'Ran']);
  });
  test('are not asked more often than they can read', async () => {
    await fresh(policy(fix({ mode: 'retry' })));
    const { client } = await agent();
    for (let id = 0; id < 10; id++) await failure(client.query(`delete from tickets where id = ${id}`));
    expect(await failure(client.query('delete from tickets where id = 10'))).toMatchObject({
      code: '55000',
      message: expect.stringContaining('nobody can be asked now: it asked people 10 times within a minute (ApprovalUnavailable)'),
    });
  });
});

async function shown(
  send: (client: Client) => Promise<unknown>,
): Promise<{ preview: unknown; content: RequestContent | undefined }> {
  await fresh();
  const { client } = await agent();
  const answer = failure(send(client));
  const request = await looked();
  const content = here.desk.contentOf(request.metadata.name);
  decide(request, { decision: 'Deny' });
  await answer;
  // Rows go with the request.
  expect(here.desk.contentOf(request.metadata.name)).toEqual({});
  return { preview: request.status?.preview, content };
}

describe('before people decide they see', () => {
  test('how many rows it would meet, and some of them, masked as for the agent', async () => {
    const { preview, content } = await shown((client) => client.query('update tickets set status = $1 where id < $2', ['x', 8]));
    expect(preview).toEqual({ count: 7, estimate: expect.any(Number) });
    expect(content?.columns).toEqual(['id', 'status', 'ssn']);
    // Which five comes first is the table's own affair.
    const ids = new Set(content?.rows?.map(([id]) => Number(id)));
    expect(ids.size).toBe(5);
    expect([...ids].every((id) => id < 8)).toBe(true);
    expect(content?.rows?.map((row) => row.slice(1))).toEqual(Array.from({ length: 5 }, () => ['open', '*****']));
  });
  test.each<[string, string, object]>([
    ['all rows where there is no condition', 'delete from tickets', { count: 9, estimate: expect.any(Number) }],
    [
      'none where none fits',
      `delete from public.tickets t where t.status = 'none' returning id -- x`,
      { count: 0, estimate: expect.any(Number) },
    ],
    [
      'why nobody looked: it joins',
      'update tickets set status = n.body from notes n where n.body = status',
      { why: 'it takes more than one table and one condition', estimate: expect.any(Number) },
    ],
    [
      'why nobody looked: it is by chance',
      'delete from tickets where id < random()',
      { why: 'it may run functions that are not the server’s own, or give another result each time' },
    ],
  ])('%s', async (_, sql, wanted) => {
    expect((await shown((client) => client.query(sql))).preview).toEqual(wanted);
  });
});

test('before people decide they see how many rows the database expects of what it only reads or adds', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select', 'insert'], relations: ['public.*'] } }));
  const { client } = await agent();
  for (const [sql, estimate] of [
    ['insert into tickets (id) values (20), (21), (22)', 3],
    ['select status from tickets where id = 4', 1],
  ] as const) {
    const answer = failure(client.query(sql));
    expect((await approve({ decision: 'Deny' }, looked())).status?.preview, sql).toEqual({ estimate });
    await answer;
  }
  const { client: other } = await agent();
  const answer = failure(other.query('select status from tickets where id = $1', [4]));
  expect((await approve({ decision: 'Deny' }, looked())).status?.preview).toEqual({ estimate: 1 });
  await answer;
});

test('before people decide they see nothing of what means something else on another connection', async () => {
  await fresh();
  const { client } = await agent();
  await client.query(`set timezone = 'Asia/Tokyo'`);
  const answer = failure(client.query(`delete from tickets where timestamptz '2026-01-01' < timestamptz '2026-01-02'`));
  expect((await approve({ decision: 'Deny' }, looked())).status?.preview).toEqual({
    why: 'it means something else in the session of the agent',
  });
  await answer;
});

test('before people decide they see what the agent did in the last minutes, in all its sessions', async () => {
  await fresh();
  const [one, two] = [await agent(), await agent()];
  await one.client.query('select id from tickets where id < 4');
  await failure(two.client.query('drop table tickets'));
  const answer = failure(one.client.query(`update tickets set status = 'closed' where id = 1`));
  await approve({ decision: 'Deny' });
  await answer;
  const again = failure(two.client.query(`delete from tickets where id = 1`));
  const { spec } = await approve({ decision: 'Deny' });
  await again;
  expect(spec.recent).toEqual([
    { at: expect.any(String), sentence: 'SELECT on public.tickets', verdict: 'allow', result: 'SELECT 3' },
    { at: expect.any(String), sentence: 'DROP on public.tickets', verdict: 'deny' },
    {
      at: expect.any(String),
      sentence: 'UPDATE on public.tickets',
      verdict: 'approve',
      result: 'Denied',
    },
  ]);
});

test('an approved read is masked as any other, row by row from a cursor too', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.tickets'] } }));
  const { client } = await agent();
  const answer = client.query('select id, ssn from tickets where id < 3 order by id');
  await approve();
  expect((await answer).rows).toEqual([
    { id: 1, ssn: '*****' },
    { id: 2, ssn: '*****' },
  ]);
  await client.query('begin');
  const declared = client.query('declare c cursor for select id, ssn from tickets order by id');
  await approve();
  await declared;
  expect((await client.query('fetch 1 from c')).rows).toEqual([{ id: 1, ssn: '*****' }]);
  await client.query('commit');
  const explained = client.query('explain select * from tickets');
  await approve();
  expect((await explained).rows.length).toBeGreaterThan(0);
});

test('COPY FROM STDIN cannot be approved, since nobody can see what it brings', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['insert'], relations: ['public.notes'] } }));
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const heard = await client.ask(say.query('copy notes from stdin'));
  expect(JSON.stringify(heard)).toContain('NotAnalysable');
  expect(here.desk.list()).toEqual([]);
});

test('what stands behind it in a pipeline waits, in order', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { parse, bind, execute, sync } = say;
  const heard = client.ask(
    parse(`select 1`),
    bind(),
    execute(),
    sync(),
    parse(`update tickets set status = 'closed' where id = 1`),
    bind(),
    execute(),
    sync(),
    parse('select 2'),
    bind(),
    execute(),
    sync(),
  );
  await approve();
  const types = (await heard).map(([type]) => type).join('');
  expect(types.replaceAll('S', '')).toBe('12DCZ12NCZ12DCZ');
});
