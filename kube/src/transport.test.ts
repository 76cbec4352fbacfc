import { afterEach, beforeEach, expect, test } from 'vitest';
import { apply, createIfAbsent } from './apply.ts';
import { ApiError, isConflict, isNotFound } from './errors.ts';
import { type FakeApiServer, startFakeApiServer } from './fake-api-server.test-support.ts';
import { KINDS, pathOf } from './objects.ts';

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
