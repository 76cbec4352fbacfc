import type { AccessRequest, ApprovalDecision, DecisionSpec } from '@chaperone/api';
import { generateSigner } from '@chaperone/evidence';
import { KINDS, type KubeObject } from '@chaperone/kube';
import { type Question, RequestView, type StreamLine } from '@chaperone/policy';
import { expect } from 'vitest';
import { parseConfig } from '../config.ts';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
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

export const RESOURCE = { namespace: 'data', name: 'orders-db' };
export const POLICY = { namespace: AGENTS, name: 'support' };
export const nameOf = (number: number): string =>
  `ar-${number.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(16, 'a')}`;

/** An API server that writes no status. */
export const refusesStatus: NonNullable<FakeApiServer['intercept']> = (entry, response, request) => {
  if (entry.method !== 'PUT' || !entry.url.pathname.endsWith('/status')) return reviewsTokens(entry, response, request);
  response.writeHead(500, { 'content-type': 'application/json' }).end('{}');
  return true;
};

/** What a stream said of one request, in order. */
export const told = ({ lines }: OpenStream, name: string): RequestView[] =>
  lines.flatMap((line: StreamLine) => (line.type === 'request' && line.request.name === name ? [line.request] : []));
const rule = (name: string, approval: object): object => ({
  name,
  effect: 'RequireApproval',
  resource: RESOURCE,
  sql: { statements: ['update'], relations: [`public.${name}`] },
  approval: { approvers: { groups: ['dba'] }, ...approval },
});

/** Two pods of one agent; the first is asked for where none is named. */
export interface Agents {
  readonly me: string;
  readonly other: string;
  /** What the first is told. */
  readonly bot: OpenStream;
}

/** A whole operator over a fake API server, with sidecars that ask it and people who decide. */
export function askingCluster() {
  const nkeys = new Map<string, ReturnType<typeof generateSigner>>();
  let api: FakeApiServer;
  let operator: Operator;
  let metrics: Metrics;
  let me = '';
  let count = 0;

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
          rule('often', { timeout: '5m', maxGrant: '30m' }),
          rule('proven', { assurance: 'signed', timeout: '5m' }),
          { name: 'read', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select'], relations: ['public.fix'] } },
        ],
        ...mods,
      },
    });

  async function start(pod = 'operator-0'): Promise<void> {
    metrics = createMetrics();
    operator = await startOperator({
      kube: api.kube,
      config: parseConfig({ ...ENVIRONMENT, POD_NAME: pod, POD_UID: pod }),
      metrics,
      natsCa: undefined,
      onError: () => undefined,
    });
  }
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

  async function open(): Promise<FakeApiServer> {
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
    await start();
    await eventually(() => expect(api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' })).toBeDefined());
    await eventually(() => expect(api.get(KINDS.injectionProfiles, { name: 'default' })).toBeDefined());
    return api;
  }

  /** New pods: how often one asks is bounded. */
  async function renew(): Promise<Agents> {
    count += 1;
    me = `bot-${count}`;
    const other = `other-${count}`;
    for (const pod of [me, other]) putAgentPod(api, pod);
    for (const pod of [me, other]) await enrol(pod);
    return { me, other, bot: await connect(me) };
  }

  return {
    open,
    start,
    stop: () => operator.stop(),
    close: async () => {
      await operator.stop();
      await api.close();
    },
    renew,
    metrics: () => metrics.registry.metrics(),
    putPolicy,
    call,
    server: () => operator.servers.sidecars,
    ca,
    requestAt,
    stateOf,
    decisionAt,
    enrol,
    connect,
    question,
    ask,
    decide,
    release,
    approved,
  };
}
