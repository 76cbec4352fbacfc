import type { DecisionSpec } from '@chaperone/api';
import { connect } from 'node:net';
import type { DatabaseError } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
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
  lockWait,
  looked,
  pending,
  policy,
  start,
  stateOf,
  statusOf,
} from './approvals.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const MORE = `
create table plain (id int primary key, note text);
insert into plain values (1, 'harmless'), (2, 'harmless');
create table bag (id int primary key, words text[]);
insert into bag values (1, '{}');
grant all on bag to agent_role;
create view secretly as select id, ssn as note from tickets;
grant all on plain, secretly to agent_role;`;

beforeAll(() => start(MORE));
afterEach(clear);
afterAll(() => governed[Symbol.asyncDispose]());

/** The owner gives the name `plain` to what was `secretly`, whose note is a labelled column; again: and back. */
async function swap(): Promise<void> {
  const owner = await governed.direct();
  await owner.query(`begin; alter table plain rename to aside`);
  await owner.query(`alter table secretly rename to plain; alter table aside rename to secretly; commit`);
  await owner.end();
}

test('a named statement that was voided once is not judged by what it meant before', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.plain', 'public.secretly'] } }));
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { parse, bind, execute, sync } = say;
  await client.ask(parse('select note from plain where id = 1', 's'), sync());
  const first = client.ask(bind('s'), execute(), sync());
  const request = await pending();
  await swap();
  decide(request);
  expect(JSON.stringify(await first)).toContain('ApprovalVoided');
  const second = client.ask(bind('s'), execute(), sync());
  const again = await Promise.race([pending(), second]);
  if ('metadata' in again) decide(again);
  const heard = JSON.stringify(await second);
  await swap();
  expect(heard).not.toContain('123-45');
});

test('nor is one that SQL prepared', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.plain', 'public.secretly'] } }));
  const { client } = await agent();
  await client.query('prepare s as select note from plain where id = 1');
  const first = client.query('execute s').catch((error: DatabaseError) => error.message);
  const request = await pending();
  await swap();
  decide(request);
  expect(await first).toContain('ApprovalVoided');
  const second = client.query('execute s').then(
    ({ rows }) => rows,
    (error: DatabaseError) => error.message,
  );
  const again = await Promise.race([pending(), second]);
  if (typeof again === 'object' && 'metadata' in again) decide(again);
  const heard = JSON.stringify(await second);
  await swap();
  expect(heard).not.toContain('123-45');
});

test('COPY runs as what was asked for, whatever its name meant when it was parsed', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.plain', 'public.secretly'] } }));
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { parse, bind, execute, sync } = say;
  await swap();
  await client.ask(parse('copy (select note from plain where id = 1) to stdout', 's'), sync());
  await swap();
  const first = client.ask(bind('s'), execute(), sync());
  const request = await Promise.race([pending(), first]);
  await swap();
  if ('metadata' in request) decide(request);
  await first;
  await swap();
  expect(client.text).not.toContain('123-45');
});

test('the row of a cursor cannot be approved', async () => {
  await fresh(policy(fix({ mode: 'retry' })));
  const { client } = await agent();
  const text = `update tickets set status = 'closed' where current of c`;
  const said: unknown[] = [];
  const go = async (id: number) => {
    await client.query('begin');
    await client.query(`declare c cursor for select id from tickets where id = ${id}`);
    said.push((await client.query('fetch 1 from c')).rows);
    said.push(
      await client.query(text).then(
        () => 'ran',
        (e: DatabaseError) => e.message,
      ),
    );
    await client.query('commit');
  };
  await go(1).catch((e: Error) => said.push(e.message));
  if (here.desk.list().length > 0) await approve();
  await client.query('rollback');
  await go(2).catch((e: Error) => said.push(e.message));
  expect(await statusOf(2)).toBe('open');
});

test('what a detector finds in a bound value is hidden', async () => {
  await fresh(policy(), {
    sensitive: [
      { label: 'pii.ssn', columns: ['public.tickets.ssn'] },
      { label: 'pii.mail', detector: 'email' },
    ],
  });
  const { client } = await agent();
  const answer = failure(client.query('update notes set body = $1 where body = $2', ['jane.doe@example.com', 'x']));
  const request = await approve({ decision: 'Deny' });
  await answer;
  const other = failure(client.query(`update notes set body = 'jane.doe@example.com'`));
  await approve({ decision: 'Deny' });
  await other;
  expect(JSON.stringify(request)).not.toContain('jane.doe');
});

test('a cancel together with the approval', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const heard = client.ask(say.query(`update tickets set status = 'closed' where id = 1`));
  const request = await pending();
  const socket = connect(here.port, '127.0.0.1');
  socket.on('error', () => undefined);
  if (client.key !== undefined) socket.end(encodeCancelRequest(client.key));
  decide(request);
  const said = await heard;
  expect(said.at(-1)).toEqual(['Z', 'I']);
});

test('values that are not shown are said to be there', async () => {
  await fresh();
  const { client } = await agent();
  const values = Array.from({ length: 70 }, (_, at) => at + 100);
  const answer = failure(
    client.query(`delete from tickets where id in (${values.map((_, at) => `$${at + 1}`).join(',')})`, values),
  );
  const request = await approve({ decision: 'Deny' });
  await answer;
  expect(JSON.stringify(request.spec)).toContain('(and 7 more)');
});

test('a setting that was changed meanwhile asks again', async () => {
  await fresh(policy(fix({ mode: 'retry' })));
  const owner = await governed.direct();
  await owner.query(
    `create table if not exists floats (f float8, note text); grant all on floats to agent_role; truncate floats; insert into floats values (0.30000000000000004, 'open')`,
  );
  await owner.end();
  const { client } = await agent();
  const text = `update floats set note = 'hit' where f::text = '0.3'`;
  const said: unknown[] = [];
  said.push(
    await client.query(text).then(
      ({ rowCount }) => rowCount,
      (e: DatabaseError) => e.message,
    ),
  );
  if (here.desk.list().length > 0) await approve();
  said.push(
    await client.query(`set extra_float_digits = 0`).then(
      () => 'ok',
      (e: DatabaseError) => e.message,
    ),
  );
  said.push(
    await client.query(text).then(
      ({ rowCount }) => rowCount,
      (e: DatabaseError) => e.message,
    ),
  );
  expect(said[2]).not.toBe(1);
});

test('a cancel while the rows are looked at is heard', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const owner = await governed.direct();
  const socket = connect(here.port, '127.0.0.1');
  socket.on('error', () => undefined);
  await systemClock.after(50);
  const heard = client.ask(say.query(`update tickets set status = 'closed' where id = 1`));
  heard.catch(() => undefined);
  for (let tries = 0; !here.records.some(({ record }) => record.type === 'action') && tries < 400_000; tries++)
    await new Promise((r) => setImmediate(r));
  if (client.key !== undefined) socket.end(encodeCancelRequest(client.key));
  const ended = await Promise.race([
    heard.then(
      (h) => JSON.stringify(h),
      (e: Error) => e.message,
    ),
    systemClock.after(15_000).then(() => 'waits'),
  ]);
  await owner.end();
  expect(ended).toContain('57014');
});

test.each<[string, string]>([
  ['dollar', `update tickets set status = 'x' where ssn = $a$999-88$a$`],
  ['escaped', `update tickets set status = 'x' where ssn = E'999-88'`],
  ['unicode', `update tickets set status = 'x' where ssn = U&'999-88'`],
  ['continued', `update tickets set status = 'x' where ssn = '999'\n'-88'`],
  ['umlauts before', `update tickets set status = 'ääää' where ssn = '999-88' and status = 'ä'`],
  ['comment', `update tickets set status = 'x' /* 999-88 */ where ssn = '1' -- 999-88`],
  ['between', `update tickets set status = 'x' where status between symmetric '1' and '2' and ssn in ('999-88', '2')`],
  ['case', `update tickets set status = case ssn when '999-88' then 'a' else 'b' end`],
  ['coalesce', `update tickets set status = 'x' where coalesce(ssn, 'none') = '999-88'`],
  ['row', `update tickets set status = 'x' where (id, ssn) = (1, '999-88')`],
  ['row less', `update tickets set status = 'x' where (status, ssn) < ('a', '999-88')`],
  ['sub', `update tickets set status = 'x' where id in (select id from tickets t where t.ssn = '999-88')`],
  ['scalar sub', `update tickets set status = 'x' where (select t.ssn from tickets t limit 1) = '999-88'`],
  ['from', `update notes set body = 'x' from (select ssn as s from tickets) t where t.s = '999-88'`],
  ['with', `with w as (select ssn as s from tickets) update notes set body = 'x' from w where w.s = '999-88'`],
  ['any', `update tickets set status = 'x' where ssn = any('{999-88}')`],
  ['not distinct', `update tickets set status = 'x' where ssn is not distinct from '999-88'`],
  ['length', `update tickets set status = 'x' where position('999-88' in ssn) > 0`],
  ['returning', `update tickets set status = 'x' where id = 1 returning ssn = '999-88'`],
  ['exists', `update notes set body = 'x' where exists (select 1 from tickets where ssn = '999-88')`],
  ['union', `update notes set body = 'x' where body = (select ssn from tickets union select '999-88' limit 1)`],
  ['set sub', `update notes set body = (select count(*)::text from tickets where ssn = '999-88')`],
  ['multi set', `update tickets set (status, ssn) = ('x', '999-88')`],
  ['multi sub', `update tickets set (status, ssn) = (select 'x', '999-88')`],
  ['json', `update tickets set status = 'x' where to_jsonb(tickets) ->> 'ssn' = '999-88'`],
  ['whole row', `update tickets set status = 'x' where tickets::text = '(1,open,999-88)'`],
  ['view', `update secretly set note = '999-88' where id = 1`],
  ['view where', `delete from secretly where note = '999-88'`],
])('hides: %s', async (_, sql) => {
  await fresh();
  const { client } = await agent();
  const answer = client.query(sql).then(
    () => 'ran',
    (e: Error) => e.message,
  );
  const seen = await Promise.race([looked(), answer]);
  const shownThere = typeof seen === 'string' ? `no request: ${seen}` : JSON.stringify([seen.spec.text, seen.status?.preview]);
  if (typeof seen !== 'string') decide(seen, { decision: 'Deny' });
  await answer;
  const inRecords = JSON.stringify(here.records).includes('999-88');
  expect([shownThere.includes('999-88'), inRecords]).toEqual([false, false]);
});

test('a trigger that comes between question and release voids the approval', async () => {
  await fresh();
  const owner = await governed.direct();
  await owner.query(
    `create or replace function public.boom() returns trigger language plpgsql as $$ begin delete from notes; return new; end $$; insert into notes values ('kept')`,
  );
  const { client } = await agent();
  const answer = client.query(`update tickets set status = 'closed' where id = 1`).then(
    () => 'ran',
    (e: Error) => e.message,
  );
  const request = await pending();
  await owner.query(`create trigger boom before update on tickets for each row execute function public.boom()`);
  decide(request);
  const said = await answer;
  await owner.query(`drop trigger boom on tickets`);
  await owner.end();
  expect(said).toContain('ApprovalVoided');
});

test('a reason that says nothing is none', async () => {
  await fresh(policy(fix({ minimum: 2, reason: 'required' })));
  const { client } = await agent();
  const answer = client.query(`update tickets set status = 'closed' where id = 1`).then(
    () => 'ran',
    (e: Error) => e.message,
  );
  const request = await pending();
  const said: unknown[] = [];
  const attempt = (mods: Partial<DecisionSpec>) => {
    try {
      const { decision, request: after } = decide(request, mods);
      said.push([mods, decision.status, after.status?.state, after.status?.votes]);
    } catch (error) {
      said.push([mods, (error as Error).message]);
    }
  };
  attempt({});
  attempt({ reason: ' ' });
  attempt({ reason: '\u200b' });
  attempt({ by: 'system:serviceaccount:agents:other', reason: 'x' });
  attempt({ by: 'JANE@corp', reason: 'x' });
  attempt({ by: 'jane@corp ', reason: 'x' });
  if (stateOf(request) === 'Pending') decide(request, { decision: 'Deny', reason: 'x', by: 'z' });
  await answer;
  expect(said.slice(0, 3)).toEqual([
    [{}, expect.objectContaining({ counted: false }), 'Pending', '0/2'],
    [{ reason: ' ' }, expect.objectContaining({ counted: false }), 'Pending', '0/2'],
    [{ reason: '\u200b' }, expect.objectContaining({ counted: false }), 'Pending', '0/2'],
  ]);
});

test('one approval, a portal executed again and again', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { parse, bind, execute, sync, query } = say;
  await client.ask(query('begin'));
  const heard = client.ask(
    parse(`update tickets set status = status || '!' where id < 4 returning id`),
    bind('', 'p'),
    execute('p', 1),
    execute('p', 1),
    execute('p', 0),
    execute('p', 0),
    sync(),
  );
  await approve();
  expect((await heard).map(([type]) => type).join('')).toBe('12NDsDsDCCZ');
  await client.ask(query('rollback'));
});

test('what was undone with its implicit transaction did not run', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { parse, bind, execute, sync } = say;
  const again = client.ask(
    parse(`update tickets set status = status || '?' where id = 2`, 'n'),
    bind('n'),
    execute(),
    execute(),
    bind('n'),
    execute(),
    sync(),
  );
  const request = await approve();
  expect((await again).map(([type]) => type).join('')).toBe('12NCEZ');
  expect(await statusOf(2)).toBe('open');
  expect(stateOf(request)).not.toBe('Ran');
});

test('evidence has the text that was asked for, and no other of its shape', async () => {
  await fresh(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.plain', 'public.secretly'] } }));
  const { client } = await agent();
  const one = client.query(`select note from plain where note = 'first-text'`);
  await approve();
  await one;
  const before = here.records.length;
  const two = client.query(`select note from plain where note = 'second-text'`).then(
    () => 'ran',
    (e: Error) => e.message,
  );
  const request = await pending();
  const owner = await governed.direct();
  await owner.query('alter table plain alter column id set default 7');
  await owner.end();
  decide(request);
  await two;
  expect(JSON.stringify(here.records.slice(before))).not.toContain('first-text');
});

test.each([
  'truncate public.plain',
  'truncate plain',
  'drop table public.plain',
  'explain analyze delete from plain',
  'copy (delete from plain returning id) to stdout',
])('no other table of the name is met by %s', async (sql) => {
  await fresh(policy({ ...fix(), sql: { statements: ['*'], relations: ['**'], functions: ['**'] } }));
  const owner = await governed.direct();
  await owner.query(
    `drop table if exists keep, other; create table other (id int primary key, note text); insert into other values (7, 'precious'); grant all on other to agent_role; alter table other owner to agent_role; create table keep as select * from plain; alter table plain owner to agent_role; grant truncate on plain to agent_role; grant create on schema public to agent_role`,
  );
  const { client } = await agent();
  const answer = client.query(sql).then(
    () => 'ran',
    (e: Error) => e.message,
  );
  const seen = await Promise.race([pending(), answer]);
  let said = '';
  if (typeof seen !== 'string') {
    await owner.query('alter table plain rename to was; alter table other rename to plain');
    decide(seen);
    said = await answer;
    await owner.query('drop table if exists plain; alter table was rename to plain; drop table if exists own');
  }
  await owner.query('drop table if exists keep, other');
  await owner.end();
  expect(said).toContain('ApprovalVoided');
});

test.each(['destroy', 'terminate and FIN'])('the agent leaves (%s), before and with the approval', async (how) => {
  await fresh();
  const leave = (client: RawClient): void => {
    if (how === 'destroy') client.socket.destroy();
    else client.socket.end(say.terminate());
  };
  const early = await RawClient.open(here.port, { user: 'bot' });
  early.send(say.query(`update tickets set status = 'early' where id = 1`));
  const one = await pending();
  leave(early);
  await expect.poll(() => stateOf(one)).toBe('Withdrawn');
  const late = await RawClient.open(here.port, { user: 'bot' });
  late.send(say.query(`update tickets set status = 'late' where id = 2`));
  const two = await pending();
  leave(late);
  decide(two);
  // Released: nobody knows how it did.
  await expect.poll(() => stateOf(two)).toMatch(/^(Released|Failed|Ran|Withdrawn|Voided)$/);
  expect(await statusOf(1)).toBe('open');
  early.socket.destroy();
  late.socket.destroy();
});

test('a template of a read that needs approval from now on', async () => {
  await fresh();
  const { client } = await agent();
  for (let id = 0; id < 30; id++) await client.query(`select id, status from tickets where id = ${id}`);
  here.setPolicy(policy({ ...fix(), sql: { statements: ['select'], relations: ['public.tickets'] } }));
  const said: string[] = [];
  for (let id = 0; id < 3; id++) {
    const answer = client.query(`select id, status from tickets where id = ${id}`).then(
      () => 'ran',
      (e: Error) => e.message,
    );
    const seen = await Promise.race([pending().then(() => 'asked'), answer]);
    said.push(seen);
    if (seen === 'asked') decide(await pending());
    said.push(await answer);
  }
  expect(said).toEqual(['asked', 'ran', 'asked', 'ran', 'asked', 'ran']);
});

test('what was undone with its group did not run', async () => {
  await fresh();
  await using client = await RawClient.open(here.port, { user: 'bot' });
  const { query } = say;
  const heard = client.ask(query(`update tickets set status = 'x' where id = 3; select 1/0`));
  const request = await approve();
  await heard;
  expect(await statusOf(3)).toBe('open');
  expect(stateOf(request)).not.toBe('Ran');
});

test('one approval of retry mode runs once for two connections at the same time', async () => {
  await fresh(policy(fix({ mode: 'retry' })));
  const one = await agent();
  const two = await agent();
  const text = `update tickets set status = status || '!' where id = 1`;
  await failure(one.client.query(text));
  await approve();
  const both = await Promise.all(
    [one, two, one, two].map(({ client }) =>
      client.query(text).then(
        () => 'ran',
        (e: DatabaseError) => e.message.slice(0, 90),
      ),
    ),
  );
  expect(both.filter((each) => each === 'ran')).toHaveLength(1);
});

test('what waits for a row when its agent leaves is not committed, and said to have failed', async () => {
  await fresh();
  const owner = await governed.direct();
  await owner.query('begin; select 1 from tickets where id = 2 for update');
  const client = await RawClient.open(here.port, { user: 'bot' });
  client.send(say.query(`update tickets set status = 'late' where id = 2`));
  const request = await pending();
  decide(request);
  await expect.poll(() => stateOf(request)).toBe('Released');
  await lockWait(true);
  client.socket.destroy();
  await lockWait(false);
  await owner.query('commit');
  await owner.end();
  const now = await statusOf(2);
  expect([now, stateOf(request)]).toEqual(['open', 'Released']);
});
