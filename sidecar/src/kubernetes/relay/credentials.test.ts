import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { decodeJwt, decodeProtectedHeader, importPKCS8, SignJWT } from 'jose';
import { testAuthority, type ApiServer, hasApiServer, startApiServer } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Spec, startGoverned } from './governed.test-support.ts';

const RULES: Spec['rules'] = [{ name: 'all', effect: 'Allow', kubernetes: { verbs: ['*'], resources: ['**'] } }];
const REVIEW = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
const MAPS = '/api/v1/namespaces/default/configmaps';

interface Asking {
  readonly path: string;
  readonly body?: object;
  readonly token?: string;
}

async function send(at: { readonly port: number; readonly ca: string }, { path, body, token }: Asking) {
  const request = httpsRequest({
    host: '127.0.0.1',
    port: at.port,
    ca: at.ca,
    method: body === undefined ? 'GET' : 'POST',
    path,
    agent: false,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
  });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
  return { status: response.statusCode ?? 0, text };
}

/** kubectl would ask its user to log in anew on 401. */
function expectNotReady({ status, text }: { readonly status: number; readonly text: string }): void {
  expect(status).toBe(503);
  const { details } = JSON.parse(text) as { details: { causes: { reason: string }[] } };
  expect(details.causes.map(({ reason }) => reason)).toEqual(['ResourceNotReady', 'CredentialsRejected']);
}

describe.skipIf(!hasApiServer)('the credential of a resource', () => {
  let api: ApiServer;
  let admin: (asking: Asking) => Promise<string>;
  beforeAll(async () => {
    api = await startApiServer();
    const server = { port: Number(api.address.split(':')[1]), ca: api.ca };
    admin = async (asking) => {
      const { status, text } = await send(server, { ...asking, token: api.token });
      if (status >= 300) throw new Error(text);
      return text;
    };
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
    await admin({
      path: `${rbac}/clusterroles`,
      body: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'lists' }, rules },
    });
    await admin({
      path: `${rbac}/clusterrolebindings`,
      body: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'owners' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'lists' },
        subjects: [
          { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'owner' },
          { kind: 'ServiceAccount', namespace: 'default', name: 'reader' },
        ],
      },
    });
    await admin({
      path: '/api/v1/namespaces/default/serviceaccounts',
      body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader' } },
    });
  });
  afterAll(() => api?.[Symbol.asyncDispose]());

  const start = (credential: Spec['credential'], authentication: 'token' | 'cert'): ReturnType<typeof startGoverned> =>
    startGoverned({ upstream: api.address, ca: api.ca, credential, rules: RULES, kubernetes: { authentication } });
  const asClient = async (name: string, options?: { notAfter?: Date }): Promise<Spec['credential']> => {
    const { certificate, key } = await api.client(name, options);
    return { client: { cert: certificate, key } };
  };

  it('that is a client certificate signs in as its name, and no token goes with it', async () => {
    await using governed = await start(await asClient('owner'), 'cert');
    const who = await send(governed, {
      path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      body: REVIEW,
      token: api.token,
    });
    expect(JSON.parse(who.text)).toMatchObject({ status: { userInfo: { username: 'owner' } } });
    expect((await send(governed, { path: MAPS })).status).toBe(200);
    const denied = await send(governed, { path: '/api/v1/namespaces/default/secrets', token: api.token });
    expect(denied).toMatchObject({ status: 403, text: expect.stringContaining('User \\"owner\\" cannot list') });
  });

  it.each<[what: string, credential: () => Promise<Spec['credential']>]>([
    ['has expired', () => asClient('owner', { notAfter: new Date(Date.now() - 1_000) })],
    [
      'another authority signed',
      async () => {
        const { certificate, key } = await (await testAuthority()).issue(['owner']);
        return { client: { cert: certificate, key } };
      },
    ],
    ['is not there', () => Promise.resolve({ token: api.token })],
  ])('that is a certificate which %s is told as ours to mend, and not as the agent’s', async (_, credential) => {
    await using governed = await start(await credential(), 'cert');
    expectNotReady(await send(governed, { path: MAPS, token: api.token }));
  });

  it('that is a token signs in until it expires; then that is told as ours to mend', async () => {
    const issued = JSON.parse(
      await admin({
        path: '/api/v1/namespaces/default/serviceaccounts/reader/token',
        body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } },
      }),
    ) as { status: { token: string } };
    const { token } = issued.status;
    const key = await importPKCS8(api.tokenKey, 'RS256');
    const past = Math.floor(Date.now() / 1000) - 60;
    const { kid = '' } = decodeProtectedHeader(token);
    const signed = (exp: number): Promise<string> =>
      new SignJWT({ ...decodeJwt(token), exp }).setProtectedHeader({ alg: 'RS256', kid }).sign(key);
    await using good = await start({ token: await signed(past + 600) }, 'token');
    expect((await send(good, { path: MAPS })).status).toBe(200);
    const expired = await signed(past);
    await using governed = await start({ token: expired }, 'token');
    const answer = await send(governed, { path: MAPS });
    expectNotReady(answer);
    expect(JSON.stringify([answer.text, governed.records, governed.logged])).not.toContain(expired.split('.')[1]);
  });
});
