import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';

// Faults that others had, each by its number in docs/security/kubernetes.md.

const TOKEN = 'token-of-the-owner';
const MAPS = '/api/v1/namespaces/shop/configmaps';
const PODS = '/api/v1/namespaces/shop/pods';
/** As RBAC's `*`: every verb of every resource, but none that enters a pod. */
const RULES: Spec['rules'] = [
  {
    name: 'most',
    effect: 'Allow',
    kubernetes: {
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'],
      resources: ['**'],
    },
  },
  { name: 'secrets', effect: 'Deny', kubernetes: { verbs: ['*'], resources: ['secrets'], names: ['db'] } },
];
type Answering = (request: IncomingMessage, response: ServerResponse) => void;
const asJson =
  (value: unknown, headers: Record<string, string> = {}): Answering =>
  (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

interface Server extends AsyncDisposable {
  readonly address: string;
  readonly seen: IncomingMessage[];
  answer: Answering;
}
async function startServer(authority: Awaited<ReturnType<typeof testAuthority>>): Promise<Server> {
  const leaf = await authority.issue(['127.0.0.1']);
  const seen: IncomingMessage[] = [];
  const server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
    seen.push(request);
    request.resume();
    made.answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const made: Server = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    answer: asJson({ kind: 'ConfigMapList', items: [] }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return made;
}

let api: Server;
let elsewhere: Server;
let governed: Governed;
beforeAll(async () => {
  const authority = await testAuthority();
  [api, elsewhere] = await Promise.all([startServer(authority), startServer(authority)]);
  governed = await startGoverned({
    upstream: api.address,
    ca: authority.ca,
    credential: { token: TOKEN },
    rules: RULES,
    kubernetes: { own: true },
    cluster: { namespace: '', governed: ['shop'], secrets: [] },
  });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await Promise.all([api, elsewhere].map((server) => server?.[Symbol.asyncDispose]()));
});
beforeEach(() => {
  for (const server of [api, elsewhere]) {
    server.seen.length = 0;
    server.answer = asJson({ kind: 'ConfigMapList', items: [] });
  }
});

interface Asking {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly servername?: string;
}
interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}
async function ask(path: string, { method = 'GET', headers = {}, body, servername = '' }: Asking = {}): Promise<Got> {
  const request = httpsRequest({
    host: '127.0.0.1',
    port: governed.port,
    ca: governed.ca,
    checkServerIdentity: () => undefined,
    ...(servername !== '' && { servername }),
    method,
    path,
    headers,
    agent: false,
  });
  request.end(body);
  const upgraded = once(request, 'upgrade').then(([, socket, head]) =>
    refusedWithin(socket as Duplex, head as Buffer, method === 'GET'),
  );
  const answered = once(request, 'response').then(([response]) => response as IncomingMessage);
  const response = await Promise.race([answered, upgraded]);
  if ('refusal' in response) return { status: 101, headers: {}, text: response.refusal };
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

/** What is said on a connection that is accepted so that it can be refused within. Of SPDY nothing is judged before its streams open. */
async function refusedWithin(socket: Duplex, head: Buffer, judged: boolean): Promise<{ readonly refusal: string }> {
  let refusal = head.toString('latin1');
  socket.on('error', () => undefined).on('data', (data: Buffer) => (refusal += data.toString('latin1')));
  if (judged)
    while (!refusal.includes('NoRuleAllows') && !socket.closed) await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  socket.destroy();
  return { refusal };
}

/** All that comes back for these bytes until the connection is closed, or nothing comes any more behind what is waited for. */
async function exchange(bytes: string, awaited = 'HTTP/1.1 '): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port: governed.port, ca: governed.ca, ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  let text = '';
  const idle = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    clearTimeout(timer);
    if (text.includes(awaited)) timer = setTimeout(idle.resolve, 200);
  });
  socket.on('close', idle.resolve);
  socket.write(bytes, 'latin1');
  await idle.promise;
  socket.destroy();
  return text;
}

const WEBSOCKET = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': 'v5.channel.k8s.io',
};
const SPDY = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'v4.channel.k8s.io' };

describe('K1: an API server that leaves HTTP', () => {
  it('without being asked gives the agent a Status, and nothing of what follows', async () => {
    api.answer = (request) =>
      request.socket.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nbackend-bytes');
    const said = await exchange(
      `GET ${MAPS} HTTP/1.1\r\nhost: x\r\n\r\nDELETE ${MAPS}/smuggled HTTP/1.1\r\nhost: x\r\n\r\n`,
      'UpstreamViolation',
    );
    expect(said).toContain('UpstreamViolation');
    expect(said).not.toContain('backend-bytes');
    expect(said).not.toContain('101 Switching');
    // What stood behind it is a request of its own, which is judged as one.
    await expect.poll(() => governed.of('action').at(-1)?.text).toBe(`DELETE ${MAPS}/smuggled`);
  });
});

describe('K2: a way into a pod', () => {
  it.each<[what: string, path: string, asking: Asking]>([
    ['exec by GET and a WebSocket', `${PODS}/web/exec?command=id`, { headers: WEBSOCKET }],
    ['exec by POST and SPDY', `${PODS}/web/exec?command=id`, { method: 'POST', headers: SPDY }],
    ['exec without an upgrade', `${PODS}/web/exec?command=id`, {}],
    ['attach by GET and a WebSocket', `${PODS}/web/attach?stdin=1`, { headers: WEBSOCKET }],
    ['attach by POST and SPDY', `${PODS}/web/attach?stdin=1`, { method: 'POST', headers: SPDY }],
    ['a forward by GET and a WebSocket', `${PODS}/web/portforward?ports=80`, { headers: WEBSOCKET }],
    ['a forward by POST and SPDY', `${PODS}/web/portforward`, { method: 'POST', headers: SPDY }],
    ['a proxy of a node', '/api/v1/nodes/n/proxy/run/shop/web/app?cmd=id', { method: 'POST' }],
    ['a proxy of a node, read', '/api/v1/nodes/n/proxy/exec/shop/web/app?command=id', { headers: WEBSOCKET }],
    ['a proxy of a pod', `${PODS}/web:15021/proxy/livez`, {}],
    ['a proxy of a service', '/api/v1/namespaces/shop/services/https:web:443/proxy/', {}],
    ['a proxy by its old path', '/api/v1/proxy/nodes/n/run', {}],
    ['a container that is added', `${PODS}/web/ephemeralcontainers`, { method: 'PATCH', body: '{}' }],
  ])('is opened by no rule about get, create or patch of everything: %s', async (_, path, asking) => {
    const got = await ask(path, {
      ...asking,
      headers: { ...asking.headers, ...(asking.body !== undefined && { 'content-type': 'application/merge-patch+json' }) },
    });
    const isOfWebSocket = asking.method === undefined;
    expect(got.status === 101 && isOfWebSocket ? got.text : 'NoRuleAllows').toContain('NoRuleAllows');
    expect(got.status === 101 || got.status >= 400).toBe(true);
    expect(api.seen).toEqual([]);
  });
});

describe('K4: a Secret that a rule denies', () => {
  it.each([
    '/api/v1/namespaces/shop/secrets/db',
    '/api/v1/namespaces/shop/secrets/db/',
    '/api/v1/namespaces/shop/secrets//db',
    '//api/v1/namespaces/shop/secrets/db',
    '/api/v1/namespaces/shop/configmaps/../secrets/db',
    '/api/v1/namespaces/shop/configmaps/%2e%2e/secrets/db',
    '/api/v1/namespaces/shop/secrets/%64b',
    '/api/v1/namespaces/shop/%73ecrets/db',
    '/api/v1/namespaces/shop/Secrets/db',
    '/api/v1/namespaces/shop/secrets;x/db',
    '/api/v1/namespaces/shop/secrets/db%00',
    '/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Ddb',
    '/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3D%3Ddb&watch=true',
    '/api/v1/namespaces/shop/secrets?fieldSelector=type%3DOpaque,metadata.name%3Ddb',
    '/api/v1/watch/namespaces/shop/secrets/db',
    '/api/v1/namespaces/shop/secrets',
    '/api/v1/secrets?watch=1',
    '/api/v1/namespaces/shop/secrets/db?watch=1',
  ])('is read by no spelling: %s', async (path) => {
    expect((await ask(path)).status).toBeGreaterThanOrEqual(400);
    expect(api.seen).toEqual([]);
  });
});

describe('K5: who asks', () => {
  it.each<[what: string, headers: string]>([
    ['another user', 'Impersonate-User: admin'],
    ['in lower case', 'impersonate-user: admin'],
    ['in mixed case', 'iMpErSoNaTe-UsEr: admin'],
    ['a group alone', 'Impersonate-Group: system:masters'],
    ['a UID', 'Impersonate-Uid: 1'],
    ['more of somebody', 'Impersonate-Extra-Scopes: all'],
    ['twice', 'Impersonate-User: bot\r\nImpersonate-User: admin'],
    ['as hop by hop', 'Connection: Impersonate-User\r\nImpersonate-User: admin'],
    ['with an underscore of CGI', 'Impersonate_User: admin'],
    ['as a front proxy says it', 'X-Remote-User: admin\r\nX-Remote-Group: system:masters'],
    ['with the credential taken out by Connection', 'Connection: authorization, host'],
    ['with a token of its own', 'Authorization: Bearer of-the-agent'],
  ])('is told by us alone: %s', async (_, headers) => {
    await exchange(`GET ${MAPS} HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`);
    for (const { headers: sent } of api.seen) {
      expect(sent.authorization).toBe(`Bearer ${TOKEN}`);
      expect(JSON.stringify(sent)).not.toMatch(/admin|system:masters|impersonate|x-remote|of-the-agent/i);
    }
    expect(JSON.stringify([governed.records, governed.logged])).not.toMatch(/of-the-agent/);
  });
});

describe('K6: an answer that leads elsewhere', () => {
  it.each([301, 302, 303, 307, 308])('is followed by nobody, with no credential: %i', async (status) => {
    api.answer = (_, response) => response.writeHead(status, { location: `https://${elsewhere.address}/steal` }).end();
    const got = await ask(MAPS);
    expect(got).toMatchObject({ status: 502, text: expect.stringContaining('UpstreamRedirect') });
    expect(got.headers).not.toHaveProperty('location');
    expect([JSON.stringify(got).includes(elsewhere.address), elsewhere.seen.length, api.seen.length]).toEqual([false, 0, 1]);
  });
});

describe('K7: the credential', () => {
  it.each<[what: string, path: () => string, asking: () => Asking]>([
    ['another host', () => MAPS, () => ({ headers: { host: elsewhere.address } })],
    ['another name in TLS', () => MAPS, () => ({ servername: 'elsewhere.example' })],
    ['an absolute address', () => `https://${elsewhere.address}${MAPS}`, () => ({})],
    ['forwarding headers', () => MAPS, () => ({ headers: { 'x-forwarded-host': elsewhere.address, forwarded: 'host=x' } })],
    ['a path with another host', () => `//${elsewhere.address}${MAPS}`, () => ({})],
    ['somebody before an @', () => `@${elsewhere.address}${MAPS}`, () => ({})],
  ])('goes to the API server that the owner named and to no other, whatever is asked with: %s', async (_, path, asking) => {
    await ask(path(), asking()).catch(() => undefined);
    expect(elsewhere.seen).toEqual([]);
    for (const { headers } of api.seen) expect(headers.host).toBe(api.address);
  });
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = (value: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 'a',
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ data: { p: base64(value) } }) },
  },
  data: { p: base64(value) },
});
const forms = (text: string): string[] => [text, base64(text), base64(text).replace(/=+$/, '')];

describe('K8: what is secret', () => {
  const canaries = {
    token: 'canary-authorization',
    cookie: 'canary-cookie',
    protocol: 'canary-protocol',
    written: 'canary-written-value',
    answered: 'canary-answered-value',
    watched: 'canary-watched-value',
    given: 'canary-set-cookie',
    quoted: 'canary-quoted-value',
  };
  const SECRETS = '/api/v1/namespaces/shop/secrets';

  it('is in no record, log or request for approval, wherever it stood', async () => {
    const headers = { authorization: `Bearer ${canaries.token}`, cookie: `a=${canaries.cookie}` };
    api.answer = asJson(secret(canaries.answered), { 'set-cookie': canaries.given });
    const answers = [await ask(`${SECRETS}/a`, { headers })];
    answers.push(
      await ask(SECRETS, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(secret(canaries.written)),
      }),
    );
    await ask(`${PODS}/web/exec?command=id`, {
      headers: {
        ...headers,
        ...WEBSOCKET,
        'sec-websocket-protocol': `v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${canaries.protocol}`,
      },
    });
    api.answer = (_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`${JSON.stringify({ type: 'ADDED', object: secret(canaries.watched) })}\n`);
    answers.push(await ask(`${SECRETS}?watch=1&fieldSelector=metadata.name%3Da`, { headers }));
    api.answer = (_, response) =>
      response
        .writeHead(422, { 'content-type': 'application/json' })
        .end(JSON.stringify({ kind: 'Status', message: `data: Invalid value: "${canaries.quoted}"`, code: 422 }));
    answers.push(await ask(`${SECRETS}/a`, { headers }));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 422]);
    const kept = JSON.stringify([governed.records, governed.logged, governed.desk.list()]);
    expect(Object.entries(canaries).filter(([, text]) => forms(text).some((form) => kept.includes(form)))).toEqual([]);
    // Nor does the agent get what it did not send itself.
    const got = JSON.stringify(answers);
    const hidden = [canaries.answered, canaries.watched, canaries.given, canaries.quoted, TOKEN];
    expect(hidden.filter((text) => forms(text).some((form) => got.includes(form)))).toEqual([]);
    const sent = JSON.stringify(api.seen.map(({ headers: each }) => each));
    expect([canaries.token, canaries.cookie, canaries.protocol].filter((text) => sent.includes(text))).toEqual([]);
  });
});
