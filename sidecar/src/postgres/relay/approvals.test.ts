import { connect } from 'node:net';
import { eventually } from '@chaperone/testing';
import type { Client, DatabaseError } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ApprovalError } from '../../control/approvals.ts';
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
      `chaperone: waiting for approval ${request.metadata.name} of UPDATE on public.tickets, at most 1 min (ApprovalPending). Keep the connection open, do not resend; the result follows by itself.`,
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
