import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { connect as connectTls, createServer as createTls } from 'node:tls';
import type { GrantedResource } from '@chaperone/policy';
import { freePort, testAuthority, type TestAuthority } from '@chaperone/testing';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createGuard } from '../capture/guard.ts';
import type { Observation } from '../control/control-plane.ts';
import { serveTcp } from './relay.ts';
import { createWatch } from './watch.ts';

const HOST = 'api.example.test';
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
let authority: TestAuthority;
let now = 0;
const clock = { now: () => Date.UTC(2026, 0, 1, 12, 3, 7) + now, monotonic: () => now, after: async () => undefined };
let seen: Observation[];
let watch: ReturnType<typeof createWatch>;
const closing: { close(): unknown }[] = [];
beforeAll(async () => {
  authority = await testAuthority();
});
beforeEach(() => {
  now = 0;
  seen = [];
  watch = createWatch({ clock, report: (observation) => void seen.push(observation) });
});
afterEach(() => {
  for (const server of closing.splice(0)) server.close();
});

function aResource(upstream: Partial<GrantedResource['upstream']>): GrantedResource {
  return {
    access: {
      resource: { namespace: 'models', name: 'api', generation: 1, protocol: 'tcp' },
      policies: [],
      digest: 'd',
      mode: 'Enforce',
      disclosure: 'full',
      purpose: '',
      searchPath: [],
      reveal: [],
      masking: {},
      sensitive: [],
      ceiling: { statements: ['connect'] },
      rules: [{ name: 'talk', policy: { namespace: 'agents', name: 'p' }, effect: 'Allow' }],
      inference: 'limit',
      limits: {},
      recording: { mode: 'durable', content: 'results', rows: 0, bytes: 0, retention: 'default' },
    },
    hosts: [HOST],
    port: 443,
    upstream: { host: '127.0.0.1', port: 1, tls: { mode: 'verify-full', ca: authority.ca }, ...upstream },
    addresses: [],
  };
}

/** A TLS server with a certificate for `names`, or one that speaks no TLS. */
async function aServer(names?: readonly string[], signer = authority): Promise<number> {
  const leaf = names === undefined ? undefined : await signer.issue(names);
  const server =
    leaf === undefined
      ? createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
      : createTls({ cert: leaf.certificate, key: leaf.key }, (socket) => socket.on('error', () => undefined).end('hello'));
  server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(server);
  return (server.address() as AddressInfo).port;
}

const resolve = (host: string): Promise<string[]> => Promise.resolve(host === 'localhost' ? ['127.0.0.1'] : []);

/** One agent's connection through the proxy. */
async function use(resource: GrantedResource, serverName = HOST): Promise<void> {
  const server = createServer((socket) => {
    const recorder = { session: 's', append: () => Promise.resolve(), close: () => Promise.resolve() };
    const open = (): Promise<typeof recorder> => Promise.resolve(recorder);
    const context = { socket, resource: () => resource, open, resolve, guard, clock, watch, logger: silent };
    void serveTcp({ ...context, admit: () => true, onEnd: () => undefined }).then(() => server.close());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connectTls({ socket: connect(port, '127.0.0.1'), servername: serverName, ca: authority.ca });
  client.on('error', () => undefined).resume();
  await once(server, 'close');
}

test.each<[string, () => Promise<Partial<GrantedResource['upstream']>>, string, RegExp]>([
  ['answers', async () => ({ port: await aServer([HOST]) }), 'UpstreamReachable', /^127\.0\.0\.1:\d+ answers$/],
  [
    'is not there',
    async () => ({ host: 'localhost', port: await freePort() }),
    'UpstreamRefused',
    /^localhost:\d+ \(127\.0\.0\.1\) refuses connections since 12:03:07 UTC; is the server running/,
  ],
  ['has no address', async () => ({ host: 'nowhere.invalid' }), 'UpstreamNotFound', /^nowhere\.invalid has no address; change/],
  [
    'may not be dialled',
    async () => ({ host: '169.254.169.254' }),
    'UpstreamForbidden',
    /^169\.254\.169\.254:1 is not dialled: .*; change spec\.upstream\.address$/,
  ],
  [
    'has a certificate for another name',
    async () => ({ port: await aServer(['other.example.test']) }),
    'TLSNameMismatch',
    /^127\.0\.0\.1:\d+ shows a certificate for another name, not "api\.example\.test"; renew it for that name$/,
  ],
  [
    'has a certificate of another authority',
    async () => ({ port: await aServer([HOST], await testAuthority('Corp CA 2')) }),
    'TLSUntrusted',
    /^the certificate of 127\.0\.0\.1:\d+ is signed by "Corp CA 2", which spec\.upstream\.tls\.caRef does not contain \([A-Z_]+\)/,
  ],
  [
    'speaks no TLS',
    async () => ({ port: await aServer() }),
    'TLSFailed',
    /^TLS with 127\.0\.0\.1:\d+ failed; does the server speak/,
  ],
])('an upstream that %s', async (_what, upstream, reason, message) => {
  await use(aResource(await upstream()));
  const status = reason === 'UpstreamReachable' ? 'True' : 'False';
  const resource = { namespace: 'models', name: 'api' };
  expect(seen).toEqual([{ resource, type: 'Reachable', status, reason, message: expect.stringMatching(message) as string }]);
});

test('what has not changed is told again after 30 s, with the time at which it began, and what has changed at once', async () => {
  const port = await freePort();
  const gone = aResource({ port });
  await use(gone);
  await use(gone);
  expect(seen).toHaveLength(1);
  now = 30_000;
  await use(gone);
  expect(seen[1]).toEqual(seen[0]);
  await use(aResource({ port: await aServer([HOST]) }));
  expect(seen.map(({ reason }) => reason)).toEqual(['UpstreamRefused', 'UpstreamRefused', 'UpstreamReachable']);
});

test('a connection that is refused before anything is dialled says nothing of the upstream', async () => {
  await use(aResource({}), 'other.example.test');
  expect(seen).toEqual([]);
});
