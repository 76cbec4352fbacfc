import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { generateSigner, signRequest } from '@chaperone/evidence';
import { createTransport } from '@chaperone/kube';
import { testAuthority } from '@chaperone/testing';
import { KubeConfig } from '@kubernetes/client-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Access, ApiRequest } from './access.ts';
import { createLoginAccess, createLoginServer, type LoginServer } from './login-access.ts';

const key = generateSigner();
const NOW = 1_800_000_000_000;
const login = (mods: object = {}): object => ({
  metadata: { name: 'alice-1', creationTimestamp: new Date(NOW - 60_000).toISOString() },
  spec: { publicKey: key.publicKey.toString('base64'), user: 'alice', groups: ['dba'], ...mods },
});
interface Review {
  spec: {
    user: string;
    groups: string[];
    resourceAttributes: { verb: string; namespace: string; group: string; resource: string };
  };
}

/** The two endpoints of an API server that are asked, over HTTP and through the real client. */
async function anApiServer(
  options: { logins?: Record<string, object>; allow?: (review: Review) => boolean; broken?: boolean } = {},
) {
  const asked: string[] = [];
  const authority = await testAuthority();
  const { certificate, key: tlsKey } = await authority.issue(['127.0.0.1', 'localhost']);
  const server = createServer({ cert: certificate, key: tlsKey }, (request, response) => {
    void (async () => {
      const body = (await buffer(request)).toString();
      const url = request.url ?? '';
      asked.push(`${request.method} ${url}`);
      response.setHeader('content-type', 'application/json');
      const name = /^\/apis\/chaperone\.dev\/v1alpha1\/evidencelogins\/(.+)$/.exec(url)?.[1];
      const found = name === undefined ? undefined : (options.logins ?? { 'alice-1': login() })[name];
      if (options.broken === true) response.writeHead(500).end('{}');
      else if (found !== undefined) response.end(JSON.stringify(found));
      else if (url === '/apis/authorization.k8s.io/v1/subjectaccessreviews') {
        const allowed = options.allow?.(JSON.parse(body) as Review) ?? false;
        response
          .writeHead(201)
          .end(JSON.stringify({ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', status: { allowed } }));
      } else response.writeHead(404).end(JSON.stringify({ kind: 'Status', code: 404 }));
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const config = new KubeConfig();
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  config.loadFromClusterAndUser(
    { name: 'test', server: url, skipTLSVerify: false, caData: Buffer.from(authority.ca).toString('base64') },
    { name: 'collector' },
  );
  return { asked, access: createLoginAccess(createLoginServer(createTransport({ config, userAgent: 'a test' })), () => NOW) };
}

let nonces = 0;
function aRequest(mods: Partial<Parameters<typeof signRequest>[0]> = {}, signer = key): ApiRequest {
  const request = {
    login: 'alice-1',
    method: 'GET',
    target: '/v1/sessions?limit=3',
    timestamp: NOW,
    nonce: `nonce-nonce-nonce-${nonces++}`,
    ...mods,
  };
  const headers = signRequest(request, signer);
  return { method: 'GET', target: '/v1/sessions?limit=3', header: (name) => headers[name] };
}
const refusal = async (access: Access, request: ApiRequest): Promise<boolean> => 'refused' in (await access.authorise(request));

describe('a request signed by an EvidenceLogin', () => {
  test('is its author with the groups that admission saw', async () => {
    const { access } = await anApiServer();
    expect(await access.authorise(aRequest())).toEqual({ user: 'alice', groups: ['dba'] });
    expect(await access.authorise(aRequest())).toEqual({ user: 'alice', groups: ['dba'] });
  });

  test('counts once', async () => {
    const { access } = await anApiServer();
    const request = aRequest();
    expect(await refusal(access, request)).toBe(false);
    expect(await refusal(access, request)).toBe(true);
  });

  test.each([
    ['another key', aRequest({}, generateSigner())],
    ['another method', aRequest({ method: 'POST' })],
    ['another path', aRequest({ target: '/v1/sessions' })],
    ['an old time', aRequest({ timestamp: NOW - 61_000 })],
    ['a time to come', aRequest({ timestamp: NOW + 61_000 })],
    ['a login that does not exist', aRequest({ login: 'bob-1' })],
    ['a name that is a path', aRequest({ login: '../pods' })],
    ['a short nonce', aRequest({ nonce: 'short' })],
    ['no headers', { method: 'GET', target: '/', header: () => undefined }],
  ])('with %s is refused', async (_, request) => {
    expect(await refusal((await anApiServer()).access, request)).toBe(true);
  });

  test.each([
    [
      'older than ten minutes',
      { ...login(), metadata: { name: 'alice-1', creationTimestamp: new Date(NOW - 601_000).toISOString() } },
    ],
    ['without a user', login({ user: '' })],
    ['with a key of another length', login({ publicKey: 'AAAA' })],
    ['with a key as no API server stores it', login({ publicKey: key.publicKey.toString('base64url') })],
  ])('with a login %s is refused', async (_, object) => {
    expect(await refusal((await anApiServer({ logins: { 'alice-1': object } })).access, aRequest())).toBe(true);
  });

  test('is nobody while the API server fails', async () => {
    const { access } = await anApiServer({ broken: true });
    await expect(access.authorise(aRequest())).rejects.toThrow();
    await expect(access.allowed({ user: 'alice', groups: [] }, 'get', 'agents')).rejects.toThrow();
  });
});

test('rights are asked of the API server as the virtual resource sessions.chaperone.dev, and remembered for a moment', async () => {
  const { access, asked } = await anApiServer({
    allow: ({ spec }) => {
      const { verb, namespace, group, resource } = spec.resourceAttributes;
      return (
        `${spec.user} ${spec.groups.join()} ${verb} ${resource}.${group} ${namespace}` ===
        'alice dba,system:authenticated get sessions.chaperone.dev agents'
      );
    },
  });
  const alice = { user: 'alice', groups: ['dba'] };
  for (let times = 0; times < 3; times++) expect(await access.allowed(alice, 'get', 'agents')).toBe(true);
  expect(asked).toHaveLength(1);
  expect(await access.allowed(alice, 'replay', 'agents')).toBe(false);
  expect(await access.allowed(alice, 'get', 'shop')).toBe(false);
  expect(await access.allowed({ ...alice, groups: [] }, 'get', 'agents')).toBe(false);
});

test('a right that is asked for already is not asked for again, and no answer is not remembered', async () => {
  let asked = 0;
  let answer = Promise.withResolvers<boolean>();
  const server: LoginServer = {
    login: () => Promise.resolve(undefined),
    review: () => {
      asked++;
      return answer.promise;
    },
  };
  const access = createLoginAccess(server, () => NOW);
  const ask = (): Promise<boolean>[] =>
    Array.from({ length: 100 }, () => access.allowed({ user: 'alice', groups: [] }, 'get', 'agents'));
  const failing = ask();
  answer.reject(new Error('no answer'));
  expect((await Promise.allSettled(failing)).every(({ status }) => status === 'rejected')).toBe(true);
  answer = Promise.withResolvers();
  const answered = ask();
  answer.resolve(true);
  expect((await Promise.all(answered)).every(Boolean)).toBe(true);
  expect(asked).toBe(2);
});
