import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { generateSigner } from '@chaperone/evidence';
import { freePort, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import type { ClusterFlags, Transport } from '../collector/transport.ts';
import { type ClusterOptions, openClusterTransport } from './client.ts';
import { aBackend, aCluster, cliError, NAMESPACE, SERVERNAME, type TestCluster, TOKEN } from './cluster.test-support.ts';
import { aCollector } from './collector.test-support.ts';

async function open(cluster: TestCluster, flags: ClusterFlags = {}, options: ClusterOptions = {}): Promise<Transport> {
  const transport = await openClusterTransport({ kubeconfig: cluster.kubeconfig, ...flags }, { env: {}, ...options });
  onTestFinished(() => transport[Symbol.asyncDispose]());
  return transport;
}

/** A cluster with one pod, behind which `listener` answers. */
async function aServed(listener: (request: IncomingMessage, response: ServerResponse) => void): Promise<TestCluster> {
  const cluster = await aCluster();
  cluster.state.pods = [{ name: 'chaperone-collector-0', backend: await aBackend(cluster.authority, listener) }];
  return cluster;
}
const tunnels = ({ asked }: TestCluster): number => asked.filter((each) => each.startsWith('UPGRADE')).length;

describe('the collector’s own program, reached through a tunnel', () => {
  test('believes the login that the API server admitted, and asks what its author may see', async () => {
    const { cluster } = await aCollector();
    const reviews: object[] = [];
    cluster.state.allowed = (review) => {
      reviews.push(review);
      return review.namespace === 'agents';
    };
    const client = new CollectorClient(await open(cluster));
    expect(await client.list({ namespace: 'agents' })).toEqual({ items: [], truncated: false, total: 0 });
    expect(await cliError(client.list({ namespace: 'payroll' }))).toMatchObject({
      code: 'NotPermitted',
      message: 'you may not list sessions of namespace payroll',
    });
    expect(reviews).toEqual(
      ['agents', 'payroll'].map((namespace) => expect.objectContaining({ user: 'jane', verb: 'list', namespace }) as object),
    );
    expect(cluster.made).toMatchObject([{ spec: { user: 'jane', groups: ['dba', 'system:authenticated'] } }]);
    expect(tunnels(cluster)).toBe(1);
  });

  test('takes an impersonated person with all groups for who is asking', async () => {
    const { cluster } = await aCollector();
    const transport = await open(cluster, { as: 'bob', asGroup: ['dev', 'on call'] });
    expect((await transport.fetch('/v1/sessions?limit=3')).status).toBe(200);
    expect(cluster.made).toMatchObject([{ spec: { user: 'bob', groups: ['dev', 'on call'] } }]);
  });
});

describe('a request to the collector', () => {
  test('carries the signature of the login and nothing that the kubeconfig holds', async () => {
    const seen: IncomingMessage[] = [];
    const cluster = await aServed((request, response) => {
      seen.push(request);
      response.end('{"ok":true}');
    });
    const response = await (await open(cluster)).fetch('/v1/sessions?namespace=a%20b');
    expect(await response.json()).toEqual({ ok: true });
    expect(seen.map(({ method, url }) => [method, url])).toEqual([['GET', '/v1/sessions?namespace=a%20b']]);
    const names = ['chaperone-login', 'chaperone-nonce', 'chaperone-signature', 'chaperone-timestamp', 'connection', 'host'];
    expect(Object.keys(seen[0]?.headers ?? {}).toSorted()).toEqual(names);
    expect(JSON.stringify(seen[0]?.rawHeaders)).not.toContain(TOKEN);
    expect(seen[0]?.headers.host).toBe(SERVERNAME);
  });

  test('needs no login before the first, and leaves none behind', async () => {
    const cluster = await aServed((_, response) => void response.end());
    const transport = await open(cluster);
    expect(cluster.made).toEqual([]);
    await transport.fetch('/v1/trust');
    expect(cluster.logins.size).toBe(1);
    await transport[Symbol.asyncDispose]();
    expect(cluster.logins.size).toBe(0);
  });

  test('is signed by the cluster’s clock where ours is wrong', async () => {
    const times: number[] = [];
    const cluster = await aServed((request, response) => {
      times.push(Number(request.headers['chaperone-timestamp']));
      response.end();
    });
    cluster.state.now = () => Date.now() + 300_000;
    await (await open(cluster)).fetch('/v1/sessions');
    expect(Math.abs((times[0] ?? 0) - Date.now() - 300_000)).toBeLessThan(3_000);
  });

  test('has a new login when the old one is about to end', async () => {
    const names: unknown[] = [];
    const cluster = await aServed((request, response) => {
      names.push(request.headers['chaperone-login']);
      response.end();
    });
    let now = Date.now();
    const transport = await open(cluster, {}, { now: () => now });
    for (const after of [0, 8 * 60_000, 2 * 60_000]) {
      now += after;
      cluster.state.now = () => now;
      await transport.fetch('/v1/sessions');
    }
    expect(names.map((name) => cluster.made.findIndex(({ metadata }) => metadata.name === name))).toEqual([0, 0, 1]);
    expect(cluster.logins.size).toBe(1);
  });

  test('is made once more with a new login where the collector no longer believes one that it did', async () => {
    let ended: unknown;
    const cluster = await aServed((request, response) => {
      response.statusCode = request.headers['chaperone-login'] === ended ? 401 : 200;
      response.end();
    });
    const transport = await open(cluster);
    expect((await transport.fetch('/v1/sessions')).status).toBe(200);
    ended = cluster.made[0]?.metadata.name;
    expect((await transport.fetch('/v1/sessions')).status).toBe(200);
    expect(cluster.made).toHaveLength(2);
  });

  test('that the collector never believes is answered with its refusal, not repeated', async () => {
    let requests = 0;
    const cluster = await aServed((_, response) => {
      requests++;
      response.writeHead(401).end('{"code":"NotSignedIn","message":"no"}');
    });
    expect((await (await open(cluster)).fetch('/v1/sessions')).status).toBe(401);
    expect([requests, cluster.made.length]).toEqual([1, 1]);
  });

  test('shares its tunnel with those before it', async () => {
    const cluster = await aServed((_, response) => void response.end('x'));
    const transport = await open(cluster);
    for (let times = 0; times < 5; times++) await (await transport.fetch('/v1/sessions')).text();
    expect(tunnels(cluster)).toBe(1);
  });

  test('brings an answer of any size whole', async () => {
    const chunk = Buffer.alloc(65_536, 'abcdefgh');
    const cluster = await aServed((_, response) => {
      for (let times = 0; times < 128; times++) response.write(chunk);
      response.end('end');
    });
    const text = await (await (await open(cluster)).fetch('/v1/sessions/s-1/segments')).text();
    expect(text.length).toBe(128 * 65_536 + 3);
    expect(text.endsWith('abcdefghend')).toBe(true);
  });
});

describe('a collector that fails', () => {
  test('is replaced by another of its pods, and that is said', async () => {
    const cluster = await aServed((_, response) => void response.end('the second'));
    const broken = await aBackend(cluster.authority, (request) => void request.socket.destroy());
    cluster.state.pods.unshift({ name: 'chaperone-a', backend: broken });
    const notices: string[] = [];
    const transport = await open(cluster, {}, { onNotice: (text) => void notices.push(text) });
    expect(await (await transport.fetch('/v1/sessions')).text()).toBe('the second');
    expect(notices).toEqual(['lost collector pod chaperone-a']);
  });

  test.each([
    ['whose port nobody listens on', { name: 'chaperone-a' }],
    ['that is gone since pods were listed', { name: 'chaperone-a', gone: true }],
  ])('%s is passed over', async (_, { name, gone }: { name: string; gone?: boolean }) => {
    const cluster = await aServed((__, response) => void response.end('the second'));
    cluster.state.pods.unshift({ name });
    if (gone === true) cluster.state.refuse.set(`GET /api/v1/namespaces/${NAMESPACE}/pods/${name}/portforward`, 404);
    const notices: string[] = [];
    const transport = await open(cluster, {}, { onNotice: (text) => void notices.push(text) });
    expect(await (await transport.fetch('/v1/sessions')).text()).toBe('the second');
    expect(notices).toEqual(['lost collector pod chaperone-a', 'asking pod chaperone-collector-0 instead']);
  });

  test('in the middle of its answer is an error, not a short answer', async () => {
    const cluster = await aServed((request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('the beginning');
      setTimeout(() => request.socket.destroy(), 50);
    });
    const response = await (await open(cluster)).fetch('/v1/sessions');
    expect(await cliError(response.text())).toMatchObject({ code: 'CollectorUnreachable', exit: 7 });
  });

  test.each(['chunked', 'silent'])('in the middle of a %s answer is an error too', async (how) => {
    const cluster = await aServed((request, response) => {
      response.write('the beginning');
      if (how === 'chunked') setTimeout(() => request.socket.destroy(), 50);
    });
    const response = await (await open(cluster, { requestTimeout: '300ms' })).fetch('/v1/sessions');
    expect(await cliError(response.text())).toMatchObject({ code: 'CollectorUnreachable' });
  });

  test('to answer in time is given up, and not asked again', async () => {
    let requests = 0;
    const cluster = await aServed(() => void requests++);
    const transport = await open(cluster, { requestTimeout: '300ms' });
    expect(await cliError(transport.fetch('/v1/sessions'))).toMatchObject({
      code: 'CollectorUnreachable',
      message: `the collector in ${NAMESPACE} does not answer: no answer in 0.3 s`,
    });
    expect(requests).toBe(1);
  });

  test.each([
    ['by another CA', async () => (await testAuthority()).issue([SERVERNAME])],
    ['for another name', undefined],
  ])('to prove who it is, with a certificate %s, hears nothing', async (_, issue) => {
    let requests = 0;
    const cluster = await aCluster();
    const authority = issue === undefined ? cluster.authority : { ...cluster.authority, issue };
    const backend = await aBackend(authority, () => void requests++, ['chaperone-collector.elsewhere.svc']);
    cluster.state.pods = [{ name: 'chaperone-collector-0', backend }];
    const error = await cliError((await open(cluster)).fetch('/v1/sessions'));
    expect(error).toMatchObject({ code: 'CollectorUnreachable' });
    expect(error.message).toContain('its certificate is not the one that ConfigMap chaperone-ca vouches for');
    expect(requests).toBe(0);
  });

  test('to be ready is named with the reason', async () => {
    const cluster = await aCluster();
    cluster.state.pods = [
      { name: 'a', ready: false },
      { name: 'b', ready: false, waiting: 'ImagePullBackOff' },
    ];
    expect(await cliError((await open(cluster)).fetch('/v1/sessions'))).toMatchObject({
      code: 'CollectorUnreachable',
      message: `0 of 2 collector pods in ${NAMESPACE} are ready (ImagePullBackOff)`,
      exit: 7,
    });
  });
});

describe('a cluster', () => {
  test('without the CRDs has no Chaperone', async () => {
    const cluster = await aCluster({ crds: false });
    expect(await cliError(open(cluster))).toMatchObject({
      code: 'NotInstalled',
      message: 'context test has no Chaperone (CRDs missing)',
    });
  });

  test('with the CRDs and no collector has none either', async () => {
    expect(await cliError(open(await aCluster({ services: [] })))).toMatchObject({ code: 'NotInstalled' });
  });

  test('with two collectors wants to be told which', async () => {
    const cluster = await aCluster({ services: ['b', 'a'] });
    expect(await cliError(open(cluster))).toMatchObject({
      code: 'Usage',
      exit: 2,
      message: 'Chaperone is in several namespaces: a, b',
    });
    await expect(open(cluster, { chaperoneNamespace: 'b' })).resolves.toBeDefined();
  });

  test('whose Services may not be listed is asked in chaperone-system', async () => {
    const cluster = await aServed((_, response) => void response.end('here'));
    cluster.state.services = undefined;
    expect(await (await (await open(cluster)).fetch('/v1/sessions')).text()).toBe('here');
  });

  test.each([
    ['list pods', `GET /api/v1/namespaces/${NAMESPACE}/pods?`, `may not list pods of namespace ${NAMESPACE}`],
    ['read the CA', `GET /api/v1/namespaces/${NAMESPACE}/configmaps/`, 'may not read ConfigMap chaperone-ca'],
    ['open a tunnel', `GET /api/v1/namespaces/${NAMESPACE}/pods/chaperone-collector-0/portforward`, 'may not open a tunnel'],
    [
      'make a login',
      'POST /apis/chaperone.dev/v1alpha1/evidencelogins',
      'jane may not sign in at the collector: refused: Forbidden',
    ],
    ['ask who they are', 'POST /apis/authentication.k8s.io/v1/selfsubjectreviews', 'may not sign in'],
  ])('says to somebody who may not %s what is missing', async (_, refused, said) => {
    const cluster = await aServed((__, response) => void response.end());
    cluster.state.refuse.set(refused, 403);
    const error = await cliError((await open(cluster)).fetch('/v1/sessions'));
    expect([error.code, error.exit]).toEqual(['NotPermitted', 4]);
    expect(error.message).toContain(said);
    expect(error.fix.join()).toContain('an admin runs: kubectl create');
  });

  test('that does not let its logins be deleted ends them by itself', async () => {
    const cluster = await aServed((_, response) => void response.end());
    cluster.state.refuse.set('DELETE ', 403);
    const transport = await open(cluster);
    await transport.fetch('/v1/sessions');
    await expect(transport[Symbol.asyncDispose]()).resolves.toBeUndefined();
  });

  test('that does not know the credentials says so', async () => {
    const cluster = await aCluster();
    const config = { kubeconfig: cluster.kubeconfig, user: 'jane' };
    cluster.state.refuse.set('GET ', 401);
    expect(await cliError(openClusterTransport(config, { env: {} }))).toMatchObject({ code: 'NotPermitted', exit: 4 });
  });

  test('that refuses the connection, or answers nothing, is unreachable by its URL after so much time', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    onTestFinished(() => void silent.close());
    const cluster = await aCluster();
    const at = async (port: number): Promise<string> => {
      const directory = await temporaryDirectory();
      onTestFinished(() => directory[Symbol.asyncDispose]());
      const file = join(directory.path, 'config');
      writeFileSync(file, readFileSync(cluster.kubeconfig, 'utf8').replace(cluster.url, `https://localhost:${port}`));
      const flags = { kubeconfig: file, requestTimeout: '300ms' };
      const { code, exit, message } = await cliError(openClusterTransport(flags, { env: {} }));
      expect([code, exit]).toEqual(['ClusterUnreachable', 7]);
      return message.replace(String(port), 'PORT');
    };
    const { port } = silent.address() as AddressInfo;
    expect(await at(port)).toBe('API server of context test (https://localhost:PORT): no answer in 0.3 s');
    expect(await at(await freePort())).toMatch(
      /^API server of context test \(https:\/\/localhost:PORT\): ECONNREFUSED after \d\.\d s$/,
    );
  });
});

describe('whom to trust', () => {
  const key = generateSigner().publicKey.toString('base64url');

  test('is what ConfigMap chaperone-trust says, without asking the collector', async () => {
    const cluster = await aCluster();
    cluster.state.configMaps['chaperone-trust'] = { origin: 'prod/1', enrolmentKeys: JSON.stringify([key]) };
    expect(await (await open(cluster)).trust()).toEqual({ origin: 'prod/1', enrolmentKeys: [key] });
    expect([tunnels(cluster), cluster.made.length]).toEqual([0, 0]);
  });

  test.each<[string, Record<string, string> | undefined]>([
    ['is not there', undefined],
    ['has no origin', { enrolmentKeys: JSON.stringify([key]) }],
    ['has no keys', { origin: 'prod/1', enrolmentKeys: '[]' }],
    ['has keys that are none', { origin: 'prod/1', enrolmentKeys: '["AAAA"]' }],
    ['is not JSON', { origin: 'prod/1', enrolmentKeys: key }],
  ])('is not known where the ConfigMap %s', async (_, data) => {
    const cluster = await aCluster();
    if (data !== undefined) cluster.state.configMaps['chaperone-trust'] = data;
    expect(await cliError((await open(cluster)).trust())).toMatchObject({ code: 'CollectorUnreachable' });
  });
});
