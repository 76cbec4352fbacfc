import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { describe, expect, test } from 'vitest';
import { dialledFrom, MAX_WAYS, type NetworkFacts, networkPolicySpec, serviceOf, type ServiceFacts } from './policy.ts';

const OPERATOR = { 'app.kubernetes.io/component': 'operator' };
const NATS = { 'app.kubernetes.io/component': 'nats' };
const config: NetworkFacts['config'] = {
  dns: { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, cidrs: ['169.254.20.10/32'], port: 53 },
  cidrs: { 'orders.corp': ['10.2.0.0/24'], '*.rds.corp': ['10.3.0.0/16', 'fd00:3::/64'] },
  operator: OPERATOR,
  nats: NATS,
};
const system = { namespace: 'chaperone-system', operatorPort: 8443, natsUrl: 'tls://nats.corp:4333' };
const aNetwork = (mods: Partial<NetworkFacts> = {}): NetworkFacts => ({
  config,
  system,
  dialled: [],
  services: new Map(),
  forbidden: [],
  ...mods,
});
const pods = (namespace: string, labels: object): object => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
  podSelector: { matchLabels: labels },
});
const EVERYWHERE = [
  { ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] } },
  { ipBlock: { cidr: '::/0', except: ['fe80::/10'] } },
];
/** What a policy with one upstream lets out beside DNS, the operator and the broker. */
function waysTo(host: string, port: number, services: Record<string, ServiceFacts> = {}): unknown[] {
  const facts = aNetwork({ services: new Map(Object.entries(services)) });
  const before = networkPolicySpec(facts).egress.map((way) => JSON.stringify(way));
  const { egress } = networkPolicySpec({ ...facts, dialled: [{ host, port }] });
  return egress.filter((way) => !before.includes(JSON.stringify(way)));
}

describe('the NetworkPolicy of a governed namespace', () => {
  test('is for all of its pods, and lets them out to DNS, the operator and the broker', () => {
    expect(networkPolicySpec(aNetwork())).toEqual({
      podSelector: {},
      policyTypes: ['Egress'],
      egress: [
        {
          to: [pods('kube-system', { 'k8s-app': 'kube-dns' }), { ipBlock: { cidr: '169.254.20.10/32' } }],
          ports: [
            { protocol: 'UDP', port: 53 },
            { protocol: 'TCP', port: 53 },
          ],
        },
        { to: [pods('chaperone-system', NATS)], ports: [{ protocol: 'TCP', port: 4222 }] },
        { to: [pods('chaperone-system', OPERATOR)], ports: [{ protocol: 'TCP', port: 8443 }] },
      ],
    });
  });

  test('lets them out to where traces go too, by its Service or its address', () => {
    const services = new Map<string, ServiceFacts>([
      ['observability/otel:4318', { kind: 'pods', labels: { app: 'otel' }, port: 4318 }],
    ]);
    const tracing = (traces: string) => networkPolicySpec(aNetwork({ config: { ...config, traces }, services })).egress;
    const to = [pods('observability', { app: 'otel' })];
    expect(tracing('http://otel.observability.svc:4318')).toContainEqual({ to, ports: [{ protocol: 'TCP', port: 4318 }] });
    const block = [{ ipBlock: { cidr: '10.1.2.3/32' } }];
    expect(tracing('https://10.1.2.3/otlp')).toContainEqual({ to: block, ports: [{ protocol: 'TCP', port: 443 }] });
    expect(tracing('http://otel.nowhere.svc:4318')).toEqual(networkPolicySpec(aNetwork()).egress);
  });

  test.each<[string, string, number, Record<string, ServiceFacts>, unknown[]]>([
    ['an address', '10.1.2.3', 22, {}, [{ to: [{ ipBlock: { cidr: '10.1.2.3/32' } }], ports: [{ protocol: 'TCP', port: 22 }] }]],
    [
      'an IPv6 address',
      'fd00::3',
      22,
      {},
      [{ to: [{ ipBlock: { cidr: 'fd00::3/128' } }], ports: [{ protocol: 'TCP', port: 22 }] }],
    ],
    [
      'a Service: its pods, on their own port',
      'orders.data.svc',
      5432,
      { 'data/orders:5432': { kind: 'pods', labels: { app: 'orders' }, port: 'postgres' } },
      [{ to: [pods('data', { app: 'orders' })], ports: [{ protocol: 'TCP', port: 'postgres' }] }],
    ],
    [
      'a Service without a selector: its addresses',
      'kubernetes.default.svc',
      443,
      { 'default/kubernetes:443': { kind: 'addresses', addresses: ['10.0.0.1', 'fd00::1'], ports: [6443] } },
      [
        {
          to: [{ ipBlock: { cidr: '10.0.0.1/32' } }, { ipBlock: { cidr: 'fd00::1/128' } }],
          ports: [{ protocol: 'TCP', port: 6443 }],
        },
      ],
    ],
    [
      'a Service without an address',
      'orders.data.svc',
      1,
      { 'data/orders:1': { kind: 'addresses', addresses: [], ports: [] } },
      [],
    ],
    ['a Service that is not there', 'orders.data.svc', 5432, {}, []],
    [
      'a Service that is a name elsewhere',
      'orders.data.svc',
      5432,
      { 'data/orders:5432': { kind: 'name', host: 'a.rds.corp' } },
      [
        {
          to: [{ ipBlock: { cidr: '10.3.0.0/16' } }, { ipBlock: { cidr: 'fd00:3::/64' } }],
          ports: [{ protocol: 'TCP', port: 5432 }],
        },
      ],
    ],
    [
      'a name whose addresses are given',
      'orders.corp',
      22,
      {},
      [{ to: [{ ipBlock: { cidr: '10.2.0.0/24' } }], ports: [{ protocol: 'TCP', port: 22 }] }],
    ],
    ['a name whose addresses nobody gave', 'model.corp', 443, {}, [{ to: EVERYWHERE, ports: [{ protocol: 'TCP', port: 443 }] }]],
    ['a name that only ends alike', 'evilrds.corp', 443, {}, [{ to: EVERYWHERE, ports: [{ protocol: 'TCP', port: 443 }] }]],
  ])('lets out to %s', (_what, host, port, services, ways) => {
    expect(waysTo(host, port, services)).toEqual(ways);
  });

  test('lets nobody to where no sidecar dials, even where an upstream may be anywhere', () => {
    const dialled = [{ host: 'model.corp', port: 443 }];
    const text = JSON.stringify(networkPolicySpec(aNetwork({ dialled, forbidden: ['10.96.0.1', '10.9.0.0/24', 'fd00::9'] })));
    expect(text).toContain('"except":["10.9.0.0/24","10.96.0.1/32","169.254.0.0/16"]');
    expect(text).toContain('"except":["fd00::9/128","fe80::/10"]');
  });

  test('of an operator on the node’s network, and of a broker of one’s own, names no pods', () => {
    const { operator: _operator, nats: _nats, ...rest } = config;
    const { egress } = networkPolicySpec(aNetwork({ config: rest }));
    expect(egress.slice(1).map(({ to, ports }) => [to, ports[0]?.port])).toEqual([
      [EVERYWHERE, 4333],
      [EVERYWHERE, 8443],
    ]);
  });

  test('is the same for the same facts in another order, and has no way twice', () => {
    const one = { host: '10.1.2.3', port: 22 };
    const other = { host: '10.1.2.4', port: 22 };
    const spec = networkPolicySpec(aNetwork({ dialled: [one, other] }));
    expect(networkPolicySpec(aNetwork({ dialled: [other, one, one] }))).toEqual(spec);
    expect(spec.egress).toHaveLength(5);
  });

  test('has no more ways than it may have', () => {
    const dialled = Array.from({ length: MAX_WAYS }, (_, n) => ({ host: '10.1.2.3', port: n + 1 }));
    expect(() => networkPolicySpec(aNetwork({ dialled }))).toThrow(expect.objectContaining({ code: 'NetworkPolicyTooLarge' }));
  });
});

test.each([
  ['orders.data.svc', { namespace: 'data', name: 'orders' }],
  ['orders.data.svc.cluster.local', { namespace: 'data', name: 'orders' }],
  ['db-0.orders.data.svc', { namespace: 'data', name: 'orders' }],
  ['orders.data', undefined],
  ['svc.corp', undefined],
])('%s is the Service %o', (host, service) => {
  expect(serviceOf(host)).toEqual(service);
});

const aResource = (name: string, address: string, namespace: string): [string, ProtectedResource] => [
  `data/${name}`,
  {
    metadata: { namespace: 'data', name },
    spec: { upstream: { address }, grantedTo: [{ namespace }] },
  } as unknown as ProtectedResource,
];
const aPolicy = (namespace: string, names: string[], issuer?: string): AccessPolicy =>
  ({
    metadata: { namespace, name: 'p' },
    spec: {
      rules: names.map((name) => ({ resource: { namespace: 'data', name } })),
      ...(issuer === undefined ? {} : { identity: { oidc: { issuer } } }),
    },
  }) as unknown as AccessPolicy;

test('what is dialled are upstreams that a policy of the namespace names and their owners grant it, and issuers of tokens', () => {
  const resources = new Map([
    aResource('orders', 'Orders.data.svc:5432', 'agents'),
    aResource('six', '[fd00::3]:22', 'agents'),
    aResource('ungranted', 'other.data.svc:5432', 'elsewhere'),
    aResource('unnamed', 'unnamed.data.svc:5432', 'agents'),
  ]);
  const policies = [
    aPolicy('agents', ['orders', 'six', 'ungranted', 'missing', 'orders'], 'https://login.corp/realms/main'),
    aPolicy('elsewhere', ['unnamed'], 'http://127.0.0.1:8080'),
  ];
  expect(dialledFrom('agents', policies, resources)).toEqual([
    { host: 'fd00::3', port: 22 },
    { host: 'login.corp', port: 443 },
    { host: 'orders.data.svc', port: 5432 },
  ]);
});
