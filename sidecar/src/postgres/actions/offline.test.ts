import { AccessPolicy, API_VERSION, ProtectedResource } from '@chaperone/api';
import { compileAccess, type Access, type Action } from '@chaperone/policy';
import { afterAll, describe, expect, it } from 'vitest';
import { checkOffline } from './offline.ts';
import { StatementParser } from './parser.ts';
import { utilityAction } from './utility-action.ts';

const parser = new StatementParser();
afterAll(() => parser.close());

const ORDERS = { namespace: 'data', name: 'orders-db' };
const ACCESS = support(['public']);

/** The example of the design page, with a few more verbs granted. */
function support(searchPath: string[]): Access {
  const resource = ProtectedResource.parse({
    apiVersion: API_VERSION,
    kind: 'ProtectedResource',
    metadata: ORDERS,
    spec: {
      protocol: 'postgres',
      hosts: ['orders-db'],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432' },
      postgres: { database: 'orders', searchPath },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      grantedTo: [{ namespace: 'agents', statements: ['select', 'update', 'insert', 'copy', 'merge', 'drop', 'create'] }],
    },
  });
  const policy = AccessPolicy.parse({
    apiVersion: API_VERSION,
    kind: 'AccessPolicy',
    metadata: { name: 'support-agent', namespace: 'agents' },
    spec: {
      agents: { podSelector: {} },
      rules: [
        {
          name: 'read',
          effect: 'Allow',
          resource: ORDERS,
          sql: { statements: ['select'], relations: ['public.tickets', 'public.customers'] },
        },
        {
          name: 'fix',
          effect: 'RequireApproval',
          resource: ORDERS,
          sql: { statements: ['update'], relations: ['public.tickets'] },
          approval: { approvers: { groups: ['dba'] } },
        },
        {
          name: 'log',
          effect: 'Allow',
          resource: ORDERS,
          sql: { statements: ['insert', 'copy', 'merge'], relations: ['public.log'] },
        },
        { name: 'never', effect: 'Deny', resource: ORDERS, sql: { statements: ['drop', 'truncate', 'grant'] } },
      ],
    },
  });
  const agent = { namespace: 'agents', serviceAccount: 'support-agent', labels: {}, annotations: {} };
  const compiled = compileAccess({ agent, policies: [policy], resource });
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled.access;
}

async function check(sql: string, access = ACCESS): Promise<string> {
  const { verdict, code, rule = '-', effects } = await checkOffline(parser, sql, access);
  return [verdict, code, rule, ...effects.map((effect) => `${effect.verb}:${effect.object}`)].join(' ');
}

const CANNOT = 'deny NotAnalysable -';

describe('checkOffline', () => {
  it.each([
    ['select 1', 'allow Allowed -'],
    ['begin; commit', 'allow Allowed -'],
    ['', 'allow Allowed -'],
    ['select * from tickets', 'allow Allowed read select:public.tickets'],
    [
      'select * from public.tickets t join customers c on t.cid = c.id',
      'allow Allowed read select:public.tickets select:public.customers',
    ],
    [
      "select count(*), lower(subject) from tickets where created > now() - interval '1 day'",
      'allow Allowed read select:public.tickets',
    ],
    ['select (select max(id) from customers) from tickets', 'allow Allowed read select:public.tickets select:public.customers'],
    ['select * from other', 'deny NoRuleAllows - select:public.other'],
    ['select * from app.tickets', 'deny NoRuleAllows - select:app.tickets'],
    ['select * from "Tickets"', 'deny NoRuleAllows - select:public.Tickets'],
    ['select * from "public.tickets"', 'deny NoRuleAllows - select:public."public.tickets"'],
    ['select * from pg_stats', 'deny NoRuleAllows - select:pg_catalog.pg_stats'],
    ['select 1 where exists (select 1 from secrets)', 'deny NoRuleAllows - select:public.secrets'],
    ['select * from tickets union select * from secrets', 'deny NoRuleAllows - select:public.tickets select:public.secrets'],
    ['update tickets set status = $1', 'approve ApprovalPending fix update:public.tickets'],
    ['update tickets set status = $1 where id = $2', 'approve ApprovalPending fix update:public.tickets select:public.tickets'],
    [
      'update tickets t set a = s.a from secrets s where s.b = 1',
      'deny NoRuleAllows - update:public.tickets select:public.secrets',
    ],
    [
      'update log l set a = (select max(b) from tickets where tickets.c = l.c)',
      'deny NoRuleAllows - update:public.log select:public.log select:public.tickets',
    ],
    ['update log l set a = (select max(b) from tickets)', 'deny NoRuleAllows - update:public.log select:public.tickets'],
    ['delete from log where a = 1', 'deny NoRuleAllows - delete:public.log select:public.log'],
    ['update tickets set status = $1 returning id', 'approve ApprovalPending fix update:public.tickets select:public.tickets'],
    ['update tickets set a = s.a from secrets s', 'deny NoRuleAllows - update:public.tickets select:public.secrets'],
    ['delete from tickets', 'deny NoRuleAllows - delete:public.tickets'],
    ['delete from log using tickets where true', 'deny NoRuleAllows - delete:public.log select:public.tickets'],
    ['insert into log select * from tickets', 'allow Allowed log insert:public.log select:public.tickets'],
    ['insert into log values (1) on conflict do nothing', 'allow Allowed log insert:public.log'],
    ['insert into log values (1) on conflict (a) do nothing', 'deny NoRuleAllows - insert:public.log select:public.log'],
    [
      'insert into log values (1) on conflict (a) do update set a = 1',
      'deny NoRuleAllows - insert:public.log update:public.log select:public.log',
    ],
    ['insert into log values (1) returning *', 'deny NoRuleAllows - insert:public.log select:public.log'],
    [
      'merge into log using tickets t on t.id = log.id when matched then delete',
      'deny NoRuleAllows - delete:public.log select:public.log select:public.tickets',
    ],
    [
      'merge into log using tickets t on t.id = 1 when not matched then insert values (1)',
      'allow Allowed log insert:public.log select:public.tickets',
    ],
    ['select * from tickets for update', 'deny NoRuleAllows - select:public.tickets lock:public.tickets'],
    ['explain select * from tickets', 'allow Allowed read select:public.tickets'],
    ['declare c cursor for select * from tickets; fetch c; close c', 'allow Allowed read select:public.tickets'],
    ['fetch c', 'deny NotAnalysable -'],
    ['prepare p as select * from tickets; execute p', 'allow Allowed read select:public.tickets'],
    ['execute p', 'deny NotAnalysable -'],
    ['explain analyze delete from tickets', 'deny NoRuleAllows - delete:public.tickets'],
    ['copy tickets to stdout', 'allow Allowed read select:public.tickets'],
    ['copy (select * from tickets) to stdout', 'allow Allowed read select:public.tickets'],
    ['copy log from stdin', 'allow Allowed log insert:public.log'],
    ['drop table tickets', 'deny DeniedByRule never drop:public.tickets'],
    ['drop schema app', 'deny DeniedByRule never drop:app'],
    ['truncate app.t', 'deny DeniedByRule never truncate:app.t'],
    ['grant select on tickets to x', 'deny DeniedByRule never grant:public.tickets'],
    ['create table x (a int)', 'deny NoRuleAllows - create:public.x'],
    ['vacuum', 'deny NoRuleAllows - vacuum:'],
    ['show timezone', 'allow Allowed -'],
    ["set application_name = 'x'", 'allow Allowed -'],
    ['set search_path = x', 'deny SettingPinned -'],
    ['select 1; set role x', 'deny SettingPinned -'],
    [
      'select * from tickets; update tickets set a = 1',
      'approve ApprovalPending fix select:public.tickets update:public.tickets',
    ],
    ['select * from tickets; drop table tickets', 'deny DeniedByRule never select:public.tickets drop:public.tickets'],
    ['select * from tickets; select * from tickets', 'allow Allowed read select:public.tickets'],
  ])('%s', async (sql, expected) => {
    expect(await check(sql)).toBe(expected);
  });

  describe('names of common table expressions', () => {
    it.each([
      ['with x as (select * from tickets) select * from x', 'allow Allowed read select:public.tickets'],
      ['with secrets as (select 1) select * from secrets', 'allow Allowed -'],
      ['with secrets as (select 1) select * from public.secrets', 'deny NoRuleAllows - select:public.secrets'],
      ['with secrets as (select * from secrets) select 1 from secrets', 'deny NoRuleAllows - select:public.secrets'],
      ['with recursive secrets as (select 1 union select 1 from secrets) select 1 from secrets', 'allow Allowed -'],
      ['with a as (select 1), b as (select * from a) select * from b', 'allow Allowed -'],
      ['with b as (select * from a), a as (select 1) select * from b', 'deny NoRuleAllows - select:public.a'],
      [
        'select * from (with secrets as (select 1) select * from secrets) x, secrets',
        'deny NoRuleAllows - select:public.secrets',
      ],
      ['with secrets as (select 1) select (select 1 from secrets)', 'allow Allowed -'],
      [
        'with x as (delete from tickets returning *) select * from x',
        'deny NoRuleAllows - delete:public.tickets select:public.tickets',
      ],
      ['with tickets as (select 1) update tickets set a = 1', 'approve ApprovalPending fix update:public.tickets'],
      [
        'with x as (select 1) insert into log with secrets as (select 1) select * from secrets',
        'allow Allowed log insert:public.log',
      ],
    ])('%s', async (sql, expected) => {
      expect(await check(sql)).toBe(expected);
    });
  });

  describe('what only the server could tell', () => {
    it.each([
      'select f(1) from tickets',
      'select public.lower(subject) from tickets',
      "select pg_read_file('/etc/passwd')",
      'select * from generate_things(1)',
      "select query_to_xml('select 1', true, true, '')",
      "select set_config('search_path', 'x', true)",
      "select 'tickets'::regclass",
      'select 1::public.mytype',
      'select a operator(public.+) b from tickets',
      'select xmlelement(name a) from tickets',
      'select * from tickets tablesample public.m(1)',
      'select * from db.public.tickets',
      'do $$ begin end $$',
      'call p()',
      'create table x as select 1',
      'select * into x from tickets',
      'create view v as select 1',
      'selec 1',
      'select 1\0',
      `select ${'(select '.repeat(1_500)}1${')'.repeat(1_500)}`,
    ])('%s', async (sql) => {
      expect((await check(sql)).startsWith(CANNOT)).toBe(true);
    });

    it('takes no schema for granted under a longer search path', async () => {
      const access = support(['app', 'public']);
      expect(await check('select * from tickets', access)).toBe(CANNOT);
      expect(await check('select * from public.tickets', access)).toBe('allow Allowed read select:public.tickets');
      expect(await check('drop table tickets', access)).toBe(CANNOT);
    });
  });

  it('says why, without a word of the text', async () => {
    const { reason } = await checkOffline(parser, "select canary('canary')", ACCESS);
    expect(reason).toBe('This cannot be judged: it calls a function that only the server can resolve');
  });
});

async function utility(sql: string, access = ACCESS): Promise<Action> {
  const [statement] = await parser.classify(Buffer.from(sql));
  if (statement?.kind !== 'utility') throw new Error('no utility');
  return utilityAction(statement, access);
}

describe('utilityAction', () => {
  it('marks names that the search path had to complete', async () => {
    expect(await utility('truncate a.b, c')).toEqual({
      effects: [
        { verb: 'truncate', object: 'a.b', via: 'direct', kind: 'relation' },
        { verb: 'truncate', object: 'public.c', via: 'direct', kind: 'relation', qualified: false },
      ],
    });
    expect((await utility('truncate c', support(['a', 'b']))).notAnalysable).toContain('schema.name');
  });

  it('tells relations from other objects', async () => {
    expect((await utility('drop function a.f()')).effects).toEqual([
      { verb: 'drop', object: 'a.f', via: 'direct', kind: 'other' },
    ]);
    expect((await utility('drop schema "a.b"')).effects).toEqual([
      { verb: 'drop', object: '"a.b"', via: 'direct', kind: 'other' },
    ]);
    expect((await utility('drop trigger t on a.b')).effects).toEqual([
      { verb: 'drop', object: 'a.b', via: 'direct', kind: 'relation' },
    ]);
    expect((await utility('vacuum')).effects).toEqual([{ verb: 'vacuum', object: '', via: 'direct', kind: 'other' }]);
  });
});
