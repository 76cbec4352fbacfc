import type { ProtectedResource } from '@chaperone/api';
import type { ResourceObservation } from '@chaperone/policy';
import { testAuthority } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { decideResource, isOlder, matchesHost, type ResourceFacts, serviceNamespace } from './decide.ts';
import { foundSecret, SecretView } from './secrets.ts';

type Spec = Partial<ProtectedResource['spec']>;
function aResource(spec: Spec = {}, metadata: Partial<ProtectedResource['metadata']> = {}): ProtectedResource {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { namespace: 'data', name: 'orders-db', creationTimestamp: '2026-02-01T00:00:00Z', generation: 1, ...metadata },
    spec: {
      protocol: 'postgres',
      hosts: ['orders.data.svc'],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432', tls: { mode: 'verify-full' } },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      sensitive: [],
      grantedTo: [],
      allowAudit: false,
      ...spec,
    },
  };
}
function aSecret(data: Record<string, string>, annotations: Record<string, string> = {}): SecretView {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
  return new SecretView({ metadata: { name: 'orders-db-agent', annotations }, data: encoded });
}
const BOUND = { 'chaperone.dev/upstream': 'orders.data.svc:5432' };
const LOGIN = { username: 'agent_ro', password: 'secret-value' };
type Mods = Partial<ResourceFacts> & { readonly secret?: SecretView | undefined };
function facts(mods: Mods = {}): ResourceFacts {
  const { resource = aResource() } = mods;
  return {
    resource,
    rivals: [],
    governed: false,
    hostPatterns: [],
    credentials: foundSecret(resource, 'secret' in mods ? mods.secret : aSecret(LOGIN, BOUND)),
    ca: undefined,
    addresses: [{ host: 'orders.data.svc', ipv4: '240.240.0.1' }],
    range: { cidr: '240.240.0.0/24', used: 254 },
    observations: [],
    ...mods,
  };
}
const seen = (type: ResourceObservation['type'], status: ResourceObservation['status'], reason: string): ResourceObservation => ({
  resource: { namespace: 'data', name: 'orders-db' },
  type,
  status,
  reason,
  message: `${reason} was seen`,
});
const withCa = aResource({
  upstream: { address: 'orders.data.svc:5432', tls: { mode: 'verify-full', caRef: { name: 'orders-ca', key: 'ca.crt' } } },
});

const fromVault = aResource({ credentials: { vault: { path: 'a/b' } } });

describe('a resource', () => {
  test('in order has its conditions in their order, Ready last, and is not blocked', () => {
    const { conditions, blocked } = decideResource(facts());
    expect(conditions.map(({ type, status }) => `${type}=${status}`)).toEqual([
      'Accepted=True',
      'ResolvedRefs=True',
      'CredentialsAvailable=True',
      'AddressAllocated=True',
      'Reachable=Unknown',
      'UpstreamSuitable=Unknown',
      'Ready=True',
    ]);
    expect(conditions.find(({ type }) => type === 'Reachable')?.message).toBe(
      'no session has used it yet; it is tried when an agent connects',
    );
    expect(blocked).toBeUndefined();
  });

  test('of protocol tcp has no condition about credentials, nor about what they may do', () => {
    const { credentials: _none, ...spec } = aResource().spec;
    const resource = { ...aResource(), spec: { ...spec, protocol: 'tcp' as const } };
    const { conditions } = decideResource(facts({ resource, credentials: undefined }));
    expect(conditions.map(({ type }) => type)).toEqual(['Accepted', 'ResolvedRefs', 'AddressAllocated', 'Reachable', 'Ready']);
    expect(conditions.at(-1)?.status).toBe('True');
  });

  test.each<[string, Mods, string, string, string]>([
    [
      'of a protocol that is not built',
      { resource: aResource({ protocol: 'rdp' as 'tcp' }) },
      'Accepted',
      'ProtocolNotSupported',
      'protocol rdp is not built yet; supported: postgres, ssh, kubernetes, tcp',
    ],
    [
      'whose name and port an older one has',
      {
        resource: aResource({ hosts: ['orders-db'] }),
        hostPatterns: ['orders-db'],
        rivals: [aResource({ hosts: ['orders-db'] }, { namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z' })],
      },
      'Accepted',
      'HostConflict',
      'host orders-db port 5432 belongs to ProtectedResource shop/orders-db (older); change spec.hosts or spec.port here',
    ],
    [
      'that claims a Service of another namespace, granted or not',
      { resource: aResource({ hosts: ['orders.shop.svc.cluster.local'] }), hostPatterns: ['*.shop.svc.cluster.local'] },
      'Accepted',
      'HostNotOwned',
      'host orders.shop.svc.cluster.local may not be claimed by namespace data: it belongs to namespace shop; change spec.hosts',
    ],
    [
      'that claims a name without a grant',
      { resource: aResource({ hosts: ['db.corp'] }), hostPatterns: ['*.example.com'] },
      'Accepted',
      'HostNotOwned',
      'host db.corp may not be claimed by namespace data: no pattern granted to namespace data covers it; grant one in the Helm values or change spec.hosts',
    ],
    [
      'with credentials where agents run',
      { governed: true },
      'Accepted',
      'CredentialsReachableByAgents',
      'namespace data is governed, so its agents may be able to read Secret data/orders-db-agent; move the ProtectedResource and what it signs in with to a namespace without chaperone.dev/inject',
    ],
    [
      'whose CA Secret has another key',
      { resource: withCa, ca: aSecret({ 'ca.pem': 'x' }) },
      'ResolvedRefs',
      'CANotFound',
      'Secret data/orders-ca has no key "ca.crt" (it has: ca.pem); change spec.upstream.tls.caRef.key',
    ],
    [
      'whose CA Secret is absent',
      { resource: withCa },
      'ResolvedRefs',
      'CANotFound',
      'Secret data/orders-ca does not exist; create it with key "ca.crt"',
    ],
    [
      'whose CA is no certificate',
      { resource: withCa, ca: aSecret({ 'ca.crt': 'x' }) },
      'ResolvedRefs',
      'CANotFound',
      'Secret data/orders-ca key "ca.crt" holds no PEM certificate; put the authority\'s certificate there',
    ],
    [
      'whose credentials are absent',
      { secret: undefined },
      'CredentialsAvailable',
      'CredentialsNotFound',
      'Secret data/orders-db-agent does not exist; create it with keys username and password',
    ],
    [
      'whose credentials lack the password',
      { secret: aSecret({ username: 'x', password: '' }, BOUND) },
      'CredentialsAvailable',
      'CredentialsInvalid',
      'Secret data/orders-db-agent has no usable password (text without NUL, 1 to 1024 characters); set it',
    ],
    [
      'whose credentials are a certificate without its key',
      { secret: aSecret({ ...LOGIN, 'tls.crt': 'x' }, BOUND) },
      'CredentialsAvailable',
      'CredentialsInvalid',
      'Secret data/orders-db-agent has no usable tls.key; set it',
    ],
    [
      'whose credentials are absent, where the server takes certificates',
      {
        secret: undefined,
        resource: aResource({
          credentials: { secretRef: { name: 'orders-db-agent' }, username: 'agent_ro' },
          postgres: { database: 'orders', authentication: ['cert'] } as Spec['postgres'],
        }),
      },
      'CredentialsAvailable',
      'CredentialsNotFound',
      'Secret data/orders-db-agent does not exist; create it with keys tls.crt and tls.key',
    ],
    [
      'whose credentials hold a NUL',
      { secret: aSecret({ username: 'a\0b', password: 'p' }, BOUND) },
      'CredentialsAvailable',
      'CredentialsInvalid',
      'Secret data/orders-db-agent has no usable username (text without NUL, 1 to 1024 characters); set it, or the name in spec.credentials.username',
    ],
    [
      'whose credentials another source than Secrets cannot give',
      {
        resource: fromVault,
        credentials: {
          view: undefined,
          absent: { code: 'VaultUnavailable', message: 'Vault path a/b cannot be read' },
          unbound: undefined,
        },
      },
      'CredentialsAvailable',
      'VaultUnavailable',
      'Vault path a/b cannot be read',
    ],
    [
      'whose credentials lack the password where another source keeps them',
      {
        resource: fromVault,
        credentials: {
          view: { version: '1', text: (key) => (key === 'username' ? 'x' : undefined) },
          absent: undefined,
          unbound: undefined,
        },
      },
      'CredentialsAvailable',
      'CredentialsInvalid',
      'Vault path a/b has no usable password (text without NUL, 1 to 1024 characters); set it',
    ],
    [
      'whose credentials are for another upstream',
      { secret: aSecret(LOGIN, { 'chaperone.dev/upstream': 'evil:5432' }) },
      'CredentialsAvailable',
      'NotBoundToUpstream',
      'Secret data/orders-db-agent is for evil:5432; annotate it with chaperone.dev/upstream=orders.data.svc:5432 if it is for this upstream',
    ],
    [
      'whose credentials are bound to nothing',
      { secret: aSecret(LOGIN) },
      'CredentialsAvailable',
      'NotBoundToUpstream',
      'Secret data/orders-db-agent does not say for which upstream it is; annotate it with chaperone.dev/upstream=orders.data.svc:5432 if it is for this upstream',
    ],
    [
      'that found the range full',
      { addresses: [] },
      'AddressAllocated',
      'AddressesExhausted',
      'no virtual address is free in 240.240.0.0/24 (254 used); widen addresses.ipv4 in the Helm values',
    ],
  ])('%s fails, is blocked, and Ready repeats it', (_name, mods, type, code, message) => {
    const { conditions, blocked } = decideResource(facts(mods));
    expect(conditions.find((condition) => condition.type === type)).toEqual({ type, status: 'False', reason: code, message });
    expect(conditions.at(-1)).toEqual({ type: 'Ready', status: 'False', reason: code, message });
    expect(blocked).toEqual({ code, message });
  });

  test.each([
    ['CredentialsAvailable', 'False', 'CredentialsRejected'],
    ['Reachable', 'False', 'UpstreamRefused'],
    ['UpstreamSuitable', 'False', 'UpstreamIsSuperuser'],
    ['UpstreamSuitable', 'Unknown', 'ServerLogVolume'],
    ['UpstreamSuitable', 'Unknown', 'CatalogUnreadable'],
  ] as const)('in which sidecars saw %s %s %s is not Ready, but not blocked either', (type, status, reason) => {
    const { conditions, blocked } = decideResource(facts({ observations: [seen(type, status, reason)] }));
    const message = `${reason} was seen`;
    expect(conditions.find((condition) => condition.type === type)).toEqual({ type, status, reason, message });
    expect(conditions.at(-1)).toEqual({ type: 'Ready', status: 'False', reason, message });
    expect(blocked).toBeUndefined();
  });

  test('in which a sidecar saw what this operator has no word for is not Ready', () => {
    const { conditions } = decideResource(facts({ observations: [seen('Reachable', 'False', 'Banana')] }));
    expect(conditions.at(-1)).toMatchObject({ status: 'False', reason: 'InternalFault', message: 'Banana was seen' });
  });

  test('with a good CA resolves', async () => {
    const { ca } = await testAuthority();
    expect(decideResource(facts({ resource: withCa, ca: aSecret({ 'ca.crt': ca }) })).blocked).toBeUndefined();
  });

  test('keeps its name against a younger rival, and against any on another port', () => {
    const younger = aResource({}, { name: 'z', creationTimestamp: '2026-03-01T00:00:00Z' });
    const older = aResource({ port: 5433 }, { name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' });
    expect(decideResource(facts({ rivals: [younger, older] })).blocked).toBeUndefined();
  });

  test('never tells a credential', () => {
    expect(JSON.stringify(decideResource(facts({ secret: aSecret(LOGIN) })))).not.toContain('secret-value');
    expect(JSON.stringify(aSecret(LOGIN))).not.toContain(Buffer.from('secret-value').toString('base64'));
  });
});

test('of two resources of the same second exactly one is older', () => {
  const [a, b] = [aResource({}, { name: 'a' }), aResource({}, { name: 'b' })];
  expect([isOlder(a, b), isOlder(b, a), isOlder(a, a)]).toEqual([true, false, false]);
});
test.each([
  ['orders.data.svc', 'data'],
  ['orders.data.svc.cluster.local', 'data'],
  ['pg-0.orders.data.svc', 'data'],
  ['data.svc', undefined],
  ['svc', undefined],
  ['db.corp', undefined],
])('%s is a Service name of namespace %s', (host, namespace) => expect(serviceNamespace(host)).toBe(namespace));
test.each([
  ['*.corp', 'db.corp', true],
  ['*.corp', 'a.db.corp', false],
  ['pg-*.corp', 'pg-1.corp', true],
  ['a*a.corp', 'a.corp', false],
  ['*', 'orders-db', true],
  ['*', 'db.corp', false],
  ['**.corp', 'db.corp', false],
  ['db.corp', 'db.corp', true],
  ['db.corp', 'dbxcorp', false],
])('pattern %s on %s: %s', (pattern, host, expected) => expect(matchesHost(pattern, host)).toBe(expected));
