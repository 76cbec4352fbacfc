import { setTimeout } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA =
  'create table tickets (id int); create table notes (id int); grant select, insert on all tables in schema public to agent_role;';
const ON = { resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = {
  rules: [
    { ...ON, name: 'read', effect: 'Allow', sql: { statements: ['select'], relations: ['public.tickets'] } },
    { ...ON, name: 'never', effect: 'Deny', sql: { statements: ['drop'] }, message: 'Ask the team that owns the schema.' },
  ],
};
const AGAIN = / \((\d+)\w\w time; the answer will not change\)$/;

let governed: Governed;
let held: number[] = [];
/** Set: answers that are held stay so. */
let endless: Promise<void> | undefined;
beforeAll(async () => {
  const clock = {
    ...systemClock,
    after: async (ms: number): Promise<void> => {
      held.push(ms);
      await endless;
    },
  };
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, clock });
});
afterAll(async () => governed?.[Symbol.asyncDispose]());

const { parse, bind, execute, sync, query } = say;
const errorOf = (heard: readonly (readonly string[])[]): string => heard.find(([type]) => type === 'E')?.[2] ?? '';
const countOf = (message: string): number => Number(AGAIN.exec(message)?.[1] ?? 1);

describe('what is no SQL', () => {
  it.each([
    ['a simple query', (text: string) => [query(text)]],
    ['the extended protocol', (text: string) => [parse(text), sync()]],
  ])('is refused with the place and the SQLSTATE of the server, in %s', async (_, asked) => {
    await using agent = await RawClient.open(governed.port);
    const client = await governed.connect();
    const error = (await client
      .query("select id frm tickets where note = 'Ada Lovelace'")
      .catch((caught: unknown) => caught)) as pg.DatabaseError;
    expect(error).toMatchObject({ code: '42601', position: '15' });
    expect(error.message).toMatch(/syntax error.*character 15.*\(StatementSyntax\)/);
    expect(error.message + (error.detail ?? '') + (error.hint ?? '')).not.toContain('Lovelace');
    expect(errorOf(await agent.ask(...asked('selec 1')))).toContain('(StatementSyntax)');
    expect(errorOf(await agent.ask(query('select id from tickets')))).toBe('');
    await client.end();
  });
});

describe('a refusal that an agent asks for again and again', () => {
  it.each([
    ['simple queries', (text: string) => [query(text)]],
    ['the extended protocol', (text: string) => [parse(text), bind(), execute(), sync()]],
  ])('is said to be the same, and held longer each time, in %s', async (name, asked) => {
    held = [];
    const text = `drop table tickets /* ${name} */`;
    const counts = [];
    await using agent = await RawClient.open(governed.port);
    for (let each = 0; each < 8; each++) counts.push(countOf(errorOf(await agent.ask(...asked(text)))));
    expect(counts).toEqual([1, 1, 3, 4, 5, 6, 7, 8]);
    expect(held).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
  });

  it('is counted over connections', async () => {
    held = [];
    for (const count of [1, 1, 3, 4]) {
      await using agent = await RawClient.open(governed.port);
      expect(countOf(errorOf(await agent.ask(query('drop table notes'))))).toBe(count);
    }
    expect(held).toEqual([500, 1000]);
  });

  it('is not another statement, nor what is allowed', async () => {
    held = [];
    await using agent = await RawClient.open(governed.port);
    for (const table of ['a', 'b', 'c', 'd'])
      expect(countOf(errorOf(await agent.ask(query(`insert into public.${table} values (1)`))))).toBe(1);
    for (let each = 0; each < 4; each++) expect(errorOf(await agent.ask(query('select id from tickets')))).toBe('');
    expect(held).toEqual([]);
  });

  it('does not run while it is held, and does not hold up the end of its session', async () => {
    const text = 'begin; insert into notes values (1)';
    const refuse = async (): Promise<void> => {
      await using agent = await RawClient.open(governed.port);
      await agent.ask(query(text));
    };
    await refuse();
    await refuse();
    const { promise, resolve } = Promise.withResolvers<void>();
    endless = promise;
    const agent = await RawClient.open(governed.port);
    agent.send(query(text), query('select id from tickets'));
    await setTimeout(300);
    expect(agent.heard).toEqual([['C', 'BEGIN']]);
    agent.socket.destroy();
    await expect.poll(() => governed.sessions.open).toBe(0);
    endless = undefined;
    resolve();
    const owner = await governed.direct();
    expect((await owner.query('select count(*)::int as n from notes')).rows).toEqual([{ n: 0 }]);
    await owner.end();
  });

  it('is really held', async () => {
    await using other = await governed.anew({ clock: systemClock });
    await using agent = await RawClient.open(other.port);
    await agent.ask(query('drop table tickets'));
    await agent.ask(query('drop table tickets'));
    const began = performance.now();
    await agent.ask(query('drop table tickets'));
    expect(performance.now() - began).toBeGreaterThanOrEqual(490);
  });
});

async function refusal(policy: object, text: string): Promise<pg.DatabaseError> {
  governed.setPolicy(policy);
  const agent = await governed.connect();
  const error = await agent.query(text).then(
    () => undefined,
    (reason: pg.DatabaseError) => reason,
  );
  await agent.end();
  if (error === undefined) throw new Error('it was not refused');
  return error;
}

describe('what a refusal discloses', () => {
  it('is the rule, the policy and what is allowed, unless the policy says otherwise', async () => {
    expect(await refusal(POLICY, 'drop table public.tickets')).toMatchObject({
      message:
        'chaperone: DROP on public.tickets is denied by rule "never" (DeniedByRule). Do not retry: Ask the team that owns the schema.',
      detail: expect.stringMatching(/^Policy agents\/support-agent[.] Reference s-/),
      hint: 'Allowed here: SELECT on public.tickets. The connection stays usable.',
    });
  });

  it('is the code and the message of the rule with disclosure: code', async () => {
    expect(await refusal({ ...POLICY, disclosure: 'code' }, 'drop table public.tickets')).toMatchObject({
      message:
        'chaperone: DROP on public.tickets is denied by a rule (DeniedByRule). Do not retry: Ask the team that owns the schema.',
      detail: expect.stringMatching(/^Reference s-/),
      hint: 'The connection stays usable.',
    });
  });
});

describe('an agent that sends Flush, and Sync only when it heard of an error', () => {
  it.each([
    ['a refusal of what the server parsed', [parse('select * from notes', 's'), say.describe('statement', 's')]],
    ['a refusal of what it did not', [parse('listen news', 's'), say.describe('statement', 's')]],
    [
      'a statement that is not there, after one that is',
      [parse('select 1', 'one'), bind('one'), say.describe('statement', 'none')],
    ],
  ])('is told of %s', async (_, asked) => {
    await using agent = await RawClient.open(governed.port);
    agent.send(...asked, say.flush());
    expect((await agent.until((heard) => heard.some(([type]) => type === 'E'))).at(-1)?.[0]).toBe('E');
    expect(await agent.ask(sync())).toEqual([['Z', 'I']]);
  });
});
