import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import type { Agent, Snapshot } from '@chaperone/policy';
import { eventually, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Logger, systemClock } from '../platform.ts';
import { type ManifestControl, openManifestControl } from './manifests.ts';

const agent: Agent = { namespace: 'agents', serviceAccount: 'support-agent', labels: {}, annotations: {} };
const RESOURCE = `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: orders-db, namespace: data}
spec:
  protocol: postgres
  hosts: [orders.data.svc, orders-db]
  port: 5432
  upstream: {address: "127.0.0.1:5999", tls: {mode: disable}}
  credentials: {secretRef: {name: orders-agent}}
  postgres: {database: orders}
  grantedTo: [{namespace: agents}]
`;
const SECRET = `
apiVersion: v1
kind: Secret
metadata: {name: orders-agent, namespace: data}
stringData: {username: agent_ro, password: CANARY-hunter2}
`;
const POLICY = `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: support, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  rules:
  - {name: read, effect: Allow, resource: {namespace: data, name: orders-db}, sql: {statements: [select], relations: [public.tickets]}}
  inbound: {ports: [8080]}
`;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let data: Awaited<ReturnType<typeof temporaryDirectory>>;
let logged: string[];
const open: ManifestControl[] = [];
const logger: Logger = Object.fromEntries(
  ['info', 'warn', 'error'].map((level) => [
    level,
    (event: string, fields: object = {}) => logged.push(`${event} ${JSON.stringify(fields)}`),
  ]),
) as unknown as Logger;

beforeEach(async () => {
  logged = [];
  [directory, data] = [await temporaryDirectory(), await temporaryDirectory()];
});
afterEach(async () => {
  expect(logged.join('\n'), 'no secret in a log').not.toContain('CANARY');
  await Promise.all(open.splice(0).map((control) => control.stop()));
  await directory[Symbol.asyncDispose]();
  await data[Symbol.asyncDispose]();
});

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory.path, name), text);
}
async function start(
  files: Readonly<Record<string, string>> = { 'all.yaml': [RESOURCE, SECRET, POLICY].join('---') },
  who = agent,
): Promise<ManifestControl> {
  await write(files);
  const control = await openManifestControl({
    directory: directory.path,
    agent: who,
    data: data.path,
    clock: systemClock,
    logger,
  });
  open.push(control);
  return control;
}

test('files become a snapshot with the credential, the rules and the ports', async () => {
  const control = await start();
  expect(control.current()).toMatchObject({
    agent,
    inboundPorts: [8080],
    resources: [
      {
        hosts: ['orders.data.svc', 'orders-db'],
        upstream: { host: '127.0.0.1', port: 5999, tls: { mode: 'disable' } },
        credentials: { username: 'agent_ro', password: 'CANARY-hunter2' },
        postgres: { database: 'orders' },
      },
    ],
  });
});

test('a client certificate goes with the user that the resource names, and its renewal is another credential', async () => {
  const authority = await testAuthority();
  const tls = async (): Promise<string> => {
    const { certificate, key } = await authority.issue(['agent_ro']);
    const values = { 'tls.crt': certificate, 'tls.key': key };
    const metadata = '{name: orders-agent, namespace: data}';
    return `\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: ${metadata}\nstringData: ${JSON.stringify(values)}\n`;
  };
  const resource = RESOURCE.replace('{mode: disable}', '{}')
    .replace('{name: orders-agent}}', '{name: orders-agent}, username: agent_ro}')
    .replace('{database: orders}', '{database: orders, authentication: [cert]}');
  const control = await start({ 'all.yaml': [resource, await tls(), POLICY].join('---') });
  const first = control.current()?.resources[0];
  expect(first?.notReady).toBeUndefined();
  expect(first?.credentials).toEqual({
    username: 'agent_ro',
    client: {
      cert: expect.stringContaining('-----BEGIN CERTIFICATE-----') as string,
      key: expect.stringContaining('-----BEGIN PRIVATE KEY-----') as string,
    },
  });
  await write({ 'all.yaml': [resource, await tls(), POLICY].join('---') });
  await eventually('the renewed certificate', () => {
    const key = control.current()?.resources[0]?.credentials?.client?.key;
    return key !== undefined && key !== first?.credentials?.client?.key ? true : undefined;
  });
  expect(logged.join('\n')).not.toContain('PRIVATE KEY');
});

test('the certificate is for the hosts and this machine, belongs to tlsKey, and clients that trust ca.crt accept it', async () => {
  const control = await start();
  const { certificate } = control.current() as Snapshot;
  const server = createServer({ cert: certificate, key: control.tlsKey }, (socket) => socket.end('hi')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const ca = await readFile(join(data.path, 'ca.crt'), 'utf8');
  for (const servername of ['orders.data.svc', 'orders-db', 'localhost']) {
    const client = connect({
      port: address !== null && typeof address === 'object' ? address.port : 0,
      host: '127.0.0.1',
      servername,
      ca,
    });
    await once(client, 'secureConnect');
    client.destroy();
  }
  server.close();
  expect(new X509Certificate(certificate).checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect((await stat(join(data.path, 'ca.key'))).mode & 0o777).toBe(0o600);
});

test('the authority stays over restarts, and damage to it is an error', async () => {
  const before = (await start()).current()?.ca;
  expect((await start()).current()?.ca).toBe(before);
  await rm(join(data.path, 'ca.key'));
  await expect(start()).rejects.toMatchObject({ code: 'AuthorityUnreadable' });
  await writeFile(join(data.path, 'ca.key'), 'not a key');
  await expect(start()).rejects.toMatchObject({ code: 'AuthorityUnreadable' });
});

test('what hash masks are keyed by stays over restarts, is its owner’s alone, and damage to it is an error', async () => {
  const file = join(data.path, 'hash.key');
  await start();
  const secret = await readFile(file);
  expect(secret).toHaveLength(32);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await start();
  expect(await readFile(file)).toEqual(secret);
  await writeFile(file, secret.subarray(1));
  await expect(start()).rejects.toMatchObject({ code: 'HashKeyUnreadable' });
  await rm(file);
  await mkdir(file);
  await expect(start()).rejects.toMatchObject({ code: 'HashKeyUnreadable' });
});

const keyOf = (control: ManifestControl): unknown => control.current()?.resources[0]?.access.hashKeys;
test('a label that is shown by hash has a key, which is the same for every start and other directories do not have', async () => {
  const sensitive = '  sensitive: [{label: pii.ssn, columns: [public.customers.ssn]}]\n';
  const masking = '  masking: [{label: pii.ssn, strategy: {hash: {}}}]\n';
  const files = { 'all.yaml': [RESOURCE + sensitive, SECRET, POLICY + masking].join('---') };
  const key = keyOf(await start(files));
  expect(key).toEqual({ 'pii.ssn': expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/) });
  expect(keyOf(await start(files))).toEqual(key);
  await rm(join(data.path, 'hash.key'));
  expect(keyOf(await start(files))).not.toEqual(key);
});

describe('at start', () => {
  test.each<[string, Readonly<Record<string, string>>, Agent, string, RegExp]>([
    ['a directory without YAML', { 'readme.md': 'x' }, agent, 'ManifestInvalid', /holds no YAML file/],
    [
      'a mistake in a file',
      { 'a.yaml': POLICY.replace('effect: Allow', 'effect: Perhaps') },
      agent,
      'ManifestInvalid',
      /a\.yaml:\d+:\d+ .*effect/,
    ],
    [
      'an agent with a typing error',
      { 'a.yaml': [RESOURCE, SECRET, POLICY].join('---') },
      { ...agent, serviceAccount: 'suport-agent' },
      'AgentNotSelected',
      /no policy in .*\/ selects agents\/suport-agent; nearest: agents\/support-agent/,
    ],
    [
      'a resource that does not exist',
      { 'a.yaml': POLICY.replace('orders-db', 'order-db') },
      agent,
      'ResourceNotFound',
      /data\/order-db does not exist/,
    ],
    [
      'a resource that is not granted',
      { 'a.yaml': [RESOURCE.replace('namespace: agents', 'namespace: others'), SECRET, POLICY].join('---') },
      agent,
      'NotGranted',
      /NotGranted/,
    ],
    [
      'a pattern that cannot be read',
      { 'a.yaml': [RESOURCE, SECRET, POLICY.replace('[public.tickets]', '[public.tickets, public.**x]')].join('---') },
      agent,
      'PolicyInvalid',
      /^rule "read" has a pattern that cannot be read: spec\.rules\[0\]\.sql\.relations\[1\] \(PolicyInvalid\)$/,
    ],
  ])('%s is an error that says so', async (_what, files, who, code, text) => {
    await expect(start(files, who)).rejects.toMatchObject({ code, message: expect.stringMatching(text) as string });
  });

  test.each<[string, readonly string[], string, RegExp]>([
    ['no Secret', [RESOURCE, POLICY], 'CredentialsNotFound', /^Secret data\/orders-agent does not exist/],
    [
      'no password',
      [RESOURCE, SECRET.replace(', password: CANARY-hunter2', ''), POLICY],
      'CredentialsInvalid',
      /^Secret data\/orders-agent has no usable password/,
    ],
    [
      'a client certificate without TLS',
      [RESOURCE, SECRET.replace(', password', ', tls.crt: x, tls.key: CANARY, password'), POLICY],
      'CredentialsInvalid',
      /^Secret data\/orders-agent holds a client certificate, which is shown within TLS only; set/,
    ],
    [
      'a Secret of another namespace',
      [RESOURCE, SECRET.replace('namespace: data', 'namespace: agents'), POLICY],
      'CredentialsNotFound',
      /does not exist/,
    ],
    [
      'a Secret for another upstream',
      [
        RESOURCE,
        SECRET.replace('namespace: data}', 'namespace: data, annotations: {chaperone.dev/upstream: "other:5432"}}'),
        POLICY,
      ],
      'NotBoundToUpstream',
      /other:5432 only/,
    ],
    [
      'a path of Vault for its credential',
      [RESOURCE.replace('{secretRef: {name: orders-agent}}', '{vault: {path: database/creds/orders}}'), SECRET, POLICY],
      'VaultNotRead',
      /^Vault path database\/creds\/orders is read by the operator of a cluster only; name a Secret/,
    ],
    [
      'no CA',
      [RESOURCE.replace('{mode: disable}', '{mode: verify-full, caRef: {name: ca, key: ca.crt}}'), SECRET, POLICY],
      'CANotFound',
      /^Secret data\/ca does not exist/,
    ],
  ])('%s leaves the resource not ready, and without a credential', async (_what, documents, code, text) => {
    const [resource] = (await start({ 'a.yaml': documents.join('---') })).current()?.resources ?? [];
    expect(resource?.notReady).toMatchObject({ code, message: expect.stringMatching(text) as string });
    expect(resource?.credentials).toBeUndefined();
  });
});

const vain = (label: string): Record<string, string> => ({
  'all.yaml': [RESOURCE, SECRET, `${POLICY}  reveal: [${label}]\n`].join('---'),
});
const said = (): string[] => logged.filter((line) => line.includes('LabelUnknown'));

/** With a rule about a resource that is not there, and another port. */
const other = (port: string): string =>
  [
    RESOURCE.replace('5432', port),
    SECRET,
    `${POLICY}---${POLICY.replace('support,', 'more,').replace('orders-db', 'nowhere')}`,
  ].join('---');
const lines = (what: string): string[] => logged.filter((line) => line.startsWith(what));

describe('when files change', () => {
  test('what of a policy comes to nothing is said once, and again when it is another', async () => {
    const control = await start(vain('pii.a'));
    expect(said()).toEqual([expect.stringContaining('agents/support: spec.reveal[0]: no resource of the rules has the label')]);
    const change = async (files: Record<string, string>): Promise<void> => {
      const before = control.current();
      await write(files);
      await eventually('the change', () => (control.current() === before ? undefined : true));
    };
    await change({ 'all.yaml': (vain('pii.a')['all.yaml'] ?? '').replace('port: 5432', 'port: 5433') });
    expect(said()).toHaveLength(1);
    await change({ 'all.yaml': (vain('pii.b')['all.yaml'] ?? '').replace('port: 5432', 'port: 5434') });
    expect(said()).toHaveLength(2);
  });

  test('a resource that is left out is said once, and that other files are in force each time', async () => {
    const control = await start({ 'all.yaml': other('5432') });
    expect([lines('resource left out'), lines('manifests changed')]).toEqual([
      [expect.stringContaining('data/nowhere does not exist')],
      [],
    ]);
    for (const [count, port] of [
      [1, '5433'],
      [2, '5434'],
    ] as const) {
      const before = control.current();
      await write({ 'all.yaml': other(port) });
      await eventually('the change', () => (control.current() === before ? undefined : true));
      expect([lines('resource left out').length, lines('manifests changed').length]).toEqual([1, count]);
    }
  });

  test('a right that is withdrawn is gone from the snapshot within two seconds', { retry: 3 }, async () => {
    const control = await start();
    const seen: number[] = [];
    control.onSnapshot(({ resources }) => seen.push(resources.length));
    const before = performance.now();
    await write({ 'all.yaml': [RESOURCE, SECRET, POLICY.replace('[support-agent]', '[somebody-else]')].join('---') });
    await eventually('the withdrawal', () => (control.current()?.resources.length === 0 ? true : undefined));
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(seen).toEqual([1, 0]);
  });

  test('mistakes leave the last good version in force and are said once; mending them takes effect', async () => {
    const control = await start();
    const before = control.current();
    await write({ 'all.yaml': 'kind: [' });
    await eventually('the mistake to be noticed', () => control.invalid);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(control.current()).toBe(before);
    expect(logged.filter((line) => line.includes('ManifestInvalid'))).toHaveLength(1);
    await write({ 'all.yaml': [RESOURCE, SECRET.replace('hunter2', 'hunter3'), POLICY].join('---') });
    await eventually('the new password', () =>
      control.current()?.resources[0]?.credentials?.password?.endsWith('hunter3') === true ? true : undefined,
    );
    expect(control.invalid).toBeUndefined();
    expect(control.current()?.certificate).toBe(before?.certificate);
  });

  test('a file that only looks different gives no new snapshot', async () => {
    const control = await start();
    const seen: string[] = [];
    control.onSnapshot(({ revision }) => seen.push(revision));
    await write({ 'all.yaml': `# a comment\n${[RESOURCE, SECRET, POLICY].join('---')}` });
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(seen).toHaveLength(1);
  });

  test('a policy has one generation for as long as it says the same', async () => {
    const control = await start({ 'r.yaml': [RESOURCE, SECRET].join('---'), 'p.yaml': POLICY });
    const generation = (): number | undefined => control.current()?.resources[0]?.access.policies[0]?.generation;
    const then = async (policy: string, expected: number): Promise<void> => {
      await write({ 'p.yaml': policy });
      await eventually(`generation ${expected}`, () => generation() === expected);
    };
    expect(generation()).toBe(1);
    await write({ 'p.yaml': `# the same\n${POLICY}` });
    await then(POLICY.replace('[select]', '["*"]'), 2);
    await then(POLICY, 3);
  });

  test('a new host is in the certificate', async () => {
    const control = await start();
    await write({ 'all.yaml': [RESOURCE.replace('orders-db]', 'orders-db, orders-new]'), SECRET, POLICY].join('---') });
    const certificate = await eventually('the new host', () => {
      const snapshot = control.current();
      return snapshot?.resources[0]?.hosts.includes('orders-new') === true ? snapshot.certificate : undefined;
    });
    expect(new X509Certificate(certificate).checkHost('orders-new')).toBe('orders-new');
  });
});
