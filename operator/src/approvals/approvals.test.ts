import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessRequest, ApprovalDecision, DecisionSpec } from '@chaperone/api';
import { generateSigner } from '@chaperone/evidence';
import { type Question, RequestView, type StreamLine } from '@chaperone/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../config.ts';
import { eventually, type FakeApiServer, startFakeApiServer } from '../kube/fake-api-server.test-support.ts';
import { KINDS, type KubeObject } from '../kube/objects.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
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
} from '../operator.test-support.ts';
import { type Operator, startOperator } from '../operator.ts';

/** A whole operator over a fake API server, with sidecars that ask it. */
const RESOURCE = { namespace: 'data', name: 'orders-db' };
const POLICY = { namespace: AGENTS, name: 'support' };
const nkeys = new Map<string, ReturnType<typeof generateSigner>>();
let api: FakeApiServer;
let operator: Operator;
let metrics: Metrics;
/** Two pods of one agent, new for each test: how often one asks is bounded. */
let me = '';
let other = '';
let bot: OpenStream;
let count = 0;

const rule = (name: string, approval: object): object => ({
  name,
  effect: 'RequireApproval',
  resource: RESOURCE,
  sql: { statements: ['update'], relations: [`public.${name}`] },
  approval: { approvers: { groups: ['dba'] }, ...approval },
});
const putPolicy = (mods: object = {}): KubeObject =>
  api.put(KINDS.accessPolicies, {
    metadata: POLICY,
    spec: {
      agents: { serviceAccounts: ['support'] },
      purpose: 'answer tickets',
      rules: [
        rule('fix', { timeout: '5m' }),
        rule('careful', { minimum: 2, timeout: '5m' }),
        rule('quick', { timeout: '1s' }),
        rule('later', { mode: 'retry', timeout: '5m' }),
        { name: 'read', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select'], relations: ['public.fix'] } },
      ],
      ...mods,
    },
  });

const start = (pod = 'operator-0'): Promise<Operator> => {
  metrics = createMetrics();
  return startOperator({
    kube: api.kube,
    config: parseConfig({ ...ENVIRONMENT, POD_NAME: pod, POD_UID: pod }),
    metrics,
    natsCa: undefined,
    onError: () => undefined,
  });
};
const ca = (): string => {
  const published = api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' });
  return (published?.data as Record<string, string> | undefined)?.['ca.crt'] ?? '';
};
const call = (method: string, path: string, pod: string, body?: unknown): Promise<Answer> =>
  answerTo({ server: operator.servers.sidecars, ca: ca(), method, path, token: tokenOf(pod), body });
const requestAt = (name: string): AccessRequest =>
  api.get(KINDS.accessRequests, { namespace: AGENTS, name }) as unknown as AccessRequest;
const stateOf = (name: string): string | undefined => requestAt(name).status?.state;
const decisionAt = (name: string): ApprovalDecision =>
  api.get(KINDS.approvalDecisions, { namespace: AGENTS, name }) as unknown as ApprovalDecision;
const told = ({ lines }: OpenStream, name: string): RequestView[] =>
  lines.flatMap((line: StreamLine) => (line.type === 'request' && line.request.name === name ? [line.request] : []));

/** A pod that is enrolled, as its sidecar sees it. Again, it enrols with the key that it has. */
async function enrol(pod: string): Promise<void> {
  const nkey = nkeys.get(pod) ?? generateSigner();
  nkeys.set(pod, nkey);
  await eventually(async () => {
    const { status, body } = await call('POST', '/v1/enrol', pod, enrolment(tokenOf(pod), nkey));
    expect(status).toBe(200);
    expect((body as { snapshot: { resources: unknown[] } }).snapshot.resources).toHaveLength(1);
  });
}
const connect = (pod: string): Promise<OpenStream> =>
  streamOf({ server: operator.servers.sidecars, ca: ca(), token: tokenOf(pod) });

const nameOf = (number: number): string => `ar-${number.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(16, 'a')}`;
function question(mods: Partial<Question> & { rule?: string } = {}): Question {
  count += 1;
  const { rule: asked = 'fix', ...rest } = mods;
  return {
    name: nameOf(count),
    session: `s-${'a'.repeat(16)}`,
    action: 1,
    resource: RESOURCE,
    protocol: 'postgres',
    asks: [{ policy: POLICY, rule: asked }],
    sentence: `UPDATE on public.${asked}`,
    effects: [{ verb: 'update', object: `public.${asked}`, via: 'direct', verdict: 'approve', rule: asked }],
    text: 'update t set a = $1',
    textBytes: 19,
    transaction: false,
    digest: count.toString(16).padStart(64, '0'),
    ...rest,
  };
}
async function ask(asked: Question, pod = me): Promise<RequestView> {
  const { status, body } = await call('POST', '/v1/ask', pod, asked);
  expect({ status, body }).toMatchObject({ status: 200 });
  return RequestView.parse(body);
}
/** What a person does with kubectl, once admission has taken it. */
function decide(of: string, spec: Partial<DecisionSpec> = {}): string {
  count += 1;
  const { metadata, spec: asked } = requestAt(of);
  const name = `${of}-${count}`;
  api.put(KINDS.approvalDecisions, {
    metadata: { namespace: AGENTS, name },
    spec: {
      request: of,
      requestUid: metadata.uid,
      digest: asked.digest,
      decision: 'Approve',
      by: 'jane',
      groups: ['dba'],
      ...spec,
    },
  });
  return name;
}
const release = (asked: Question, pod = me): Promise<Answer> =>
  call('POST', '/v1/release', pod, { name: asked.name, digest: asked.digest });
async function approved(mods: Parameters<typeof question>[0] = {}, pod = me): Promise<Question> {
  const asked = question(mods);
  await ask(asked, pod);
  decide(asked.name);
  await eventually(() => expect(stateOf(asked.name)).toBe('Approved'));
  return asked;
}

/** An API server that writes no status. */
const refusesStatus: NonNullable<FakeApiServer['intercept']> = (entry, response, request) => {
  if (entry.method !== 'PUT' || !entry.url.pathname.endsWith('/status')) return reviewsTokens(entry, response, request);
  response.writeHead(500, { 'content-type': 'application/json' }).end('{}');
  return true;
};

beforeAll(async () => {
  api = await startFakeApiServer();
  api.intercept = reviewsTokens;
  putCluster(api);
  api.put(KINDS.secrets, {
    metadata: { namespace: 'data', name: 'orders-db-agent', annotations: { 'chaperone.dev/upstream': 'orders.data.svc:5432' } },
    data: { username: Buffer.from('agent').toString('base64'), password: Buffer.from('x').toString('base64') },
  });
  api.put(KINDS.protectedResources, {
    metadata: RESOURCE,
    spec: {
      protocol: 'postgres',
      hosts: ['orders.data.svc'],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432', tls: { mode: 'verify-full' } },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      postgres: { database: 'orders' },
      grantedTo: [{ namespace: AGENTS, statements: ['select', 'update'] }],
    },
  });
  putPolicy();
  operator = await start();
  await eventually(() => expect(api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' })).toBeDefined());
  await eventually(() => expect(api.get(KINDS.injectionProfiles, { name: 'default' })).toBeDefined());
});
beforeEach(async () => {
  count += 1;
  [me, other] = [`bot-${count}`, `other-${count}`];
  for (const pod of [me, other]) putAgentPod(api, pod);
  for (const pod of [me, other]) await enrol(pod);
  bot = await connect(me);
});
afterEach(() => {
  api.intercept = reviewsTokens;
});
afterAll(async () => {
  await operator.stop();
  await api.close();
});

describe('a question', () => {
  test('becomes a request of the pod whose token came with it', async () => {
    const asked = question();
    const view = await ask(asked);
    expect(view).toMatchObject({ name: asked.name, digest: asked.digest, state: 'Pending', mode: 'hold', timeoutMs: 300_000 });
    expect(requestAt(asked.name)).toMatchObject({
      metadata: {
        namespace: AGENTS,
        labels: { 'chaperone.dev/pod-uid': `${me}-uid`, 'chaperone.dev/digest': asked.digest.slice(0, 63) },
      },
      spec: {
        agent: { serviceAccount: 'support', pod: me, podUid: `${me}-uid`, purpose: 'answer tickets' },
        rules: [{ policy: POLICY, rule: 'fix', groups: ['dba'], minimum: 1 }],
      },
      status: {
        state: 'Pending',
        votes: '0/1',
        conditions: [
          { type: 'Decided', status: 'False', reason: 'Pending' },
          { type: 'Executed', status: 'False', reason: 'Pending' },
        ],
      },
    });
    expect(requestAt(asked.name).metadata.ownerReferences).toBeUndefined();
    await eventually(() => expect(told(bot, asked.name).at(-1)?.state).toBe('Pending'));
  });

  test('again, by its name or by what it is about, is the same request', async () => {
    const asked = question();
    await ask(asked);
    expect((await ask(asked)).name).toBe(asked.name);
    expect(requestAt(asked.name).status?.asked).toBeUndefined();
    expect((await ask(question({ digest: asked.digest }))).name).toBe(asked.name);
    expect(requestAt(asked.name).status?.asked).toBe(2);
  });

  test('twice at once about the same is one request', async () => {
    const { digest } = question();
    const views = await Promise.all([1, 2, 3].map(() => ask(question({ digest }), other)));
    expect(new Set(views.map(({ name }) => name)).size).toBe(1);
    await call('POST', '/v1/ended', other, { name: views[0]?.name, state: 'Withdrawn' });
  });

  test.each<[string, () => Promise<object>]>([
    [
      'under the name of another pod’s request',
      async () => {
        const asked = question();
        await ask(asked, other);
        return asked;
      },
    ],
    [
      'under a name that stands for another action',
      async () => {
        const asked = question();
        await ask(asked);
        return question({ name: asked.name });
      },
    ],
    ['by a rule that asks for no approval', () => Promise.resolve(question({ rule: 'read' }))],
    ['by a rule that there is not', () => Promise.resolve(question({ rule: 'none' }))],
    ['about a resource that it was not granted', () => Promise.resolve(question({ resource: { ...RESOURCE, name: 'hr-db' } }))],
    ['of something that is no line for people', () => Promise.resolve(question({ protocol: 'postgres\n' }))],
  ])('%s is refused', async (_name, prepare) => {
    const asked = await prepare();
    expect(await call('POST', '/v1/ask', me, asked)).toMatchObject({ status: 409, body: { code: 'ApprovalUnavailable' } });
  });

  test('of another pod is known to nobody else', async () => {
    const asked = await approved({}, other);
    expect(await release(asked)).toMatchObject({ status: 404, body: { code: 'RequestUnknown' } });
    const end = { name: asked.name, state: 'Withdrawn' };
    expect(await call('POST', '/v1/ended', me, end)).toMatchObject({ status: 404, body: { code: 'RequestUnknown' } });
    expect(stateOf(asked.name)).toBe('Approved');
    expect(told(bot, asked.name)).toEqual([]);
  });

  test('before enrolment, or without a token, is refused', async () => {
    putAgentPod(api, 'new');
    await eventually(async () =>
      expect(await call('POST', '/v1/ask', 'new', question())).toMatchObject({ status: 409, body: { code: 'NotEnrolled' } }),
    );
    expect(await call('POST', '/v1/ask', 'nobody', question())).toMatchObject({ status: 401 });
    expect(await call('POST', '/v1/ask', me, { name: 'ar-1' })).toMatchObject({ status: 400, body: { code: 'Malformed' } });
  });

  test('is not asked of people without end', async () => {
    putAgentPod(api, 'flood');
    await enrol('flood');
    const answers: Answer[] = [];
    for (let i = 0; i < 12; i += 1) answers.push(await call('POST', '/v1/ask', 'flood', question()));
    expect(answers.map(({ status }) => status)).toEqual([...Array.from({ length: 10 }, () => 200), 409, 409]);
    expect(answers.at(-1)?.body).toMatchObject({
      code: 'ApprovalUnavailable',
      message: expect.stringContaining('10 times') as string,
    });
    // What people have in front of them already is theirs to answer.
    const known = (answers[0]?.body as RequestView | undefined)?.name ?? '';
    const { digest } = requestAt(known).spec;
    expect(await call('POST', '/v1/ask', 'flood', question({ digest }))).toMatchObject({ status: 200, body: { name: known } });
    for (let i = 0; i < 150; i += 1) answers.push(await call('POST', '/v1/ask', 'flood', question({ digest })));
    expect(answers.at(-1)).toMatchObject({ status: 503, body: { code: 'Busy' } });
  });

  test('finds nobody while the API server takes no request', async () => {
    api.intercept = (entry, response, request) => {
      if (entry.method === 'GET' || !entry.url.pathname.includes('/accessrequests'))
        return reviewsTokens(entry, response, request);
      response.writeHead(403, { 'content-type': 'application/json' }).end('{}');
      return true;
    };
    const asked = question();
    expect(await call('POST', '/v1/ask', me, asked)).toMatchObject({ status: 503, body: { code: 'Unavailable' } });
    expect(requestAt(asked.name)).toBeUndefined();
  });

  test('whose status cannot be written is not approved, and is the same request later', async () => {
    api.intercept = refusesStatus;
    const asked = question();
    expect(await call('POST', '/v1/ask', me, asked)).toMatchObject({ status: 503 });
    decide(asked.name);
    await sleep(100);
    expect(requestAt(asked.name).status).toBeUndefined();
    expect(await release(asked)).toMatchObject({ status: 503, body: { code: 'Unavailable' } });
    api.intercept = reviewsTokens;
    await eventually(() => expect(stateOf(asked.name)).toBe('Approved'));
    expect((await ask(asked)).state).toBe('Approved');
  });
});

describe('a decision', () => {
  test('of somebody whom the rule asks reaches the pod within 100 ms, and says that it counts', async () => {
    const took: number[] = [];
    // Of several, the fastest: other programs have a part in the rest.
    for (const _ of [1, 2, 3]) {
      const asked = question();
      await ask(asked);
      await eventually(() => expect(told(bot, asked.name)).not.toEqual([]));
      const since = performance.now();
      const name = decide(asked.name, { reason: 'ticket 5' });
      await eventually(() => expect(told(bot, asked.name).at(-1)?.state).toBe('Approved'));
      took.push(performance.now() - since);
      expect(told(bot, asked.name).at(-1)?.decisions).toMatchObject([{ by: 'jane', decision: 'Approve', reason: 'ticket 5' }]);
      await eventually(() => expect(decisionAt(name).status).toEqual({ counted: true }));
      expect(requestAt(asked.name).status).toMatchObject({ state: 'Approved', votes: '1/1' });
    }
    expect(Math.min(...took)).toBeLessThan(100);
    expect(await metrics.registry.metrics()).toMatch(/chaperone_access_requests_total\{outcome="Approved"\} [1-9]/);
  });

  test('to deny ends it, with the reason that the agent reads', async () => {
    const asked = question();
    await ask(asked);
    decide(asked.name, { decision: 'Deny', reason: 'not today' });
    await eventually(() => expect(told(bot, asked.name).at(-1)?.state).toBe('Denied'));
    expect(told(bot, asked.name).at(-1)?.decisions).toMatchObject([{ decision: 'Deny', reason: 'not today' }]);
    const late = decide(asked.name, { by: 'ann' });
    await eventually(() => expect(decisionAt(late).status).toEqual({ counted: false, why: 'it was over already: Denied' }));
    expect((await release(asked)).body).toMatchObject({ state: 'Denied' });
  });

  test('of one person twice is not that of two', async () => {
    const asked = question({ rule: 'careful' });
    await ask(asked);
    for (const _ of [1, 2]) decide(asked.name);
    await eventually(() => expect(requestAt(asked.name).status).toMatchObject({ state: 'Pending', votes: '1/2' }));
    expect((await release(asked)).body).toMatchObject({ state: 'Pending' });
    decide(asked.name, { by: 'ann' });
    await eventually(() => expect(requestAt(asked.name).status).toMatchObject({ state: 'Approved', votes: '2/2' }));
  });

  test.each<[string, Partial<DecisionSpec>, string]>([
    ['by somebody whom the rule does not ask', { by: 'eve', groups: ['sales'] }, 'the rule does not ask this person'],
    ['with another digest', { digest: 'f'.repeat(64) }, 'it names another digest than what was asked for'],
    ['on an earlier request of that name', { requestUid: 'old' }, 'it is about another request of this name'],
    ['by the agent itself', { by: `system:serviceaccount:${AGENTS}:support` }, 'nobody decides on a request of their own'],
  ])('%s does not count, and says why', async (_name, spec, why) => {
    const asked = question();
    await ask(asked, other);
    const name = decide(asked.name, spec);
    await eventually(() => expect(decisionAt(name).status).toEqual({ counted: false, why }));
    expect(requestAt(asked.name).status).toMatchObject({ state: 'Pending', votes: '0/1' });
    expect((await release(asked, other)).body).toMatchObject({ state: 'Pending' });
    await call('POST', '/v1/ended', other, { name: asked.name, state: 'Withdrawn' });
  });

  test('on what is not there says so', async () => {
    const name = nameOf(0);
    api.put(KINDS.approvalDecisions, {
      metadata: { namespace: AGENTS, name, creationTimestamp: new Date(Date.now() - 60_000).toISOString() },
      spec: { request: name, requestUid: 'none', digest: 'f'.repeat(64), decision: 'Approve', by: 'jane' },
    });
    await eventually(() => expect(decisionAt(name).status).toMatchObject({ counted: false }));
  });
});

describe('a request', () => {
  test('that nobody decided expires in time, and cannot be approved any more', async () => {
    const asked = question({ rule: 'quick' });
    await ask(asked);
    expect(stateOf(asked.name)).toBe('Pending');
    await eventually(() => expect(told(bot, asked.name).at(-1)?.state).toBe('Expired'));
    expect(Date.now()).toBeGreaterThan(Date.parse(requestAt(asked.name).spec.expiresAt));
    decide(asked.name);
    await sleep(50);
    expect((await release(asked)).body).toMatchObject({ state: 'Expired' });
  });

  test('that was approved and not used in time expires too', async () => {
    const asked = await approved({ rule: 'quick' });
    await eventually(() => expect(stateOf(asked.name)).toBe('Expired'));
    expect((await release(asked)).body).toMatchObject({ state: 'Expired' });
  });

  test('that does not wait answers the same action with its denial, until it expires', async () => {
    const asked = question({ rule: 'later' });
    expect(await ask(asked)).toMatchObject({ state: 'Pending', mode: 'retry' });
    decide(asked.name, { decision: 'Deny' });
    await eventually(() => expect(stateOf(asked.name)).toBe('Denied'));
    expect(await ask(question({ rule: 'later', digest: asked.digest }))).toMatchObject({ name: asked.name, state: 'Denied' });
  });

  test('is released once, however often and at once that is asked', async () => {
    const asked = await approved();
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => release(asked)));
    const states = answers.map(({ body }) => (body as RequestView).state);
    expect(states.toSorted()).toEqual(['Released', 'Voided', 'Voided', 'Voided', 'Voided']);
    expect(stateOf(asked.name)).toBe('Released');
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
    const end = { name: asked.name, state: 'Ran', result: 'UPDATE 1' };
    expect((await call('POST', '/v1/ended', me, end)).status).toBe(204);
    expect(requestAt(asked.name).status).toMatchObject({
      state: 'Ran',
      result: 'UPDATE 1',
      conditions: [
        { type: 'Decided', status: 'True' },
        { type: 'Executed', status: 'True', message: 'it ran: UPDATE 1' },
      ],
    });
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
  });

  test('never ran because its pod says so: it was not released', async () => {
    const asked = await approved();
    expect((await call('POST', '/v1/ended', me, { name: asked.name, state: 'Ran' })).status).toBe(204);
    expect(stateOf(asked.name)).toBe('Approved');
  });

  test('is voided by a release that is for something else', async () => {
    const asked = await approved();
    const changed = { ...asked, digest: 'e'.repeat(64) };
    expect((await release(changed)).body).toMatchObject({ state: 'Voided' });
    expect(stateOf(asked.name)).toBe('Voided');
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
  });

  test('is not released over a Deny that no informer has brought yet', async () => {
    const asked = await approved();
    const deny = {
      request: asked.name,
      requestUid: requestAt(asked.name).metadata.uid,
      digest: asked.digest,
      decision: 'Deny',
      by: 'ann',
      groups: ['dba'],
    };
    // Lists show it, watches do not.
    api.intercept = (entry, response, request) => {
      if (!entry.url.pathname.endsWith('/approvaldecisions')) return reviewsTokens(entry, response, request);
      const metadata = { namespace: AGENTS, name: 'unseen', creationTimestamp: new Date().toISOString() };
      const item = { apiVersion: 'chaperone.dev/v1alpha1', kind: 'ApprovalDecision', metadata, spec: deny };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [item] }));
      return true;
    };
    expect((await release(asked)).body).toMatchObject({ state: 'Denied' });
    expect(stateOf(asked.name)).toBe('Denied');
  });

  test('whose release could not be written down does not run', async () => {
    const asked = await approved();
    api.intercept = refusesStatus;
    expect(await release(asked)).toMatchObject({ status: 503, body: { code: 'Unavailable' } });
    expect(stateOf(asked.name)).toBe('Approved');
  });

  test('is voided as soon as its policy is another, or gone', async () => {
    const changed = await approved();
    putPolicy({ purpose: 'answer tickets, better' });
    await eventually(() => expect(told(bot, changed.name).at(-1)?.state).toBe('Voided'));
    expect((await release(changed)).body).toMatchObject({ state: 'Voided' });
    const current = await eventuallyAsked();
    api.remove(KINDS.accessPolicies, POLICY);
    await eventually(() => expect(told(bot, current.name).at(-1)?.state).toBe('Voided'));
    putPolicy();
    await ask(await eventuallyAsked());
  });

  test('is withdrawn with its pod, and with a pod that ended', async () => {
    putAgentPod(api, 'brief');
    await enrol('brief');
    const [first, second] = [question(), question()];
    await ask(first, 'brief');
    await ask(second, 'brief');
    decide(second.name);
    await eventually(() => expect(stateOf(second.name)).toBe('Approved'));
    api.remove(KINDS.pods, { namespace: AGENTS, name: 'brief' });
    await eventually(() => expect([stateOf(first.name), stateOf(second.name)]).toEqual(['Withdrawn', 'Withdrawn']));
  });

  test('is told to every stream of its pod that begins, until it is over', async () => {
    const [open, over] = [question(), question()];
    await ask(open, other);
    await ask(over, other);
    await call('POST', '/v1/ended', other, { name: over.name, state: 'Withdrawn' });
    await eventually(() => expect(stateOf(over.name)).toBe('Withdrawn'));
    await sleep(50);
    const stream = await connect(other);
    await eventually(() => expect(told(stream, open.name)).toMatchObject([{ state: 'Pending' }]));
    expect(told(stream, over.name)).toEqual([]);
    await call('POST', '/v1/ended', other, { name: open.name, state: 'Withdrawn' });
  });

  test('waits on under another operator, which releases what the first has approved, once', async () => {
    const pending = question();
    await ask(pending, other);
    const done = await approved({}, other);
    const used = await approved({}, other);
    expect((await release(used, other)).body).toMatchObject({ state: 'Released' });
    await operator.stop();
    decide(pending.name);
    operator = await start('operator-1');
    await eventually(async () =>
      expect((await call('POST', '/v1/ask', other, pending)).body).toMatchObject({ code: 'NotEnrolled' }),
    );
    await enrol(other);
    const stream = await connect(other);
    await eventually(() => expect(told(stream, pending.name).at(-1)?.state).toBe('Approved'));
    expect(await ask(pending, other)).toMatchObject({ name: pending.name, state: 'Approved' });
    expect((await release(done, other)).body).toMatchObject({ state: 'Released' });
    expect((await release(used, other)).body).toMatchObject({ state: 'Voided' });
    expect((await release(pending, other)).body).toMatchObject({ state: 'Released' });
  });
});

/** A request under the policy in force: the pod is given it a moment after the policy changed. */
async function eventuallyAsked(): Promise<Question> {
  const asked = question();
  await eventually(async () => {
    const fresh = question({ digest: asked.digest });
    const { status, body } = await call('POST', '/v1/ask', me, fresh);
    expect(status).toBe(200);
    Object.assign(asked, { name: (body as RequestView).name });
    await sleep(60);
    expect(stateOf(asked.name)).toBe('Pending');
  });
  return asked;
}
