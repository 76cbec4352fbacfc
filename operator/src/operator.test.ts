import { setTimeout as sleep } from 'node:timers/promises';
import {
  COUNTER_MAPS,
  createEpoch,
  decodeNkey,
  encodeNkey,
  generateSigner,
  newSessionId,
  parsePolicy,
  signCounter,
  verifyRegistration,
  x25519Holder,
} from '@chaperone/evidence';
import { EnrolResponse, type Snapshot, type StreamLine, UNNAMED_SECRET } from '@chaperone/policy';
import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import { API_VERSION } from '@chaperone/api';
import { KINDS } from '@chaperone/kube';
import { testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from './config.ts';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { createMetrics } from './metrics.ts';
import {
  AGENTS,
  type Answer,
  answerTo,
  enrolment,
  ENVIRONMENT,
  type OpenStream,
  putAgentPod,
  putCluster,
  reviewsTokens,
  streamOf,
  tokenOf,
} from './operator.test-support.ts';
import { type Operator, startOperator } from './operator.ts';

const PASSWORD = 'correct-horse';
let api: FakeApiServer;
let operator: Operator;
let ca: string;
let clientKey = '';
let errors: unknown[] = [];

const resourceAt = { namespace: 'data', name: 'orders-db' };
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows what it stored
const get = <T>(kind: (typeof KINDS)[keyof typeof KINDS], key: { namespace?: string; name: string }): T =>
  api.get(kind, key) as T;
const condition = (object: ProtectedResource | AccessPolicy, type: string): Condition | undefined =>
  object.status?.conditions?.find((each) => each.type === type);
const resource = (): ProtectedResource => get(KINDS.protectedResources, resourceAt);
const policy = (): AccessPolicy => get(KINDS.accessPolicies, { namespace: AGENTS, name: 'support' });

const emitted = (reason: string): unknown[] => api.events(reason);
function putSecret(data: Record<string, string>, upstream = 'orders.data.svc:5432'): void {
  const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
  const annotations = { 'chaperone.dev/upstream': upstream };
  api.put(KINDS.secrets, { metadata: { namespace: 'data', name: 'orders-db-agent', annotations }, data: encoded });
}
const putPod = (name: string, mods: { uid?: string; created?: string; injected?: boolean } = {}): void =>
  putAgentPod(api, name, mods);
const call = (
  method: string,
  path: string,
  token: string | undefined,
  body?: unknown,
  server = operator.servers.sidecars,
): Promise<Answer> => answerTo({ server, ca, method, path, token, body });
const openStream = (token: string): Promise<OpenStream> => streamOf({ server: operator.servers.sidecars, ca, token });
const snapshots = (lines: readonly StreamLine[]): Snapshot[] =>
  lines.flatMap((line) => (line.type === 'snapshot' ? [line.snapshot] : []));

beforeAll(async () => {
  api = await startFakeApiServer();
  api.intercept = reviewsTokens;
  putCluster(api);
  operator = await startOperator({
    kube: api.kube,
    config: parseConfig(ENVIRONMENT),
    metrics: createMetrics(),
    natsCa: undefined,
    onError: (error) => errors.push(error),
  });
  await eventually(() => expect(api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' })).toBeDefined());
  ca = get<{ data: Record<string, string> }>(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' }).data['ca.crt'] ?? '';
  await eventually(() =>
    expect(get<object>(KINDS.endpointSlices, { namespace: 'chaperone-system', name: 'chaperone-operator-leader' })).toBeDefined(),
  );
});
afterAll(async () => {
  await operator.stop();
  await api.close();
});

test('the leader publishes what others need', async () => {
  await eventually(() => {
    const webhooks = get<{ webhooks: { clientConfig: { caBundle?: string } }[] }>(KINDS.mutatingWebhooks, {
      name: 'chaperone',
    }).webhooks;
    expect(Buffer.from(webhooks[0]?.clientConfig.caBundle ?? '', 'base64').toString()).toBe(ca);
  });
  const trust = get<{ data: Record<string, string> }>(KINDS.configMaps, {
    namespace: 'chaperone-system',
    name: 'chaperone-trust',
  }).data;
  expect(trust.origin).toBe('test/cluster-uid');
  const since = get<{ metadata: { annotations: Record<string, string> } }>(KINDS.namespaces, { name: AGENTS }).metadata
    .annotations;
  expect(Date.parse(since['chaperone.dev/governed-since'] ?? '')).toBeGreaterThan(0);
});

test('a CA that somebody clears is put back', async () => {
  api.put(KINDS.configMaps, { metadata: { namespace: AGENTS, name: 'chaperone-ca' }, data: {} });
  api.put(KINDS.mutatingWebhooks, {
    metadata: { name: 'chaperone' },
    webhooks: [{ name: 'pods.chaperone.dev', clientConfig: {} }],
  });
  await eventually(() => {
    expect(
      get<{ data: Record<string, string> }>(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' }).data['ca.crt'],
    ).toBe(ca);
    const { webhooks } = get<{ webhooks: { clientConfig: { caBundle?: string } }[] }>(KINDS.mutatingWebhooks, {
      name: 'chaperone',
    });
    expect(webhooks[0]?.clientConfig.caBundle).toBeTruthy();
  });
});

test('a resource becomes ready as soon as its Secret is there', async () => {
  api.put(KINDS.protectedResources, {
    metadata: resourceAt,
    spec: {
      protocol: 'postgres',
      hosts: ['orders.data.svc'],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432', tls: { mode: 'verify-full' } },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      postgres: { database: 'orders' },
      grantedTo: [{ namespace: AGENTS }],
    },
  });
  await eventually(() => expect(condition(resource(), 'Ready')?.reason).toBe('CredentialsNotFound'));
  const missing = condition(resource(), 'Ready')?.message;
  await eventually(() =>
    expect(emitted('CredentialsNotFound')).toMatchObject([
      { type: 'Warning', note: missing, regarding: { kind: 'ProtectedResource', ...resourceAt, uid: resource().metadata.uid } },
    ]),
  );
  putSecret({ username: 'agent_ro', password: PASSWORD });
  await eventually(() => expect(condition(resource(), 'Ready')).toMatchObject({ status: 'True', reason: 'Ready' }));
  expect(resource().status?.addresses?.[0]?.ipv4).toMatch(/^240\.240\./);
});

test('a policy without agents says so', async () => {
  api.put(KINDS.accessPolicies, {
    metadata: { namespace: AGENTS, name: 'support' },
    spec: {
      agents: { serviceAccounts: ['support'] },
      rules: [
        { name: 'read', effect: 'Allow', resource: resourceAt, sql: { statements: ['select'], relations: ['public.tickets'] } },
      ],
    },
  });
  await eventually(() => expect(condition(policy(), 'Ready')).toMatchObject({ status: 'True', reason: 'NoAgentsYet' }));
});

test('a policy says nothing of a resource whose Secrets were not heard of yet', async () => {
  const at = { namespace: 'data', name: 'slow-db' };
  const named = { namespace: AGENTS, name: 'slow' };
  let asked = 0;
  api.intercept = (request, response, message) => {
    if (!request.url.search.includes('slow-ca')) return reviewsTokens(request, response, message);
    asked += 1;
    response.writeHead(503).end();
    return true;
  };
  try {
    const { spec } = resource();
    const upstream = { ...spec.upstream, tls: { mode: 'verify-full', caRef: { name: 'slow-ca', key: 'ca.crt' } } };
    api.put(KINDS.protectedResources, { metadata: at, spec: { ...spec, hosts: ['slow.data.svc'], upstream } });
    const rules = policy().spec.rules.map((rule) => ({ ...rule, resource: at }));
    api.put(KINDS.accessPolicies, { metadata: named, spec: { ...policy().spec, rules } });
    await eventually(() => expect(asked).toBeGreaterThan(1));
    expect(get<AccessPolicy>(KINDS.accessPolicies, named).status?.conditions).toBeUndefined();
    const data = { 'ca.crt': Buffer.from((await testAuthority()).ca).toString('base64') };
    api.put(KINDS.secrets, { metadata: { namespace: 'data', name: 'slow-ca' }, data });
  } finally {
    api.intercept = reviewsTokens;
  }
  const ready = (): Condition | undefined => condition(get<AccessPolicy>(KINDS.accessPolicies, named), 'Ready');
  await eventually(() => expect(ready()).toMatchObject({ status: 'True', reason: 'NoAgentsYet' }));
  expect(JSON.stringify(emitted('ResourceNotReady'))).not.toContain('slow-db');
  api.remove(KINDS.accessPolicies, named);
  api.remove(KINDS.protectedResources, at);
});

test('a sidecar enrols, gets policy and credentials, and its acknowledgement makes the policy Programmed', async () => {
  putPod('bot');
  await eventually(() => expect(condition(policy(), 'Programmed')?.reason).toBe('Programming'));
  const nkey = generateSigner();
  const answer = await call('POST', '/v1/enrol', tokenOf('bot'), enrolment(tokenOf('bot'), nkey));
  expect(answer.status).toBe(200);
  const { snapshot, registration, recipients, origin, nats } = EnrolResponse.parse(answer.body);
  expect(snapshot.resources[0]?.credentials).toEqual({ username: 'agent_ro', password: PASSWORD });
  expect(snapshot.resources[0]?.notReady).toBeUndefined();
  expect(snapshot.certificate).toContain('BEGIN CERTIFICATE');
  const enrolmentKeys = JSON.parse(
    get<{ data: Record<string, string> }>(KINDS.configMaps, { namespace: 'chaperone-system', name: 'chaperone-trust' }).data
      .enrolmentKeys ?? '[]',
  ) as string[];
  const registered = verifyRegistration(registration, { origin, enrolmentKeys });
  expect(decodeNkey(registered.nkey).equals(nkey.publicKey)).toBe(true);
  expect(registered.agent.podUid).toBe('bot-uid');
  expect(nats.jwt.split('.')).toHaveLength(3);
  const { data } = get<{ data: Record<string, string> }>(KINDS.configMaps, {
    namespace: 'chaperone-system',
    name: 'chaperone-trust',
  });
  expect(nats.log).toBe(data.log);
  expect(parsePolicy(Buffer.from(nats.log ?? '')).logs.map(({ verifier }) => verifier.key.name)).toEqual([origin]);
  const readerOf = { namespace: 'chaperone-system', name: 'chaperone-evidence-reader' };
  const kept = Buffer.from(get<{ data: { key: string } }>(KINDS.secrets, readerOf).data.key, 'base64').toString();
  expect(recipients).toEqual([x25519Holder(Buffer.from(kept, 'base64')).name]);

  const stream = await openStream(tokenOf('bot'));
  await eventually(() => expect(snapshots(stream.lines)).toHaveLength(1));
  expect((await call('POST', '/v1/ack', tokenOf('bot'), { revision: snapshot.revision })).status).toBe(204);
  await eventually(() => expect(condition(policy(), 'Programmed')).toMatchObject({ status: 'True', reason: 'Programmed' }));
  await eventually(() =>
    expect(emitted('PolicyProgrammed')).toMatchObject([
      {
        type: 'Normal',
        note: '1 of 1 sidecar run generation 1',
        regarding: { kind: 'AccessPolicy', namespace: AGENTS, name: 'support' },
      },
    ]),
  );
  // A change that concerns nobody must not take that back.
  api.put(KINDS.namespaces, { metadata: { name: 'data', labels: { touched: 'yes' } } });
  await sleep(200);
  expect(condition(policy(), 'Programmed')).toMatchObject({ status: 'True', reason: 'Programmed' });

  const changedAt = performance.now();
  putSecret({ username: 'agent_ro', password: 'rotated' });
  await eventually(() => expect(snapshots(stream.lines).at(-1)?.resources[0]?.credentials?.password).toBe('rotated'));
  expect(performance.now() - changedAt).toBeLessThan(10_000);
  expect(snapshots(stream.lines).at(-1)?.revision).not.toBe(snapshot.revision);

  await eventually(() =>
    expect(emitted('CredentialRotated')).toMatchObject([
      {
        type: 'Normal',
        note: 'Secret data/orders-db-agent changed; sessions that open from now on use it',
        regarding: { kind: 'ProtectedResource', ...resourceAt },
      },
    ]),
  );

  // What cert-manager and others write; it comes as whole as a password, and is told no more of.
  const client = await (await testAuthority()).issue(['agent_ro']);
  clientKey = client.key;
  putSecret({ username: 'agent_ro', password: 'rotated', 'tls.crt': client.certificate, 'tls.key': client.key });
  await eventually(() =>
    expect(snapshots(stream.lines).at(-1)?.resources[0]?.credentials).toEqual({
      username: 'agent_ro',
      password: 'rotated',
      client: { cert: client.certificate, key: client.key },
    }),
  );
  const counted = (): unknown[] =>
    api.asked
      .filter(({ method, url }) => method === 'PATCH' && url.pathname.includes('/events/orders-db.'))
      .map(({ body }) => body);
  await eventually(() =>
    expect(counted()).toContainEqual(expect.objectContaining({ series: expect.objectContaining({ count: 2 }) })),
  );

  const observation = {
    resource: resourceAt,
    type: 'Reachable',
    status: 'False',
    reason: 'UpstreamRefused',
    message: 'it refuses',
  };
  expect((await call('POST', '/v1/report', tokenOf('bot'), { observations: [observation] })).status).toBe(204);
  await eventually(() => expect(condition(resource(), 'Ready')).toMatchObject({ status: 'False', reason: 'UpstreamRefused' }));
  expect(snapshots(stream.lines).at(-1)?.resources[0]?.notReady).toBeUndefined();

  // No sidecar knows the Secret's name; its owner is told it.
  const rejected = {
    ...observation,
    type: 'CredentialsAvailable',
    reason: 'CredentialsRejected',
    message: `refused; update ${UNNAMED_SECRET}`,
  };
  expect((await call('POST', '/v1/report', tokenOf('bot'), { observations: [rejected] })).status).toBe(204);
  const available = { ...rejected, status: 'True', reason: 'CredentialsAccepted', message: 'accepted' };
  await eventually(() =>
    expect(condition(resource(), 'CredentialsAvailable')).toMatchObject({
      reason: 'CredentialsRejected',
      message: 'refused; update Secret data/orders-db-agent',
    }),
  );
  expect((await call('POST', '/v1/report', tokenOf('bot'), { observations: [available] })).status).toBe(204);

  // Unknown, and yet no session opens: the resource must not be called ready.
  const findings = [
    { ...observation, status: 'True', reason: 'UpstreamReachable', message: 'it answers' },
    { ...observation, type: 'UpstreamSuitable', status: 'Unknown', reason: 'ServerLogVolume', message: 'its log takes trees' },
  ];
  expect((await call('POST', '/v1/report', tokenOf('bot'), { observations: findings })).status).toBe(204);
  await eventually(() => expect(condition(resource(), 'Ready')).toMatchObject({ status: 'False', reason: 'ServerLogVolume' }));
  expect(condition(resource(), 'UpstreamSuitable')).toMatchObject({ status: 'Unknown', message: 'its log takes trees' });

  const at = { namespace: AGENTS, name: 'kill' };
  const session = newSessionId('bot-uid');
  api.put(KINDS.sessionKills, {
    apiVersion: API_VERSION,
    kind: 'SessionKill',
    metadata: at,
    spec: { session, reason: 'x', by: 'jane' },
  });
  await eventually(() => expect(stream.lines.at(-1)).toMatchObject({ type: 'revoke', session, by: 'jane' }));
  expect((await call('POST', '/v1/closed', tokenOf('bot'), { session: 's-1' })).status).toBe(400);
  expect((await call('POST', '/v1/closed', tokenOf('bot'), { session })).status).toBe(204);
  await eventually(() =>
    expect(api.get(KINDS.sessionKills, at)?.status).toMatchObject({ sent: 1, endedAt: expect.any(String) as string }),
  );

  const jwt = await call('POST', '/v1/nats', tokenOf('bot'), { nkey: encodeNkey(nkey.publicKey) });
  expect(jwt.status).toBe(200);
  const other = await call('POST', '/v1/nats', tokenOf('bot'), { nkey: encodeNkey(generateSigner().publicKey) });
  expect(other).toMatchObject({ status: 403, body: { code: 'NkeyMismatch' } });

  putPod('thief');
  const stolen = await call('POST', '/v1/enrol', tokenOf('thief'), enrolment(tokenOf('thief'), nkey));
  expect(stolen).toMatchObject({ status: 403, body: { code: 'NkeyMismatch' } });
  const second = await call('POST', '/v1/enrol', tokenOf('bot'), enrolment(tokenOf('bot'), generateSigner()));
  expect(second).toMatchObject({ status: 403, body: { code: 'NkeyMismatch' } });

  const deletedAt = performance.now();
  api.remove(KINDS.pods, { namespace: AGENTS, name: 'bot' });
  await eventually(() => expect(stream.ended()).toBe(true));
  expect(performance.now() - deletedAt).toBeLessThan(10_000);
  expect(stream.lines.at(-1)).toMatchObject({ type: 'revoke', code: 'SessionEnded' });
  expect((await call('POST', '/v1/ack', tokenOf('bot'), { revision: 'x' })).status).toBe(401);
});

test('a sidecar that finds a way around itself is told of at its pod and at its policies, until it finds none', async () => {
  putPod('looking');
  const token = tokenOf('looking');
  await eventually(async () => {
    const { status } = await call('POST', '/v1/enrol', token, enrolment(token, generateSigner()));
    expect(status).toBe(200);
  });
  const tell = async (body: object): Promise<number> => (await call('POST', '/v1/capture', token, body)).status;
  expect(await tell({ proven: true })).toBe(204);
  await eventually(() => expect(condition(policy(), 'CaptureProven')?.message).toMatch(/^1 of \d sidecars? proved/));
  const message = 'a connection to 192.0.2.7 was not stopped by the sidecar (no answer)';
  expect(await tell({ proven: false, message })).toBe(204);
  await eventually(() => {
    expect(condition(policy(), 'CaptureProven')).toMatchObject({ status: 'False', reason: 'CaptureNotProven' });
    expect(condition(policy(), 'Ready')?.message).toContain(message);
  });
  await eventually(() =>
    expect(emitted('CaptureNotProven')).toContainEqual(
      expect.objectContaining({ note: message, regarding: expect.objectContaining({ kind: 'Pod', name: 'looking' }) as unknown }),
    ),
  );
  expect(await tell({ proven: true })).toBe(204);
  await eventually(() => expect(condition(policy(), 'CaptureProven')?.message).toMatch(/^1 of \d sidecars? proved/));
  expect(await tell({ proven: 'yes' })).toBe(400);
  api.remove(KINDS.pods, { namespace: AGENTS, name: 'looking' });
});

test('the counter of an enrolled pod is taken and kept where the operator keeps things; what goes back is refused', async () => {
  putPod('counting');
  const token = tokenOf('counting');
  const nkey = generateSigner();
  const says = (number: number): object => {
    const counts = { opened: 1, newest: null, sealed: 0, last: null, pending: [], more: 0, clock: { wall: 1, mono: 1 } };
    const counter = { origin: 'test/cluster-uid', nkey: encodeNkey(nkey.publicKey), number, ...counts };
    return signCounter(counter, createEpoch({ nkey, registration: { body: '{}', signature: '' } }, 1, 0));
  };
  const tell = async (body: object): Promise<Answer> => await call('POST', '/v1/counter', token, body);
  await eventually(async () => expect(await tell(says(1))).toMatchObject({ status: 409, body: { code: 'NotEnrolled' } }));
  expect((await call('POST', '/v1/enrol', token, enrolment(token, nkey))).status).toBe(200);
  expect((await tell(says(2))).status).toBe(204);
  expect(await tell(says(1))).toMatchObject({ status: 409, body: { code: 'CounterRefused' } });
  expect((await tell({ ...says(3), more: 'x' })).status).toBe(400);
  const kept = (): unknown[] =>
    COUNTER_MAPS.map((name) => api.get(KINDS.configMaps, { namespace: 'chaperone-system', name })).flatMap((map) =>
      Object.entries((map as { data?: object } | undefined)?.data ?? {}),
    );
  await eventually(() => expect(kept()).toEqual([['counting-uid', expect.stringContaining('\\"number\\":2')]]));
  api.remove(KINDS.pods, { namespace: AGENTS, name: 'counting' });
});

test('a pod whose sidecar has been waiting for a minute is told about once', async () => {
  putPod('stuck');
  const pod = get<{ status: object }>(KINDS.pods, { namespace: AGENTS, name: 'stuck' });
  const startedAt = new Date(Date.now() - 61_000).toISOString();
  const initContainerStatuses = [{ name: 'chaperone-sidecar', started: false, state: { running: { startedAt } } }];
  api.put(KINDS.pods, { ...pod, status: { phase: 'Pending', initContainerStatuses } });
  const regarding = { kind: 'Pod', namespace: AGENTS, name: 'stuck', uid: 'stuck-uid' };
  await eventually(() =>
    expect(emitted('SidecarNotReady')).toMatchObject([
      {
        type: 'Warning',
        note: 'chaperone-sidecar has asked for no policy in 60 s; the agent waits rather than start ungoverned: kubectl logs stuck -c chaperone-sidecar -n agents',
        regarding,
      },
    ]),
  );
  api.put(KINDS.namespaces, { metadata: { name: 'data', labels: { touched: 'again' } } });
  await sleep(200);
  expect(emitted('SidecarNotReady')).toHaveLength(1);
  api.remove(KINDS.pods, { namespace: AGENTS, name: 'stuck' });
});

test('what made a pod that is refused is told why, unless it was a dry run', async () => {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'bot-6d9', uid: 'rs-uid' };
  const review = (dryRun: boolean): object => ({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      namespace: AGENTS,
      dryRun,
      object: {
        metadata: { generateName: 'bot-6d9-', ownerReferences: [{ ...owner, controller: true }] },
        spec: { containers: [{ name: 'bot' }] },
      },
    },
  });
  const admit = (dryRun: boolean): Promise<Answer> =>
    call('POST', '/mutate-pods', undefined, review(dryRun), operator.servers.webhook);
  for (const dryRun of [true, false]) expect((await admit(dryRun)).body).toMatchObject({ response: { allowed: false } });
  await eventually(() =>
    expect(emitted('AgentPodRejected')).toMatchObject([
      {
        type: 'Warning',
        note: expect.stringContaining('[AgentMustSetUser]') as string,
        regarding: { ...owner, namespace: AGENTS },
      },
    ]),
  );
});

test.each<[string, string, () => void, string | undefined, object, number, string]>([
  ['without a token', 'p1', () => putPod('p1'), undefined, {}, 401, 'Unauthenticated'],
  ['with a token for another audience', 'p2', () => putPod('p2'), tokenOf('p2', 'p2-uid', 'api'), {}, 401, 'Unauthenticated'],
  ['of a pod that does not exist', 'p3', () => undefined, tokenOf('p3'), {}, 401, 'Unauthenticated'],
  [
    'of an earlier pod of the same name',
    'p4',
    () => putPod('p4', { uid: 'new' }),
    tokenOf('p4', 'old'),
    {},
    401,
    'Unauthenticated',
  ],
  [
    'that is older than the opt-in',
    'p5',
    () => putPod('p5', { created: '2020-01-01T00:00:00Z' }),
    tokenOf('p5'),
    {},
    403,
    'PodNotGoverned',
  ],
  ['that was not injected', 'p6', () => putPod('p6', { injected: false }), tokenOf('p6'), {}, 403, 'PodNotInjected'],
  ['of another protocol', 'p7', () => putPod('p7'), tokenOf('p7'), { protocol: 2 }, 400, 'ProtocolUnsupported'],
  [
    'with a proof of another key',
    'p8',
    () => putPod('p8'),
    tokenOf('p8'),
    { nkeyProof: Buffer.alloc(64).toString('base64') },
    403,
    'NkeyMismatch',
  ],
  ['with a key that is none', 'p9', () => putPod('p9'), tokenOf('p9'), { nkey: 'U' }, 400, 'Malformed'],
])('a sidecar %s is refused', async (_name, pod, prepare, token, mods, status, code) => {
  prepare();
  const body = enrolment(token ?? '', generateSigner(), mods);
  // The informer may be a moment behind; what the answer settles on is what counts.
  await eventually(async () => expect(await call('POST', '/v1/enrol', token, body)).toMatchObject({ status, body: { code } }));
  expect(pod).toBeTruthy();
});

test('a body that is too large, a path that is none and a stream before enrolment are refused', async () => {
  putPod('late');
  const big = { observations: 'x'.repeat(70_000) };
  await eventually(async () => expect((await call('POST', '/v1/ack', tokenOf('late'), { revision: 'x' })).status).toBe(409));
  expect((await call('POST', '/v1/report', tokenOf('late'), big)).status).toBe(413);
  expect((await call('GET', '/v1/other', tokenOf('late'))).status).toBe(400);
  expect(await call('GET', '/v1/stream', tokenOf('late'))).toMatchObject({ status: 409, body: { code: 'NotEnrolled' } });
});

test('a namespace that is governed no more ends its streams', async () => {
  putPod('leaving');
  await eventually(async () => {
    const nkey = generateSigner();
    const answer = await call('POST', '/v1/enrol', tokenOf('leaving'), enrolment(tokenOf('leaving'), nkey));
    expect(answer.status).toBe(200);
  });
  const stream = await openStream(tokenOf('leaving'));
  const { metadata } = get<{ metadata: object }>(KINDS.namespaces, { name: AGENTS });
  api.put(KINDS.namespaces, { metadata: { ...metadata, labels: {} } });
  await eventually(() => expect(stream.ended()).toBe(true));
});

test('no password and no key was ever sent to the API server or into an error', () => {
  const written = api.asked.filter(({ method }) => method !== 'GET').map(({ body }) => JSON.stringify(body));
  const keyLine = clientKey.split('\n')[1] ?? '';
  expect(keyLine.length).toBeGreaterThan(40);
  for (const secret of [PASSWORD, keyLine]) {
    expect(written.join('')).not.toContain(secret);
    expect(JSON.stringify(errors.map(String))).not.toContain(secret);
  }
});
