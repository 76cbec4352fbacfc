import type { AccessRequest } from '@chaperone/api';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  agent,
  approve,
  clear,
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
import { Meddler, TRIGGER } from './meddler.test-support.ts';

/** A look that nobody ends takes 700 ms. */
const AT_ONCE_MS = 500;

let meddler: Meddler;

beforeAll(async () => {
  await start();
  meddler = await Meddler.before(governed.postgres.port);
});
afterEach(async () => {
  meddler.meddling = {};
  await clear();
});
afterAll(async () => {
  await meddler?.[Symbol.asyncDispose]();
  await governed[Symbol.asyncDispose]();
});

/** An agent whose update is held, while the database does not answer who looks at what it would meet. */
async function stalled(
  approval: object = {},
): Promise<{ client: Awaited<ReturnType<typeof agent>>['client']; answer: Promise<unknown> }> {
  await fresh(policy(fix(approval)), undefined, meddler.address);
  const { client } = await agent();
  // From here on the agent's own connection is let be.
  await client.query(`select '${TRIGGER}'`);
  meddler.meddling = { silence: true };
  const answer = client
    .query(`update tickets set status = 'closed' where id = 1 /* ${TRIGGER} */`)
    .catch((error: Error) => error);
  await expect.poll(() => meddler.sessions, { interval: 5 }).toBe(2);
  return { client, answer };
}

test('people see a request before anybody looked, and then what it would meet', async () => {
  await fresh();
  const seen: AccessRequest['status'][] = [];
  here.desk.watch(({ status }) => void seen.push(status));
  const { client } = await agent();
  const answer = failure(client.query('delete from tickets where id < 4'));
  await approve({ decision: 'Deny' }, looked());
  await answer;
  expect(seen.map((status) => [status?.state, status?.preview?.count])).toEqual([
    ['Pending', undefined],
    ['Pending', 3],
    ['Denied', 3],
  ]);
});

test('what runs waits for no look: the decision ends it', async () => {
  const { answer } = await stalled();
  const since = performance.now();
  const request = await approve();
  expect(await answer).toMatchObject({ rowCount: 1 });
  await expect.poll(() => meddler.sessions, { interval: 5 }).toBe(1);
  expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
  expect(await statusOf(1)).toBe('closed');
  expect(here.desk.list().find(({ metadata }) => metadata.name === request.metadata.name)?.status?.preview).toBeUndefined();
});

test('an agent that leaves ends the look', async () => {
  const { client } = await stalled();
  const request = await pending();
  const since = performance.now();
  await client.end();
  await expect.poll(() => meddler.sessions, { interval: 5 }).toBe(0);
  expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
  await expect.poll(() => stateOf(request)).toBe('Withdrawn');
});

test('one that repeats it later may leave: people see what it would meet all the same', async () => {
  await fresh(policy(fix({ mode: 'retry' })));
  const { client } = await agent();
  await failure(client.query('delete from tickets where id < 6'));
  await client.end();
  expect((await looked()).status?.preview).toMatchObject({ count: 5 });
});

test('a database that does not answer is not waited for without end, and that is said', async () => {
  const { answer } = await stalled();
  expect((await looked()).status?.preview).toEqual({ why: 'it takes too long' });
  await approve({ decision: 'Deny' });
  expect(await answer).toBeInstanceOf(Error);
});
