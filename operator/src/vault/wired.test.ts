import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import { generateSigner } from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { EnrolResponse, type Snapshot } from '@chaperone/policy';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../config.ts';
import { createMetrics } from '../metrics.ts';
import {
  AGENTS,
  answerTo,
  enrolment,
  ENVIRONMENT,
  type OpenStream,
  putAgentPod,
  putCluster,
  reviewsTokens,
  streamOf,
  tokenOf,
} from '../operator.test-support.ts';
import { type Operator, startOperator } from '../operator.ts';
import { type FakeVault, JWT, startFakeVault } from './vault.test-support.ts';

const ADDRESS = 'orders.data.svc:5432';
const CREDS = 'database/creds/orders-agent';
const PATHS = [{ path: 'database/creds/orders-*', namespaces: ['data'], upstreams: [ADDRESS] }];
let api: FakeApiServer;
let vault: FakeVault;
let operator: Operator;
let stream: OpenStream;
const errors: unknown[] = [];

function put(name: string, path: string, { namespace = 'data', address = ADDRESS } = {}): void {
  api.put(KINDS.protectedResources, {
    metadata: { namespace, name },
    spec: {
      protocol: 'postgres',
      hosts: [`${name}.${namespace}.svc`],
      port: 5432,
      upstream: { address, tls: { mode: 'verify-full' } },
      credentials: { vault: { path }, onRotation: 'keep' },
      postgres: { database: 'orders' },
      grantedTo: [{ namespace: AGENTS }],
    },
  });
}
function condition(name: string, type: string, namespace = 'data'): Condition | undefined {
  const object = api.get(KINDS.protectedResources, { namespace, name }) as ProtectedResource | AccessPolicy | undefined;
  return object?.status?.conditions?.find((each) => each.type === type);
}
const snapshot = (): Snapshot | undefined => stream.lines.findLast((line) => line.type === 'snapshot')?.snapshot;
const given = (name: string): Snapshot['resources'][number] | undefined =>
  snapshot()?.resources.find(({ access }) => access.resource.name === name);

beforeAll(async () => {
  [api, vault] = [await startFakeApiServer(), await startFakeVault({ now: () => performance.now() })];
  api.intercept = reviewsTokens;
  putCluster(api);
  put('orders', CREDS);
  api.put(KINDS.accessPolicies, {
    metadata: { namespace: AGENTS, name: 'support' },
    spec: {
      agents: { podSelector: {} },
      purpose: 'test',
      rules: ['orders', 'second'].map((name) => ({
        name,
        effect: 'Allow',
        resource: { namespace: 'data', name },
        sql: { statements: ['select'], relations: ['**'] },
      })),
    },
  });
  operator = await startOperator({
    kube: api.kube,
    config: parseConfig({ ...ENVIRONMENT, CHAPERONE_VAULT: JSON.stringify({ ...vault.config, paths: PATHS }) }),
    metrics: createMetrics(),
    natsCa: undefined,
    onError: (error) => errors.push(error),
  });
  const trusted = { namespace: AGENTS, name: 'chaperone-ca' };
  await eventually(() => expect(api.get(KINDS.configMaps, trusted)).toBeDefined());
  const ca = (api.get(KINDS.configMaps, trusted) as unknown as { data: Record<string, string> }).data['ca.crt'] ?? '';
  await eventually(() => expect(api.get(KINDS.injectionProfiles, { name: 'default' })).toBeDefined());
  putAgentPod(api, 'bot');
  const [server, token] = [operator.servers.sidecars, tokenOf('bot')];
  await eventually(async () => {
    const body = enrolment(token, generateSigner());
    const { body: enrolled } = await answerTo({ server, ca, method: 'POST', path: '/v1/enrol', token, body });
    EnrolResponse.parse(enrolled);
  });
  stream = await streamOf({ server, ca, token });
});
afterAll(async () => {
  await operator.stop();
  await Promise.all([api.close(), vault[Symbol.asyncDispose]()]);
});

test('a sidecar is given what Vault lends for its resource, with what becomes of sessions when it changes', async () => {
  await eventually(() => expect(given('orders')?.credentials?.password).toMatch(/^CANARY-v-kubernetes-/));
  expect(given('orders')).toMatchObject({ onRotation: 'keep' });
  expect(condition('orders', 'CredentialsAvailable')).toMatchObject({
    status: 'True',
    message: `Vault path ${CREDS} is complete`,
  });
  expect(vault.leases.size).toBe(1);
});

test.each<[string, () => void, [name: string, namespace: string], string, string]>([
  [
    'a path that is not its namespace’s',
    () => put('second', 'database/creds/payroll'),
    ['second', 'data'],
    'VaultPathNotPermitted',
    'Vault path database/creds/payroll may not be used by namespace data; permit it in operator.vault.paths or change spec.credentials.vault.path',
  ],
  [
    'a path of another namespace',
    () => put('theirs', CREDS, { namespace: 'shop' }),
    ['theirs', 'shop'],
    'VaultPathNotPermitted',
    `Vault path ${CREDS} may not be used by namespace shop; permit it in operator.vault.paths or change spec.credentials.vault.path`,
  ],
  [
    'an upstream that the path is not for',
    () => put('second', CREDS, { address: 'elsewhere.data.svc:5432' }),
    ['second', 'data'],
    'NotBoundToUpstream',
    `Vault path ${CREDS} is not sent to elsewhere.data.svc:5432; add that to its upstreams in operator.vault.paths if it is for this upstream`,
  ],
])(
  'for %s nothing is asked of Vault and no sidecar is given anything',
  async (_what, arrange, [name, namespace], code, message) => {
    const before = vault.asked.length;
    arrange();
    await eventually(() =>
      expect(condition(name, 'CredentialsAvailable', namespace)).toMatchObject({ status: 'False', reason: code, message }),
    );
    await eventually(() => expect(given('second')?.notReady?.code ?? (namespace === 'shop' ? code : undefined)).toBe(code));
    expect(given('second')?.credentials).toBeUndefined();
    expect(vault.asked.length).toBe(before);
  },
);

test('a resource that is gone gives back what was lent for it, and one that is there again is lent anew', async () => {
  api.remove(KINDS.protectedResources, { namespace: 'data', name: 'second' });
  const first = given('orders')?.credentials?.username;
  api.remove(KINDS.protectedResources, { namespace: 'data', name: 'orders' });
  await eventually(() => expect([vault.count('PUT', 'sys/leases/revoke'), vault.leases.size]).toEqual([1, 0]));
  put('orders', CREDS);
  await eventually(() => expect(given('orders')?.credentials?.username).toBeDefined());
  expect(given('orders')?.credentials?.username).not.toBe(first);
  await eventually(() => expect(condition('orders', 'CredentialsAvailable')?.status).toBe('True'));
  // That Vault was not heard of yet is nobody's business.
  expect(api.events('VaultUnavailable')).toEqual([]);
});

test('no credential, no token and no lease was ever sent to the API server, to a log or to an error', () => {
  expect(JSON.stringify(api.asked.map(({ body }) => body))).not.toMatch(/CANARY|hvs\.|orders-agent\/[0-9a-f]/);
  expect(errors.map(String).join('\n')).not.toMatch(/CANARY|hvs\./);
  expect(vault.asked.some(({ body }) => body.jwt === JWT)).toBe(true);
});
