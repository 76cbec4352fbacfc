import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@chaperone/testing';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { Meddler, TRIGGER } from './meddler.test-support.ts';
import { type Heard, RawClient, rowsOf, say, typesOf } from './raw-client.test-support.ts';

const CANARY = 'canary-7716';
/** What every case begins with. `people` has no label of its own. */
const PEOPLE = `
do $$begin
  execute coalesce((select format('drop %s people', case relkind when 'v' then 'view' else 'table' end) from pg_class where oid = to_regclass('people')), 'select 1');
end$$;
drop operator if exists = (int, numeric);
create table people (id int, n numeric(6,2), name text);
insert into people values (1, 1, 'Ada');
grant select on people to agent_role;`;
const SCHEMA = `
create table secrets (id int, ssn text);
insert into secrets values (1, '${CANARY}');
create table log (n int);
create function tells(int, numeric) returns bool security definer language plpgsql as
  $$begin insert into log values ($1); raise notice '%', (select ssn from secrets); return true; end$$;
grant select on secrets to agent_role;
${PEOPLE}`;
const POLICY = {
  rules: [
    {
      name: 'read',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select'], relations: ['public.people', 'public.secrets'] },
    },
  ],
};
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.secrets.ssn'] }] };
const TEXT = 'select name from people where id = n';

const { parse, bind, describe: described, execute, sync, query } = say;
const inOneBreath = (text: string): Buffer[] => [parse(text), bind(), described('portal'), execute(), sync()];

let governed: Governed;
let meddler: Meddler;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  meddler = await Meddler.before(governed.postgres.port);
});
afterAll(async () => {
  await meddler?.[Symbol.asyncDispose]();
  await governed?.[Symbol.asyncDispose]();
});

async function owner(...texts: string[]): Promise<unknown[]> {
  const client = await governed.direct();
  let rows: unknown[] = [];
  for (const text of texts) rows = (await client.query(text)).rows as unknown[];
  await client.end();
  return rows;
}

/** An agent's session of a proxy whose catalogue was read before `ddl`. */
async function overtaken(ddl: string): Promise<{ proxy: Governed; agent: RawClient }> {
  await owner(PEOPLE);
  const proxy = await governed.anew();
  const agent = await RawClient.open(proxy.port);
  expect(rowsOf(await agent.ask(query('select count(*) from people')))).toEqual(['1']);
  await owner(ddl, 'truncate log');
  return { proxy, agent };
}

const ANOTHER =
  'drop table people; create view people as select id, 1::numeric as n, ssn as name from secrets; grant select on people to agent_role';
const OPERATOR = 'create operator = (leftarg = int, rightarg = numeric, function = tells)';
const AGAIN = PEOPLE.replace("'Ada'", "'Eva'");

describe('a statement whose text says what it reads', () => {
  test.each([
    ['a simple query', [query(`select name from people where name = '${TRIGGER}'`)]],
    ['the extended protocol', inOneBreath(`select name from people where name = '${TRIGGER}'`)],
  ])('is sent with its Sync before the server has said anything: %s', async (_, messages) => {
    await using proxy = await governed.anew({ upstream: meddler.address });
    await using agent = await RawClient.open(proxy.port);
    const heard: Buffer[] = [];
    meddler.meddling = { silence: true, heard: (chunk) => heard.push(chunk) };
    agent.send(...messages);
    await eventually('the Sync', () => (Buffer.concat(heard).includes(sync()) ? true : undefined));
    meddler.meddling = {};
  });

  test('is answered in either protocol as it would be held', async () => {
    await owner(PEOPLE);
    await using proxy = await governed.anew();
    await using agent = await RawClient.open(proxy.port);
    expect(rowsOf(await agent.ask(query(TEXT)))).toEqual(['Ada']);
    const ahead = await agent.ask(...inOneBreath(TEXT));
    expect([typesOf(ahead), rowsOf(ahead)]).toEqual(['12TDCZ', ['Ada']]);
    const named = await agent.ask(parse('select name from people where id = $1', 's'), bind('s', '', ['1']), execute(), sync());
    expect([typesOf(named), rowsOf(named)]).toEqual(['12DCZ', ['Ada']]);
    expect(rowsOf(await agent.ask(bind('s', '', ['1']), execute(), sync()))).toEqual(['Ada']);
    const masked = await agent.ask(...inOneBreath('select ssn from secrets'), ...inOneBreath('select ssn from secrets'));
    expect(rowsOf(masked)).toEqual(['*****', '*****']);
  });

  test.each<[string, Buffer[], Heard[]]>([
    [
      'a column that is not there',
      [query('select nothing from people')],
      [
        ['E', '42703', 'column "nothing" does not exist'],
        ['Z', 'I'],
      ],
    ],
    [
      'the same in the extended protocol, and the next is heard',
      [...inOneBreath('select nothing from people'), ...inOneBreath('select id from people')],
      [
        ['E', '42703', 'column "nothing" does not exist'],
        ['Z', 'I'],
        ['1'],
        ['2'],
        ['T'],
        ['D', '1'],
        ['C', 'SELECT 1'],
        ['Z', 'I'],
      ],
    ],
    [
      'a name that is taken',
      [parse(TEXT, 'a'), parse(TEXT, 'a'), sync(), bind('a'), execute(), sync()],
      [
        ['1'],
        ['E', '42P05', 'prepared statement "a" already exists'],
        ['Z', 'I'],
        ['2'],
        ['D', 'Ada'],
        ['C', 'SELECT 1'],
        ['Z', 'I'],
      ],
    ],
    [
      'an error before it, which it never comes behind',
      [bind('gone'), parse(TEXT, 'b'), bind('b'), execute(), sync(), bind('b'), sync()],
      [
        ['E', '26000', 'that prepared statement does not exist'],
        ['Z', 'I'],
        ['E', '26000', 'that prepared statement does not exist'],
        ['Z', 'I'],
      ],
    ],
    [
      'division by zero, in a transaction',
      [query('begin'), ...inOneBreath('select 1 / (id - 1) from people'), query('rollback')],
      [
        ['C', 'BEGIN'],
        ['Z', 'T'],
        ['1'],
        ['2'],
        ['T'],
        ['E', '22012', 'division by zero'],
        ['Z', 'E'],
        ['C', 'ROLLBACK'],
        ['Z', 'I'],
      ],
    ],
  ])('fails as the server fails: %s', async (_, messages, expected) => {
    await owner(PEOPLE);
    await using proxy = await governed.anew();
    await using agent = await RawClient.open(proxy.port);
    expect(await agent.ask(...messages)).toEqual(expected);
  });
});

describe('what its names mean by now is not what the catalogue says', () => {
  test.each([
    ['a view that shows a label', ANOTHER, ['*****']],
    ['an operator of the owner’s, which tells a label', OPERATOR, []],
    ['the same table, made again', AGAIN, ['Eva']],
  ])('a simple query is judged anew, and nothing of the first try is told: %s', async (_, ddl, rows) => {
    for (const around of [false, true]) {
      const { proxy, agent } = await overtaken(ddl);
      if (around) await agent.ask(query('begin'));
      const heard = await agent.ask(query(TEXT));
      expect(rowsOf(heard)).toEqual(rows);
      expect(heard.filter(([type]) => type === 'Z')).toHaveLength(1);
      expect(typesOf(heard)).toMatch(/^(?:TDCZ|EZ)$/);
      expect(agent.text).not.toContain(CANARY);
      const done = proxy.records.flatMap(({ record }) => (record.type === 'done' && record.error !== undefined ? [record] : []));
      expect(done[0]).toMatchObject({
        rows: 0,
        error: { code: 'NotAnalysable', message: expect.stringContaining('taken back') as unknown },
      });
      await agent[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    }
  });

  test.each([
    ['a view that shows a label', ANOTHER, ['*****']],
    ['an operator of the owner’s, which tells a label', OPERATOR, []],
    ['the same table, made again', AGAIN, ['Eva']],
  ])('in the extended protocol it ends with an error, and the next is judged by what it is: %s', async (_, ddl, rows) => {
    const { proxy, agent } = await overtaken(ddl);
    const heard = await agent.ask(...inOneBreath(TEXT));
    expect(rowsOf(heard)).toEqual([]);
    expect(typesOf(heard)).toBe('12TEZ');
    expect(heard.at(-2)?.[2]).toContain('NotAnalysable');
    expect(rowsOf(await agent.ask(...inOneBreath(TEXT)))).toEqual(rows);
    expect(agent.text).not.toContain(CANARY);
    await agent[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  test.each([
    ['within a transaction', [query('begin'), ...inOneBreath(TEXT)]],
    ['behind another in one group', [parse('select 1'), bind(), execute(), ...inOneBreath(TEXT)]],
    [
      'before another in one group',
      [parse(TEXT, 'a'), bind('a'), execute(), parse('select 1', 'b'), bind('b'), execute(), sync()],
    ],
  ])('the session ends, since the agent would take for undone what the server goes on with: %s', async (_, messages) => {
    const { proxy, agent } = await overtaken(ANOTHER);
    agent.send(...messages);
    const heard = await agent.until(() => agent.closed);
    expect(heard.at(-1)?.[0]).toBe('E');
    expect(agent.text).not.toContain(CANARY);
    await proxy[Symbol.asyncDispose]();
  });

  test('a statement that was only parsed is judged by what its names mean, once that was read', async () => {
    const { proxy, agent } = await overtaken(ANOTHER);
    expect(typesOf(await agent.ask(parse(TEXT, 's'), bind('s', 'p'), sync()))).toBe('12Z');
    const shown = await eventually('its rows', async () => {
      const rows = rowsOf(await agent.ask(bind('s'), execute(), sync()));
      return rows.length === 0 ? undefined : rows;
    });
    expect(shown).toEqual(['*****']);
    expect(agent.text).not.toContain(CANARY);
    await agent[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });
});
