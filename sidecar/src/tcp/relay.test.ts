import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer as createHttps, type Server } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTls } from 'node:tls';
import { promisify } from 'node:util';
import type { RecordBody } from '@chaperone/evidence';
import type { Access, GrantedResource } from '@chaperone/policy';
import { eventually, temporaryDirectory, testAuthority, type TestAuthority } from '@chaperone/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createGuard } from '../capture/guard.ts';
import type { Logger } from '../platform.ts';
import type { SessionRecorder } from '../recording/recorder.ts';
import { createProofs } from './proof.ts';
import { type Ending, serveTcp, type TcpContext } from './relay.ts';

const run = promisify(execFile);
const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: ['240.240.0.0/16'] });
const silent: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const HOST = 'api.example.test';

let authority: TestAuthority;
let clockMs = 0;
const clock = { now: () => 0, monotonic: () => clockMs, after: async () => undefined };
const closing: { close(): unknown }[] = [];
beforeAll(async () => {
  authority = await testAuthority();
});
beforeEach(() => {
  clockMs = 0;
});
afterEach(() => {
  for (const server of closing.splice(0)) server.close();
});

const DEMAND = { issuer: 'https://login.corp', audiences: ['a'], requiredClaims: [], groupsClaim: 'groups', userClaim: 'sub' };

function anAccess(mods: Partial<Access> = {}): Access {
  return {
    resource: { namespace: 'models', name: 'api', generation: 1, protocol: 'tcp' },
    policies: [],
    digest: 'd',
    mode: 'Enforce',
    disclosure: 'full',
    purpose: '',
    ceiling: { statements: ['connect'] },
    rules: [{ name: 'talk', policy: { namespace: 'agents', name: 'p' }, effect: 'Allow' }],
    searchPath: [],
    reveal: [],
    masking: {},
    sensitive: [],
    inference: 'limit',
    limits: {},
    recording: { mode: 'durable', content: 'results', rows: 0, bytes: 0, retention: 'default' },
    ...mods,
  };
}

function aResource(port: number, mods: Partial<GrantedResource> = {}): GrantedResource {
  return {
    access: anAccess(),
    hosts: [HOST],
    port: 443,
    upstream: { host: '127.0.0.1', port, tls: { mode: 'verify-full', ca: authority.ca } },
    addresses: [],
    ...mods,
  };
}

interface Proxy {
  readonly port: number;
  readonly records: { record: RecordBody; durability: string }[];
  readonly endings: Ending[];
  readonly ended: Promise<Ending>;
  /** Ends the session that is open. */
  end?: (ending: Ending) => void;
}

/** A listener that serves tcp as a sidecar does. */
async function aProxy(
  resource: GrantedResource | undefined,
  mods: Partial<TcpContext> & { failRecording?: (record: RecordBody) => boolean } = {},
): Promise<Proxy> {
  const { promise, resolve } = Promise.withResolvers<Ending>();
  const proxy: { -readonly [key in keyof Proxy]: Proxy[key] } = { port: 0, records: [], endings: [], ended: promise };
  const append: SessionRecorder['append'] = (record, durability) => {
    if (mods.failRecording?.(record) === true) return Promise.reject(new Error('disk full'));
    proxy.records.push({ record, durability });
    return Promise.resolve();
  };
  const recorder: SessionRecorder = { session: 's-test', append, close: () => Promise.resolve() };
  const server = createServer((socket) => {
    const context: TcpContext = {
      socket,
      resource: () => resource,
      open: () => Promise.resolve(recorder),
      guard,
      clock,
      logger: silent,
      watch: { reached: () => undefined, failed: () => undefined, signedIn: () => undefined },
      admit: () => true,
      onEnd: (end) => {
        proxy.end = end;
      },
      ...mods,
    };
    void serveTcp(context).then((ending) => {
      proxy.endings.push(ending);
      return resolve(ending);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(server);
  proxy.port = portOf(server);
  return proxy;
}

function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port;
}

async function aWebServer(
  names: readonly string[] = [HOST],
  signer = authority,
): Promise<{ port: number; connections: () => number }> {
  const { certificate, key } = await signer.issue(names);
  let connections = 0;
  const server: Server = createHttps({ cert: certificate, key }, (request, response) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => (bytes += chunk.length));
    request.on('end', () => response.end(`hello ${bytes}`));
  }).listen(0, '127.0.0.1');
  server.on('connection', () => (connections += 1));
  await once(server, 'listening');
  closing.push({ close: () => (server.closeAllConnections(), server.close()) });
  return { port: portOf(server), connections: () => connections };
}

async function curl(port: number, host: string, ...more: string[]): Promise<string> {
  await using directory = await temporaryDirectory();
  const ca = join(directory.path, 'ca.pem');
  await writeFile(ca, authority.ca);
  const { stdout } = await run('curl', [
    '-sS',
    '--max-time',
    '10',
    '--cacert',
    ca,
    '--connect-to',
    `${host}:443:127.0.0.1:${port}`,
    ...more,
    `https://${host}/`,
  ]);
  return stdout;
}

/** What a client hears that says `first` and closes nothing. */
function say(port: number, first: string | Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(heard)));
    socket.write(first);
  });
}

async function anUpstream(): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => undefined).resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(server);
  return { port: portOf(server), connections: () => connections };
}

function hello(host: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) =>
      socket.on('error', () => undefined).once('data', (bytes: Buffer) => (socket.destroy(), server.close(), resolve(bytes))),
    );
    server.listen(0, '127.0.0.1', () =>
      connectTls({ port: portOf(server), host: '127.0.0.1', ...(host === '' ? {} : { servername: host }) }).on(
        'error',
        () => undefined,
      ),
    );
  });
}

async function anOpenSession(
  mods: Parameters<typeof aProxy>[1] = {},
): Promise<{ proxy: Proxy; client: Socket; upstream: Socket }> {
  const { certificate, key } = await authority.issue([HOST]);
  const open = new Set<Socket>();
  const server = createTls({ cert: certificate, key }, (socket) => {
    socket.on('error', () => undefined).on('close', () => open.delete(socket));
    open.add(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(server);
  const proxy = await aProxy(aResource(portOf(server)), mods);
  const client = connectTls({ port: proxy.port, host: '127.0.0.1', servername: HOST, ca: authority.ca });
  client.on('error', () => undefined);
  await once(client, 'secureConnect');
  // Our own handshake is gone by then, or was never completed on this side.
  const upstream = await eventually('the server side', () => (open.size === 1 ? [...open][0] : undefined));
  return { proxy, client, upstream };
}

describe('a granted host', () => {
  test('is reached by curl, which sees the certificate of the host itself', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port));
    expect(await curl(proxy.port, HOST, '--data', 'x'.repeat(100_000))).toBe('hello 100000');
    expect(await proxy.ended).toMatchObject({ code: 'Closed' });
  });

  test('is reached by openssl, which ends its side first', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port));
    const child = execFile(
      'openssl',
      ['s_client', '-quiet', '-ign_eof', '-connect', `127.0.0.1:${proxy.port}`, '-servername', HOST],
      { timeout: 10_000 },
    );
    child.stdin?.end(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    let text = '';
    child.stdout?.on('data', (chunk: string) => (text += chunk));
    await once(child, 'close');
    expect(text).toContain('hello 0');
  });

  test('leaves the verdict before, and host and bytes after', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port));
    await curl(proxy.port, HOST);
    await proxy.ended;
    expect(proxy.records.map(({ record, durability }) => [record.type, durability])).toEqual([
      ['action', 'synced'],
      ['bytes', 'synced'],
      ['session.close', 'written'],
    ]);
    expect(proxy.records[0]?.record).toMatchObject({
      verdict: 'allow',
      rule: 'talk',
      effects: [{ verb: 'connect', object: HOST }],
    });
    const bytes = proxy.records[1]?.record as Extract<RecordBody, { type: 'bytes' }>;
    expect(bytes).toMatchObject({ host: HOST });
    expect(Math.min(bytes.sent, bytes.received)).toBeGreaterThan(300);
    expect(proxy.records[2]?.record).toMatchObject({ code: 'Closed', actions: 1, denied: 0 });
  });

  test('is proven once in five minutes, and again after', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port), { proofs: createProofs({ clock }) });
    await curl(proxy.port, HOST);
    expect(web.connections(), "ours and the client's").toBe(2);
    await curl(proxy.port, HOST);
    expect(web.connections()).toBe(3);
    clockMs += 5 * 60_000;
    await curl(proxy.port, HOST);
    expect(web.connections()).toBe(5);
  });
});

/** Records of a refused connection: never a byte upstream, always the verdict. */
describe('refused, recorded, and not a byte upstream', () => {
  const ask = (effect: 'Deny' | 'RequireApproval'): Access =>
    anAccess({
      rules: [
        {
          name: 'r',
          policy: { namespace: 'agents', name: 'p' },
          effect,
          approval: {
            groups: ['dba'],
            users: [],
            minimum: 1,
            all: [],
            timeoutMs: 1,
            transactionTimeoutMs: 1,
            mode: 'hold',
            reason: false,
          },
        },
      ],
    });

  test('refuses a policy that demands a token, which nothing here can carry', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port, { access: anAccess({ identity: [DEMAND] }) }));
    const agent = connect(proxy.port, '127.0.0.1');
    agent.on('error', () => undefined);
    agent.write(await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'TokenRequired' });
    expect(proxy.records.at(-1)?.record).toMatchObject({ type: 'session.close', code: 'TokenRequired' });
    expect(web.connections()).toBe(0);
    agent.destroy();
  });

  test('refuses one connection more than the policy allows', async () => {
    const proxy = await aProxy(aResource((await aWebServer()).port), { admit: () => false });
    const agent = connect(proxy.port, '127.0.0.1');
    agent.on('error', () => undefined);
    agent.write(await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'TooManyConnections' });
    agent.destroy();
  });

  test.each<[string, () => Promise<Buffer | string>, Partial<GrantedResource>, string, number | undefined]>([
    ['another name', () => hello('other.example.test'), {}, 'NotGranted', 112],
    ['a name that only begins like it', () => hello(`${HOST}.evil.test`), {}, 'NotGranted', 112],
    ['no name', () => hello(''), {}, 'NotAnalysable', 49],
    ['plain text', () => Promise.resolve('GET / HTTP/1.1\r\n\r\n'), {}, 'NotAnalysable', undefined],
    ['a host that a rule denies', () => hello(HOST), { access: ask('Deny') }, 'DeniedByRule', 49],
    ['a host that would need an approval', () => hello(HOST), { access: ask('RequireApproval') }, 'DeniedByRule', 49],
    ['a host that no rule covers', () => hello(HOST), { access: anAccess({ rules: [] }) }, 'NoRuleAllows', 49],
    [
      'a resource that is not ready',
      () => hello(HOST),
      { notReady: { code: 'CANotFound', message: 'no CA' } },
      'ResourceNotReady',
      49,
    ],
  ])('%s', async (_what, first, mods, code, alert) => {
    const upstream = await anUpstream();
    const proxy = await aProxy(aResource(upstream.port, mods));
    const heard = await say(proxy.port, await first());
    expect(heard).toEqual(alert === undefined ? Buffer.alloc(0) : Buffer.from([21, 3, 3, 0, 2, 2, alert]));
    expect(await proxy.ended).toMatchObject({ code });
    expect(proxy.records[0]?.record).toMatchObject({ type: 'action', verdict: 'deny', code });
    expect(proxy.records.at(-1)?.record).toMatchObject({ type: 'session.close', code, denied: 1 });
    expect(upstream.connections()).toBe(0);
  });

  test('a right that is gone', async () => {
    const proxy = await aProxy(undefined);
    await say(proxy.port, await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'SessionEnded' });
  });

  test('a verdict that cannot be recorded', async () => {
    const upstream = await anUpstream();
    const proxy = await aProxy(aResource(upstream.port), { failRecording: ({ type }) => type === 'action' });
    await say(proxy.port, await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'RecordingBlocked' });
    expect(upstream.connections()).toBe(0);
  });

  test('a session that cannot be opened', async () => {
    const upstream = await anUpstream();
    const proxy = await aProxy(aResource(upstream.port), { open: () => Promise.reject(new Error('spool full')) });
    await say(proxy.port, await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'RecordingBlocked' });
    expect(upstream.connections()).toBe(0);
  });

  test('an upstream that resolves to a forbidden address', async () => {
    const upstream = await anUpstream();
    const resource = aResource(upstream.port, {
      upstream: { host: 'rebound.example', port: upstream.port, tls: { mode: 'verify-full' } },
    });
    const proxy = await aProxy(resource, { resolve: () => Promise.resolve(['169.254.169.254', '240.240.0.9']) });
    await say(proxy.port, await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'UpstreamForbidden' });
  });

  test('an upstream whose name nobody could prove', async () => {
    const upstream = await anUpstream();
    const resource = aResource(upstream.port, { upstream: { host: '127.0.0.1', port: upstream.port, tls: { mode: 'disable' } } });
    const proxy = await aProxy(resource);
    await say(proxy.port, await hello(HOST));
    expect(await proxy.ended).toMatchObject({ code: 'TLSUntrusted' });
    expect(upstream.connections()).toBe(0);
  });

  test.each([
    ['a certificate for another name', ['other.example.test'], true],
    ['a certificate of a foreign authority', [HOST], false],
  ])('an upstream with %s gets our handshake and nothing of the agent', async (_what, names, known) => {
    const web = await aWebServer(names, known ? authority : await testAuthority('foreign'));
    const proxy = await aProxy(aResource(web.port));
    await expect(curl(proxy.port, HOST)).rejects.toThrow();
    expect(await proxy.ended).toMatchObject({ code: 'TLSUntrusted' });
    expect(proxy.records.map(({ record }) => record.type)).toEqual(['action', 'session.close']);
  });
});

describe('limits and endings', () => {
  test('the byte limit ends the connection before it is passed', async () => {
    const web = await aWebServer();
    const proxy = await aProxy(aResource(web.port, { access: anAccess({ limits: { bytes: 20_000 } }) }));
    await expect(curl(proxy.port, HOST, '--data', 'x'.repeat(100_000))).rejects.toThrow();
    expect(await proxy.ended).toMatchObject({ code: 'LimitReached' });
    const bytes = proxy.records.map(({ record }) => record).find((record) => record.type === 'bytes');
    expect((bytes?.sent ?? Infinity) + (bytes?.received ?? Infinity)).toBeLessThanOrEqual(20_000);
  });

  test('a revoked right ends an open connection at once, on both sides', async () => {
    const { proxy, client, upstream } = await anOpenSession();
    const closed = Promise.all([once(client, 'close'), once(upstream, 'close')]);
    proxy.end?.({ code: 'SessionEnded', reason: 'the right was withdrawn' });
    await closed;
    expect(await proxy.ended).toEqual({ code: 'SessionEnded', reason: 'the right was withdrawn' });
  });

  test('a client that does not read stops the upstream, and nothing is lost once it does', async () => {
    const { client, upstream } = await anOpenSession();
    client.pause();
    const total = 32 * 1024 * 1024;
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    for (let written = 0; written < total; written += chunk.length) upstream.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(upstream.writableLength, 'most of it waits at the sender').toBeGreaterThan(total / 2);
    let received = 0;
    client.on('data', (bytes: Buffer) => (received += bytes.length));
    client.resume();
    upstream.end();
    await once(client, 'end');
    expect(received).toBe(total);
    client.destroy();
  });

  test('an upstream that vanishes ends the connection', async () => {
    const { proxy, client, upstream } = await anOpenSession();
    upstream.destroy();
    await once(client, 'close');
    expect(await proxy.ended).toMatchObject({ code: 'Closed' });
  });
});
