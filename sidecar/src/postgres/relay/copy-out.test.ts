import { spawn } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table people (id int primary key, plain text, ssn text, email text, age int, doc jsonb, tags text[], code uuid, note text);
create table shadow (id int, plain text, ssn text, email text, age int, doc jsonb, tags text[], code uuid, note text);
create table doubled (n int, ssn text, twice int generated always as (n * 2) stored);
insert into doubled (n, ssn) values (1, '123-45-6789');
create table parent (id int, ssn text); create table child () inherits (parent);
insert into child values (1, '123-45-6789');
grant select, insert on people, doubled, parent, child to agent_role;`;
const RULE = {
  name: 'read',
  effect: 'Allow',
  resource: { namespace: 'data', name: 'orders-db' },
  sql: { statements: ['select', 'insert'], relations: ['public.*'] },
};
const POLICY = { rules: [RULE], masking: [{ label: 'pii.email', strategy: { partial: { last: 4 } } }], inference: 'allow' };
const RESOURCE = {
  grantedTo: [{ namespace: 'agents', statements: ['*'] }],
  sensitive: [
    { label: 'pii.ssn', columns: ['public.people.ssn', 'public.people.age', 'public.people.doc', 'public.doubled.ssn'] },
    { label: 'pii.email', columns: ['public.people.email', 'public.people.tags', 'public.people.code'] },
    { label: 'pii.parent', columns: ['public.parent.ssn'] },
    { label: 'pci.card', detector: 'credit-card' },
  ],
};
const CANARY = '271-82-8459';
/** Whatever one of the formats writes in a special way. */
const HOSTILE = [
  'plain',
  '',
  ' ',
  '\t',
  'a\tb',
  'line\nbreak',
  '\r\n',
  '\b\f\v',
  '\\',
  '\\N',
  '\\.',
  'back\\slash\\',
  '"',
  'say "so"',
  `'`,
  ',',
  '|',
  ';',
  'a,b;c|d',
  '*****',
  'NULL',
  'grüße 漢字 🎉',
  '{"a": [1, "x,y"]}',
];

let governed: Governed;
let owner: pg.Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  owner = await governed.direct();
  for (const [id, text] of HOSTILE.entries())
    await owner.query('insert into people values ($1, $2, $3, $4, 41, $5, $6, gen_random_uuid(), $7)', [
      id,
      text,
      `${text}${CANARY}${text}`,
      `${CANARY}${text}`,
      JSON.stringify({ [CANARY]: text }),
      [text, CANARY],
      id % 2 === 0 ? null : `${text} 4111 1111 1111 1111 ${text}`,
    ]);
  await owner.query("insert into people (id, plain) values (1000, null), (1001, '')");
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});

async function psql(connection: string, sql: string, input?: Buffer): Promise<{ stdout: Buffer; stderr: string }> {
  const child = spawn('psql', [connection, '-XAtq', '-c', sql]);
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  return { stdout, stderr: stderr.toString() };
}
const agent = (sql: string): Promise<{ stdout: Buffer; stderr: string }> =>
  psql(`host=127.0.0.1 port=${governed.port} dbname=orders user=bot sslmode=disable`, sql);
async function load(sql: string, input: Buffer): Promise<string> {
  const { host, port, superuser } = governed.postgres;
  const connection = `host=${host} port=${port} dbname=orders user=${superuser.user} password=${superuser.password}`;
  return (await psql(connection, sql, input)).stderr;
}
/** All of a table as text, as the agent or the owner reads it. */
const rowsOf = async (client: pg.Client, table: string): Promise<unknown[]> =>
  (await client.query({ text: `select * from ${table} order by id`, rowMode: 'array', types: { getTypeParser: () => String } }))
    .rows;

const FORMATS = [
  '',
  'with (format text)',
  "with (delimiter '|')",
  "with (null 'no value')",
  'with (header)',
  "with (delimiter ';', null '~', header on)",
  'csv',
  'csv header',
  'with (format csv)',
  "with (format csv, delimiter E'\\t', quote '''', escape '\\')",
  "with (format csv, null 'NULL', force_quote (plain, ssn))",
  'with (format csv, force_quote *)',
  'binary',
  'with (format binary)',
];

describe('COPY of masked columns', () => {
  it.each(FORMATS)('gives what SELECT gives, in a form that the server itself reads: %s', async (format) => {
    const { stdout, stderr } = await agent(`copy people to stdout ${format}`);
    expect(stderr).toBe('');
    for (const encoding of ['latin1', 'hex'] as const)
      expect(stdout.toString(encoding)).not.toContain(Buffer.from(CANARY).toString(encoding));
    expect(stdout.toString('latin1')).not.toContain('4111 1111');
    const reader = await governed.connect();
    const expected = await rowsOf(reader, 'people');
    await reader.end();
    await owner.query('truncate shadow');
    const forced = /, force_quote (\([^)]*\)|\*)/;
    expect(await load(`copy shadow from stdin ${format.replace(forced, '')}`, stdout)).toBe('');
    expect(await rowsOf(owner, 'shadow')).toEqual(expected);
  });

  it.each([
    ['a query', "copy (select ssn || 'x' as a, id from people) to stdout"],
    ['a cast', 'copy (select people::text from people) to stdout'],
    ['a named column', 'copy people (ssn) to stdout csv'],
    ['rows of children', 'copy (select * from parent) to stdout'],
    [
      'an expression in binary',
      "copy (select reverse(ssn), encode(convert_to(ssn, 'UTF8'), 'hex') from people) to stdout binary",
    ],
  ])('masks %s', async (_, sql) => {
    const { stdout, stderr } = await agent(sql);
    expect(stderr).toBe('');
    expect(stdout.length).toBeGreaterThan(0);
    for (const hidden of [CANARY, Buffer.from(CANARY).toString('hex'), Array.from(CANARY).toReversed().join(''), '123-45-6789'])
      expect(stdout.toString('latin1')).not.toContain(hidden);
  });

  it('passes through a portal of the extended protocol too', async () => {
    await using client = await RawClient.open(governed.port);
    const heard = await client.ask(say.parse('copy people (id, ssn) to stdout'), say.bind(), say.execute(), say.sync());
    expect(heard.map(([type]) => type).join('')).toMatch(/^12Hd+cCZ$/);
    expect(client.text).not.toContain(CANARY);
    expect(client.text).toContain('*****');
  });

  it('is refused where the relation has columns that COPY leaves out, until they are named', async () => {
    await using client = await RawClient.open(governed.port);
    const heard = await client.ask(say.query('copy doubled to stdout'));
    expect(heard).toContainEqual(['E', '0A000', expect.stringContaining('name the columns')]);
    expect(client.text).not.toContain('123-45');
    expect((await client.ask(say.query('select 1'))).at(-1)).toEqual(['Z', 'I']);
    expect((await agent('copy doubled (n, ssn) to stdout')).stdout.toString()).toBe('1\t*****\n');
  });

  it.each(["encoding 'latin1'", "format csv, encoding 'sjis'"])(
    'is refused with %s: its rows cannot be read',
    async (options) => {
      const { stdout, stderr } = await agent(`copy people to stdout with (${options})`);
      expect(stdout.toString()).toBe('');
      expect(stderr).toContain('(NotAnalysable)');
    },
  );

  it('holds to limits, and counts what it masked', async () => {
    governed.setPolicy({ ...POLICY, limits: { rowsPerStatement: 5 } });
    const { stdout, stderr } = await agent('copy people (id, ssn) to stdout');
    governed.setPolicy(POLICY);
    expect(stdout.toString().split('\n')).toHaveLength(6);
    expect(stderr).toContain('(LimitReached)');
    const done = governed.records.map(({ record }) => record).findLast(({ type }) => type === 'done');
    expect(done).toMatchObject({ maskedValues: 5, error: { code: 'LimitReached' } });
  });

  it('masks a row of some megabytes', async () => {
    await owner.query(`insert into people (id, ssn, plain) values (2000, '${CANARY}', repeat('x', 5000000))`);
    const { stdout, stderr } = await agent('copy (select ssn, plain from people where id = 2000) to stdout');
    await owner.query('delete from people where id = 2000');
    expect([stderr, stdout.length, stdout.toString('latin1', 0, 8)]).toEqual(['', 5_000_007, '*****\txx']);
  });
});
