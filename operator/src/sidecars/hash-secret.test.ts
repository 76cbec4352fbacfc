import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { KINDS } from '@chaperone/kube';
import { type Agent, hashKeysOf } from '@chaperone/policy';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { clusterFacts } from './cluster.ts';
import { compileContent } from './compile.ts';
import { ensureHashSecret, MASKING_KEYS_SECRET } from './hash-secret.ts';

const NAMESPACE = 'chaperone-system';
const AT = { namespace: NAMESPACE, name: MASKING_KEYS_SECRET };
let api: FakeApiServer;
beforeEach(async () => {
  api = await startFakeApiServer();
});
afterEach(() => api.close());

test('the secret of hash masks is made once', async () => {
  const secret = await ensureHashSecret(api.kube, NAMESPACE);
  expect(secret).toHaveLength(32);
  expect(secret.equals(Buffer.alloc(32))).toBe(false);
  expect(await ensureHashSecret(api.kube, NAMESPACE)).toEqual(secret);
});

test.each<[string, object]>([
  ['is empty', {}],
  ['is too short', { hash: Buffer.alloc(31).toString('base64') }],
  ['has another key only', { other: Buffer.alloc(32).toString('base64') }],
])('a Secret that %s is an error, and is left as it is', async (_, data) => {
  api.put(KINDS.secrets, { metadata: AT, data });
  await expect(ensureHashSecret(api.kube, NAMESPACE)).rejects.toThrow('chaperone-masking-keys');
  expect(api.get(KINDS.secrets, AT)).toMatchObject({ data });
});

test('a sidecar gets keys of the labels that its agent sees by hash, never the secret', () => {
  const apiVersion = 'chaperone.dev/v1alpha1';
  const resource = ProtectedResource.parse({
    apiVersion,
    kind: 'ProtectedResource',
    metadata: { name: 'orders-db', namespace: 'data', generation: 1 },
    spec: {
      protocol: 'postgres',
      hosts: ['orders.data.svc'],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432' },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      postgres: { database: 'orders' },
      sensitive: [
        { label: 'pii.ssn', columns: ['public.customers.ssn'] },
        { label: 'pii.email', columns: ['public.customers.email'] },
      ],
      grantedTo: [{ namespace: 'agents' }],
    },
  });
  const policy = AccessPolicy.parse({
    apiVersion,
    kind: 'AccessPolicy',
    metadata: { name: 'support', namespace: 'agents', generation: 1 },
    spec: {
      agents: { podSelector: {} },
      rules: [
        {
          name: 'read',
          effect: 'Allow',
          resource: { namespace: 'data', name: 'orders-db' },
          sql: { statements: ['select'], relations: ['public.customers'] },
        },
      ],
      masking: [{ label: 'pii.ssn', strategy: { hash: {} } }],
    },
  });
  const agent: Agent = { namespace: 'agents', serviceAccount: 'support', labels: {}, annotations: {} };
  const state = { resource, refused: undefined, blocked: undefined, addresses: [], credentials: undefined, ca: undefined };
  const secret = Buffer.alloc(32, 9);
  const content = compileContent(agent, [policy], new Map([['data/orders-db', state]]), {
    hashSecret: secret,
    cluster: clusterFacts('chaperone', [], []),
  });
  const access = content.resources[0]?.access;
  expect(Object.keys(access?.hashKeys ?? {})).toEqual(['pii.ssn']);
  expect(access?.hashKeys).toEqual(access && hashKeysOf(secret, access));
  expect(JSON.stringify(content)).not.toContain(secret.toString('base64'));
});
