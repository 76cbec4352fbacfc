import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allowing, type Governed, startGoverned } from '../postgres/relay/governed.test-support.ts';
import { type WhileCaptured, whileCaptured } from './while-captured.ts';

let governed: Governed;
let guarded: WhileCaptured;
let problem: string | undefined;
beforeAll(async () => {
  governed = await startGoverned({
    schema: 'create table tickets (id int); grant select on tickets to agent_role',
    policy: allowing({ statements: ['select'], relations: ['public.*'] }),
    through: (control) => {
      guarded = whileCaptured(control, () => problem === undefined);
      return guarded.control;
    },
  });
});
afterAll(() => governed?.[Symbol.asyncDispose]());

test('what is open ends when capture is not proven any more, nothing opens, and both are said; until it is proven again', async () => {
  const client = await governed.connect();
  expect((await client.query('select id from public.tickets')).rows).toEqual([]);
  const ended = new Promise<Error>((resolve) => client.on('error', resolve));
  problem = 'a connection was not stopped';
  guarded.changed({ problem });
  expect((await ended).message).toMatch(/\(CaptureNotProven\) \(ResourceNotReady\)\. Try later/);
  await eventually('no session', () => (governed.sessions.open === 0 ? true : undefined));
  expect(governed.records.at(-1)?.record).toMatchObject({ type: 'session.close', code: 'ResourceNotReady' });
  await expect(governed.connect()).rejects.toThrow(/it is not ready \(CaptureNotProven\)/);
  problem = undefined;
  guarded.changed({ problem });
  const again = await governed.connect();
  expect((await again.query('select id from public.tickets')).rows).toEqual([]);
});

test('what else the control plane ends, ends', async () => {
  const client = await governed.connect();
  const ended = new Promise<Error>((resolve) => client.on('error', resolve));
  governed.revoke({ code: 'SessionEnded', reason: 'the right was withdrawn' });
  expect((await ended).message).toMatch(/the right was withdrawn \(SessionEnded\)/);
});
