import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Networks } from './keep.ts';
import { NETWORK_POLICY } from './policy.ts';

let api: FakeApiServer;
let networks: Networks;
let changed: string[];
let now: number;
const stop = new AbortController();
const facts = {
  config: { dns: { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, cidrs: [], port: 53 }, cidrs: {} },
  system: { namespace: 'chaperone-system', operatorPort: 8443, natsUrl: 'tls://nats.corp:4222' },
  forbidden: [],
};
async function start(of: typeof facts | undefined): Promise<Networks> {
  const { signal } = stop;
  const made = new Networks({
    kube: api.kube,
    facts: of,
    signal,
    now: () => now,
    onChange: (at) => changed.push(at),
    onError: () => undefined,
  });
  await made.start();
  return made;
}
beforeEach(async () => {
  [api, changed, now] = [await startFakeApiServer(), [], 0];
  networks = await start(facts);
});
afterEach(async () => {
  await networks.stop();
  await api.close();
});
const ORDERS = [{ host: 'orders.data.svc', port: 5432 }];
const policy = (): string =>
  JSON.stringify(api.get(KINDS.networkPolicies, { namespace: 'agents', name: NETWORK_POLICY })?.spec ?? null);
const known = (): Promise<void> => eventually(() => expect(networks.namespaces).toEqual(['agents']));
const service = (spec: object): void => void api.put(KINDS.services, { metadata: { namespace: 'data', name: 'orders' }, spec });

test('a governed namespace has one, it follows what its upstreams are, and goes with the governance', async () => {
  await networks.keep('agents', []);
  expect(policy()).not.toContain('5432');
  await known();
  expect(changed).toContain('agents');
  service({ clusterIP: '10.96.0.9', selector: { app: 'orders' }, ports: [{ port: 5432, targetPort: 6543 }] });
  await networks.keep('agents', ORDERS);
  expect(policy()).toContain('"podSelector":{"matchLabels":{"app":"orders"}}}],"ports":[{"protocol":"TCP","port":6543}');
  service({ clusterIP: 'None', selector: { app: 'orders' }, ports: [{ port: 5432, targetPort: 6543 }] });
  now += 30_000;
  await networks.keep('agents', ORDERS);
  expect(policy(), 'a headless Service is dialled as it stands').toContain('{"protocol":"TCP","port":5432}');
  await networks.keep('agents', undefined);
  expect(policy()).toBe('null');
});

test('a Service without a selector is where its endpoints are', async () => {
  service({ clusterIP: '10.96.0.9', ports: [{ port: 5432 }] });
  api.put(KINDS.endpointSlices, {
    metadata: { namespace: 'data', name: 'orders-1', labels: { 'kubernetes.io/service-name': 'orders' } },
    endpoints: [{ addresses: ['10.7.7.7'] }],
    ports: [{ port: 6000 }],
  });
  await networks.keep('agents', ORDERS);
  expect(policy()).toContain('{"to":[{"ipBlock":{"cidr":"10.7.7.7/32"}}],"ports":[{"protocol":"TCP","port":6000}]}');
});

test('nothing is written where it is as it should be, and what somebody changed is put back', async () => {
  await networks.keep('agents', []);
  await known();
  const writes = (): number =>
    api.asked.filter(({ method, url }) => method === 'PATCH' && url.pathname.includes('networkpolicies')).length;
  await networks.keep('agents', []);
  expect(writes()).toBe(1);
  const before = policy();
  const current = api.get(KINDS.networkPolicies, { namespace: 'agents', name: NETWORK_POLICY });
  api.put(KINDS.networkPolicies, { ...current, spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{}] } });
  await eventually(async () => {
    await networks.keep('agents', []);
    expect(policy()).toBe(before);
  });
});

test('one of that name that the operator did not write is not removed; its own are, where none is wanted', async () => {
  await networks.keep('agents', []);
  api.put(KINDS.networkPolicies, { metadata: { namespace: 'theirs', name: NETWORK_POLICY }, spec: {} });
  await known();
  const off = await start(undefined);
  await eventually(() => expect(off.namespaces).toEqual(['agents']));
  await off.keep('agents', []);
  await off.keep('theirs', undefined);
  expect(policy()).toBe('null');
  expect(api.get(KINDS.networkPolicies, { namespace: 'theirs', name: NETWORK_POLICY })).toBeDefined();
  await off.stop();
});
