import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import { classify } from './classify.ts';
import type { ObjectName, Statement, StatementOf } from './statement.ts';

beforeAll(loadModule);

const classOf = (sql: string): Statement[] => classify({ sql, tree: parseSync(sql), parse: parseSync });

function name(object: ObjectName): string {
  return object.schema === undefined ? object.name : `${object.schema}.${object.name}`;
}

type Words = { readonly [K in Statement['kind']]: (statement: StatementOf<K>) => string };
const emulated = (statement: { emulated: boolean }): string => (statement.emulated ? ' emulated' : '');
const columnsOf = (relation: ObjectName, columns: readonly string[]): string => `${name(relation)}(${columns.join(',')})`;
const WORDS: Words = {
  query: ({ command }) => `query ${command}`,
  explain: ({ analyze, inner }) => `explain${analyze ? ' analyze' : ''}: ${inner}`,
  'copy-out': (statement) =>
    `copy-out ${statement.relation ? columnsOf(statement.relation, statement.columns) : statement.query}`,
  'copy-in': ({ relation, columns }) => `copy-in ${columnsOf(relation, columns)}`,
  transaction: ({ operation }) => operation,
  set: (statement) => `set ${statement.name}=${statement.value}${statement.local ? ' local' : ''}${emulated(statement)}`,
  reset: (statement) => `reset ${statement.name}${emulated(statement)}`,
  show: (statement) => `show ${statement.name}`,
  utility: ({ verb, objectKind, objects }) => `${verb} ${objectKind} ${objects.map(name).join(' ')}`,
  declare: ({ cursor, inner }) => `declare ${cursor}: ${inner}`,
  fetch: ({ move, cursor }) => `${move ? 'move' : 'fetch'} ${cursor}`,
  close: ({ cursor }) => `close ${cursor ?? 'all'}`,
  prepare: (statement) => `prepare ${statement.name}: ${statement.inner}`,
  execute: (statement) => `execute ${statement.name}(${JSON.stringify(statement.values)})`,
  deallocate: (statement) => `deallocate ${statement.name ?? 'all'}`,
  unlisten: () => 'unlisten',
  refused: ({ code }) => `refused ${code}`,
};

/** One line of words for a class: what the tables below are written in. */
function words<K extends Statement['kind']>(statement: StatementOf<K>): string {
  return (WORDS[statement.kind] as (of: typeof statement) => string)(statement);
}

const NOT_ANALYSABLE = 'refused NotAnalysable';
const PINNED = 'refused SettingPinned';

describe('the class of a statement', () => {
  describe('cursors and statements of SQL', () => {
    it.each([
      ['declare c cursor for select 1', 'declare c: select 1'],
      [
        'DECLARE "odd for" NO SCROLL CURSOR WITHOUT HOLD FOR select a from t for update',
        'declare odd for: select a from t for update',
      ],
      ['declare c insensitive scroll cursor for with x as (select 1) table x', 'declare c: with x as (select 1) table x'],
      ['declare/* for */c -- for\n cursor for (values (1))', 'declare c: (values (1))'],
      ['declare "for" cursor for select $1', 'declare for: select $1'],
      [`declare ${'n'.repeat(70)} cursor for select 1`, `declare ${'n'.repeat(63)}: select 1`],
      ['fetch c', 'fetch c'],
      ['fetch forward all from "C"', 'fetch C'],
      ['fetch absolute -1 in c', 'fetch c'],
      ['move backward 3 from c', 'move c'],
      ['prepare p as select 1', 'prepare p: select 1'],
      ['PREPARE "as" (int, numeric(3,2)) AS update t set a = $1', 'prepare as: update t set a = $1'],
      ['prepare p(text)as(values ($1))', 'prepare p: (values ($1))'],
      ['execute p', 'execute p([])'],
      ["execute p(1, -2, 0, 1.5, 'it''s', null, true, false)", `execute p(["1","-2","0","1.5","it's",null,"true","false"])`],
      ['deallocate p', 'deallocate p'],
      ['deallocate prepare all', 'deallocate all'],
      ['unlisten *', 'unlisten'],
      ['close c', 'close c'],
      ['close all', 'close all'],
    ])('%s', (sql, words_) => expect(classOf(sql).map(words)).toEqual([words_]));
  });

  describe('queries', () => {
    it.each([
      ['select 1', 'select'],
      ['SELECT a FROM t WHERE b = $1 ORDER BY c LIMIT 3', 'select'],
      ['select * from t for update', 'select'],
      ['select * from t for no key update of t skip locked', 'select'],
      ['values (1), (2)', 'select'],
      ['table public.tickets', 'select'],
      ['(select 1)', 'select'],
      ['select 1 union all select 2', 'select'],
      ['with x as (select 1) select * from x', 'select'],
      ['with x as (delete from t returning *) select * from x', 'select'],
      ['with x as (insert into a select * from b returning 1) update t set a = 1', 'update'],
      ['select pg_sleep(1)', 'select'],
      ['insert into t values (1)', 'insert'],
      ['insert into t default values returning *', 'insert'],
      ['insert into t select * from u on conflict do nothing', 'insert'],
      ['update t set a = 1', 'update'],
      ['update only s.t as x set a = u.a from u where u.id = x.id', 'update'],
      ['delete from t', 'delete'],
      ['delete from t using u where t.id = u.id', 'delete'],
      ['merge into t using u on t.id = u.id when matched then update set a = 1 when not matched then insert values (1)', 'merge'],
    ])('%s', (sql, command) => expect(classOf(sql).map(words)).toEqual([`query ${command}`]));
  });

  describe('wrappers', () => {
    it.each([
      ['explain select 1', 'explain: select 1'],
      ['explain (select 1)', 'explain: (select 1)'],
      ['explain analyze select 1', 'explain analyze: select 1'],
      ['explain analyse verbose select 1', 'explain analyze: select 1'],
      ['explain verbose select 1', 'explain: select 1'],
      ['explain (analyze) select 1', 'explain analyze: select 1'],
      ['explain (analyze, buffers) (select 1)', 'explain analyze: (select 1)'],
      ['explain (analyze off) delete from t', 'explain: delete from t'],
      ['explain (analyze false, costs) delete from t', 'explain: delete from t'],
      ['explain (analyze 0) delete from t', 'explain: delete from t'],
      ['explain (analyze 1) delete from t', 'explain analyze: delete from t'],
      ['explain (analyze off, analyze) delete from t', 'explain analyze: delete from t'],
      ["/* ( */ EXPLAIN -- )\n (FORMAT json) /* x */ select '(', 1", "explain: /* x */ select '(', 1"],
      [
        'explain with x as (delete from t returning 1) select * from x',
        'explain: with x as (delete from t returning 1) select * from x',
      ],
      ['copy t to stdout', 'copy-out t()'],
      ['copy s.t (a, b) to stdout with (format csv, header)', 'copy-out s.t(a,b)'],
      ['copy (select 1) to stdout', 'copy-out select 1'],
      ['copy /* ( */ ( select \')\', ")" from x ) to stdout (format binary)', 'copy-out select \')\', ")" from x'],
      ['copy (delete from t returning *) to stdout', 'copy-out delete from t returning *'],
      ['copy t from stdin', 'copy-in t()'],
      ['copy s.t (a) from stdin with (format csv)', 'copy-in s.t(a)'],
      ['copy binary t to stdout', 'copy-out t()'],
    ])('%s', (sql, expected) => expect(classOf(sql).map(words)).toEqual([expected]));

    it('keep the options of COPY', () => {
      const [statement] = classOf("copy t to stdout with (format csv, header, delimiter ';', force_quote (a, b))");
      expect(statement).toMatchObject({ options: { format: 'csv', header: '', delimiter: ';', force_quote: 'a,b' } });
    });

    it.each([
      'explain execute x',
      'explain create table a as select 1',
      'explain declare c cursor for select 1',
      'explain select * into a from b',
      'explain refresh materialized view v',
      "copy t to '/tmp/x'",
      "copy t from '/etc/passwd'",
      "copy t to program 'cat'",
      "copy t from program 'ls'",
      "copy (select 1) to '/tmp/x'",
      'copy (select 1 into x) to stdout',
      'copy t from stdin where a > 1',
      'copy db.s.t to stdout',
    ])('%s is refused', (sql) => expect(classOf(sql).map(words)).toEqual([NOT_ANALYSABLE]));
  });

  describe('transactions', () => {
    it.each([
      ['begin', 'begin'],
      ['begin transaction isolation level serializable read only deferrable', 'begin'],
      ['start transaction isolation level read committed', 'begin'],
      ['commit', 'commit'],
      ['end', 'commit'],
      ['commit and chain', 'commit'],
      ['rollback', 'rollback'],
      ['abort', 'rollback'],
      ['savepoint a', 'savepoint'],
      ['release savepoint a', 'release'],
      ['rollback to savepoint a', 'rollback-to'],
      ["prepare transaction 'x'", NOT_ANALYSABLE],
      ["commit prepared 'x'", NOT_ANALYSABLE],
      ["rollback prepared 'x'", NOT_ANALYSABLE],
    ])('%s', (sql, expected) => expect(classOf(sql).map(words)).toEqual([expected]));
  });

  describe('settings', () => {
    it.each([
      ["set application_name = 'x'", 'set application_name=x'],
      ["set session datestyle = 'ISO', 'DMY'", 'set datestyle=ISO, DMY'],
      ['SET "TimeZone" = \'UTC\'', 'set timezone=UTC'],
      ["set time zone 'Europe/Berlin'", 'set timezone=Europe/Berlin'],
      ['set time zone local', 'set timezone='],
      ["set time zone interval '+02:00' hour to minute", 'set timezone=+02:00'],
      ['set timezone to default', 'set timezone='],
      ["set intervalstyle = 'iso_8601'", 'set intervalstyle=iso_8601'],
      ['set extra_float_digits = 3', 'set extra_float_digits=3'],
      ['set extra_float_digits = 0', 'set extra_float_digits=0'],
      ['set local statement_timeout = 0', 'set statement_timeout=0 local'],
      ["set lock_timeout = '5s'", 'set lock_timeout=5s'],
      ['set idle_in_transaction_session_timeout = 1', 'set idle_in_transaction_session_timeout=1'],
      ["set bytea_output = 'hex'", 'set bytea_output=hex'],
      ["set client_encoding = 'UTF8'", 'set client_encoding=UTF8'],
      ["set names 'utf-8'", 'set client_encoding=utf-8'],
      ['set standard_conforming_strings = on', 'set standard_conforming_strings=on'],
      ['set client_min_messages = debug5', 'set client_min_messages=debug5 emulated'],
      ['set jit = off', 'set jit=off'],
      ['set jit = off', 'set jit=off'],
      ['set transaction isolation level repeatable read', 'set transaction=transaction_isolation=repeatable read local'],
      ['set transaction read only', 'set transaction=transaction_read_only=1 local'],
      ['set session characteristics as transaction read only', 'set session characteristics=transaction_read_only=1'],
      ['reset timezone', 'reset timezone'],
      ['reset client_min_messages', 'reset client_min_messages emulated'],
      ['reset all', 'reset all'],
      ['show timezone', 'show timezone'],
      ['show all', 'show all'],
      ['show transaction isolation level', 'show transaction_isolation'],
    ])('%s', (sql, expected) => expect(classOf(sql).map(words)).toEqual([expected]));

    it.each(
      [
        'set search_path = evil',
        'set local search_path to default',
        "set schema 'x'",
        'set standard_conforming_strings = off',
        'set standard_conforming_strings to default',
        'set "Standard_Conforming_Strings" = off',
        "set client_encoding = 'SJIS'",
        "set names 'BIG5'",
        'set names default',
        'set bytea_output = escape',
        'set role admin',
        'set role none',
        'set session authorization default',
        'set backslash_quote = on',
        'set debug_print_rewritten = off',
        'set log_min_messages = debug1',
        'set default_transaction_read_only = off',
        'set transaction_read_only = off',
        'set transaction read write',
        'begin read write',
        'start transaction isolation level serializable, read write',
        'set session characteristics as transaction read write',
        'set session characteristics as transaction isolation level serializable, read write',
        "set transaction snapshot '00-1'",
        'set row_security = off',
        'set session_preload_libraries = x',
        'set xmloption = content',
        "set my.variable = 'x'",
        'reset role',
        'reset search_path',
        'reset session authorization',
        'reset client_encoding',
      ].filter((sql) => sql !== 'set application_name from current'),
    )('%s is refused', (sql) => expect(classOf(sql).map(words)).toEqual([PINNED]));
  });

  describe('definitions and maintenance', () => {
    it.each([
      ['truncate t', 'truncate table t'],
      ['truncate a.b, only c restart identity cascade', 'truncate table a.b c'],
      ['lock table a.b in access share mode nowait', 'lock table a.b'],
      ['drop table if exists a.b, c cascade', 'drop table a.b c'],
      ['drop view v', 'drop view v'],
      ['drop materialized view a.v', 'drop matview a.v'],
      ['drop index concurrently a.i', 'drop index a.i'],
      ['drop sequence s', 'drop sequence s'],
      ['drop schema a, b cascade', 'drop schema a b'],
      ['drop function a.f(int)', 'drop function a.f'],
      ['drop procedure p', 'drop procedure p'],
      ['drop aggregate a.g(*)', 'drop aggregate a.g'],
      ['drop type a.t', 'drop type a.t'],
      ['drop domain d', 'drop domain d'],
      ['drop trigger t on a.b', 'drop table a.b'],
      ['drop rule r on b', 'drop table b'],
      ['drop policy p on a.b', 'drop table a.b'],
      ['drop extension e', 'drop extension e'],
      ['drop foreign table a.f', 'drop foreign table a.f'],
      ['drop publication p', 'drop publication p'],
      ['drop cast (int as text)', NOT_ANALYSABLE],
      ['drop operator class c using btree', 'drop opclass btree.c'],
      ['grant select on a.b to x', 'grant table a.b'],
      ['grant all on table a.b, c to public with grant option', 'grant table a.b c'],
      ['grant select (x) on a.b to y', 'grant table a.b'],
      ['grant usage on schema s to x', 'grant schema s'],
      ['grant execute on function a.f(int) to x', 'grant function a.f'],
      ['grant select on all tables in schema s, u to x', 'grant schema s u'],
      ['grant connect on database d to x', 'grant database d'],
      ['grant admin to x', 'grant role admin'],
      ['revoke admin from x', 'revoke role admin'],
      ['revoke all on a.b from x', 'revoke table a.b'],
      ['alter default privileges in schema s grant select on tables to x', NOT_ANALYSABLE],
      ["comment on table a.b is 'x'", 'comment table a.b'],
      ['comment on table a.b is null', 'comment table a.b'],
      ["comment on column a.b.c is 'x'", 'comment table a.b'],
      ["comment on column b.c is 'x'", 'comment table b'],
      ["comment on database d is 'x'", 'comment database d'],
      ["comment on function f(int) is 'x'", 'comment function f'],
      ["comment on constraint c on a.b is 'x'", 'comment table a.b'],
      ['vacuum', 'vacuum table '],
      ['vacuum (full, analyze) a.b (c), d', 'vacuum table a.b d'],
      ['analyze', 'analyze table '],
      ['analyze verbose a.b', 'analyze table a.b'],
      ['refresh materialized view concurrently a.v', 'refresh matview a.v'],
      ['create table a.b (id int primary key, name text not null)', 'create table a.b'],
      ["create table b (id int default 0, s text default 'x')", 'create table b'],
      ['create index on a.b (c)', 'create index a.b'],
      ['create unique index concurrently i on b (c) include (d)', 'create index b'],
      ['create sequence a.s', 'create sequence a.s'],
      ['alter sequence a.s restart with 5', 'alter sequence a.s'],
      ['create schema s', 'create schema s'],
      ["create type a.e as enum ('x')", 'create type a.e'],
      ["alter type a.e add value 'y'", 'alter type a.e'],
      ['alter table a.b add column c int', 'alter table a.b'],
      ['alter table a.b drop column c, alter column d set not null', 'alter table a.b'],
      ['alter table b alter column d drop default', 'alter table b'],
      ["alter table b alter column d set default 'x'", 'alter table b'],
    ])('%s', (sql, expected) => expect(classOf(sql).map(words)).toEqual([expected]));
  });

  describe('refused by form', () => {
    it.each([
      'select * into x from t',
      'select * into temp x from t',
      'with a as (select 1) select * into x from a',
      'create table x as select 1',
      'create table x as table y',
      'create table x as execute p',
      'create materialized view v as select 1',
      'create view v as select 1',
      'create or replace view v as select 1',
      'create recursive view v (n) as select 1',
      'create temp table x (a int)',
      'create unlogged table x (a int)',
      'create table pg_temp.x (a int)',
      'create temp sequence s',
      'create table x () inherits (customers)',
      "create table x partition of customers for values in ('a')",
      'create table x (a int default f())',
      'create table x (a int generated always as (b + 1) stored)',
      'create table x (a int check (a > 0))',
      'create index on t (lower(a))',
      'create index on t (a) where a > 1',
      'create schema s create table t (a int)',
      'alter table t rename column ssn to note',
      'alter table t rename to u',
      'alter table t set schema s',
      'alter table t owner to x',
      'alter table t alter column a type int using ssn::int',
      'alter table t alter column a set default f()',
      'alter table t add column b text generated always as (ssn) stored',
      'alter table t attach partition customers default',
      'alter table t inherit customers',
      'alter table t disable trigger all',
      'alter table t disable row level security',
      'alter table t add constraint c check (ssn > 1)',
      'do $$ begin delete from t; end $$',
      'call p(1)',
      'prepare p as select 1 into t',
      'execute p(1 + 1)',
      'execute p(now())',
      "execute p('a'::text)",
      "execute p(b'1')",
      'declare c cursor with hold for select 1',
      'declare c binary cursor for select 1',
      'declare c cursor for select 1 into t',
      'listen x',
      "notify x, 'y'",
      "load 'x'",
      "create function f() returns int language sql as 'select 1'",
      "create procedure p() language sql as 'select 1'",
      'alter function f() security definer',
      'create trigger t before insert on a execute function f()',
      'create rule r as on insert to t do also delete from u',
      'create policy p on t using (true)',
      'create event trigger e on ddl_command_end execute function f()',
      'discard all',
      'discard plans',
      'discard temp',
      'create role x superuser',
      "alter role x password 'y'",
      'alter role x set search_path = y',
      'drop role x',
      'drop owned by x',
      'reassign owned by x to y',
      'alter system set x = 1',
      'alter database d set search_path = x',
      'create database d',
      'drop database d',
      'create extension dblink',
      'create server s foreign data wrapper postgres_fdw',
      'import foreign schema s from server x into y',
      'create foreign table f (a int) server s',
      'create publication p for all tables',
      "create subscription s connection 'x' publication p",
      'create domain d as text check (length(value) > 1)',
      'create cast (int as text) with function f(int)',
      'create operator === (leftarg = int, rightarg = int, function = f)',
      'create aggregate g(int) (sfunc = f, stype = int)',
      "security label on table t is 'x'",
      'checkpoint',
      'cluster t',
      'reindex table t',
      'truncate db.s.t',
      'create statistics s on a, b from t',
      'alter index i rename to j',
      "create tablespace x location '/tmp'",
    ])('%s', (sql) => expect(classOf(sql).map(words)).toEqual([NOT_ANALYSABLE]));

    it('says what to do instead, and nothing of the text', () => {
      for (const [sql, advice] of [
        ["execute canary('canary' || '')", 'driver'],
        ['declare canary cursor with hold for select 1', 'transaction'],
        ["notify canary, 'canary'", 'table'],
        ["set canary.x = 'canary'", 'pinned'],
        ['set "canary""x" = 1', 'pinned'],
      ] as const) {
        const [statement] = classOf(sql);
        const why = statement?.kind === 'refused' ? statement.why : '';
        expect(why).toContain(advice);
        expect(why).not.toContain('canary');
      }
    });
  });
});

describe('the statements of a text', () => {
  it('are cut by bytes, at the server’s separators only', () => {
    expect(classOf("select 'é;', ';'; /* ; */ update t set a = $$;$$ -- ;\n; ; commit").map(({ text }) => text)).toEqual([
      "select 'é;', ';'",
      'update t set a = $$;$$ -- ;',
      'commit',
    ]);
  });

  it('keep spaces that the server takes for letters', () => {
    expect(classOf('select 1 as\u00a0').map(({ text }) => text)).toEqual(['select 1 as\u00a0']);
  });

  it('are none in a text of comments', () => {
    expect(classOf(' -- nothing\n ; /* here */')).toEqual([]);
  });

  it.each([
    ["select set_config('a', 'b', false)", true],
    ["select 1 where pg_catalog.set_config('a', 'b', false) = ''", true],
    ["with x as (insert into t values (set_config('a', 'b', false)) returning 1) select 1", true],
    ["explain analyze select set_config('a', 'b', true)", true],
    ["select 'set_config', set_config from set_config", false],
  ])('%s mentions set_config: %s', (sql, expected) => {
    expect(classOf(sql)[0]?.mentionsSetConfig).toBe(expected);
  });

  it.each([
    ["select current_setting('jit') as cur, set_config('jit', 'off', false) as new", 1],
    ["select set_config('JIT', 'off', true), pg_catalog.set_config('statement_timeout', '5s', true)", 2],
    ["select set_config('jit', 'off', false), set_config('search_path', 'evil', false)", 0],
    ["select set_config('jit' || '', 'off', false)", 0],
    ["select set_config('jit', (select ssn from t), false)", 0],
    ["select set_config('application_name', ssn, false) from t", 0],
    ["select set_config('jit', $1, false)", 1],
    ["select set_config($1, 'on', false)", 0],
    ["select set_config('jit', 'on', $1)", 0],
    ["select set_config('jit', $1 || 'x', false)", 0],
    ["select set_config(variadic array['jit', 'on'])", 0],
    ["select set_config('jit', 'off')", 0],
    ['select 1', 0],
  ])('%s: harmless calls of set_config: %i', (sql, expected) => {
    expect(classOf(sql)[0]?.harmlessSetConfigs).toBe(expected);
  });

  it.each([
    ["update t set a = '***-6789'", true],
    ["update t set a = E'\\x2a\\x2a\\x2a'", true],
    ["update t set a = U&'\\002a\\002a*'", true],
    ["update t set a = '*'\n'**'", true],
    ["update t set a = '**' || '**'", false],
    ['select 1 as "***"', false],
  ])('%s holds a masked value: %s', (sql, expected) => {
    expect(classOf(sql)[0]?.maskSentinel).toBe(expected);
  });
});
