import type { AccessRequest } from '@chaperone/api';
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  agent,
  approve,
  asOwner,
  clear,
  decide,
  failure,
  fix,
  fresh,
  governed,
  here,
  policy,
  start,
  statusOf,
} from './approvals.test-support.ts';

beforeAll(() => start('create sequence counter; grant usage on sequence counter to agent_role;'));
afterEach(clear);
afterAll(() => governed[Symbol.asyncDispose]());

const asked = (): number => here.desk.list().filter(({ spec }) => spec.grantedBy === undefined).length;
describe('what people granted', () => {
  const OFTEN = policy(fix({ maxGrant: '30m' }));
  async function granted(sql: string, values: unknown[] = []): Promise<{ client: Client; request: AccessRequest }> {
    await fresh(OFTEN);
    const { client } = await agent();
    const answer = client.query(sql, values);
    const request = await approve({ grantFor: 1800 });
    await answer;
    return { client, request };
  }

  test('runs again with other values, on any connection of the agent, recorded with whose approval', async () => {
    const { request } = await granted(`update tickets set status = 'closed' where id = 1`);
    expect(request.spec.templateText).toBe('update tickets set status = ? where id = ?');
    const { client } = await agent();
    expect(await client.query(`update tickets set status = 'mended' where id = 2`)).toMatchObject({ rowCount: 1 });
    expect([await statusOf(2), asked()]).toEqual(['mended', 1]);
    const approvals = here.records.flatMap(({ record }) => (record.type === 'approval' ? [record] : []));
    expect(approvals.at(-1)).toMatchObject({
      state: 'Released',
      grantedBy: request.metadata.name,
      decisions: [{ by: 'jane@corp', decision: 'Approve' }],
    });
  });
  test.each<[string, string]>([
    ['a sequence', `update tickets set status = nextval('counter')::text where id = 1`],
    ['sleep', `update tickets set status = 'x' where id = 1 and pg_sleep(0) is not null`],
    ['chance', `update tickets set status = random()::text where id = 1`],
    ['the clock', `update tickets set status = clock_timestamp()::text where id = 1`],
  ])('is nothing of what calls %s: it can be approved once only, and says why', async (_, sql) => {
    await fresh(policy(fix({ maxGrant: '30m' })));
    const { client } = await agent();
    const answer = failure(client.query(sql));
    const { spec } = await approve({ decision: 'Deny' });
    await answer;
    expect([spec.template, spec.templateText, spec.once]).toEqual([
      undefined,
      undefined,
      'it calls a function that changes something, waits, or gives another result each time',
    ]);
  });
  test('is there for functions that do no more than give a result', async () => {
    const { request } = await granted(`update tickets set status = lower('X') || now()::date where id = 1`);
    expect(request.spec).toMatchObject({ template: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(request.spec.once).toBeUndefined();
  });
  test('runs again with other bound values', async () => {
    const { client } = await granted('update tickets set status = $1 where id = $2', ['closed', 1]);
    await client.query('update tickets set status = $1 where id = $2', ['mended', 2]);
    expect([await statusOf(2), asked()]).toEqual(['mended', 1]);
  });
  test.each<[string, string, string?]>([
    ['another condition', `update tickets set status = 'x' where id <= 2`],
    ['another column', `update tickets set ssn = '1' where id = 2`],
    ['another table', `update notes set body = 'x' where body = 'y'`],
    ['a boolean, which is no value', `update tickets set status = 'x' where id = 2 or true`],
    ['another time zone', `update tickets set status = 'x' where id = 2`, `set timezone = 'Europe/Berlin'`],
    ['an open transaction', `update tickets set status = 'x' where id = 2`, 'begin'],
  ])('does not with %s', async (_, sql, before) => {
    const { client } = await granted(`update tickets set status = 'closed' where id = 1`);
    if (before !== undefined) await client.query(before);
    const answer = failure(client.query(sql));
    await approve({ decision: 'Deny' });
    expect(await answer).toMatchObject({ message: expect.stringContaining('(ApprovalDenied)') });
    expect(await statusOf(2)).toBe('open');
  });
  test.each([
    [
      'a trigger that came later',
      `create trigger later before update on tickets for each row execute function suppress_redundant_updates_trigger()`,
      'drop trigger later on tickets',
    ],
    [
      'a foreign key that changes other rows',
      'create table replies (ticket int references tickets on update cascade)',
      'drop table replies',
    ],
  ])('does not with %s', async (_, before, after) => {
    const { client } = await granted(`update tickets set status = 'closed' where id = 1`);
    await asOwner(before);
    const answer = failure(client.query(`update tickets set status = 'x' where id = 2`));
    await approve({ decision: 'Deny' });
    await answer;
    await asOwner(after);
    expect(await statusOf(2)).toBe('open');
  });
  test('does not once somebody ended it', async () => {
    const { client, request } = await granted(`update tickets set status = 'closed' where id = 1`);
    expect(decide(request, { decision: 'Deny', by: 'ann@corp' })).toMatchObject({
      decision: { status: { counted: true } },
      request: { status: { state: 'Ran', revokedBy: 'ann@corp' } },
    });
    const answer = failure(client.query(`update tickets set status = 'x' where id = 2`));
    await approve({ decision: 'Deny' });
    await answer;
    expect(await statusOf(2)).toBe('open');
  });
});
