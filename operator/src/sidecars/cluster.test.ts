import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { KubeObject } from '@chaperone/kube';
import { expect, test } from 'vitest';
import { clusterFacts } from './cluster.ts';
import { compileContent, isOwnApi } from './compile.ts';

const resourceOf = (name: string, protocol: string, upstream: object): ProtectedResource =>
  ProtectedResource.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { name, namespace: 'data', generation: 1 },
    spec: {
      protocol,
      hosts: [name],
      port: 443,
      upstream,
      credentials: { secretRef: { name: `${name}-agent` } },
      ...(protocol === 'kubernetes' && { kubernetes: { identity: 'credential' } }),
      ...(protocol === 'postgres' && { postgres: { database: 'orders' } }),
      grantedTo: [{ namespace: 'agents', ...(protocol === 'kubernetes' ? { operations: ['*'] } : { statements: ['select'] }) }],
    },
  });
const stateOf = (resource: ProtectedResource) => ({
  resource,
  refused: undefined,
  blocked: undefined,
  addresses: [],
  credentials: undefined,
  ca: undefined,
});
const namespace = (name: string, inject?: string): KubeObject => ({
  metadata: { name, ...(inject !== undefined && { labels: { 'chaperone.dev/inject': inject } }) },
});

const CLUSTER = resourceOf('cluster', 'kubernetes', {
  address: 'kubernetes.default.svc:443',
  tls: { caRef: { name: 'cluster-ca' } },
});
const ORDERS = resourceOf('a-orders', 'postgres', { address: '[2001:db8::1]:5432' });
const NAMESPACES = [
  namespace('shop', 'enabled'),
  namespace('agents', 'enabled'),
  namespace('data'),
  namespace('off', 'disabled'),
];
const FACTS = clusterFacts('chaperone-system', NAMESPACES, [CLUSTER, ORDERS]);

test('what a cluster has of Chaperone comes in a fixed order, so that equal states are equal', () => {
  expect(FACTS).toEqual({
    namespace: 'chaperone-system',
    governed: ['agents', 'shop'],
    secrets: [
      { namespace: 'data', name: 'a-orders-agent' },
      { namespace: 'data', name: 'cluster-agent' },
      { namespace: 'data', name: 'cluster-ca' },
    ],
  });
  expect(clusterFacts('chaperone-system', NAMESPACES.toReversed(), [ORDERS, CLUSTER])).toEqual(FACTS);
});

test.each([
  ['cluster', { kubernetes: { verbs: ['get'], resources: ['pods'], namespaces: ['shop'] } }, true],
  ['a-orders', { sql: { statements: ['select'], relations: ['public.*'] } }, false],
])('a sidecar that serves %s is told it: %3$s', (name, selector, isTold) => {
  const policy = AccessPolicy.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'bot', namespace: 'agents', generation: 1 },
    spec: {
      agents: { podSelector: {} },
      purpose: 'test',
      rules: [{ name: 'look', effect: 'Allow', resource: { namespace: 'data', name }, ...selector }],
    },
  });
  const states = new Map([CLUSTER, ORDERS].map((one) => [`data/${one.metadata.name}`, stateOf(one)]));
  const agent = { namespace: 'agents', serviceAccount: 'bot', labels: {}, annotations: {} };
  const content = compileContent(agent, [policy], states, { hashSecret: Buffer.alloc(32), cluster: FACTS });
  expect(content.resources.map(({ access }) => access.resource.name)).toEqual([name]);
  expect(content.cluster).toEqual(isTold ? FACTS : undefined);
});

test.each([
  ['kubernetes.default.svc:443', true],
  ['kubernetes.default.svc.cluster.local:443', true],
  ['10.96.0.1:443', false],
  ['staging.corp:443', false],
  ['kubernetes.default:443', false],
  ['kubernetes.default.svc.evil.corp:443', false],
  ['x.kubernetes.default.svc:443', false],
  ['kubernetes.default.svc:6443', false],
])('%s is known to be the API server of the own cluster: %s', (address, isOwn) => {
  expect(isOwnApi(address)).toBe(isOwn);
});
