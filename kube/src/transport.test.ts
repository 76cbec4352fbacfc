import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { apply, createIfAbsent } from './apply.ts';
import { ApiError, isConflict, isNotFound } from './errors.ts';
import { type FakeApiServer, startFakeApiServer } from './fake-api-server.test-support.ts';
import { inCluster } from './in-cluster.ts';
import { KINDS, pathOf } from './objects.ts';
import { createTransport } from './transport.ts';

let api: FakeApiServer;
beforeEach(async () => {
  api = await startFakeApiServer();
});
afterEach(() => api.close());

test('uses one connection for fifty requests after each other', async () => {
  for (let index = 0; index < 50; index += 1) await api.kube.request({ path: pathOf(KINDS.pods) });
  expect(api.connections()).toBe(1);
});

test('paths escape names', () => {
  expect(pathOf(KINDS.pods, { namespace: 'a', name: '../x', subresource: 'status' })).toBe(
    '/api/v1/namespaces/a/pods/..%2Fx/status',
  );
  expect(pathOf(KINDS.leases)).toBe('/apis/coordination.k8s.io/v1/leases');
});

test('turns a Status into an ApiError', async () => {
  const error = await api.kube
    .request({ path: pathOf(KINDS.pods, { namespace: 'a', name: 'b' }) })
    .catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ApiError);
  expect(isNotFound(error)).toBe(true);
  expect(error).toMatchObject({ status: 404, reason: 'NotFound' });
});

test.each([
  ['Retry-After is read', { 'retry-after': '7' }, 7000],
  ['Retry-After is bounded', { 'retry-after': '99999' }, 300_000],
  ['a Retry-After that is no number is ignored', { 'retry-after': 'soon' }, undefined],
])('%s', async (_name, headers, expected) => {
  api.intercept = (_asked, response) => {
    response.writeHead(429, headers).end('<html>');
    return true;
  };
  const error = await api.kube.request({ path: '/api' }).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ status: 429, reason: 'Http429', retryAfterMs: expected });
});

test('a server that does not answer in time is a Timeout', async () => {
  api.intercept = () => true;
  await expect(api.kube.request({ path: '/api', timeoutMs: 50 })).rejects.toMatchObject({ reason: 'Timeout' });
});

test('a broken connection is a Network error without the token in it', async () => {
  api.intercept = (_asked, _response, request) => {
    request.socket.destroy();
    return true;
  };
  const error = (await api.kube.request({ path: '/api' }).catch((caught: unknown) => caught)) as ApiError;
  expect(error).toMatchObject({ status: 0, reason: 'Network' });
  expect(JSON.stringify(error) + error.message).not.toContain('test-token');
});

test('does not speak plain http', async () => {
  const [cluster] = api.config.clusters;
  if (cluster !== undefined) Object.assign(cluster, { server: 'http://127.0.0.1:1', skipTLSVerify: true });
  await expect(api.kube.request({ path: '/api' })).rejects.toMatchObject({ reason: 'Protocol' });
});

test('server-side apply names its manager and forces', async () => {
  await apply(api.kube, KINDS.configMaps, { namespace: 'a', name: 'c' }, { data: { k: 'v' } });
  const asked = api.asked.at(-1);
  expect(asked?.url.searchParams.get('fieldManager')).toBe('chaperone-operator');
  expect(asked?.url.searchParams.get('force')).toBe('true');
  expect(asked?.body).toEqual({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'a', name: 'c' },
    data: { k: 'v' },
  });
});

test('createIfAbsent never overwrites, not even what appeared between the look and the creation', async () => {
  const at = { namespace: 'a', name: 's' };
  const made = await createIfAbsent(api.kube, KINDS.secrets, at, () => {
    api.put(KINDS.secrets, { metadata: at, data: { key: 'theirs' } });
    return Promise.resolve({ data: { key: 'ours' } });
  });
  expect(made.data).toEqual({ key: 'theirs' });
});

test('a PUT with an old resourceVersion is a conflict', async () => {
  api.put(KINDS.configMaps, { metadata: { namespace: 'a', name: 'c' } });
  const put = api.kube.request({
    method: 'PUT',
    path: pathOf(KINDS.configMaps, { namespace: 'a', name: 'c' }),
    body: { metadata: { namespace: 'a', name: 'c', resourceVersion: '1' } },
  });
  expect(isConflict(await put.catch((caught: unknown) => caught))).toBe(true);
});

describe('in a pod', () => {
  const environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' };

  test.each<[string, Record<string, string>, string]>([
    ['an IPv4 address', environment, 'https://127.0.0.1:1'],
    ['an IPv6 address', { ...environment, KUBERNETES_SERVICE_HOST: 'fd00::1' }, 'https://[fd00::1]:1'],
  ])('the API server is found by %s', (_what, given, server) => {
    expect(inCluster(given).getCurrentCluster()).toEqual({ server });
  });

  test.each<[string, Record<string, string>]>([
    ['no host', { KUBERNETES_SERVICE_PORT: '443' }],
    ['no port', { KUBERNETES_SERVICE_HOST: '10.96.0.1' }],
    ['a port that is none', { ...environment, KUBERNETES_SERVICE_PORT: '443/x' }],
  ])('but not with %s', (_what, given) => {
    expect(() => inCluster(given)).toThrow('this is no pod');
  });

  test('it is believed by the authority of the mount, and told the token of it, each as it is then', async () => {
    await using directory = await temporaryDirectory();
    const { host, port } = new URL(api.config.getCurrentCluster()?.server ?? '');
    const given = { KUBERNETES_SERVICE_HOST: host.split(':')[0], KUBERNETES_SERVICE_PORT: port };
    let now = 0;
    const kube = createTransport({ config: inCluster(given, directory.path), userAgent: 'a test', now: () => (now += 60_000) });
    const tokens: unknown[] = [];
    api.intercept = (_asked, response, request) => {
      tokens.push(request.headers.authorization);
      response.end('{}');
      return true;
    };
    await expect(kube.request({ path: '/api' })).rejects.toMatchObject({
      message: expect.stringMatching(/of the ServiceAccount cannot be read/),
    });
    await writeFile(join(directory.path, 'ca.crt'), Buffer.from(api.config.getCurrentCluster()?.caData ?? '', 'base64'));
    for (const token of ['first', 'second']) {
      await writeFile(join(directory.path, 'token'), `${token}\n`);
      await kube.request({ path: '/api' });
    }
    expect(tokens).toEqual(['Bearer first', 'Bearer second']);
    kube.close();
  });
});
