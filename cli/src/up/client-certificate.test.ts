import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Certified,
  eventually,
  startPostgres,
  temporaryDirectory,
  testAuthority,
  type TestAuthority,
} from '@chaperone/testing';
import { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { connect, run, Up } from '../program.test-support.ts';

const EXAMPLE = join(import.meta.dirname, '../../../examples/client-certificate');
const indented = (pem: string): string => `|\n    ${pem.trimEnd().replaceAll('\n', '\n    ')}`;

/** The files of the example, for this server. */
async function fill(directory: string, port: number, ca: string, { certificate, key }: Certified): Promise<void> {
  for (const name of await readdir(EXAMPLE)) {
    const text = (await readFile(join(EXAMPLE, name), 'utf8'))
      .replaceAll('127.0.0.1:54329', `127.0.0.1:${port}`)
      .replace(/tls\.crt: replace .*/, `tls.crt: ${indented(certificate)}`)
      .replace(/tls\.key: replace .*/, `tls.key: ${indented(key)}`)
      .replace(/ca\.crt: replace .*/, `ca.crt: ${indented(ca)}`);
    await writeFile(join(directory, name), text);
  }
}

async function aShop(authority: TestAuthority): Promise<number> {
  const postgres = await startPostgres({
    tls: await authority.issue(['127.0.0.1']),
    clientAuthority: authority.ca,
    hba: ['hostssl all postgres 127.0.0.1/32 scram-sha-256', 'hostssl orders support_agent 127.0.0.1/32 cert'],
  });
  onTestFinished(() => postgres.stop());
  const sql = await readFile(join(EXAMPLE, '../quickstart/shop.sql'), 'utf8');
  for (const [database, statements] of [
    [
      'postgres',
      ['create database orders', 'create role support_agent login', 'alter role support_agent set log_min_messages = fatal'],
    ],
    ['orders', [sql]],
  ] as const) {
    const { host, port, superuser } = postgres;
    const owner = new Client({ host, port, ...superuser, database, ssl: { ca: authority.ca } });
    await owner.connect();
    for (const statement of statements) await owner.query(statement);
    await owner.end();
  }
  return postgres.port;
}

test('the example with a client certificate works, its renewal ends silent sessions, and no key is left anywhere', {
  timeout: 60_000,
}, async () => {
  const folder = await temporaryDirectory('chaperone-certificate-');
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const [manifests, data] = [join(folder.path, 'shop'), join(folder.path, 'data')];
  await mkdir(manifests);
  const authority = await testAuthority('shop CA');
  const port = await aShop(authority);
  const [first, second] = [await authority.issue(['support_agent']), await authority.issue(['support_agent'])];
  await fill(manifests, port, authority.ca, first);
  await using up = await Up.start(manifests, data);

  const agent = await connect(up.ready);
  expect((await agent.query('select current_user::text as who, ssn from customers where id = 1')).rows).toEqual([
    { who: 'support_agent', ssn: '*******6789' },
  ]);
  const ended = new Promise<string>((resolve) => agent.once('error', ({ message }) => resolve(message)));
  await fill(manifests, port, authority.ca, second);
  expect(await ended).toContain('the credential of the resource was replaced; connect again (SessionEnded)');
  const next = await connect(up.ready);
  expect((await next.query('select name from customers where id = 1')).rowCount).toBe(1);
  await next.end();

  // A certificate that the database does not know: the agent hears that it is not its fault, the owner what to change.
  const stranger = await (await testAuthority('stranger')).issue(['support_agent']);
  await fill(manifests, port, authority.ca, stranger);
  await eventually('the refusal', () =>
    connect(up.ready).then(
      (client) => client.end(),
      (error: Error) => (error.message.includes("the database refused the proxy's certificate") ? true : undefined),
    ),
  );
  await eventually('what the owner is told', () => (up.err.includes('ALERT_UNKNOWN_CA') ? true : undefined));
  expect(up.err).toMatch(/refused user support_agent at .* UTC \(ALERT_UNKNOWN_CA\); update the Secret of spec\.credentials/);

  const { code, out, err } = await up.signal('SIGTERM');
  expect(code).toBe(0);
  const { out: sessions } = await run(['sessions', 'ls', '--data', data, '-o', 'name']);
  const told = [out, err, up.child.spawnargs.join(' ')];
  for (const name of sessions.trimEnd().split('\n'))
    told.push((await run(['sessions', 'replay', name, '--data', data, '-o', 'json'])).out);
  for (const name of await readdir(data, { recursive: true }))
    told.push(await readFile(join(data, name), 'latin1').catch(() => ''));
  expect(told.join('\n')).toContain('customers');
  for (const { key } of [first, second, stranger])
    for (const line of key.split('\n').filter((each) => each.length > 40)) expect(told.join('\n')).not.toContain(line);
});
