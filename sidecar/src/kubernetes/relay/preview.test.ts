import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { AccessRequest } from '@chaperone/api';
import { eventually, testAuthority, type ApiServer, hasApiServer, startApiServer } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';

const RULES: Spec['rules'] = [
  { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get', 'list'], resources: ['**'] } },
  {
    name: 'asked',
    effect: 'RequireApproval',
    approval: { approvers: { groups: ['sre'] }, timeout: '60s' } as never,
    kubernetes: { verbs: ['create', 'update', 'patch', 'delete', 'deletecollection'], resources: ['**'] },
  },
];
const MAPS = '/api/v1/namespaces/shop/configmaps';
const SECRETS = '/api/v1/namespaces/shop/secrets';
const APPLY = 'application/apply-patch+yaml';
const MERGE = 'application/merge-patch+json';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

interface Asking {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly type?: string;
}

/** Asks, whoever answers. */
async function send(
  at: { readonly port: number; readonly ca: string; readonly token?: string },
  { method, path, body, type = 'application/json' }: Asking,
  signal?: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  const request = httpsRequest({
    host: '127.0.0.1',
    port: at.port,
    ca: at.ca,
    method,
    path,
    agent: false,
    signal,
    headers: {
      ...(at.token !== undefined && { authorization: `Bearer ${at.token}` }),
      ...(body !== undefined && { 'content-type': type }),
    },
  });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
  return { status: response.statusCode ?? 0, text };
}

interface Seen {
  readonly request: AccessRequest;
  /** What approvers see beside it. */
  readonly change: readonly string[] | undefined;
}

/** Has the agent ask, tells what people see of it, and lets the agent leave: nothing runs. */
async function seen(governed: Governed, asking: Asking): Promise<Seen> {
  const leaving = new AbortController();
  const before = new Set(governed.desk.list().map(({ metadata }) => metadata.name));
  const answered = send(governed, asking, leaving.signal).catch(() => undefined);
  try {
    return await eventually(
      'what it would do',
      () => {
        const request = governed.desk.list().find(({ metadata, status }) => !before.has(metadata.name) && status?.preview);
        return request && { request, change: governed.desk.contentOf(request.metadata.name)?.change };
      },
      10_000,
    );
  } finally {
    leaving.abort();
    await answered;
  }
}

const map = (name: string, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...more },
});

describe.skipIf(!hasApiServer)('before people approve a write to an API server, it', () => {
  let api: ApiServer;
  let governed: Governed;
  let direct: (asking: Asking) => Promise<string>;

  beforeAll(async () => {
    api = await startApiServer();
    const owner = { port: Number(api.address.split(':')[1]), ca: api.ca, token: api.token };
    direct = async (asking) => {
      const { status, text } = await send(owner, asking);
      if (status >= 300) throw new Error(text);
      return text;
    };
    governed = await start();
    await direct({
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    });
    const labels = { app: 'web' };
    const owners = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'parent', uid: 'f0e9', controller: true }];
    const data = { a: '1', mail: 'ann@example.com' };
    await direct({ method: 'POST', path: MAPS, body: { ...map('kept', { labels, ownerReferences: owners }), data } });
    await direct({
      method: 'POST',
      path: SECRETS,
      body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, data: { password: base64('hunter2') } },
    });
    for (let at = 0; at < 7; at++)
      await direct({ method: 'POST', path: MAPS, body: map(`batch-${at}`, { labels: { app: 'batch' } }) });
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await api?.[Symbol.asyncDispose]();
  });

  const start = (mods: Partial<Spec> = {}): Promise<Governed> =>
    startGoverned({ upstream: api.address, ca: api.ca, credential: { token: api.token }, rules: RULES, ...mods });

  it.each<[what: string, asking: Asking, lines: readonly (string | RegExp)[], hidden: readonly string[]]>([
    [
      'shows what a patch changes, and nothing else',
      { method: 'PATCH', path: `${MAPS}/kept`, body: { data: { a: '2', mail: 'bob@example.com' } }, type: MERGE },
      ['  data:', '-   a: "1"', '+   a: "2"', '-   mail: "*****"', '+   mail: "*****" (changed)'],
      ['ann@', 'bob@', 'resourceVersion', 'managedFields', 'app: web'],
    ],
    [
      'says of a patch that changes nothing that it does',
      { method: 'PATCH', path: `${MAPS}/kept`, body: { data: { a: '1' } }, type: MERGE },
      ['  (nothing that is shown changes)'],
      ['data:'],
    ],
    [
      'shows that a Secret changes, and neither value',
      { method: 'PATCH', path: `${SECRETS}/db`, body: { data: { password: base64('hunter3') } }, type: MERGE },
      ['  data:', /^- {3}password: /, /^\+ {3}password: .* \(changed\)$/],
      [base64('hunter2'), base64('hunter3')],
    ],
    [
      'shows what is created, as the server would store it',
      { method: 'POST', path: MAPS, body: { ...map('new'), data: { a: '1' } } },
      ['+ kind: ConfigMap', '+   name: new', '+   namespace: shop', '+   a: "1"'],
      ['uid', 'managedFields'],
    ],
    [
      'shows what server-side apply makes where there is nothing',
      {
        method: 'PATCH',
        path: `${MAPS}/applied?fieldManager=me&force=true`,
        body: { ...map('applied'), data: { b: '2' } },
        type: APPLY,
      },
      ['+   name: applied', '+   b: "2"'],
      [],
    ],
    [
      'tells what is deleted, and whose, without what is in it',
      { method: 'DELETE', path: `${MAPS}/kept` },
      ['- kind: ConfigMap', '-   name: kept', '-     app: web', '-   ownerReferences:', /^- .*name: parent$/],
      ['mail', 'a: "1"'],
    ],
  ])('%s', async (_, asking, lines, hidden) => {
    const { request, change = [] } = await seen(governed, asking);
    expect(request.status?.preview).toEqual({});
    for (const line of lines) expect(change).toContainEqual(typeof line === 'string' ? line : expect.stringMatching(line));
    expect(hidden.filter((word) => change.join('\n').includes(word))).toEqual([]);
  });

  it('counts what one request deletes, and names five of them', async () => {
    const { request, change } = await seen(governed, { method: 'DELETE', path: `${MAPS}?labelSelector=app%3Dbatch` });
    expect(request.status?.preview).toEqual({ count: 7 });
    expect(change).toEqual([...[0, 1, 2, 3, 4].map((at) => `- configmaps batch-${at}`), '  … 2 more']);
  });

  it('changes nothing, whatever was looked at', async () => {
    const { items } = JSON.parse(await direct({ method: 'GET', path: MAPS })) as {
      items: { metadata: { name: string }; data?: Record<string, string> }[];
    };
    expect(items.map(({ metadata }) => metadata.name)).toEqual([...[0, 1, 2, 3, 4, 5, 6].map((at) => `batch-${at}`), 'kept']);
    expect(items.at(-1)?.data).toEqual({ a: '1', mail: 'ann@example.com' });
  });

  it('is kept by evidence with what people said, as they saw it', async () => {
    const asking = { method: 'PATCH', path: `${MAPS}/kept`, body: { data: { a: '3' } }, type: MERGE };
    await using own = await start();
    const answered = send(own, asking);
    const request = await eventually('its request', () => own.desk.list().find(({ status }) => status?.preview));
    own.desk.decide({
      request: request.metadata.name,
      requestUid: request.metadata.uid ?? '',
      digest: request.spec.digest,
      decision: 'Approve',
      by: 'jane@corp',
      groups: ['sre'],
    });
    expect((await answered).status).toBe(200);
    expect(own.of('approval')).toMatchObject([{ state: 'Released', change: ['  data:', '-   a: "1"', '+   a: "3"'] }]);
    expect(await direct({ method: 'GET', path: `${MAPS}/kept` })).toContain('"a":"3"');
  });

  it.each<[what: string, asking: Asking, why: RegExp]>([
    [
      'a write that the server would refuse, with its words',
      { method: 'PUT', path: `${MAPS}/kept`, body: map('kept', { resourceVersion: '1' }) },
      /^the API server refuses it \(409\): Operation cannot be fulfilled on configmaps/,
    ],
    [
      'what is not there',
      { method: 'DELETE', path: `${MAPS}/nothing` },
      /^the API server refuses to show it \(404\): configmaps "nothing" not found$/,
    ],
    [
      'a kind of which it is not known that a dry run is one',
      { method: 'DELETE', path: '/apis/example.com/v1/namespaces/shop/widgets/a' },
      /^a dry run is safe of built-in kinds alone$/,
    ],
  ])('is not tried, and people are told why: %s', async (_, asking, why) => {
    await using own = await start();
    const { request, change } = await seen(own, asking);
    expect(request.status?.preview).toEqual({ why: expect.stringMatching(why) });
    expect(change).toBeUndefined();
  });

  it('is tried also where the agent is to come again, and its connection is gone', async () => {
    const rules = RULES.map((rule) =>
      rule.effect === 'Allow' ? rule : { ...rule, approval: { approvers: { groups: ['sre'] }, mode: 'retry' } as never },
    );
    await using own = await start({ rules });
    const asking = { method: 'PATCH', path: `${MAPS}/kept`, body: { data: { b: '9' } }, type: MERGE };
    expect(await send(own, asking)).toMatchObject({ status: 403, text: expect.stringContaining('ApprovalPending') });
    const request = await eventually('its preview', () => own.desk.list().find(({ status }) => status?.preview));
    expect(own.desk.contentOf(request.metadata.name)?.change).toEqual(['  data:', '+   b: "9"']);
  });

  it('looks with the right of the agent where it asks as one', async () => {
    await using own = await start({ kubernetes: { identity: 'agent' } });
    const { request } = await seen(own, { method: 'DELETE', path: `${SECRETS}/db` });
    expect(request.status?.preview?.why).toMatch(
      /^the API server refuses to show it \(403\): .*system:serviceaccount:agents:bot/,
    );
  });
});

const json = (response: ServerResponse, value: unknown): unknown =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(typeof value === 'string' ? value : JSON.stringify(value));

describe('an API server that is asked what a write would do', () => {
  let governed: Governed;
  let stop: () => Promise<void>;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let asked: string[] = [];

  beforeAll(async () => {
    const authority = await testAuthority();
    const leaf = await authority.issue(['127.0.0.1']);
    const server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      request.resume();
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stop = async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    };
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    governed = await startGoverned({
      upstream: address,
      ca: authority.ca,
      credential: { token: 'of-the-owner' },
      rules: RULES,
      kubernetes: { own: true },
      cluster: { namespace: '', governed: ['shop'], secrets: [] },
    });
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await stop?.();
  });

  const PATCH: Asking = { method: 'PATCH', path: `${MAPS}/a`, body: { data: { a: '1' } }, type: MERGE };

  it.each<[what: string, how: typeof answer, why: string]>([
    ['and never answers', () => undefined, 'the API server did not answer in time'],
    ['and answers with no JSON', (_, response) => void json(response, 'x'), 'the API server answers with what cannot be read'],
    [
      'and answers with more than an object has',
      (_, response) => void json(response, { data: 'x'.repeat(4 * 1024 * 1024) }),
      'it is too large to be looked at',
    ],
    ['and hangs up', (request) => request.socket.destroy(), 'the API server could not be asked'],
  ])('%s: people are told so, and the request waits on', async (_, how, why) => {
    answer = how;
    const { request } = await seen(governed, PATCH);
    expect(request.status).toMatchObject({ state: 'Pending', preview: { why } });
  });

  it('has no stored value told to people by its refusal', async () => {
    const body = { kind: 'Status', message: 'data: Invalid value: "hunter2": no' };
    answer = (_, response) => void response.writeHead(422, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const { request } = await seen(governed, { ...PATCH, path: `${SECRETS}/a` });
    expect(request.status?.preview?.why).toBe('the API server refuses to show it (422): data: Invalid value: *****');
  });

  it('gets no other request than that one, as a dry run, by paths and parameters that were judged', async () => {
    asked = [];
    answer = (_, response) => void json(response, { kind: 'Scale', spec: { replicas: 1 } });
    const path = '/apis/apps/v1/namespaces/shop/deployments/web/scale';
    await seen(governed, { ...PATCH, path: `${path}?fieldManager=me`, body: { spec: { replicas: 2 } } });
    await seen(governed, { ...PATCH, path: `${path}?dryRun=All` });
    expect(asked).toEqual([`GET ${path}`, `PATCH ${path}?fieldManager=me&dryRun=All`, `GET ${path}`, `PATCH ${path}?dryRun=All`]);
  });

  it('is not asked about what does something of its own', async () => {
    asked = [];
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'web' } };
    const { request } = await seen(governed, {
      method: 'POST',
      path: '/api/v1/namespaces/shop/pods/web/eviction',
      body: eviction,
    });
    expect(request.status?.preview?.why).toBe('what this subresource does cannot be tried');
    expect(asked).toEqual([]);
  });
});
