import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Configuration, Provider } from 'oidc-provider';

/** A real OpenID provider on loopback. */
export interface TestProvider extends AsyncDisposable {
  readonly issuer: string;
  /** A JWT access token for a task, by client credentials. */
  taskToken(audience?: string): Promise<string>;
  /** An ID token for a person who signs in at the provider's own pages, by authorization code with PKCE. */
  personToken(login: string): Promise<string>;
  /** Every later token is signed with another key; the ones before are withdrawn. */
  rotate(): void;
}

/** Of the clients that have one. */
export const CLIENT_SECRET = 'a-secret-of-the-task-of-this-test';
const CALLBACK = 'http://127.0.0.1/callback';
const VERIFIER = 'a-verifier-that-is-at-least-43-characters-long-as-pkce-wants';
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');

/** A public client, of a page in a browser. */
export const PAGE_CLIENT = 'page';

type Key = NonNullable<Configuration['jwks']>['keys'][number];

function aKey(kid: string): Key {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' };
}

function configuration(key: Key, pages: readonly string[]): Configuration {
  return {
    jwks: { keys: [key] },
    clients: [
      {
        client_id: 'nightly-report',
        client_secret: CLIENT_SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'chaperone',
        client_secret: CLIENT_SECRET,
        redirect_uris: [CALLBACK, ...pages],
        application_type: 'native',
      },
      {
        client_id: PAGE_CLIENT,
        token_endpoint_auth_method: 'none',
        redirect_uris: [CALLBACK, ...pages],
        application_type: 'native',
      },
    ],
    claims: { openid: ['sub', 'groups', 'email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, groups: ['support'], email: `${sub}@corp`, email_verified: true }),
    }),
    extraTokenClaims: () => ({ groups: ['tasks'] }),
    cookies: { keys: ['of this test'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: '',
          audience: resource.replace('urn:', ''),
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  };
}

/** @param pages - where the clients of people may send them back to, beside */
export async function startProvider(pages: readonly string[] = []): Promise<TestProvider> {
  // Loading it takes a while, and most tests need none.
  const { Provider: OpenidProvider } = await import('oidc-provider');
  let handler: ReturnType<Provider['callback']> | undefined;
  const server = createServer((request, response) => void handler?.(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let keys = 0;
  const rotate = (): void => {
    handler = new OpenidProvider(issuer, configuration(aKey(`key-${keys++}`), pages)).callback();
  };
  rotate();
  const tokens = async (client: string, form: Record<string, string>): Promise<Record<string, string>> => {
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${client}:${CLIENT_SECRET}`).toString('base64')}` },
      body: new URLSearchParams(form),
    });
    const body = (await response.json()) as Record<string, string>;
    if (!response.ok) throw new Error(JSON.stringify(body));
    return body;
  };
  return {
    issuer,
    rotate,
    taskToken: async (audience = 'chaperone') =>
      (await tokens('nightly-report', { grant_type: 'client_credentials', resource: `urn:${audience}` }))['access_token'] ?? '',
    personToken: async (login) => {
      const code = await signIn(issuer, login);
      const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: VERIFIER };
      return (await tokens('chaperone', form))['id_token'] ?? '';
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** What a browser would do: follows the provider through its sign-in and its consent, to the code. */
async function signIn(issuer: string, login: string): Promise<string> {
  const jar = new Map<string, string>();
  let url = `${issuer}/auth?${new URLSearchParams({
    client_id: 'chaperone',
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'openid',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
  }).toString()}`;
  const forms = [new URLSearchParams({ prompt: 'login', login, password: 'any' }), new URLSearchParams({ prompt: 'consent' })];
  for (let step = 0; step < 12; step++) {
    const body = /[/]interaction[/][^/]+$/.test(url) ? forms.shift() : undefined;
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(body === undefined ? {} : { method: 'POST', body }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      jar.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) throw new Error(`no way on from ${url}: ${response.status} ${(await response.text()).slice(0, 500)}`);
    url = new URL(location, url).href;
    if (url.startsWith(CALLBACK)) return new URL(url).searchParams.get('code') ?? '';
  }
  throw new Error('the sign-in has no end');
}
