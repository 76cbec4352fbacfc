import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text as allOf } from 'node:stream/consumers';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient } from './raw-client.test-support.ts';

const SSN = '123-45-6789';
const CARD = '4111111111111111';

const SCHEMA = `
create table customers (id int primary key, name text not null, email text not null, ssn text not null, card text);
create table tickets (id int primary key, customer_id int references customers, subject text, status text not null default 'open');
create table secrets (id int primary key, word text);
create view customer_names as select id, name, ssn as code from customers;
insert into customers values (1, 'Ada', 'ada@example.com', '${SSN}', '${CARD}'), (2, 'Grace', 'grace@example.com', '987-65-4320', null);
insert into tickets values (1, 1, 'sign in', 'open'), (2, 2, 'refund', 'open');
insert into secrets values (1, 'hidden');
create table numbers as select g as n, repeat('x', 100) as pad from generate_series(1, 50000) g;
grant select on customers, customer_names, tickets, numbers, secrets to agent_role;
grant update, insert, delete on tickets to agent_role;
grant insert on customers to agent_role;`;

const POLICY = {
  rules: [
    {
      name: 'read',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: {
        statements: ['select'],
        relations: ['public.customers', 'public.tickets', 'public.customer_names', 'public.numbers'],
      },
    },
    {
      name: 'fix',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'update', 'insert'], relations: ['public.tickets'] },
    },
    {
      name: 'ask',
      effect: 'RequireApproval',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['delete'], relations: ['public.tickets'] },
      approval: { approvers: { groups: ['dba'] } },
    },
    {
      name: 'never',
      effect: 'Deny',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['drop', 'truncate', 'grant'] },
      message: 'Schema changes go through the migration pipeline.',
    },
  ],
  reveal: ['pii.email'],
  masking: [{ label: 'pii.ssn', strategy: { partial: { last: 4 } } }],
};
const RESOURCE = {
  sensitive: [
    { label: 'pii.ssn', columns: ['public.customers.ssn'] },
    { label: 'pii.email', columns: ['public.customers.email'] },
    { label: 'pci.card', detector: 'credit-card' },
  ],
};

let governed: Governed;
let agent: pg.Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  agent = await governed.connect();
  return async () => agent.end();
});

async function refused(query: Promise<unknown>): Promise<{ message: string; code: string }> {
  return query.then(
    () => {
      throw new Error('it was not refused');
    },
    (error: { message: string; code: string }) => ({ message: error.message, code: error.code }),
  );
}

describe('what an agent reads', () => {
  it('is masked, and what it may see is not', async () => {
    const { rows } = await agent.query('select name, email, ssn, card from customers order by id');
    expect(rows).toEqual([
      { name: 'Ada', email: 'ada@example.com', ssn: '*******6789', card: expect.stringContaining('***') },
      { name: 'Grace', email: 'grace@example.com', ssn: '*******4320', card: null },
    ]);
    expect(JSON.stringify(rows)).not.toContain(CARD);
  });

  it.each([
    ['an alias', 'select ssn as remark from customers'],
    ['a join', 'select t.id, c.ssn from tickets t join customers c on c.id = t.customer_id'],
    ['an expression', "select 'x' || ssn || 'y' as e from customers"],
    ['a function', 'select reverse(ssn) as r, substr(ssn, 1, 5) as s from customers'],
    ['a whole row', 'select c from customers c'],
    ['row_to_json', 'select row_to_json(c) as j from customers c'],
    ['a view', 'select code from customer_names'],
    ['a common table expression', 'with w as (select ssn as a from customers) select a from w'],
    ['a set operation', 'select name from customers union all select ssn from customers'],
    ['an aggregate', "select string_agg(ssn, ',') from customers"],
    ['a scalar sub-select', 'select (select ssn from customers where id = 1) as v'],
    ['a prepared statement', { text: 'select ssn from customers where id = $1', values: [1] }],
    ['a named statement', { name: 'byid', text: 'select ssn from customers where id = $1', values: [1] }],
    ['binary results', { text: 'select ssn, card from customers', binary: true }],
  ])('never leaks a masked value through %s', async (_, query) => {
    const { rows } = await agent.query(query as pg.QueryConfig);
    const text = JSON.stringify(rows);
    expect(rows.length).toBeGreaterThan(0);
    for (const canary of [SSN, '9876-54', '123-4', '9876-54-321', CARD]) expect(text).not.toContain(canary);
  });

  it('gives a named statement the same mask each time, though the server describes it once', async () => {
    for (const id of [1, 2, 1]) {
      const { rows } = await agent.query({ name: 'again', text: 'select ssn from customers where id = $1', values: [id] });
      expect(rows[0].ssn).toMatch(/^\*{7}\d{4}$/);
    }
  });

  it('comes whole when it is large', async () => {
    const { rows } = await agent.query('select n, pad from numbers order by n');
    expect(rows.length).toBe(50_000);
    expect(rows[49_999].n).toBe(50_000);
  });
});

describe('what an agent may not do', () => {
  it("is refused with the policy's own words, and the connection stays usable", async () => {
    const { message, code } = await refused(agent.query('drop table tickets'));
    expect(message).toBe(
      'chaperone: DROP on public.tickets is denied by rule "never" (DeniedByRule). Do not retry: Schema changes go through the migration pipeline.',
    );
    expect(code).toBe('42501');
    expect((await agent.query('select count(*)::int as n from tickets')).rows[0].n).toBe(2);
  });

  it.each([
    ['select word from secrets', 'NoRuleAllows'],
    ["update customers set name = 'x'", 'NoRuleAllows'],
    ['do $$ begin perform 1; end $$', 'NotAnalysable'],
    ['select 1; drop table tickets', 'DeniedByRule'],
    ['set search_path = pg_temp', 'SettingPinned'],
    ["select set_config('search_path', 'x', false)", 'NotAnalysable'],
    ['select pg_read_file($$/etc/passwd$$)', 'NotAnalysable'],
    ["copy customers to program 'cat'", 'NotAnalysable'],
    ['select most_common_vals from pg_stats', 'NotAnalysable'],
    ["insert into tickets select 9, id, ssn, 'x' from customers", 'LabelledValueWrite'],
    ["update tickets set subject = '*****' where id = 1", 'MaskedValueWrite'],
    ["select name from customers where ssn like '123%'", 'InferenceLimited'],
    ['select name from customers order by ssn', 'InferenceLimited'],
    ['listen x', 'NotAnalysable'],
    ['create table leak as select ssn from customers', 'NotAnalysable'],
  ])('%s → %s', async (sql, code) => {
    const { message } = await refused(agent.query(sql));
    expect(message).toContain(`(${code})`);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('undoes what the same text did before', async () => {
    await refused(agent.query("update tickets set status = 'lost' where id = 2; drop table tickets"));
    expect((await agent.query('select status from tickets where id = 2')).rows[0].status).toBe('open');
  });

  it('aborts the transaction it happened in', async () => {
    await agent.query('begin');
    await agent.query("update tickets set status = 'lost' where id = 2");
    await refused(agent.query('drop table tickets'));
    expect((await refused(agent.query('select 1'))).code).toBe('25P02');
    await agent.query('rollback');
    expect((await agent.query('select status from tickets where id = 2')).rows[0].status).toBe('open');
  });

  it('refuses in the extended protocol too, and goes on', async () => {
    expect((await refused(agent.query({ text: 'select word from secrets where id = $1', values: [1] }))).message).toContain(
      '(NoRuleAllows)',
    );
    expect(
      (await refused(agent.query({ text: 'update tickets set subject = $1 where id = 1', values: ['*******6789'] }))).message,
    ).toContain('(MaskedValueWrite)');
    expect((await agent.query({ text: 'select $1::int as n', values: [5] })).rows).toEqual([{ n: 5 }]);
  });

  it('says no value in an error of the database', async () => {
    const { message } = await refused(agent.query('select ssn::int from customers'));
    expect(message).not.toContain('123');
    const duplicate = await refused(agent.query(`insert into tickets values (1, 1, 'x', 'open')`));
    expect(duplicate.code).toBe('23505');
  });
});

describe('what an agent changes', () => {
  it('is done, once, and recorded before it ran', async () => {
    governed.records.length = 0;
    const { rowCount } = await agent.query("update tickets set status = 'closed' where id = 1");
    expect(rowCount).toBe(1);
    const judged = governed.records.find(({ record }) => record.type === 'action');
    expect(judged?.durability).toBe('synced');
    expect(judged?.record).toMatchObject({
      verdict: 'allow',
      effects: expect.arrayContaining([expect.objectContaining({ verb: 'update', object: 'public.tickets' })]),
    });
    const owner = await governed.direct();
    expect((await owner.query('select status from tickets where id = 1')).rows[0].status).toBe('closed');
    await owner.end();
  });

  it('does not run when it cannot be recorded', async () => {
    await using other = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
    const client = await other.connect();
    other.failRecording();
    await refused(client.query("update tickets set status = 'closed' where id = 1"));
    const owner = await other.direct();
    expect((await owner.query('select status from tickets where id = 1')).rows[0].status).toBe('open');
    await owner.end();
  });
});

describe('what the owner says is sensitive', () => {
  it('is masked from the next session on, and ends the ones that began before', async () => {
    await using other = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
    const before = await other.connect();
    expect((await before.query('select name from customers where id = 1')).rows).toEqual([{ name: 'Ada' }]);
    other.setResource({ sensitive: [...RESOURCE.sensitive, { label: 'pii.name', columns: ['public.customers.name'] }] });
    await refused(before.query('select name from customers where id = 1'));
    const after = await other.connect();
    expect((await after.query('select name from customers where id = 1')).rows).toEqual([{ name: '*****' }]);
    other.setResource({ sensitive: [{ label: 'pii.name', columns: ['public.customers.gone'] }] });
    expect((await refused(other.connect())).message).toContain('LabelledColumnsMissing');
  });
});

describe('evidence', () => {
  it('holds what was delivered, masked, and no literal that was compared with a masked column', async () => {
    governed.records.length = 0;
    await agent.query(`select name, ssn from customers where ssn = '${SSN}'`);
    const text = JSON.stringify(governed.records);
    expect(text).not.toContain(SSN);
    expect(text).toContain('*******6789');
    expect(governed.records.map(({ record }) => record.type)).toEqual(['action', 'done']);
  });

  it('never holds the credential, nor does the log', async () => {
    expect(JSON.stringify(governed.records) + governed.logged.join('\n')).not.toContain('only-the-proxy-knows');
  });
});

describe('the protocol', () => {
  it('serves psql without TLS, with it, and with its name verified', async () => {
    await using ca = await temporaryFile(governed.ca);
    for (const options of ['sslmode=disable', 'sslmode=require', `sslmode=verify-full sslrootcert=${ca.path}`]) {
      const { stdout, stderr } = await psql('select name from customers order by id', options);
      expect({ options, stdout, stderr }).toEqual({ options, stdout: 'Ada\nGrace\n', stderr: '' });
    }
  });

  it('copies out, masked', async () => {
    const { stdout } = await psql('copy (select id, status from tickets order by id) to stdout');
    expect(stdout).toMatch(/^1\t\w+\n2\t\w+\n$/);
    expect((await psql("copy (select id, '4111 1111 1111 1111' as note from tickets where id = 1) to stdout")).stdout).toBe(
      '1\t*****\n',
    );
    expect((await psql('copy customers (name, ssn) to stdout')).stdout).toMatch(/^Ada\t\*{7}6789\n/);
  });

  it('copies in', async () => {
    const run = await psql('copy tickets (id, customer_id, subject) from stdin', '', '50\t1\tcopied\n51\t2\tcopied\n');
    expect(run.stderr).toBe('');
    expect((await agent.query("select count(*)::int as n from tickets where subject = 'copied'")).rows[0].n).toBe(2);
  });

  it('cancels the statement of its own session only', async () => {
    const slow = agent.query('select count(*) from numbers a, numbers b');
    await eventually('the statement to run', async () => ((await governed.connect()) ? true : undefined));
    const { processID, secretKey } = agent as unknown as { processID: number; secretKey: number };
    const cancel = Buffer.alloc(16);
    for (const [at, value] of [16, 80877102, processID, secretKey].entries()) cancel.writeInt32BE(value | 0, at * 4);
    connectTcp(governed.port, '127.0.0.1').end(cancel);
    expect((await refused(slow)).code).toBe('57014');
  });

  it('answers a statement of 20 MB with an error and goes on', async () => {
    const { message } = await refused(agent.query(`select '${'x'.repeat(20_000_000)}'`));
    expect(message).toContain('(StatementTooLarge)');
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['random bytes', Buffer.from([0x99, 0x01, 0xff, 0x00, 0x42, 0x42, 0x42, 0x42, 0x42])],
    ['a length of 1 GiB', Buffer.from([0x40, 0, 0, 0, 0, 3, 0, 0])],
  ])('closes a connection that speaks %s', async (_, bytes) => {
    const socket = connectTcp(governed.port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('ends a session in which a message of 1 GiB is announced, without waiting for it', async () => {
    await using other = await RawClient.open(governed.port);
    other.send(Buffer.from([0x51, 0x40, 0, 0, 0]), Buffer.alloc(100));
    const heard = await other.until(() => other.closed);
    expect(heard).toContainEqual(['E', '08P01', expect.stringContaining('(ProtocolViolation)')]);
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('survives an agent that goes away in the middle of a result', async () => {
    const other = await governed.connect();
    const pending = other.query('select n, pad from numbers').catch(() => undefined);
    (other as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await pending;
    await eventually('the session to end', () =>
      governed.records.some(({ record }) => record.type === 'session.close' && record.code === 'AgentClosed') ? true : undefined,
    );
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('ends the session, here and at the database, of an agent that is killed in the middle of a result', async () => {
    const closed = (): number =>
      governed.records.filter(({ record }) => record.type === 'session.close' && record.code === 'AgentClosed').length;
    const before = closed();
    // More than all buffers on the way hold, so that it cannot have come whole.
    const sql = 'copy (select a.n, a.pad from numbers a, numbers b where b.n <= 10) to stdout';
    const child = spawn('psql', [`host=localhost port=${governed.port} dbname=orders user=bot`, '-XAt', '-c', sql]);
    await once(child.stdout, 'readable');
    const admin = await governed.direct();
    const writing = async (): Promise<number> =>
      (await admin.query("select count(*)::int as n from pg_stat_activity where wait_event = 'ClientWrite'")).rows[0].n;
    await eventually('the database to wait for the agent', async () => ((await writing()) === 1 ? true : undefined));
    child.kill('SIGKILL');
    await eventually('the session to end', () => (closed() === before + 1 ? true : undefined));
    await eventually('the statement to end', async () => ((await writing()) === 0 ? true : undefined));
    await admin.end();
    expect((await agent.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('keeps what the database says of a wrong statement', async () => {
    expect((await refused(agent.query('select nothing from tickets'))).code).toBe('42703');
    expect((await refused(agent.query('select * from nowhere'))).code).toBe('42P01');
  });
});

async function temporaryFile(text: string): Promise<AsyncDisposable & { path: string }> {
  const folder = await temporaryDirectory();
  const path = join(folder.path, 'file');
  await writeFile(path, text);
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function psql(sql: string, more = '', input = ''): Promise<{ stdout: string; stderr: string }> {
  const child = spawn('psql', [`host=localhost port=${governed.port} dbname=orders user=bot ${more}`, '-XAt', '-c', sql]);
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([allOf(child.stdout), allOf(child.stderr)]);
  return { stdout, stderr };
}
