import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConfig } from '../config.ts';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { createMetrics } from '../metrics.ts';
import { RequestStore } from '../approvals/store.ts';
import { anAccessRequest, REQUEST } from '../notify/request.test-support.ts';
import { AGENTS, ENVIRONMENT, putCluster } from '../operator.test-support.ts';
import { type Operator, startOperator } from '../operator.ts';

const DECIDE = { url: 'https://decide.corp', oidc: { issuer: 'https://login.corp', clientId: 'decide', usernameClaim: 'email' } };
let api: FakeApiServer;
let operator: Operator;
beforeAll(async () => {
  api = await startFakeApiServer();
  putCluster(api);
  operator = await startOperator({
    kube: api.kube,
    config: parseConfig({ ...ENVIRONMENT, CHAPERONE_DECIDE: JSON.stringify(DECIDE), CHAPERONE_DECIDE_PORT: '0' }),
    metrics: createMetrics(),
    natsCa: undefined,
    onError: () => undefined,
  });
});
afterAll(async () => {
  await operator.stop();
  await api.close();
});

const get = (path: string, ca: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const port = (operator.servers.decide?.address() as AddressInfo | undefined)?.port;
    const servername = 'chaperone-decide.chaperone-system.svc';
    request({ host: '127.0.0.1', port, path, ca, servername, agent: false }, (response) => {
      resolve(response.resume().statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });

const published = (): string => {
  const data = api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' })?.data as Record<string, string> | undefined;
  return data?.['ca.crt'] ?? '';
};

it('the leader serves the page over TLS, and its Service leads there', async () => {
  await eventually(() =>
    expect(api.get(KINDS.endpointSlices, { namespace: 'chaperone-system', name: 'chaperone-decide-leader' })).toMatchObject({
      metadata: { labels: { 'kubernetes.io/service-name': 'chaperone-decide' } },
      endpoints: [{ addresses: ['127.0.0.1'] }],
    }),
  );
  await eventually(() => expect(published()).not.toBe(''));
  const ca = published();
  await eventually(async () => expect(await get(`/decide/agents/${REQUEST}`, ca)).toBe(200));
  expect(await get('/metrics', ca)).toBe(404);
});

it('a request says where it is decided', async () => {
  const store = new RequestStore(api.kube, new AbortController().signal, DECIDE.url);
  const created = await store.create({ namespace: AGENTS, name: REQUEST }, anAccessRequest().spec, Date.now());
  expect(created?.metadata.annotations?.['chaperone.dev/decide-page']).toBe(`https://decide.corp/decide/agents/${REQUEST}`);
});

it.each<[string, object]>([
  ['an address without TLS', { ...DECIDE, url: 'http://decide.corp' }],
  ['an address with a path', { ...DECIDE, url: 'https://decide.corp/a' }],
  ['an issuer without TLS', { ...DECIDE, oidc: { ...DECIDE.oidc, issuer: 'http://login.corp' } }],
  ['an issuer with a password', { ...DECIDE, oidc: { ...DECIDE.oidc, issuer: 'https://a:b@login.corp' } }],
  ['names of the system', { ...DECIDE, oidc: { ...DECIDE.oidc, usernamePrefix: 'system:' } }],
  ['groups of the system', { ...DECIDE, oidc: { ...DECIDE.oidc, groupsPrefix: 'system:' } }],
  ['a misspelt field', { ...DECIDE, oidc: { ...DECIDE.oidc, clientID: 'x' } }],
])('%s is no configuration', (_, decide) => {
  expect(() => parseConfig({ ...ENVIRONMENT, CHAPERONE_DECIDE: JSON.stringify(decide) })).toThrow('CHAPERONE_DECIDE');
});
