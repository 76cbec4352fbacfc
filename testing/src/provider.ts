import { createHash, createPrivateKey, generateKeyPairSync, type JsonWebKeyInput, sign } from 'node:crypto';
import { createServer, type IncomingMessage, request as plainRequest } from 'node:http';
import { createServer as createTlsServer, request as tlsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Configuration, Provider } from 'oidc-provider';
import type { Certified } from './certificates.ts';

/** A real OpenID provider, on loopback unless it has a name. */
export interface TestProvider extends AsyncDisposable {
  readonly issuer: string;
  /** A JWT access token for a task, by client credentials. */
  taskToken(audience?: string): Promise<string>;
  /** An ID token for a person who signs in at the provider's own pages, by authorization code with PKCE. */
  personToken(login: string): Promise<string>;
  /** Signs in at the provider's own pages, from the address that a client sends browsers to, and says where it sends them back to. */
  authorize(url: string, login: string): Promise<string>;
  /** What it never gives: a token with its signature, and with these claims alone. */
  signed(claims: Readonly<Record<string, unknown>>): string;
  /** Every later token is signed with another key; the ones before are withdrawn. */
  rotate(): void;
}

export interface ProviderOptions {
  /**
   * As https://localhost, with this certificate of this authority; absent: as http://127.0.0.1. With a name as https://NAME, at all
   * addresses: whoever asks for it is led here.
   */
  readonly tls?: { readonly ca: string; readonly certified: Certified; readonly name?: string };
  readonly port?: number;
  /** One more client, that browsers are sent back to; without a secret a public one. */
  readonly client?: { readonly id: string; readonly secret?: string; readonly callback: string };
  /** Where the clients of people may send them back to, beside. */
  readonly pages?: readonly string[];
  /** What ID tokens say of a person, beside `sub`. */
  readonly claims?: (login: string) => Readonly<Record<string, unknown>>;
}

/** Of the clients that have one. */
export const CLIENT_SECRET = 'a-secret-of-the-task-of-this-test';
const CALLBACK = 'http://127.0.0.1/callback';
const VERIFIER = 'a-verifier-that-is-at-least-43-characters-long-as-pkce-wants';
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');

/** A public client, of a page in a browser. */
export const PAGE_CLIENT = 'page';

type Key = NonNullable<Configuration['jwks']>['keys'][number];

/** RSA keys take long to make: providers of a process take these in turn, so that those of a test differ. */
const KEYS = 8;
const made: object[] = [];
let taken = 0;

function aKey(kid: string): Key {
  const at = taken++ % KEYS;
  const key = (made[at] ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }));
  return { ...key, kid, alg: 'RS256', use: 'sig' };
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const somebody = (login: string): Record<string, unknown> => ({
  groups: ['support'],
  email: `${login}@corp`,
  email_verified: true,
});

function configuration(key: Key, { client, pages = [], claims = somebody }: ProviderOptions): Configuration {
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
      ...(client === undefined
        ? []
        : [
            {
              client_id: client.id,
              redirect_uris: [client.callback],
              ...(client.secret === undefined
                ? { token_endpoint_auth_method: 'none' as const }
                : { client_secret: client.secret }),
            },
          ]),
    ],
    claims: { openid: ['sub', 'groups', 'email', 'email_verified', 'team', 'name'] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, ...claims(sub) }),
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

export async function startProvider(options: ProviderOptions = {}): Promise<TestProvider> {
  const { tls, port = 0 } = options;
  // Loading it takes a while, and most tests need none.
  const { Provider: OpenidProvider } = await import('oidc-provider');
  let handler: ReturnType<Provider['callback']> | undefined;
  const listener = (...args: Parameters<ReturnType<Provider['callback']>>): void => void handler?.(...args);
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ cert: tls.certified.certificate, key: tls.certified.key }, listener);
  await new Promise<void>((resolve) => server.listen(port, tls?.name === undefined ? '127.0.0.1' : '::', resolve));
  const base = tls === undefined ? 'http://127.0.0.1' : 'https://localhost';
  const issuer = tls?.name === undefined ? `${base}:${(server.address() as AddressInfo).port}` : `https://${tls.name}`;
  let keys = 0;
  let key: Key | undefined;
  const rotate = (): void => {
    key = aKey(`key-${keys++}`);
    handler = new OpenidProvider(issuer, configuration(key, options)).callback();
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
    authorize: (url, login) => signIn(url, login, tls?.ca),
    rotate,
    signed: (claims) => {
      const head = part({ alg: 'RS256', typ: 'JWT', kid: key?.kid });
      const said = `${head}.${part({ iss: issuer, ...claims })}`;
      const secret = createPrivateKey({ key: key as JsonWebKeyInput['key'], format: 'jwk' });
      return `${said}.${sign('sha256', Buffer.from(said), secret).toString('base64url')}`;
    },
    taskToken: async (audience = 'chaperone') =>
      (await tokens('nightly-report', { grant_type: 'client_credentials', resource: `urn:${audience}` }))['access_token'] ?? '',
    personToken: async (login) => {
      const back = await signIn(authorizationUrl(issuer), login);
      const code = new URL(back).searchParams.get('code') ?? '';
      const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: VERIFIER };
      return (await tokens('chaperone', form))['id_token'] ?? '';
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function authorizationUrl(issuer: string): string {
  const asked = {
    client_id: 'chaperone',
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'openid',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
  };
  return `${issuer}/auth?${new URLSearchParams(asked).toString()}`;
}

/** What a browser would do: follows the provider through its sign-in and its consent, until it is sent elsewhere. */
async function signIn(from: string, login: string, ca?: string): Promise<string> {
  const jar = new Map<string, string>();
  const { origin } = new URL(from);
  let url = from;
  const forms = [new URLSearchParams({ prompt: 'login', login, password: 'any' }), new URLSearchParams({ prompt: 'consent' })];
  for (let step = 0; step < 12; step++) {
    const body = /[/]interaction[/][^/]+$/.test(url) ? forms.shift() : undefined;
    const response = await visit(url, { jar, body: body?.toString(), ca });
    for (const cookie of response.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      jar.set(name, value);
    }
    const said = await text(response);
    const { location } = response.headers;
    if (location === undefined) throw new Error(`no way on from ${url}: ${response.statusCode} ${said.slice(0, 500)}`);
    url = new URL(location, url).href;
    if (new URL(url).origin !== origin) return url;
  }
  throw new Error('the sign-in has no end');
}

interface Visit {
  readonly jar: ReadonlyMap<string, string>;
  readonly body: string | undefined;
  readonly ca: string | undefined;
}

function visit(url: string, { jar, body, ca }: Visit): Promise<IncomingMessage> {
  const request = url.startsWith('https:') ? tlsRequest : plainRequest;
  const sent = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
    },
    ...(ca === undefined ? {} : { ca }),
  });
  return new Promise((resolve, reject) => sent.once('response', resolve).once('error', reject).end(body));
}
