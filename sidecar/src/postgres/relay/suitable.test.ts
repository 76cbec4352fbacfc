import { type AddressInfo, connect, createServer } from 'node:net';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { encodeErrorResponse } from '../wire/index.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';

const RULE = { name: 'read', effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = { rules: [{ ...RULE, sql: { statements: ['select'], relations: ['public.people'] } }] };
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };
const SCHEMA = 'create table people (id int, ssn text); grant select on people to agent_role;';

let governed: Governed;
let owner: Client;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE });
  owner = await governed.direct();
});
afterAll(async () => {
  await owner?.end();
  await governed?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  governed.observations.length = 0;
});

async function connecting(to: Governed): Promise<string> {
  return to.connect().then(
    async (client) => {
      await client.end();
      return 'served';
    },
    (error: Error) => error.message,
  );
}

async function suitable(): Promise<unknown> {
  // The catalogue that the last session read would still do; DDL of another session is found by age alone.
  await using fresh = await governed.anew();
  const said = await connecting(fresh);
  const { status, reason, message } = fresh.observations.findLast(({ type }) => type === 'UpstreamSuitable') ?? {};
  return { said: said === 'served' ? said : 'refused', named: said.includes(`(${reason})`), status, reason, message };
}

it.each([
  ['a superuser', 'alter role agent_role superuser', 'alter role agent_role nosuperuser', 'UpstreamIsSuperuser'],
  [
    'a role that passes row security by',
    'alter role agent_role bypassrls',
    'alter role agent_role nobypassrls',
    'UpstreamBypassesRLS',
  ],
  ['a role that replicates', 'alter role agent_role replication', 'alter role agent_role noreplication', 'UpstreamReplicates'],
  [
    'a reader of files',
    'grant pg_read_server_files to agent_role',
    'revoke pg_read_server_files from agent_role',
    'UpstreamHasFileRoles',
  ],
  [
    'a runner of programs',
    'grant pg_execute_server_program to agent_role',
    'revoke pg_execute_server_program from agent_role',
    'UpstreamHasFileRoles',
  ],
  [
    'the owner of a labelled table',
    'alter table people owner to agent_role',
    'alter table people owner to current_user',
    'UpstreamOwnsLabelledTables',
  ],
])('serves nobody as %s', async (_, make, mend, reason) => {
  await owner.query(make);
  try {
    expect(await suitable()).toMatchObject({ said: 'refused', named: true, status: 'False', reason });
  } finally {
    await owner.query(mend);
  }
  expect(await suitable()).toMatchObject({ said: 'served', status: 'True', reason: 'UpstreamSuitable' });
});

it('waits for the owner where the log would take the trees, and names the SQL that mends it', async () => {
  await owner.query('alter role agent_role reset log_min_messages');
  expect(await suitable()).toMatchObject({
    said: 'refused',
    named: true,
    status: 'Unknown',
    reason: 'ServerLogVolume',
    message: expect.stringContaining('ALTER ROLE agent_role SET log_min_messages = fatal'),
  });
  await using accepting = await governed.anew({ acceptServerLogVolume: true });
  expect(await connecting(accepting)).toBe('served');
  await owner.query('alter role agent_role set log_min_messages = fatal');
  expect(await suitable()).toMatchObject({ said: 'served', status: 'True' });
});

it.each(['unsupported startup parameter: options', 'unsupported startup parameter in options: search_path'])(
  'serves nobody behind a pooler that says: %s',
  async (said) => {
    const pooler = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(encodeErrorResponse({ S: 'FATAL', C: '08P01', M: said })));
    });
    await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
    await using behind = await governed.anew({ upstream: `127.0.0.1:${(pooler.address() as AddressInfo).port}` });
    expect(await connecting(behind)).toContain('(PoolerDropsOptions)');
    expect(behind.observations).toMatchObject([{ type: 'UpstreamSuitable', status: 'False', reason: 'PoolerDropsOptions' }]);
    pooler.close();
  },
);

it('serves nobody behind a pooler that drops startup options, and serves again once it passes them on', async () => {
  let drops = true;
  const pooler = createServer((from) => {
    const to = connect({ port: governed.postgres.port, host: '127.0.0.1' });
    for (const socket of [from, to]) socket.on('error', () => undefined);
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
    to.pipe(from);
    // Another parameter of the same length, which means nothing to the server.
    from.on('data', (chunk) => to.write(drops ? chunk.toString('latin1').replace('options\0', 'chap.op\0') : chunk, 'latin1'));
  });
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
  await using behind = await governed.anew({ upstream: `127.0.0.1:${(pooler.address() as AddressInfo).port}` });
  const seen = (): unknown => behind.observations.findLast(({ type }) => type === 'UpstreamSuitable');
  expect(await connecting(behind)).toContain('(PoolerDropsOptions)');
  expect(seen()).toMatchObject({ status: 'False', reason: 'PoolerDropsOptions' });
  drops = false;
  expect(await connecting(behind)).toBe('served');
  expect(seen()).toMatchObject({ status: 'True' });
  pooler.close();
});
