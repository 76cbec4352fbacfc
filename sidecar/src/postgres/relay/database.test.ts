import type { GrantedResource } from '@chaperone/policy';
import { freePort, startPostgres, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import type { Observation } from '../../control/control-plane.ts';
import { Database } from './database.ts';

const PASSWORD = 'CANARY-password';
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
let postgres: TestPostgres;
let ca: string;
let otherCa: string;
let now = Date.UTC(2026, 0, 1, 12, 3, 7);

beforeAll(async () => {
  const authority = await testAuthority('Corp CA 2');
  ca = authority.ca;
  otherCa = (await testAuthority()).ca;
  postgres = await startPostgres({ tls: await authority.issue(['pg-0', '127.0.0.1']) });
  const admin = new Client({ host: '127.0.0.1', port: postgres.port, ...postgres.superuser, database: 'postgres', ssl: { ca } });
  await admin.connect();
  await admin.query(`create role agent_ro login password '${PASSWORD}'`);
  await admin.query('create database closed');
  await admin.query(`create role empty login password '${PASSWORD}' connection limit 0`);
  await admin.end();
  const closed = new Client({ host: '127.0.0.1', port: postgres.port, ...postgres.superuser, database: 'closed', ssl: { ca } });
  await closed.connect();
  await closed.query('revoke select on pg_catalog.pg_class from public');
  await closed.end();
});
afterAll(() => postgres?.stop());

type Changes = Partial<GrantedResource['upstream'] & { username: string; password: string; database: string }>;
function aDatabase(changes: Changes): { database: Database; observations: Observation[] } {
  const { username = 'agent_ro', password = PASSWORD, database = 'postgres', ...upstream } = changes;
  const resource = {
    access: { resource: { namespace: 'data', name: 'orders-db' }, sensitive: [] },
    upstream: { host: '127.0.0.1', port: postgres.port, tls: { mode: 'verify-full', ca }, ...upstream },
    credentials: { username, password },
    postgres: { database, acceptServerLogVolume: true },
  } as unknown as GrantedResource;
  const observations: Observation[] = [];
  const made = new Database({
    resource: () => resource,
    guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    report: (seen) => void observations.push(seen),
    clock: { now: () => now, monotonic: () => now, after: async () => undefined },
    log: silent,
  });
  return { database: made, observations };
}
const failureOf = (database: Database): Promise<string> =>
  database.ready().then(
    () => 'ready',
    (error: Error) => error.message,
  );

it.each<[string, () => Changes | Promise<Changes>, string, string, RegExp]>([
  [
    'nobody listens',
    async () => ({ host: 'localhost', port: await freePort() }),
    'Reachable',
    'UpstreamRefused',
    /^localhost:\d+ \((127\.0\.0\.1|::1)\) refuses connections since 12:03:07 UTC; is the server running, does a NetworkPolicy allow/,
  ],
  [
    'the password is wrong',
    () => ({ password: 'CANARY-wrong' }),
    'CredentialsAvailable',
    'CredentialsRejected',
    /^127\.0\.0\.1:\d+ refused user agent_ro at 12:03:07 UTC \(28P01\); update the Secret of spec\.credentials/,
  ],
  [
    'the database is not there',
    () => ({ database: 'order' }),
    'Reachable',
    'UpstreamDatabaseMissing',
    /^127\.0\.0\.1:\d+ has no database order; change spec\.postgres\.database$/,
  ],
  [
    'the user has no connection left',
    () => ({ username: 'empty' }),
    'Reachable',
    'UpstreamBusy',
    /^127\.0\.0\.1:\d+ has no connection free for user empty \(53300\); raise/,
  ],
  [
    'the certificate is by another authority',
    () => ({ tls: { mode: 'verify-full', ca: otherCa } }),
    'Reachable',
    'TLSUntrusted',
    /^the certificate of 127\.0\.0\.1:\d+ is signed by "Corp CA 2", which spec\.upstream\.tls\.caRef does not contain \([A-Z_]+\); put it there$/,
  ],
  [
    'the certificate is for other names',
    () => ({ host: 'localhost' }),
    'Reachable',
    'TLSNameMismatch',
    /^localhost:\d+ shows a certificate for "pg-0", "127\.0\.0\.1", not "localhost"; set spec\.upstream\.tls\.serverName: pg-0 or renew it$/,
  ],
])('where %s the owner is told what to change, and the agent nothing of it', async (_what, changes, type, reason, text) => {
  const { database, observations } = aDatabase(await changes());
  const agent = await failureOf(database);
  expect(observations.at(-1)).toMatchObject({ type, status: 'False', reason, message: expect.stringMatching(text) as string });
  expect(agent).toMatch(new RegExp(`^the database.*\\(${reason}\\)$`));
  for (const name of ['127.0.0.1', 'localhost', 'agent_ro', 'empty', 'order', 'pg-0', 'Corp CA 2'])
    expect(agent).not.toContain(name);
  expect(JSON.stringify([agent, observations])).not.toContain('CANARY');
});

it('says since when, for as long as it fails in the same way', async () => {
  const { database, observations } = aDatabase({ port: await freePort() });
  await failureOf(database);
  now += 60_000;
  await failureOf(database);
  expect(observations.map(({ message }) => message)).toEqual([observations[0]?.message, observations[0]?.message]);
  expect(observations[0]?.message).not.toContain('(127.0.0.1)');
});

it('does not call a database suitable whose catalogue it cannot read', async () => {
  const { database, observations } = aDatabase({ database: 'closed' });
  expect(await failureOf(database)).toBe('the catalogue could not be read (CatalogUnreadable)');
  expect(observations.at(-1)).toMatchObject({
    type: 'UpstreamSuitable',
    status: 'Unknown',
    reason: 'CatalogUnreadable',
    message: expect.stringMatching(
      /^127\.0\.0\.1:\d+: the catalogue of the database could not be read; see its log, and give/,
    ) as string,
  });
});

it('is well where all is well', async () => {
  const { database, observations } = aDatabase({});
  expect(await failureOf(database)).toBe('ready');
  expect(observations.map(({ type, status }) => `${type}=${status}`)).toEqual([
    'Reachable=True',
    'CredentialsAvailable=True',
    'UpstreamSuitable=True',
  ]);
});
