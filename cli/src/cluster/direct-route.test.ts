import { writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener } from 'node:http';
import { dirname, join } from 'node:path';
import { generateSigner } from '@chaperone/evidence';
import { freePort, testAuthority } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import type { ClusterFlags, Transport } from '../collector/transport.ts';
import { run } from '../program.test-support.ts';
import { openClusterTransport } from './client.ts';
import { aBackend, aCluster, cliError, type TestCluster, TOKEN } from './cluster.test-support.ts';
import { aCollector } from './collector.test-support.ts';

async function open(cluster: TestCluster, flags: ClusterFlags): Promise<Transport> {
  const transport = await openClusterTransport({ kubeconfig: cluster.kubeconfig, ...flags }, { env: {} });
  onTestFinished(() => transport[Symbol.asyncDispose]());
  return transport;
}

/** A file beside the kubeconfig, which goes with it. */
function aFile(cluster: TestCluster, text: string): string {
  const file = join(dirname(cluster.kubeconfig), 'a-file');
  writeFileSync(file, text);
  return file;
}

/** A cluster, and a collector of the test's own outside of it. */
async function aServed(listener: RequestListener, names = ['localhost']): Promise<{ cluster: TestCluster; flags: ClusterFlags }> {
  const cluster = await aCluster();
  const port = await aBackend(cluster.authority, listener, names);
  return { cluster, flags: { collector: `https://localhost:${port}`, collectorCa: aFile(cluster, cluster.authority.ca) } };
}

describe('the collector’s own program, reached by its URL', () => {
  test('believes the login, and nobody looks for pods or Services', async () => {
    const { cluster, url, caFile } = await aCollector();
    cluster.state.allowed = ({ namespace }) => namespace === 'agents';
    const client = new CollectorClient(await open(cluster, { collector: url, collectorCa: caFile, as: 'bob', asGroup: ['dev'] }));
    expect(await client.list({ namespace: 'agents' })).toEqual({ items: [], truncated: false, total: 0 });
    expect(await cliError(client.list({ namespace: 'payroll' }))).toMatchObject({ code: 'NotPermitted' });
    expect(cluster.made).toMatchObject([{ spec: { user: 'bob', groups: ['dev'] } }]);
    expect(cluster.asked.filter((each) => /^UPGRADE|\/pods|\/services|\/configmaps/.test(each))).toEqual([]);
  });

  test('is the one that the command line asks where a flag or the environment names it', async () => {
    const { cluster, url, caFile } = await aCollector();
    const list = ['sessions', 'ls', '-o', 'jsonl', '-n', 'agents'];
    const inEnvironment = { KUBECONFIG: cluster.kubeconfig, CHAPERONE_COLLECTOR: url, CHAPERONE_COLLECTOR_CA: caFile };
    const nowhere = `https://localhost:${await freePort()}`;
    const fine = { code: 0, out: '', err: '' };
    expect(await run(list, { env: inEnvironment })).toEqual(fine);
    expect(await run(['sessions', 'ls', '-o', 'jsonl'], { env: inEnvironment })).toEqual(fine);
    const flags = ['--collector', url, '--collector-ca', caFile, '--kubeconfig', cluster.kubeconfig];
    expect(await run([...list, ...flags], { env: { CHAPERONE_COLLECTOR: nowhere } })).toEqual(fine);
    const trusting = { ...inEnvironment, CHAPERONE_COLLECTOR_CA: '', NODE_EXTRA_CA_CERTS: caFile };
    expect(await run(list, { env: trusting })).toEqual(fine);
    expect(await run(list, { env: { ...trusting, NODE_EXTRA_CA_CERTS: '' } })).toMatchObject({
      code: 7,
      err: expect.stringContaining('is not the one that this machine trusts') as string,
    });
    expect(await run([...list, '--collector', nowhere], { env: inEnvironment })).toMatchObject({ code: 7 });
    // What is on this machine is asked by its directory, whatever the environment says.
    expect(await run([...list, '--data', '/nonexistent'], { env: inEnvironment })).toMatchObject({
      code: 7,
      err: expect.stringContaining('no chaperone up has run with --data /nonexistent') as string,
    });
    expect((await run([...list, '--data', '/nonexistent', '--collector', url])).err).toContain(
      '--data and --collector name different collectors',
    );
    expect(cluster.logins.size).toBe(0);
  });
});

describe('a request to a URL', () => {
  test('carries the signature of the login and nothing that the kubeconfig holds', async () => {
    const seen: IncomingMessage[] = [];
    const { cluster, flags } = await aServed((request, response) => {
      seen.push(request);
      response.end('{"ok":true}');
    });
    const response = await (await open(cluster, flags)).fetch('/v1/sessions?namespace=a%20b');
    expect(await response.json()).toEqual({ ok: true });
    expect(seen.map(({ method, url }) => [method, url])).toEqual([['GET', '/v1/sessions?namespace=a%20b']]);
    const names = ['chaperone-login', 'chaperone-nonce', 'chaperone-signature', 'chaperone-timestamp', 'connection', 'host'];
    expect(Object.keys(seen[0]?.headers ?? {}).toSorted()).toEqual(names);
    expect(JSON.stringify(seen[0]?.rawHeaders)).not.toContain(TOKEN);
    expect(`https://${seen[0]?.headers.host}`).toBe(flags.collector);
  });

  test('follows nobody elsewhere', async () => {
    let elsewhere = 0;
    const { cluster, flags } = await aServed((request, response) => {
      if (request.url === '/elsewhere') elsewhere++;
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    const client = new CollectorClient(await open(cluster, flags));
    expect(await cliError(client.session('s-7hq2'))).toMatchObject({
      code: 'CollectorUnreachable',
      message: 'the collector answers 302',
    });
    expect(elsewhere).toBe(0);
  });

  test.each<[string, (made: { cluster: TestCluster; flags: ClusterFlags }) => Promise<ClusterFlags>, string[]]>([
    [
      'by another CA',
      async ({ cluster, flags }) => ({ ...flags, collectorCa: aFile(cluster, (await testAuthority()).ca) }),
      ['localhost'],
    ],
    ['for another name', ({ flags }) => Promise.resolve(flags), ['another.example']],
    ['by a CA that this machine does not know', ({ flags: { collector = '' } }) => Promise.resolve({ collector }), ['localhost']],
  ])('is not made of somebody who has a certificate %s', async (_, change, names) => {
    let heard = 0;
    const made = await aServed((__, response) => void response.end(`${heard++}`), names);
    const flags = await change(made);
    const error = await cliError((await open(made.cluster, flags)).fetch('/v1/sessions'));
    expect([error.code, error.exit, heard]).toEqual(['CollectorUnreachable', 7, 0]);
    const right = flags.collectorCa === undefined ? 'that this machine trusts' : `that ${flags.collectorCa} vouches for`;
    expect(error.message).toContain(
      `the collector at ${flags.collector} does not answer: its certificate is not the one ${right}`,
    );
  });

  test('where nobody listens says where', async () => {
    const { cluster } = await aServed((_, response) => void response.end());
    const collector = `https://localhost:${await freePort()}`;
    expect(await cliError((await open(cluster, { collector })).fetch('/v1/sessions'))).toMatchObject({
      code: 'CollectorUnreachable',
      message: `the collector at ${collector} does not answer: the connection broke (ECONNREFUSED)`,
      exit: 7,
    });
  });

  test('that is not answered in time is given up', async () => {
    let heard = 0;
    const { cluster, flags } = await aServed(() => void heard++);
    expect(await cliError((await open(cluster, { ...flags, requestTimeout: '300ms' })).fetch('/v1/sessions'))).toMatchObject({
      message: `the collector at ${flags.collector} does not answer: no answer in 0.3 s`,
    });
    expect(heard).toBe(1);
  });
});

test('whom to trust is what the cluster says, not who is at the URL', async () => {
  let heard = 0;
  const { cluster, flags } = await aServed((_, response) => void response.end(`${heard++}`));
  const key = generateSigner().publicKey.toString('base64url');
  cluster.state.configMaps['chaperone-trust'] = { origin: 'prod/1', enrolmentKeys: JSON.stringify([key]) };
  expect(await (await open(cluster, flags)).trust()).toEqual({ origin: 'prod/1', enrolmentKeys: [key] });
  expect(heard).toBe(0);
});

describe('flags are refused', () => {
  test.each<[string, ClusterFlags, RegExp]>([
    ['without TLS', { collector: 'http://localhost' }, /--collector is written https:\/\/HOST\[:PORT\]$/],
    ['that are no URL', { collector: 'localhost:8443' }, /--collector is written https/],
    ['with a password', { collector: 'https://a:hunter2@localhost' }, /takes no user and no password/],
    ['with a path', { collector: 'https://localhost/chaperone' }, /without a path/],
    ['with a query', { collector: 'https://localhost?a=b' }, /without a path/],
    ['with a CA of nobody', { collectorCa: '/a' }, /--collector-ca needs --collector/],
    [
      'with a CA that is missing',
      { collector: 'https://localhost', collectorCa: '/nonexistent' },
      /\/nonexistent cannot be read/,
    ],
    [
      'with a CA that is none',
      { collector: 'https://localhost', collectorCa: import.meta.filename },
      /holds no certificate in PEM/,
    ],
  ])('%s', async (_, flags, said) => {
    const error = await cliError(openClusterTransport({ kubeconfig: (await aCluster()).kubeconfig, ...flags }, { env: {} }));
    expect([error.code, error.exit]).toEqual(['Usage', 2]);
    expect(error.message).toMatch(said);
    expect(error.message).not.toContain('hunter2');
  });
});
