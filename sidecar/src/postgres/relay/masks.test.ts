import { Client, type QueryArrayConfig } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';

type Cell = string | Buffer | null;
type Strategy = 'redact' | 'partial' | 'hash' | 'null';

/** Type, a value of it, and what is shown by each strategy; NULL where nothing else is valid. One column each. */
const TEXTS = { redact: '*****', partial: '*******6789', hash: /^h:[a-z2-7]{16}$/, null: null } as const;
const JSONS = { redact: '"*****"', partial: '"*****"', hash: '"*****"', null: null } as const;
const NOTHING = { redact: null, partial: null, hash: null, null: null } as const;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const SSN = '123-45-6789';
const TYPES: readonly (readonly [type: string, value: string, shown: Readonly<Record<Strategy, string | RegExp | null>>])[] = [
  ['text', SSN, TEXTS],
  ['varchar', SSN, TEXTS],
  ['varchar(11)', SSN, TEXTS],
  ['char(11)', SSN, TEXTS],
  ['name', SSN, TEXTS],
  ['word', SSN, TEXTS],
  ['json', `{"ssn":"${SSN}"}`, JSONS],
  ['jsonb', `{"ssn":"${SSN}"}`, JSONS],
  ['uuid', '0e37df36-f698-11e6-8dd4-cb9ced3df976', { ...NOTHING, hash: UUID }],
  ['smallint', '12345', NOTHING],
  ['integer', '123456789', NOTHING],
  ['bigint', '123456789', NOTHING],
  ['numeric', '123456789.5', NOTHING],
  ['real', '1.5', NOTHING],
  ['double precision', '123456789.5', NOTHING],
  ['money', '12.34', NOTHING],
  ['boolean', 'true', NOTHING],
  ['date', '1984-02-03', NOTHING],
  ['time', '10:11:12', NOTHING],
  ['timestamp', '1984-02-03 10:11:12', NOTHING],
  ['timestamptz', '1984-02-03 10:11:12+00', NOTHING],
  ['interval', '3 days', NOTHING],
  ['bytea', '\\x313233', NOTHING],
  ['inet', '192.0.2.1', NOTHING],
  ['macaddr', '08:00:2b:01:02:03', NOTHING],
  ['bit(4)', '1010', NOTHING],
  ['oid', '123456789', NOTHING],
  ['text[]', `{${SSN}}`, NOTHING],
  ['integer[]', '{1,2}', NOTHING],
  ['int4range', '[1,5)', NOTHING],
  ['mood', 'sad', NOTHING],
  ['pair', `(1,${SSN})`, NOTHING],
  ['tsvector', `'a'`, NOTHING],
  ['point', '(1,2)', NOTHING],
  ['xml', `<a>${SSN}</a>`, NOTHING],
];
const columns = TYPES.map(([type], at) => ({ type, name: `c${at}` }));

const SCHEMA = `
create domain word as text;
create type mood as enum ('sad', 'glad');
create type pair as (a int, b text);
create table every (id int primary key, ${columns.map(({ type, name }) => `${name} ${type}`).join(', ')});
insert into every values (1, ${TYPES.map(([, value]) => `'${value.replaceAll("'", "''")}'`).join(', ')}), (2${', null'.repeat(TYPES.length)});
create table people (id int primary key, ssn text not null, nick text, token uuid);
create table staff (id int primary key, ssn varchar(20), padded char(20), token uuid, mail text);
insert into people values (1, '${SSN}', 'ada', '0e37df36-f698-11e6-8dd4-cb9ced3df976'), (2, '987-65-4320', 'gra', null);
insert into staff values (1, '${SSN}', '${SSN}', '0e37df36-f698-11e6-8dd4-cb9ced3df976', '${SSN}');
create view both_ssn as select ssn from people union all select nick from people;
create view just_ssn as select id, ssn from people;
grant select, insert, update, delete on people, staff, every, both_ssn, just_ssn to agent_role;`;

const policyOf = (strategy: object, more: object = {}) => ({
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'insert', 'update', 'delete', 'merge'], relations: ['public.*'] },
    },
  ],
  masking: ['pii.ssn', 'pii.mail'].map((label) => ({ label, strategy })),
  ...more,
});
const STRATEGIES: Readonly<Record<Strategy, object>> = {
  redact: { redact: {} },
  partial: { partial: { last: 4 } },
  hash: { hash: {} },
  null: { null: {} },
};
const RESOURCE = {
  sensitive: [
    {
      label: 'pii.ssn',
      columns: [
        ...columns.map(({ name }) => `public.every.${name}`),
        ...['people.ssn', 'people.token', 'staff.ssn', 'staff.padded', 'staff.token'].map((name) => `public.${name}`),
      ],
    },
    { label: 'pii.mail', columns: ['public.staff.mail'] },
    { label: 'found.ssn', detector: 'ssn' },
  ],
};

let governed: Governed;
let agent: Client;
let owner: Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: policyOf({ hash: {} }), resource: RESOURCE });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  governed.setPolicy(policyOf({ hash: {} }));
  agent = await governed.connect();
  return async () => agent.end();
});

const asDelivered = { getTypeParser: () => (value: string | Buffer) => value };
async function ask(text: string, { binary = false, values = [] as unknown[], by = agent } = {}): Promise<Cell[][]> {
  const query = { text, rowMode: 'array', types: asDelivered, values, binary } as QueryArrayConfig;
  return (await by.query<Cell[]>(query)).rows;
}
/** What a value means, by the server itself: it takes it as a parameter of the column's type, in the format it came in. */
async function understood(value: Cell, type: string): Promise<string | null> {
  const { rows } = await owner.query<{ text: string | null }>(`select $1::${type}::text as text`, [value]);
  return rows[0]?.text ?? null;
}

describe.each(Object.keys(STRATEGIES) as Strategy[])('by strategy %s', (strategy) => {
  describe.each([
    ['text', false],
    ['binary', true],
  ] as const)('in format %s', (_, binary) => {
    it('every type is shown as a value that is valid for it', async () => {
      governed.setPolicy(policyOf(STRATEGIES[strategy]));
      for (const [at, [type, value, shown]] of TYPES.entries()) {
        const rows = await ask(`select c${at} from every where id = 1`, { binary });
        const cell = rows[0]?.[0] ?? null;
        const expected = shown[strategy];
        const said = `${type} ${JSON.stringify(cell)}`;
        const meant = cell === null ? null : await understood(cell, type === 'char(11)' ? 'char(40)' : type.replace('(11)', ''));
        if (expected instanceof RegExp) expect(meant?.trimEnd(), said).toMatch(expected);
        else expect(meant === null ? null : meant.trimEnd(), said).toBe(expected);
        expect(meant, said).not.toBe(value);
      }
    });
    it('NULL stays NULL', async () => {
      governed.setPolicy(policyOf(STRATEGIES[strategy]));
      const [row] = await ask(`select ${columns.map(({ name }) => name).join(', ')} from every where id = 2`, { binary });
      expect(row).toEqual(TYPES.map(() => null));
    });
  });
});

const hashes = async (sql: string, binary = false, by = agent): Promise<string[]> =>
  (await ask(sql, { binary, by })).flat().map((cell) => (Buffer.isBuffer(cell) ? cell.toString('utf8') : String(cell)));
const uuids = async (sql: string, binary: boolean): Promise<(string | null)[]> =>
  Promise.all((await ask(sql, { binary })).flat().map((cell) => understood(cell, 'uuid')));

describe('hashes', () => {
  it('of equal values are equal: over tables, types of text, views, formats, sessions and starts', async () => {
    const [first] = await hashes('select ssn from people where id = 1');
    expect(first).toMatch(/^h:[a-z2-7]{16}$/);
    const anew = await governed.anew({ policy: policyOf({ hash: {} }) });
    const other = await anew.connect();
    for (const binary of [false, true]) {
      for (const by of [agent, await governed.connect(), other]) {
        expect(await hashes('select ssn, padded from staff', binary, by)).toEqual([first, first]);
        expect(await hashes('select ssn from just_ssn where id = 1', binary, by)).toEqual([first]);
        expect(await hashes('select ssn from people where id = 1 union all select ssn from staff', binary, by)).toEqual([
          first,
          first,
        ]);
      }
    }
    await other.end();
    await anew[Symbol.asyncDispose]();
  });
  it('of equal UUIDs are equal, in both formats', async () => {
    const [text] = await uuids('select token from people where id = 1', false);
    expect(text).toMatch(UUID);
    expect(await uuids('select token from people', true)).toEqual([text, null]);
    expect(await uuids('select token from staff', true)).toEqual([text]);
  });
  it('of another value, another label or another resource are others', async () => {
    const [first] = await hashes('select ssn from people where id = 1');
    const found = [...(await hashes('select ssn from people where id = 2')), ...(await hashes('select mail from staff'))];
    for (const hash of found) expect(hash).toMatch(/^h:[a-z2-7]{16}$/);
    expect(new Set([first, ...found]).size).toBe(3);
  });
  it('are noted in the record as what they are', async () => {
    governed.records.length = 0;
    await hashes('select ssn from people');
    const kept = JSON.stringify(governed.records);
    expect(kept).toContain('"hash"');
    expect(kept).not.toContain(SSN);
  });
});

describe('an agent cannot have its guesses hashed', () => {
  it.each<[string, string, unknown[]?]>([
    ['a constant', `select ssn from people union all select '${SSN}'`],
    ['a parameter', 'select ssn from people union all select $1', [SSN]],
    ['a generated value', `select ssn from people union all select g::text from generate_series(1, 9) g`],
    ['a constant, first', `select '${SSN}'::text as ssn union all select ssn from people`],
    [
      'a constant in a recursive query',
      `with recursive r(s, n) as (select ssn, 1 from people union all select '${SSN}', n + 1 from r where n < 2) select s from r`,
    ],
    ['a constant in a common table expression', `with r as (select ssn from people union all select '${SSN}') select ssn from r`],
    ['a column without a label', 'select ssn from people union all select nick from people'],
    ['a view with a column without a label', 'select ssn from both_ssn'],
    ['VALUES', `select ssn from people union all (values ('${SSN}'), ('1'))`],
    [
      'a join by name',
      'select ssn from (select ssn from people) a full join (select nick as ssn from people where false) b using (ssn)',
    ],
    ['COALESCE', `select coalesce(ssn, '${SSN}') from people`],
    ['CASE', `select case when id = 1 then ssn else '${SSN}' end from people`],
    ['a column of another label', 'select ssn from people union all select mail from staff'],
    ['a sub-select', `select (select ssn from people where id = 1 union all select '${SSN}' limit 1)`],
    ['what a detector finds', `select '${SSN}'::text`],
  ])('beside %s', async (_, sql, values = []) => {
    for (const binary of [false, true]) {
      const shown = await ask(sql, { binary, values }).then(
        (rows) => JSON.stringify(rows.flat().map(String)),
        (error: { message: string }) => error.message,
      );
      expect(shown).not.toMatch(/h:[a-z2-7]{16}/);
      expect(shown).not.toContain('987-65');
    }
  });
  it.each([
    ['INSERT', `insert into people values (3, '111-22-3333', 'x')`],
    ['INSERT … RETURNING', `insert into people values (3, '111-22-3333', 'x') returning ssn`],
    ['INSERT … SELECT', `insert into people select g, g::text from generate_series(10, 20) g`],
    ['ON CONFLICT', `insert into people (id, ssn) values (1, 'x') on conflict (id) do update set ssn = 'y'`],
    ['UPDATE', `update people set ssn = '111-22-3333' where id = 1`],
    ['UPDATE through a view', `update just_ssn set ssn = '111-22-3333' where id = 1`],
    ['MERGE', `merge into people p using staff s on p.id = s.id when matched then update set ssn = 'x'`],
    ['WITH', `with w as (update people set ssn = 'x' where id = 1 returning ssn) select * from w`],
  ])('by %s', async (_, sql) => {
    await expect(ask(sql)).rejects.toThrow(/shown as hashes \(pii.ssn\).*InferenceLimited/);
    expect(await ask('select count(*) from people')).toEqual([['2']]);
  });
  it('other columns of the same table are written, and rows deleted', async () => {
    await agent.query('begin');
    await ask(`update people set nick = 'x' where id = 1`);
    await ask('delete from people where id = 2');
    await agent.query('rollback');
  });
  it('unless the policy allows inference without a bound, or shows no hashes', async () => {
    for (const policy of [policyOf({ hash: {} }, { inference: 'allow' }), policyOf({ redact: {} })]) {
      governed.setPolicy(policy);
      await agent.query('begin');
      await ask(`update people set ssn = '111-22-3333' where id = 1`);
      await agent.query('rollback');
    }
  });
});
