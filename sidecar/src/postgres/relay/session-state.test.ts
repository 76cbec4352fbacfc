import type pg from 'pg';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const CANARY = '123-45-6789';
const SCHEMA = `
create schema evil;
create table people (id int primary key, ssn text, at timestamptz default '2020-02-03 04:05:06Z', f float8 default 1.5);
insert into people (id, ssn) values (1, '${CANARY}');
create table evil.people (id int, ssn text);
insert into evil.people values (1, 'from evil');
create table sink (t text);
create role other_role;
alter role agent_role noinherit;
grant other_role to agent_role;
create function quiet() returns text language plpgsql set client_min_messages = error as $$ begin return 'q'; end $$;
create function path() returns text language sql set search_path = evil as $$ select 'p'::text $$;
create function unpin(name text, value text) returns text language plpgsql as $$ begin return set_config(name, value, false); end $$;
create function unpin_local(name text, value text) returns text language plpgsql as $$ begin return set_config(name, value, true); end $$;
create view calling as select set_config('search_path', 'evil', false) as one;
create function evil.set_config(text, text, boolean) returns text language sql as $$ select pg_catalog.set_config('search_path', 'evil', false) $$;
grant usage on schema evil to agent_role;
grant select, insert, update on all tables in schema public, evil to agent_role;`;
const RULE = {
  name: 'all',
  effect: 'Allow',
  resource: { namespace: 'data', name: 'orders-db' },
  sql: { statements: ['*'], relations: ['public.*', 'pg_catalog.*'], functions: ['**'] },
};

const POLICY = { rules: [RULE] };

let governed: Governed;
let owner: pg.Client;
const { parse, bind, execute, sync, query } = say;

/** What judging rests on. Whatever an agent said, these hold. */
const PINS: Readonly<Record<string, string>> = {
  debug_print_rewritten: 'on',
  debug_pretty_print: 'off',
  debug_print_parse: 'off',
  debug_print_plan: 'off',
  client_min_messages: 'log',
  standard_conforming_strings: 'on',
  backslash_quote: 'safe_encoding',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
  client_encoding: 'UTF8',
  search_path: 'public',
  role: 'none',
  session_authorization: 'agent_role',
  bytea_output: 'hex',
  xmloption: 'content',
  row_security: 'on',
};
const ASK_PINS = `select ${Object.keys(PINS)
  .map((name) => `current_setting('${name}')`)
  .join(', ')}`;

/** The pins hold, names mean what they meant, and the labelled column stays hidden. */
async function harmless(agent: RawClient): Promise<void> {
  // After a function of the owner's ran, settings are not shown while a label is hidden.
  governed.setPolicy({ ...POLICY, reveal: ['pii.ssn'] });
  expect(await agent.ask(query(ASK_PINS))).toContainEqual(['D', ...Object.values(PINS)]);
  governed.setPolicy(POLICY);
  const read = await agent.ask(query("select ssn, ssn || '', people.*::text, 'a\\' from people"));
  expect(read.map(([type]) => type).join('')).toBe('TDCZ');
  expect(agent.text).not.toContain(CANARY);
  expect(agent.text).not.toContain('from evil');
}

const codeOf = (heard: readonly Heard[]): string => {
  const error = heard.find(([type]) => type === 'E');
  return error === undefined ? 'runs' : (/\((\w+)\)/.exec(error[2] ?? '')?.[1] ?? error[1] ?? '');
};

/** `runs`: reaches the server; `emulated`: answered by us; else the code. Each stands alone, and in a transaction. */
const STATEMENTS: readonly (readonly [string, string])[] = [
  ["set application_name = 'x'", 'runs'],
  ["set application_name to 'a', 'b'", '22023'],
  ['set datestyle = German', 'runs'],
  ["set datestyle = 'SQL', 'MDY'", 'runs'],
  ['set datestyle to default', 'runs'],
  ['set intervalstyle = iso_8601', 'runs'],
  ["set timezone = 'Asia/Tokyo'", 'runs'],
  ["set time zone '<x>5'", 'runs'],
  ["set time zone interval '-08:00' hour to minute", 'runs'],
  ['set time zone -7', 'runs'],
  ['set time zone local', 'runs'],
  ['set local timezone = UTC', 'runs'],
  ['reset timezone', 'runs'],
  ['set extra_float_digits = -15', 'runs'],
  ['set statement_timeout = 0', 'runs'],
  ["set lock_timeout = '5s'", 'runs'],
  ['set idle_in_transaction_session_timeout = 0', 'runs'],
  ["set bytea_output = 'hex'", 'runs'],
  ["set names 'utf8'", 'runs'],
  ["set client_encoding to 'UTF-8'", 'runs'],
  ['set standard_conforming_strings = on', 'runs'],
  ['set client_min_messages = error', 'emulated'],
  ['set local client_min_messages to default', 'emulated'],
  ['reset client_min_messages', 'runs'],
  ['begin isolation level repeatable read, read only, deferrable', 'runs'],
  ['set transaction isolation level serializable', 'runs'],
  ['set transaction read only', 'runs'],
  ['set session characteristics as transaction isolation level repeatable read', 'runs'],
  ['set session characteristics as transaction deferrable', 'runs'],
  ['show search_path', 'runs'],
  ["select current_setting('search_path')", 'runs'],
  ["set bytea_output = 'escape'", 'SettingPinned'],
  ['set bytea_output to default', 'SettingPinned'],
  ["set names 'SJIS'", 'SettingPinned'],
  ['set names default', 'SettingPinned'],
  ["set client_encoding = 'BIG5'", 'SettingPinned'],
  ['reset client_encoding', 'SettingPinned'],
  ['set standard_conforming_strings = off', 'SettingPinned'],
  ['set local standard_conforming_strings = off', 'SettingPinned'],
  ['reset standard_conforming_strings', 'SettingPinned'],
  ['set search_path = evil', 'SettingPinned'],
  ['set local search_path = evil, public', 'SettingPinned'],
  ["set schema 'evil'", 'SettingPinned'],
  ['reset search_path', 'SettingPinned'],
  ['set role other_role', 'SettingPinned'],
  ['set local role other_role', 'SettingPinned'],
  ['set role none', 'SettingPinned'],
  ['reset role', 'SettingPinned'],
  ["set session authorization 'other_role'", 'SettingPinned'],
  ['set session authorization default', 'SettingPinned'],
  ['reset session authorization', 'SettingPinned'],
  ['set transaction read write', 'SettingPinned'],
  ['set session characteristics as transaction read write', 'SettingPinned'],
  ["set transaction snapshot '00000003-0000001B-1'", 'SettingPinned'],
  ['set transaction_read_only = off', 'SettingPinned'],
  ['set default_transaction_read_only = off', 'SettingPinned'],
  ['begin read write', 'SettingPinned'],
  ['start transaction isolation level serializable, read write', 'SettingPinned'],
  ['set debug_print_rewritten = off', 'SettingPinned'],
  ['set debug_pretty_print = on', 'SettingPinned'],
  ['set "debug_print_rewritten" to off', 'SettingPinned'],
  ['set backslash_quote = on', 'SettingPinned'],
  ['set escape_string_warning = off', 'SettingPinned'],
  ['set transform_null_equals = on', 'SettingPinned'],
  ['set quote_all_identifiers = on', 'SettingPinned'],
  ['set row_security = off', 'SettingPinned'],
  ['set xmloption = document', 'SettingPinned'],
  ['set log_min_messages = debug5', 'SettingPinned'],
  ["set log_statement = 'all'", 'SettingPinned'],
  ['set plan_cache_mode = force_generic_plan', 'SettingPinned'],
  ['set session_preload_libraries = x', 'SettingPinned'],
  ['set local_preload_libraries = x', 'SettingPinned'],
  ["set my.variable = 'x'", 'SettingPinned'],
  ['reset all', 'runs'],
  ['unlisten *', 'runs'],
  ['select pg_advisory_unlock_all()', 'runs'],
  ["select current_setting('jit') as cur, set_config('jit', 'off', false) as new", 'runs'],
  ["select set_config('statement_timeout', '7s', true)", 'runs'],
  ["select one, set_config('jit', 'off', false) from calling", 'NotAnalysable'],
  ["select set_config('jit', 'off', false) from people where set_config('search_path', 'evil', false) <> ''", 'NotAnalysable'],
  ['set search_path from current', 'SettingPinned'],
  ['discard all', 'NotAnalysable'],
  ['discard plans', 'NotAnalysable'],
  ['discard temp', 'NotAnalysable'],
  ['alter role agent_role set search_path = evil', 'NotAnalysable'],
  ['alter role current_user reset all', 'NotAnalysable'],
  ['alter user agent_role set client_min_messages = error', 'NotAnalysable'],
  ['alter role agent_role in database orders set role = other_role', 'NotAnalysable'],
  ['alter database orders set search_path = evil', 'NotAnalysable'],
  ['alter system set debug_print_rewritten = off', 'NotAnalysable'],
  ['do $$ begin set search_path = evil; end $$', 'NotAnalysable'],
  ["do $$ begin perform set_config('role', 'other_role', false); end $$", 'NotAnalysable'],
  ['create function f() returns int language sql set search_path = evil as $$ select 1 $$', 'NotAnalysable'],
  ['alter function quiet() set search_path = evil', 'NotAnalysable'],
  ["load 'auto_explain'", 'NotAnalysable'],
  ["update pg_settings set setting = 'off' where name = 'debug_print_rewritten'", 'NotAnalysable'],
  ["update pg_catalog.pg_settings set setting = 'evil' where name = 'search_path' returning setting", '0A000'],
  ["with s as (update pg_settings set setting = 'evil' where name = 'search_path' returning 1) select 1", '0A000'],
];

/** set_config in every place of a statement that computes. */
const CALL = "set_config('search_path', 'evil', false)";
const CALLS: readonly string[] = [
  `select ${CALL}`,
  `select pg_catalog.${CALL}`,
  `select "pg_catalog"."set_config"('search_path', 'evil', true)`,
  `select 1 where ${CALL} is null`,
  `select 1 from people order by ${CALL}`,
  `select count(*) from people group by ${CALL}`,
  `select count(*) from people having ${CALL} = 'x'`,
  `select count(*) filter (where ${CALL} = 'x') from people`,
  `select sum(1) over (partition by ${CALL}) from people`,
  `select 1 limit length(${CALL})`,
  `select 1 offset length(${CALL})`,
  `select distinct on (${CALL}) 1 from people`,
  `values (${CALL})`,
  `with x as (select ${CALL}) select * from x`,
  `with x as materialized (select ${CALL}) select 1`,
  `select (select ${CALL})`,
  `select exists (select ${CALL})`,
  `select array(select ${CALL})`,
  `select case when true then ${CALL} end`,
  `select coalesce(null, ${CALL})`,
  `select row(${CALL})`,
  `select array[${CALL}]`,
  `select 1 from people p, lateral (select ${CALL}) x`,
  `select * from ${CALL}`,
  `select * from rows from (${CALL}) with ordinality`,
  `select 1 from people a join people b on ${CALL} = 'x'`,
  `select * from people tablesample bernoulli (length(${CALL}))`,
  `select 1 union select length(${CALL})`,
  `select ${CALL}::text collate "C"`,
  `select xmlelement(name a, ${CALL})`,
  `insert into sink values (${CALL})`,
  `insert into sink select ${CALL}`,
  `insert into sink values ('x') returning ${CALL}`,
  `insert into people (id) values (1) on conflict (id) do update set f = length(${CALL})`,
  `insert into people (id) values (1) on conflict (id) do update set f = 1 where ${CALL} = 'x'`,
  `update people set f = length(${CALL})`,
  `update people set f = 1 where ${CALL} = 'x'`,
  `delete from sink where t = ${CALL}`,
  `delete from sink using (select ${CALL}) x`,
  `merge into sink using people on ${CALL} = 'x' when not matched then insert values ('y')`,
  `merge into sink using people on false when not matched then insert values (${CALL})`,
  `copy (select ${CALL}) to stdout`,
  `explain analyze select ${CALL}`,
  `create table made (t text default ${CALL})`,
  `prepare p as select ${CALL}`,
  `declare c cursor for select ${CALL}`,
  `create table made as select ${CALL}`,
  `select ${CALL} into made`,
];

describe.each(POSTGRES_SERVERS.filter(({ major }) => major === 18 || major === 14))(
  'on $server',
  ({ package: server, major }) => {
    beforeAll(async () => {
      governed = await startGoverned(
        {
          schema: SCHEMA,
          resource: {
            grantedTo: [{ namespace: 'agents', statements: ['*'], reveal: ['pii.ssn'] }],
            sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }],
          },
          policy: POLICY,
        },
        { package: server },
      );
      owner = await governed.direct();
    });
    afterAll(async () => {
      await owner?.end();
      await governed?.[Symbol.asyncDispose]();
    });

    describe('a statement about the state of the session', () => {
      it.each(STATEMENTS)('%s: %s', async (sql, expected) => {
        for (const around of [false, true]) {
          await using agent = await RawClient.open(governed.port);
          if (around) await agent.ask(query('begin'));
          const before = governed.records.length;
          const heard = await agent.ask(query(sql));
          expect(codeOf(heard)).toBe(expected === 'emulated' ? 'runs' : expected);
          if (expected === 'emulated') expect(governed.records).toHaveLength(before);
          if (heard.some(([type]) => type === 'E')) await agent.ask(query('rollback'));
          await harmless(agent);
          await agent.ask(query('commit'));
          await harmless(agent);
        }
      });

      it.each(STATEMENTS.filter(([, expected]) => expected !== 'runs' && expected !== 'emulated' && expected !== '22023'))(
        '%s: %s, in the extended protocol and behind another',
        async (sql, expected) => {
          await using agent = await RawClient.open(governed.port);
          const extended = await agent.ask(
            parse(sql),
            bind(),
            execute(),
            parse('select ssn from people'),
            bind(),
            execute(),
            sync(),
          );
          expect(codeOf(extended)).toBe(expected);
          expect(extended.some(([type]) => type === 'D')).toBe(false);
          expect(codeOf(await agent.ask(query(`select 1; ${sql}`)))).toBe(expected);
          await harmless(agent);
        },
      );
    });

    describe('set_config', () => {
      it.each(CALLS.filter((sql) => major >= 15 || !sql.startsWith('merge')))('is refused: %s', async (sql) => {
        await using agent = await RawClient.open(governed.port);
        expect(codeOf(await agent.ask(query(sql)))).toMatch(/^(SettingPinned|NotAnalysable)$/);
        await harmless(agent);
      });

      it('is served for a harmless setting, as a driver says it', async () => {
        await using agent = await RawClient.open(governed.port);
        const heard = await agent.ask(query("select current_setting('jit') as cur, set_config('jit', 'off', false) as new"));
        // What a function beyond its arguments returns is masked whole while a label is hidden.
        expect(heard.filter(([type]) => type === 'D')).toEqual([['D', expect.stringMatching(/^o(n|ff)$/), '*****']]);
        expect(await agent.ask(query('show jit'))).toContainEqual(['D', 'off']);
        await agent.ask(parse("select set_config('jit', $1, false)"), bind('', '', ['on']), execute(), sync());
        expect(await agent.ask(query('show jit'))).toContainEqual(['D', 'on']);
        await harmless(agent);
      });

      it('is refused whatever is bound', async () => {
        await using agent = await RawClient.open(governed.port);
        const heard = await agent.ask(
          parse('select set_config($1, $2, $3::bool)'),
          bind('', '', ['search_path', 'evil', 'f']),
          execute(),
          sync(),
        );
        expect(codeOf(heard)).toMatch(/^(SettingPinned|NotAnalysable)$/);
        await harmless(agent);
      });
    });

    describe("a function of the owner's that a rule permits", () => {
      it.each(['select quiet()', 'select path()'])('changes nothing behind it: %s', async (sql) => {
        await using agent = await RawClient.open(governed.port);
        expect(codeOf(await agent.ask(query(sql)))).toBe('runs');
        await harmless(agent);
      });

      it.each(
        ['unpin', 'unpin_local'].flatMap((name) =>
          [
            ['debug_print_rewritten', 'off'],
            ['client_min_messages', 'error'],
            ['standard_conforming_strings', 'off'],
            ['client_encoding', 'SJIS'],
            ['search_path', 'evil'],
            ['backslash_quote', 'on'],
            ['bytea_output', 'escape'],
            ['debug_pretty_print', 'on'],
            ['debug_print_parse', 'on'],
            ['role', 'other_role'],
          ].map(([setting = '', value = '']) => [name, setting, value] as const),
        ),
      )('%s of %s to %s shows no labelled value behind it', async (name, setting, value) => {
        await using agent = await RawClient.open(governed.port);
        const change = `select public.${name}('${setting}', '${value}')`;
        agent.send(
          query('begin'),
          query(change),
          query('select ssn from public.people'),
          parse('select ssn from public.people'),
          bind(),
          execute(),
          sync(),
          query("select 'a\\', ssn from public.people --'"),
          query('copy (select ssn from public.people) to stdout'),
          query('select people.*::text from public.people'),
        );
        await agent.until((heard) => agent.closed || heard.filter(([type]) => type === 'Z').length === 7);
        expect(agent.text).not.toContain(CANARY);
        expect(agent.text).not.toContain(Buffer.from(CANARY).toString('hex'));
      });
    });
  },
);
