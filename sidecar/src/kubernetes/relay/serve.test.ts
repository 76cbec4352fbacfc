import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { eventually, startProvider, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import {
  answering,
  type Answering,
  asJson,
  type Asking,
  askThrough,
  type Got,
  type StandIn,
  startStandIn,
} from './stand-in.test-support.ts';

const TOKEN = 'of-the-owner';
const RULES: Spec['rules'] = [
  { name: 'all', effect: 'Allow', kubernetes: { verbs: ['*'], resources: ['**'], nonResourcePaths: ['/healthz'] } },
];
const LIST = '/api/v1/namespaces/shop/configmaps';
const json = (value: unknown): string => JSON.stringify(value);

let standIn: StandIn;
let governed: Governed;

beforeAll(async () => {
  standIn = await startStandIn();
  governed = await start();
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await standIn?.[Symbol.asyncDispose]();
});

const start = (mods: Partial<Spec> = {}): Promise<Governed> =>
  startGoverned({ upstream: standIn.address, ca: standIn.ca, credential: { token: TOKEN }, rules: RULES, ...mods });
const serverAnswers = (how: Answering): void => standIn.answers(how);
const ask = (target: string, { at = governed, ...asking }: Asking & { at?: Governed } = {}): Promise<Got> =>
  askThrough(at, target, asking);

const bearing = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

async function raw(): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port: governed.port, ca: governed.ca, ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

/** What comes back until the connection is closed, or until `enough` is there. */
async function exchange(bytes: string, enough = /\r\n\r\n/): Promise<{ text: string; isClosed: boolean }> {
  const socket = await raw();
  let text = '';
  const isClosed = await new Promise<boolean>((resolve) => {
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      if (enough.test(text)) resolve(false);
    });
    socket.once('close', () => resolve(true));
    socket.write(bytes, 'latin1');
  });
  socket.destroy();
  return { text, isClosed };
}

describe('an answer of the API server', () => {
  it.each<[what: string, how: Answering, status: number, code: string]>([
    [
      'with another type',
      answering(200, { 'content-type': 'application/vnd.kubernetes.protobuf' }, 'k8s\0'),
      502,
      'AnswerForeign',
    ],
    ['that is HTML', answering(200, { 'content-type': 'text/html' }, '<p>'), 502, 'AnswerForeign'],
    [
      'that is compressed',
      answering(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, '{}'),
      502,
      'AnswerForeign',
    ],
    ['that is no JSON', answering(200, { 'content-type': 'application/json' }, 'busy'), 502, 'AnswerNotJson'],
    ['that is cut off', answering(200, { 'content-type': 'application/json' }, '{"kind":'), 502, 'AnswerCutOff'],
    ['that leads elsewhere', answering(302, { location: 'https://other.example' }), 502, 'UpstreamRedirect'],
    [
      'that does not know our credential',
      answering(401, { 'content-type': 'application/json' }, '{"kind":"Status"}'),
      503,
      'CredentialsRejected',
    ],
    [
      'that asks to wait',
      answering(429, { 'content-type': 'text/plain', 'retry-after': '7' }, 'Too many requests'),
      429,
      'AnswerForeign',
    ],
    ['that is an error in HTML', answering(503, { 'content-type': 'text/html' }, '<p>secret'), 503, 'AnswerForeign'],
    ['that never begins', (request) => request.socket.destroy(), 503, 'UpstreamUnreachable'],
    [
      'that is broken off',
      (request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"kind":"ConfigMap');
        setTimeout(() => request.socket.destroy(), 20);
      },
      503,
      'UpstreamUnreachable',
    ],
    [
      'that leaves HTTP',
      (request) => request.socket.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      503,
      'UpstreamViolation',
    ],
  ])('%s is told as what it is', async (_, how, status, code) => {
    serverAnswers(how);
    const got = await ask(`${LIST}/a`);
    expect(got).toMatchObject({ status, codes: expect.arrayContaining([code]) });
    expect(got.text).not.toMatch(/other\.example|secret|Too many/);
    expect(standIn.seen).toHaveLength(1);
  });

  it('keeps what it says of waiting, and shows none of the headers that it need not', async () => {
    serverAnswers(answering(429, { 'content-type': 'text/plain', 'retry-after': '7' }));
    expect((await ask(LIST)).headers['retry-after']).toBe('7');
    serverAnswers(
      answering(
        200,
        {
          'content-type': 'application/json',
          'set-cookie': 'a=b',
          server: 'x',
          'audit-id': 'a-1',
          warning: '299 - "ann@example.com"',
        },
        '{}',
      ),
    );
    const { headers } = await ask(LIST);
    expect(headers).toMatchObject({ 'audit-id': 'a-1', warning: '299 - "*****"' });
    expect(headers).not.toHaveProperty('set-cookie');
    expect(headers).not.toHaveProperty('server');
  });

  it('is cut off where it turns bad after it has begun, and the process lives', async () => {
    serverAnswers((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write(`{"kind":"ConfigMapList","items":[${json({ a: 1 })}`);
      setTimeout(() => response.end(',x'), 20);
    });
    await expect(ask(LIST)).rejects.toThrow();
    expect(governed.of('done').at(-1)).toMatchObject({ error: { code: 'AnswerNotJson' } });
    serverAnswers(asJson({ kind: 'ConfigMapList', items: [] }));
    expect((await ask(LIST)).status).toBe(200);
  });

  it('that is a log or health is masked as text', async () => {
    serverAnswers(answering(200, { 'content-type': 'text/plain' }, 'mail from ann@example.com came'));
    expect((await ask('/api/v1/namespaces/shop/pods/web/log')).text).toBe('mail from ***** came');
    expect((await ask('/healthz')).text).toBe('mail from ***** came');
    expect((await ask(LIST)).codes).toContain('AnswerForeign');
  });
});

describe('a request', () => {
  it('goes upstream with our credential, and nothing that says who asks', async () => {
    serverAnswers(asJson({ kind: 'ConfigMapList', items: [] }));
    await ask(LIST, {
      headers: {
        authorization: 'Bearer of-the-agent',
        cookie: 'a=b',
        'x-remote-user': 'admin',
        'x-forwarded-for': '1.1.1.1',
        'user-agent': 'me',
      },
    });
    expect(standIn.seen[0]?.headers).toEqual({
      host: standIn.address,
      accept: 'application/json',
      'accept-encoding': 'identity',
      authorization: `Bearer ${TOKEN}`,
      connection: 'keep-alive',
      'user-agent': 'me',
    });
  });

  it.each<[what: string, bytes: string]>([
    ['with two lengths', `POST ${LIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}`],
    [
      'with a length and chunks',
      `POST ${LIST} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['with chunks by another name', `POST ${LIST} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['with a blank before a colon', `GET ${LIST} HTTP/1.1\r\nhost: x\r\nAccept : a\r\n\r\n`],
    ['with a folded header', `GET ${LIST} HTTP/1.1\r\nhost: x\r\naccept: a\r\n b\r\n\r\n`],
    ['that ends lines by LF', `GET ${LIST} HTTP/1.1\nhost: x\n\n`],
    ['without a host', `GET ${LIST} HTTP/1.1\r\n\r\n`],
    ['to another server', `GET http://other.example${LIST} HTTP/1.1\r\nhost: x\r\n\r\n`],
    ['for another path by two slashes', `GET //api/v1/namespaces/shop/secrets HTTP/1.1\r\nhost: x\r\n\r\n`],
    ['to a proxy', `CONNECT other.example:443 HTTP/1.1\r\nhost: x\r\n\r\n`],
    ['for HTTP/2 in the clear', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['with a method in a header', `GET ${LIST} HTTP/1.1\r\nhost: x\r\nx-http-method-override: DELETE\r\n\r\n`],
    ['as somebody else', `GET ${LIST} HTTP/1.1\r\nhost: x\r\nimpersonate-user: admin\r\n\r\n`],
    ['with a dot in its path', `GET ${LIST}/../secrets HTTP/1.1\r\nhost: x\r\n\r\n`],
    ['with more headers than there is room', `GET ${LIST} HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(70_000)}\r\n\r\n`],
    ['of zeros', '\0'.repeat(1000)],
    [
      'for a command',
      `GET /api/v1/namespaces/shop/pods/a/exec?command=ls HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n`,
    ],
    [
      'that would become HTTP/2',
      `OPTIONS ${LIST} HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AA\r\n\r\n`,
    ],
  ])('%s reaches nobody', async (_, bytes) => {
    serverAnswers(asJson({}));
    const { text, isClosed } = await exchange(bytes);
    expect(text === '' ? isClosed : /^HTTP\/1\.1 4\d\d /.test(text)).toBe(true);
    expect(standIn.seen).toEqual([]);
    expect((await ask(LIST)).status).toBe(200);
  });

  it('behind another on the same connection is judged on its own', async () => {
    serverAnswers(asJson({}));
    const { text } = await exchange(
      `GET ${LIST} HTTP/1.1\r\nhost: x\r\n\r\nPOST /api/v1/namespaces/shop/serviceaccounts/a/token HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}`,
      /TokenRequest/,
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*HTTP\/1\.1 403 [^]*TokenRequest/);
    expect(standIn.seen.map(({ url }) => url)).toEqual([LIST]);
  });

  it.each([
    ['new', 'new'],
    ['n'.repeat(1_000), 'n'.repeat(253)],
    ['4111 1111 1111 1111', '*****'],
  ])('that creates something has its name in the record: %.20s', async (name, recorded) => {
    await using own = await start({ sensitive: [{ label: 'pci.card', detector: 'credit-card' }] });
    serverAnswers(asJson({ kind: 'ConfigMap' }));
    const body = json({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
    await ask(LIST, { at: own, method: 'POST', body, headers: { 'content-type': 'application/json' } });
    expect(own.of('action').map(({ kubernetes }) => kubernetes?.name)).toEqual([recorded]);
  });

  it('with too long a body is told so, and its connection ends', async () => {
    serverAnswers(asJson({}));
    const got = await ask(LIST, {
      method: 'POST',
      body: 'x'.repeat(4 * 1024 * 1024),
      headers: { connection: 'keep-alive' },
    }).catch(() => undefined);
    expect(got === undefined || (got.status === 413 && got.headers.connection === 'close')).toBe(true);
    expect(standIn.seen).toEqual([]);
  });

  it('of HTTP/2 is served beside others, and a burst of resets hurts nobody else', async () => {
    serverAnswers(asJson({ kind: 'ConfigMapList', items: [] }));
    const client = connectHttp2(`https://127.0.0.1:${governed.port}`, { ca: governed.ca });
    client.on('error', () => undefined);
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const stream = client.request({ ':path': LIST });
        const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
        stream.resume();
        await once(stream, 'end');
        return headers[':status'];
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
    for (let at = 0; at < 500; at++)
      client
        .request({ ':path': LIST })
        .on('error', () => undefined)
        .close(8);
    client.destroy();
    expect((await ask(LIST)).status).toBe(200);
  });

  it('is given up upstream when its agent leaves', async () => {
    const gone = Promise.withResolvers<void>();
    serverAnswers((request, response) => {
      request.socket.once('close', () => gone.resolve());
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    });
    const request = httpsRequest({
      host: '127.0.0.1',
      port: governed.port,
      ca: governed.ca,
      path: `${LIST}?watch=true`,
      agent: false,
    });
    request.on('error', () => undefined).end();
    await once(request, 'response');
    request.destroy();
    await gone.promise;
  });

  it('that nothing can be recorded of goes nowhere', async () => {
    await using blocked = await start();
    blocked.failRecording();
    serverAnswers(asJson({}));
    expect(await ask(LIST, { at: blocked })).toMatchObject({ status: 503, codes: ['RecordingBlocked'] });
    expect(standIn.seen).toEqual([]);
  });
});

describe('a cluster that has Chaperone', () => {
  const cluster = { namespace: 'chaperone-system', governed: ['agents'], secrets: [] };

  it('keeps its own namespace, and what is named as a credential from the moment that it is', async () => {
    await using inside = await start({ cluster });
    serverAnswers(asJson({ kind: 'SecretList', items: [] }));
    const secrets = '/api/v1/namespaces/data/secrets';
    expect((await ask('/api/v1/namespaces/chaperone-system/configmaps', { at: inside })).codes).toEqual([
      'NeverAllowed',
      'OwnNamespace',
    ]);
    expect((await ask(secrets, { at: inside })).status).toBe(200);
    inside.setCluster({ ...cluster, secrets: [{ namespace: 'data', name: 'orders-db-agent' }] });
    expect((await ask(secrets, { at: inside })).codes).toEqual(['NeverAllowed', 'ProtectedSecret']);
    expect(standIn.seen.map(({ url }) => url)).toEqual([secrets]);
  });
});

describe('a session', () => {
  it.each<[what: string, limits: object, code: string]>([
    ['with too long an answer', { bytesPerStatement: '1Ki' }, 'LimitReached'],
    ['that carries too much', { bytes: '1Ki' }, 'SessionEnded'],
  ])('%s ends as its policy says', async (_, limits, code) => {
    await using limited = await start({ limits });
    serverAnswers(asJson({ kind: 'ConfigMap', data: { a: 'b'.repeat(2000) } }));
    expect((await ask(`${LIST}/a`, { at: limited })).codes).toContain(code);
  });

  it('with a request that takes too long is told so', async () => {
    await using limited = await start({ limits: { statementDuration: '1s' } });
    serverAnswers(() => undefined);
    expect(await ask(LIST, { at: limited })).toMatchObject({ status: 403, codes: ['LimitReached'] });
  });

  it('that is ended says so to what waits, and asks nothing more', async () => {
    await using ended = await start();
    serverAnswers(() => undefined);
    const waiting = ask(LIST, { at: ended });
    await eventually('its request', () => (standIn.seen.length > 0 ? true : undefined));
    ended.end({ code: 'SessionEnded', reason: 'an operator ended it' });
    expect(await waiting).toMatchObject({ status: 403, codes: ['SessionEnded'] });
    await eventually('its record', () => ended.of('session.close').find(({ code }) => code === 'SessionEnded'));
  });

  it('without a way to be judged opens none: plain HTTP outside of this machine, an upstream that proves nothing', async () => {
    const socket = connect(governed.port, '127.0.0.1').on('error', () => undefined);
    socket.write(`GET ${LIST} HTTP/1.1\r\nhost: x\r\n\r\n`);
    let said = '';
    socket.on('data', (data: Buffer) => {
      said += data.toString('latin1');
    });
    await once(socket, 'close');
    expect(said).not.toContain('HTTP');
    const other = await testAuthority();
    await using distrusting = await start({ ca: other.ca });
    serverAnswers(asJson({}));
    expect(await ask(LIST, { at: distrusting })).toMatchObject({ status: 503, codes: ['ResourceNotReady', 'TLSUntrusted'] });
    expect(distrusting.reported).toMatchObject([
      {
        reason: 'TLSUntrusted',
        message: expect.stringMatching(/is signed by ".+", which spec\.upstream\.tls\.caRef does not contain/),
      },
    ]);
    expect(standIn.seen).toEqual([]);
  });

  it('in the clear is for this machine alone, by a name that no page in a browser has', async () => {
    await using local = await start({ local: true });
    serverAnswers(asJson({ kind: 'ConfigMapList', items: [] }));
    const plain = async (host: string): Promise<number | undefined> => {
      const request = httpRequest({ host: '127.0.0.1', port: local.port, path: LIST, headers: { host }, agent: false });
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.resume();
      return response.statusCode;
    };
    expect(await plain('rebound.example:6443')).toBe(403);
    expect(standIn.seen).toEqual([]);
    expect(await plain('localhost:6443')).toBe(200);
  });

  it('on behalf of somebody takes their token, and no other on the same connection', async () => {
    await using provider = await startProvider();
    await using demanding = await start({ identity: { oidc: { issuer: provider.issuer, audiences: ['chaperone'] } } });
    serverAnswers(asJson({ kind: 'ConfigMapList', items: [] }));
    expect(await ask(LIST, { at: demanding })).toMatchObject({ status: 401, codes: ['TokenRequired'] });
    expect(await ask(LIST, { at: demanding, headers: bearing('a.b.c') })).toMatchObject({
      status: 401,
      codes: ['TokenRejected'],
    });
    expect(standIn.seen).toEqual([]);
    const token = await provider.taskToken();
    const client = connectHttp2(`https://127.0.0.1:${demanding.port}`, { ca: demanding.ca }).on('error', () => undefined);
    const statusWith = async (bearer: string): Promise<number | undefined> => {
      const stream = client.request({ ':path': LIST, ...bearing(bearer) }).on('error', () => undefined);
      const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
      stream.resume();
      return headers[':status'];
    };
    expect(await statusWith(token)).toBe(200);
    expect(await statusWith(token)).toBe(200);
    expect(await statusWith('another')).toBe(401);
    client.destroy();
    expect(demanding.of('session.open')).toMatchObject([{ onBehalfOf: { user: 'nightly-report' } }]);
    expect(JSON.stringify([demanding.records, demanding.logged, standIn.seen.map(({ headers }) => headers)])).not.toContain(
      token,
    );
  });
});

it.each([
  ['GET', { upgrade: 'websocket', 'sec-websocket-protocol': 'v5.channel.k8s.io' }],
  ['POST', { upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'v4.channel.k8s.io' }],
])(
  'a way into a pod by %s that is allowed, and does not ask by Connection to leave HTTP, goes nowhere',
  async (method, headers) => {
    const kubernetes = { verbs: ['exec' as const], resources: ['pods/exec'], commands: ['id'] };
    await using entering = await start({ rules: [{ name: 'run', effect: 'Allow', kubernetes }] });
    serverAnswers(asJson({ kind: 'Status' }));
    const got = await ask('/api/v1/namespaces/shop/pods/web/exec?command=id&stdout=true', { at: entering, method, headers });
    expect(got).toMatchObject({ status: 400, codes: ['NotAnalysable', 'Upgrade'] });
    expect(standIn.seen).toEqual([]);
    expect(entering.of('action')).toMatchObject([{ effects: [{ verb: 'exec' }] }]);
  },
);
