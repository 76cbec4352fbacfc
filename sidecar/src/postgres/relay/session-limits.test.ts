import type pg from 'pg';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say, typesOf } from './raw-client.test-support.ts';

const SCHEMA = `
create table numbers as select g as n, repeat('x', 90) as t from generate_series(1, 100) g;
create table big as select g as n, repeat('y', 2000000) as t from generate_series(1, 3) g;
create table sink (n int);
create table locked (n int);
create function stubborn() returns void language plpgsql as $$ begin
  loop begin perform pg_sleep(30); exception when query_canceled then null; end; end loop; end $$;
grant select, insert on all tables in schema public to agent_role;`;
const RULE = {
  name: 'all',
  effect: 'Allow',
  resource: { namespace: 'data', name: 'orders-db' },
  sql: {
    statements: ['select', 'insert', 'execute'],
    relations: ['public.*'],
    functions: ['pg_catalog.pg_sleep', 'public.stubborn'],
  },
};

let governed: Governed;
let owner: pg.Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: { rules: [RULE] } });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});

const { parse, bind, execute, sync, query } = say;
const rows = (heard: readonly (readonly string[])[]): number => heard.filter(([type]) => type === 'D' || type === 'd').length;
const reached = (text = ''): unknown => ['E', '54000', expect.stringMatching(new RegExp(`${text}.*\\(LimitReached\\)`))];

async function under(limits: object): Promise<RawClient> {
  governed.setPolicy({ rules: [RULE], limits });
  return RawClient.open(governed.port);
}

describe('the bytes of the rows of one statement', () => {
  /** A row of numbers is 5 + 2 + 4 + up to 3 + 4 + 90 bytes long. */
  const ALL = 'select n, t from numbers order by n';

  it.each([
    ['a simple query', [query(ALL)]],
    ['the extended protocol', [parse(ALL), bind(), execute(), sync()]],
    ['a fetch size', [parse(ALL), bind(), execute('', 6), execute('', 6), execute('', 6), sync()]],
    ['COPY', [query(`copy (${ALL}) to stdout`)]],
  ])('hold for %s, and the session goes on', async (_, messages) => {
    await using agent = await under({ bytesPerStatement: '1Ki' });
    const heard = await agent.ask(...messages);
    expect(heard).toContainEqual(reached('more than 1024 bytes'));
    expect(rows(heard)).toBeGreaterThan(7);
    expect(rows(heard)).toBeLessThan(12);
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
  });

  it.each([
    ['in a simple query', [query('select t from big')], 0],
    ['in the extended protocol', [parse('select t from big'), bind(), execute(), sync()], 0],
    ['in COPY', [query('copy (select t from big) to stdout')], 0],
    ['behind small ones', [query("select 'small' union all select t from big")], 1],
  ])('hold for one value that is larger than what is held in memory, %s', async (_, messages, delivered) => {
    await using agent = await under({ bytesPerStatement: '1Mi' });
    const heard = await agent.ask(...messages);
    expect(heard).toContainEqual(reached('more than 1048576 bytes'));
    expect(rows(heard)).toBe(delivered);
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
  });

  it('undo what was written', async () => {
    await using agent = await under({ bytesPerStatement: '20' });
    expect(await agent.ask(query('insert into sink select n from numbers returning n'))).toContainEqual(reached());
    expect((await owner.query('select count(*)::int as n from sink')).rows[0].n).toBe(0);
  });

  it('may be a large row exactly', async () => {
    await using agent = await under({ bytesPerStatement: '2000011' });
    expect(typesOf(await agent.ask(query('select t from big where n = 1')))).toBe('TDCZ');
    expect(typesOf(await agent.ask(query('select t from big where n < 3')))).toBe('TDEZ');
  });
});

it('rowsPerStatement holds where the row beyond it is too large to be held', async () => {
  await using agent = await under({ rowsPerStatement: 1 });
  expect(typesOf(await agent.ask(query('select t from big')))).toBe('TDEZ');
  expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
});

describe('the rows of a session', () => {
  it('are counted over all of its statements; without rows it goes on', async () => {
    await using agent = await under({ rows: 10 });
    expect(rows(await agent.ask(query('select n from numbers where n <= 4')))).toBe(4);
    const heard = await agent.ask(parse('select n from numbers'), bind(), execute(), sync());
    expect(typesOf(heard)).toBe('12DDDDDDEZ');
    expect(heard).toContainEqual(reached('the 10 rows that it may have'));
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TEZ');
    expect(typesOf(await agent.ask(query('select n from numbers where false')))).toBe('TCZ');
    expect(typesOf(await agent.ask(query('insert into sink values (1)')))).toBe('CZ');
    await using other = await RawClient.open(governed.port);
    expect(typesOf(await other.ask(query('select 1')))).toBe('TDCZ');
  });

  it('are counted over what was sent at once', async () => {
    await using agent = await under({ rows: 10 });
    const one = [bind(), execute('', 4)];
    const heard = await agent.ask(parse('select n from numbers'), ...one, ...one, ...one, ...one, sync());
    expect(rows(heard)).toBe(10);
    expect(heard).toContainEqual(reached());
  });
});

describe('the bytes of a session', () => {
  it.each([
    ['what it is given', [query('select t from numbers'), query('select t from numbers')]],
    ['what it says', [query(`select '${'z'.repeat(20_000)}' is null`)]],
    ['both together', [query(`select '${'z'.repeat(9_000)}'`)]],
  ])('end it: %s', async (_, messages) => {
    await using agent = await under({ bytes: '16Ki' });
    agent.send(...messages);
    const heard = await agent.until(() => agent.closed);
    expect(heard.at(-1)).toEqual(reached('bytes that its policy allows'));
    expect(Buffer.concat(agent.bytes).length).toBeLessThan(16 * 1024 + 70_000);
  });
});

/** A machine that is busy with other things may take longer. */
const BUSY = { retry: 3 };

describe('the time of a statement', () => {
  it.each([
    ['in a simple query', [query('select pg_sleep(30)')]],
    ['in the extended protocol', [parse('select pg_sleep(30)'), bind(), execute(), sync()]],
    ['behind another', [query('select 1; select pg_sleep(30)')]],
  ])('is bounded %s, and the session goes on', async (_, messages) => {
    await using agent = await under({ statementDuration: '1s' });
    agent.send(...messages);
    const heard = await eventually('an answer', async () =>
      agent.heard.some(([type]) => type === 'Z') ? agent.ready() : undefined,
    );
    expect(heard).toContainEqual(reached('ran for longer'));
    expect(await agent.ask(query('select 1'))).toContainEqual(['D', '1']);
  });

  it('is as long as the policy says, whenever the statement begins', BUSY, async () => {
    await using agent = await under({ statementDuration: '700ms' });
    const took: number[] = [];
    for (const pause of [0, 150, 450, 600, 850]) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      await agent.ask(query('select 1'));
      const before = performance.now();
      expect(await agent.ask(query('select pg_sleep(30)'))).toContainEqual(reached('ran for longer'));
      took.push(performance.now() - before);
    }
    // What another run on this machine adds to one of them is not the limit's.
    expect(Math.min(...took)).toBeGreaterThanOrEqual(700);
    expect(took.toSorted((a, b) => a - b)[2]).toBeLessThan(900);
    expect(typesOf(await agent.ask(query('select pg_sleep(0.6)')))).toBe('TDCZ');
  });

  it('is the new one at once where the policy changes while it runs', BUSY, async () => {
    await using agent = await under({ statementDuration: '20s' });
    agent.send(query('select pg_sleep(30)'));
    await new Promise((resolve) => setTimeout(resolve, 800));
    const before = performance.now();
    governed.setPolicy({ rules: [RULE], limits: { statementDuration: '500ms' } });
    const heard = await eventually('an answer', async () =>
      agent.heard.some(([type]) => type === 'Z') ? agent.ready() : undefined,
    );
    expect(heard).toContainEqual(reached('ran for longer'));
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  it('ends the session where the database does not stop', async () => {
    await using agent = await under({ statementDuration: '1s' });
    agent.send(query('select stubborn()'));
    await eventually('the end', async () => (agent.closed ? true : undefined));
    expect(agent.heard.at(-1)).toEqual(reached('ran for longer'));
  });

  it('counts what waits for a lock before it is parsed', async () => {
    await using agent = await under({ statementDuration: '1s' });
    await owner.query('begin; lock table locked');
    try {
      agent.send(query('select n from locked'));
      const heard = await eventually('an answer', async () =>
        agent.heard.some(([type]) => type === 'Z') ? agent.ready() : undefined,
      );
      expect(heard).toContainEqual(reached('ran for longer'));
    } finally {
      await owner.query('rollback');
    }
    expect(typesOf(await agent.ask(query('select n from locked')))).toBe('TCZ');
  });

  it('is that of each statement, however many there are', async () => {
    await using agent = await under({ statementDuration: '1s' });
    for (let at = 0; at < 6; at++) expect(typesOf(await agent.ask(query('select pg_sleep(0.4)')))).toBe('TDCZ');
  });
});

describe('silence within a transaction', () => {
  it.each([
    ['that was begun', [query('begin')]],
    ['that failed', [query('begin'), query('select 1/0')]],
    ['of messages without Sync', [parse('select n from numbers'), bind(), execute(), say.flush()]],
  ])('ends the session: %s', async (_, messages) => {
    await using agent = await under({ idleInTransaction: '1s' });
    agent.send(...messages);
    const heard = await agent.until(() => agent.closed);
    expect(heard.at(-1)).toEqual(['E', '57P01', expect.stringContaining('idle in a transaction')]);
  });

  it('is none outside of one', async () => {
    await using agent = await under({ idleInTransaction: '1s' });
    await agent.ask(query('begin'), query('commit'));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(typesOf(await agent.ask(query('select 1')))).toBe('TDCZ');
  });
});

describe('sessions at once', () => {
  it('are refused beyond what the policy allows, and let in when another ends', async () => {
    await using first = await under({ connections: 2 });
    const second = await RawClient.open(governed.port);
    const third = RawClient.begin(governed.port);
    expect(await third.until(() => third.closed)).toEqual([['E', '53300', expect.stringContaining('(TooManyConnections)')]]);
    await second[Symbol.asyncDispose]();
    await eventually('room', async () => {
      const next = RawClient.begin(governed.port);
      const heard = await next.ready();
      await next[Symbol.asyncDispose]();
      return heard.at(-1)?.[0] === 'Z' ? true : undefined;
    });
    expect(typesOf(await first.ask(query('select 1')))).toBe('TDCZ');
  });
});

describe('a session that somebody ends', () => {
  it('is told to be over once it is, with its record closed; others are not', async () => {
    const own = await governed.anew();
    const [one, other] = [await own.connect(), await own.connect()];
    const [first] = own.records.flatMap(({ record }) => (record.type === 'session.open' ? [record.session] : []));
    const ended = new Promise((resolve) => one.once('end', resolve));
    own.revoke({ code: 'SessionEnded', reason: 'wrong table', session: `s-${'z'.repeat(16)}` });
    own.revoke({ code: 'SessionEnded', reason: 'wrong table', session: first, by: 'jane@corp' });
    await ended;
    await eventually('the word of its end', () => own.closed[0]);
    expect(own.closed).toEqual([[first, 'session.close']]);
    expect(own.records.at(-1)?.record).toMatchObject({ code: 'SessionEnded', by: 'jane@corp' });
    expect((await other.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    own.revoke({ code: 'SessionEnded', reason: 'all' });
    await eventually('nothing open', () => (own.sessions.open === 0 ? true : undefined));
    expect(own.closed).toHaveLength(1);
    await own[Symbol.asyncDispose]();
  });
});
