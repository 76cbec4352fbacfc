import { connect } from 'node:net';
import type { RequestContent } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import type { Client, DatabaseError } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ApprovalError } from '../../control/approvals.ts';
import { systemClock } from '../../platform.ts';
import { encodeCancelRequest } from '../wire/index.ts';
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
  kinds,
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

/** The ways in which one update can be sent. */
const WAYS: readonly (readonly [string, (client: Client, id: number) => Promise<{ rowCount: number | null }>])[] = [
  ['a simple query', (client, id) => client.query(`update tickets set status = 'closed' where id = ${id}`)],
  ['the extended protocol', (client, id) => client.query('update tickets set status = $1 where id = $2', ['closed', id])],
  [
    'a prepared statement',
    (client, id) => client.query({ name: 'close', text: 'update tickets set status = $1 where id = $2', values: ['closed', id] }),
  ],
  [
    'PREPARE and EXECUTE',
    async (client, id) => {
      await client.query('deallocate all');
      await client.query(`prepare close(int) as update tickets set status = 'closed' where id = $1`);
      return client.query(`execute close(${id})`);
    },
  ],
];

describe.each(WAYS)('what a rule holds, by %s', (_, send) => {
  test('runs once it is approved, and only then', async () => {
    await fresh();
    const { client, notices } = await agent();
    const answer = send(client, 1);
    const request = await pending();
    await until(() => notices.length > 0);
    expect(notices).toEqual([
      `chaperone: waiting for approval ${request.metadata.name} of UPDATE on public.tickets, at most 20 s (ApprovalPending). Keep the connection open, do not resend; the result follows by itself.`,
    ]);
    expect(await statusOf(1)).toBe('open');
    decide(request);
    expect(await answer).toMatchObject({ rowCount: 1 });
    expect(await statusOf(1)).toBe('closed');
    await until(() => stateOf(request) === 'Ran');
    expect(here.desk.list()[0]?.status?.result).toBe('UPDATE 1');
    await until(() => kinds().at(-1) === 'done');
    expect(kinds().slice(-3)).toEqual(['action approve', 'approval Released', 'done']);
    expect(here.records.findLast(({ record }) => record.type === 'approval')).toMatchObject({
      durability: 'synced',
      record: {
        request: request.metadata.name,
        digest: request.spec.digest,
        // Nobody signs in to a machine's own desk.
        decisions: [{ by: 'jane@corp', decision: 'Approve', assurance: 'local' }],
      },
    });
  });

  test('never runs once it is denied, and the connection goes on', async () => {
    await fresh();
    const { client } = await agent();
    const error = failure(send(client, 2));
    const request = await approve({ decision: 'Deny', reason: 'wrong ticket, 4412 is meant' });
    expect(await error).toMatchObject({
      code: '42501',
      message: `chaperone: ${request.metadata.name} was denied by a reviewer (ApprovalDenied); UPDATE on public.tickets did not run. Do not retry. Reviewer: "wrong ticket, 4412 is meant"`,
    });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(await statusOf(2)).toBe('open');
    expect(kinds()).toContain('approval Denied');
  });

  test('never runs once its time is over', async () => {
    await fresh(policy(fix({ timeout: '1s' })));
    const { client } = await agent();
    expect(await failure(send(client, 3))).toMatchObject({
      code: '57014',
      message: expect.stringMatching(/^chaperone: ar-\w+ expired after 1 s without a decision/),
    });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(await statusOf(3)).toBe('open');
    expect(here.desk.list()[0]?.status?.state).toBe('Expired');
  });

  test('asks every time', async () => {
    await fresh();
    const { client } = await agent();
    const names = new Set<string>();
    for (let times = 0; times < 4; times++) {
      const answer = send(client, 1).catch((error: DatabaseError) => error);
      const request = await pending();
      names.add(request.metadata.name);
      decide(request, times % 2 === 0 ? {} : { decision: 'Deny' });
      await answer;
    }
    expect(names.size).toBe(4);
  });

  test('never runs after its policy changed meanwhile, and the agent hears it at once', async () => {
    await fresh();
    const { client } = await agent();
    const error = failure(send(client, 4));
    const request = await pending();
    here.setPolicy(policy(fix({ timeout: '21s' })));
    expect(await error).toMatchObject({ code: '55000', message: expect.stringContaining('ApprovalVoided') });
    expect(await statusOf(4)).toBe('open');
    expect(stateOf(request)).toBe('Voided');
    expect(() => decide(request)).toThrow('is over');
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  test('never runs after its policy changed while it is looked at a last time', async () => {
    await fresh();
    const { client } = await agent();
    const error = failure(send(client, 4));
    const request = await pending();
    const owner = await governed.direct();
    await owner.query('begin; lock table pg_catalog.pg_class in access exclusive mode');
    decide(request);
    await until(() => stateOf(request) === 'Released');
    here.setPolicy(policy(fix({ timeout: '21s' })));
    await owner.query('rollback');
    await owner.end();
    expect(await error).toMatchObject({ code: '55000', message: expect.stringContaining('ApprovalVoided') });
    expect(await statusOf(4)).toBe('open');
    await until(() => stateOf(request) === 'Failed');
  });

  test('never runs once what it names is something else', async () => {
    await fresh();
    const { client } = await agent();
    const error = failure(send(client, 5));
    const request = await pending();
    const owner = await governed.direct();
    await owner.query(
      `alter table tickets rename to old; create table tickets as select * from old; grant all on tickets to agent_role`,
    );
    decide(request);
    const { code } = await error;
    expect(['55000', '0A000']).toContain(code);
    expect((await owner.query('select count(*) from tickets where status <> $1', ['open'])).rows).toEqual([{ count: '0' }]);
    await owner.query('drop table tickets; alter table old rename to tickets');
    await owner.end();
    expect(await statusOf(5)).toBe('open');
  });

  test('never runs once its agent is gone', async () => {
    await fresh();
    const { client } = await agent();
    const answer = send(client, 6).catch(() => undefined);
    const request = await pending();
    (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
    await answer;
    await until(() => stateOf(request) === 'Withdrawn');
    expect(() => decide(request)).toThrow('is over');
    expect(await statusOf(6)).toBe('open');
    await until(() => kinds().includes('session.close'));
    expect(kinds().slice(-2)).toEqual(['approval Withdrawn', 'session.close']);
  });

  test('never runs once its agent is gone while whoever decides cannot be reached', async () => {
    await fresh();
    const release = vi.spyOn(here.desk, 'release').mockRejectedValue(new ApprovalError('Unreachable', 'it restarts'));
    const { client } = await agent();
    const answer = send(client, 6).catch(() => undefined);
    const request = await approve();
    await until(() => release.mock.calls.length > 0);
    (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
    await answer;
    await until(() => stateOf(request) === 'Withdrawn');
    expect(await statusOf(6)).toBe('open');
    await until(() => kinds().includes('session.close'));
    expect(kinds().slice(-2)).toEqual(['approval Withdrawn', 'session.close']);
  });

  test('holds no lock meanwhile, for which others would have to wait', async () => {
    await fresh();
    const { client } = await agent();
    const answer = send(client, 7);
    const request = await looked();
    const owner = await governed.direct();
    await owner.query('set lock_timeout = 500');
    await owner
      .query('lock table tickets in access exclusive mode nowait')
      .catch((error: DatabaseError) => expect(error.code).toBe('25P01'));
    await owner.query('begin; lock table tickets in access exclusive mode nowait; commit');
    await owner.end();
    decide(request);
    expect(await answer).toMatchObject({ rowCount: 1 });
  });
});

describe('in an open transaction', () => {
  test('it is held for a shorter time, is said to hold locks, and fails the transaction as an error does', async () => {
    await fresh(policy(fix({ transactionTimeout: '2s' })));
    const { client } = await agent();
    await client.query('begin');
    await client.query('insert into notes values ($1)', ['first']);
    const error = failure(client.query(`update tickets set status = 'closed' where id = 1`));
    expect(await pending()).toMatchObject({ spec: { transaction: true } });
    expect(await error).toMatchObject({ code: '57014', hint: expect.stringContaining('Send ROLLBACK first') });
    expect(await failure(client.query('select 1'))).toMatchObject({ code: '25P02' });
    await client.query('rollback');
    expect((await client.query('select count(*)::int as n from notes')).rows).toEqual([{ n: 0 }]);
  });
  test('it runs within it once it is approved', async () => {
    await fresh();
    const { client } = await agent();
    await client.query('begin');
    const answer = client.query('update tickets set status = $1 where id = $2', ['closed', 1]);
    await approve();
    await answer;
    expect(await statusOf(1)).toBe('open');
    await client.query('commit');
    expect(await statusOf(1)).toBe('closed');
  });
  test('of several statements in one text each is asked for, and all undone when one is denied', async () => {
    await fresh();
    const { client } = await agent();
    const error = failure(client.query(`update tickets set status = 'a' where id = 1; delete from tickets where id = 2`));
    expect(await approve()).toMatchObject({ spec: { sentence: 'UPDATE on public.tickets', transaction: false } });
    const second = await until(() => here.desk.list().find(({ spec }) => spec.sentence.startsWith('DELETE')));
    expect(second.spec.transaction).toBe(true);
    decide(second, { decision: 'Deny' });
    expect(await error).toMatchObject({ code: '42501' });
    expect(await statusOf(1)).toBe('open');
  });
});

test('an agent that gives up on it gets the server’s words, and goes on', async () => {
  await fresh();
  const { client } = await agent();
  const error = failure(client.query(`update tickets set status = 'closed' where id = 1`));
  const request = await pending();
  const { processID: processId, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const socket = connect(here.port, '127.0.0.1');
  socket.end(encodeCancelRequest({ processId, secret }));
  expect(await error).toMatchObject({ code: '57014', message: 'canceling statement due to user request' });
  await until(() => stateOf(request) === 'Withdrawn');
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
});

describe('where the connection does not wait', () => {
  test('the agent repeats it, and it runs once it is approved, on any connection, once', async () => {
    await fresh(policy(fix({ mode: 'retry' })));
    const { client } = await agent();
    const text = 'update tickets set status = $1 where id = $2';
    const first = await failure(client.query(text, ['closed', 1]));
    expect(first).toMatchObject({
      code: '55000',
      message: expect.stringMatching(
        /^chaperone: UPDATE on public.tickets waits for approval ar-\w+ \(ApprovalPending\). It has not run/,
      ),
    });
    expect(await failure(client.query(text, ['closed', 1]))).toMatchObject({ code: '55000' });
    expect(here.desk.list()).toHaveLength(1);
    expect(here.desk.list()[0]?.status?.asked).toBe(2);
    await approve();
    const { client: another } = await agent();
    expect(await failure(another.query(text, ['closed', 2]))).toMatchObject({ code: '55000' });
    expect(await another.query(text, ['closed', 1])).toMatchObject({ rowCount: 1 });
    expect(await failure(another.query(text, ['closed', 1]))).toMatchObject({ code: '55000' });
    expect(await statusOf(2)).toBe('open');
  });
  test('what was denied is denied to whoever repeats it, while its time lasts', async () => {
    await fresh(policy(fix({ mode: 'retry' })));
    const { client } = await agent();
    const text = `delete from tickets where id = 9`;
    expect(await failure(client.query(text))).toMatchObject({ code: '55000' });
    await approve({ decision: 'Deny' });
    expect(await failure(client.query(text))).toMatchObject({ code: '42501' });
    expect(here.desk.list()).toHaveLength(1);
  });
});

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
