import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { REQUEST } from '../notify/request.test-support.ts';
import { hasChromium, launch, leave, PAGE, type Site, startSite, signIn, visit } from './decide.test-support.ts';

let site: Site;
beforeEach(async () => {
  site = await startSite();
});
afterEach(() => site[Symbol.asyncDispose]());

const NONCE = Buffer.alloc(32, 7).toString('base64url');
const SIGN_IN = { nonce: NONCE, fresh: false, namespace: 'agents', name: REQUEST };
const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${site.origin}${path}`, { headers, redirect: 'manual' });
const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${site.origin}${path}`, {
    method: 'POST',
    headers: { origin: site.origin, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const codeOf = async (response: Response | Promise<Response>): Promise<string> => {
  const answered = await response;
  const text = await answered.text();
  return text.startsWith('{') ? ((JSON.parse(text) as { code?: string }).code ?? 'ok') : String(answered.status);
};

describe('what the page is served with', () => {
  it.each(['/decide/page.js', PAGE, `/decide/api/agents/${REQUEST}`, '/elsewhere'])('%s', async (path) => {
    const { headers } = await get(path);
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'cross-origin-opener-policy': 'same-origin',
    });
  });

  it.each<[string, number]>([
    [PAGE, 200],
    ['/decide/page.js', 200],
    ['/decide/', 200],
    ['/decide/agents/ar-short', 404],
    [`/decide/AGENTS/${REQUEST}`, 404],
    [`/decide/agents/${REQUEST}/more`, 404],
    [`/decide/..%2f/${REQUEST}`, 404],
    ['/', 404],
  ])('%s is %i', async (path, status) => expect((await get(path)).status).toBe(status));
});

it('an address of 9 KiB is not read', async () => {
  expect((await get(`/decide/${'a'.repeat(9000)}`)).status).toBe(414);
});

describe('a request that the page did not send is refused', () => {
  it.each<[string, Record<string, string>]>([
    ['from another site', { origin: 'https://evil.example' }],
    ['from no site', { origin: 'null' }],
    ['from another port', { origin: 'http://localhost:1' }],
    ['as a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['as text', { 'content-type': 'text/plain' }],
    ['as another site, by the browser’s word', { 'sec-fetch-site': 'cross-site' }],
    ['as a neighbour, by the browser’s word', { 'sec-fetch-site': 'same-site' }],
  ])('%s', async (_, headers) => {
    for (const path of [
      '/decide/sign-in',
      `/decide/api/agents/${REQUEST}`,
      '/decide/passkeys',
      '/decide/passkeys/options',
      '/decide/passkeys/remove',
    ])
      expect(await codeOf(post(path, SIGN_IN, headers))).toBe('PageForeign');
  });
});

describe('a sign-in', () => {
  it.each<[string, object]>([
    ['without a commitment', { ...SIGN_IN, nonce: undefined }],
    ['with a commitment of another length', { ...SIGN_IN, nonce: 'short' }],
    ['for what is no request', { ...SIGN_IN, name: '//evil.example' }],
    ['for a namespace that is an address', { ...SIGN_IN, namespace: '//evil.example/' }],
    ['with an address to return to', { ...SIGN_IN, return: 'https://evil.example' }],
    ['that is not JSON', '{' as never],
    ['that is too long', { ...SIGN_IN, nonce: 'x'.repeat(70_000) }],
  ])('is not begun %s', async (_, body) => expect(await codeOf(post('/decide/sign-in', body))).toBe('SignatureRefused'));

  it('leads to the issuer, and nowhere else', async () => {
    const response = await post('/decide/sign-in', SIGN_IN);
    const { location } = (await response.json()) as { location: string };
    const { origin, searchParams } = new URL(location);
    expect(origin).toBe(site.provider.issuer);
    expect(Object.fromEntries(searchParams)).toMatchObject({
      nonce: NONCE,
      code_challenge_method: 'S256',
      redirect_uri: `${site.origin}/decide/callback`,
      response_type: 'code',
    });
    expect(response.headers.get('set-cookie')).toMatch(
      /^__Host-chaperone-sign-in=[\w-]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/,
    );
  });

  it('that was begun in another browser comes to nothing', async () => {
    const begun = await post('/decide/sign-in', SIGN_IN);
    const { location } = (await begun.json()) as { location: string };
    const state = new URL(location).searchParams.get('state') ?? '';
    const cookie = (begun.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const changed = `${cookie.slice(0, -20)}${cookie.at(-20) === 'A' ? 'B' : 'A'}${cookie.slice(-19)}`;
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`))).toBe('SignInFailed');
    expect(await codeOf(get(`/decide/callback?code=x&state=other`, { cookie }))).toBe('SignInFailed');
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`, { cookie: changed }))).toBe('SignInFailed');
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`, { cookie: `${cookie}; ${cookie}` }))).toBe('SignInFailed');
    site.skewMs = 601_000;
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`, { cookie }))).toBe('SignInFailed');
    site.skewMs = 0;
    // With its own cookie it reaches the issuer, which never gave this code.
    expect(site.errors).toEqual([]);
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`, { cookie }))).toBe('SignInFailed');
    expect(await codeOf(get(`/decide/callback?code=x&state=${state}`, { cookie }))).toBe('SignInFailed');
    // Told once a minute, however often somebody tries.
    expect(site.errors.map(String)).toEqual([expect.stringContaining('the issuer did not complete a sign-in')]);
  });

  it('cannot begin while the issuer is away, and says so', async () => {
    await site.provider[Symbol.asyncDispose]();
    expect(await codeOf(post('/decide/sign-in', SIGN_IN))).toBe('PageUnavailable');
  });

  it('is needed for everything else', async () => {
    expect(await codeOf(get(`/decide/api/agents/${REQUEST}`))).toBe('SignInNeeded');
    for (const path of [
      `/decide/api/agents/${REQUEST}`,
      '/decide/passkeys',
      '/decide/passkeys/options',
      '/decide/passkeys/remove',
    ])
      expect(await codeOf(post(path, {}))).toBe('SignInNeeded');
  });
});

it('a replica that does not lead answers nobody', async () => {
  site.leads = false;
  expect(await codeOf(get(PAGE))).toBe('PageUnavailable');
  expect(await codeOf(post('/decide/sign-in', SIGN_IN))).toBe('PageUnavailable');
});

const sheet = (cookie: string, headers: Record<string, string> = {}): Promise<Response> =>
  get(`/decide/api/agents/${REQUEST}`, { cookie, ...headers });

describe.skipIf(!hasChromium)('who is signed in', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());

  async function cookieOf(): Promise<string> {
    const one = await visit(browser, site);
    await signIn(one);
    const cookies = await one.context.cookies(site.origin);
    await leave(one.context);
    expect(cookies).toMatchObject([{ name: '__Host-chaperone-decide', httpOnly: true, secure: true, sameSite: 'Strict' }]);
    return cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  }

  it('sees what they may read, from the page alone, for 15 minutes', async () => {
    const cookie = await cookieOf();
    expect(await codeOf(sheet(cookie))).toBe('ok');
    expect(await codeOf(sheet(cookie, { 'sec-fetch-site': 'cross-site' }))).toBe('PageForeign');
    expect(await codeOf(get(`/decide/api/agents/ar-${'b'.repeat(16)}`, { cookie }))).toBe('RequestUnknown');
    site.reviews = (plural, spec) => {
      const right = spec['resourceAttributes'] as { verb: string };
      return plural === 'subjectaccessreviews' && right.verb === 'get' ? { allowed: false } : undefined;
    };
    expect(await codeOf(sheet(cookie))).toBe('DecisionNotPermitted');
    site.reviews = () => undefined;
    site.skewMs = 15 * 60_000 + 1000;
    expect(await codeOf(sheet(cookie))).toBe('SignInNeeded');
  });

  it('sees the rows that it would meet where they may read those too, and nowhere else', async () => {
    const cookie = await cookieOf();
    site.content = { columns: ['id'], rows: [['811']] };
    const content = (namespace = 'agents', headers: Record<string, string> = {}): Promise<Response> =>
      get(`/decide/api/${namespace}/${REQUEST}/content`, { cookie, ...headers });
    expect(await (await content()).json()).toEqual({ columns: [[['text', 'id']]], rows: [[[['text', '811']]]] });
    expect(await codeOf(content('agents', { cookie: '' }))).toBe('SignInNeeded');
    expect(await codeOf(content('agents', { 'sec-fetch-site': 'cross-site' }))).toBe('PageForeign');
    expect(await codeOf(content('elsewhere'))).toBe('RequestUnknown');
    expect(await codeOf(post(`/decide/api/agents/${REQUEST}/content`, {}, { cookie }))).toBe('404');
    const asked: unknown[] = [];
    site.reviews = (plural, spec) => {
      const right = spec['resourceAttributes'] as { subresource?: string } | undefined;
      asked.push(right);
      return plural === 'subjectaccessreviews' && right?.subresource === 'content' ? { allowed: false } : undefined;
    };
    expect(await codeOf(sheet(cookie))).toBe('ok');
    const refused = await content();
    expect([refused.status, await refused.json()]).toEqual([
      403,
      { code: 'DecisionNotPermitted', message: 'jane@corp may not get accessrequests/content in agents' },
    ]);
    expect(asked.at(-1)).toEqual({
      namespace: 'agents',
      group: 'chaperone.dev',
      version: 'v1alpha1',
      resource: 'accessrequests',
      subresource: 'content',
      verb: 'get',
      name: REQUEST,
    });
    site.reviews = (plural, spec) => {
      const right = spec['resourceAttributes'] as { namespace?: string } | undefined;
      return plural === 'subjectaccessreviews' ? { allowed: right?.namespace === 'agents' } : undefined;
    };
    expect(await codeOf(content('elsewhere'))).toBe('DecisionNotPermitted');
    site.reviews = () => ({ allowed: true, denied: true });
    expect(await codeOf(content())).toBe('DecisionNotPermitted');
    site.reviews = () => undefined;
    site.content = 'its rows gave way';
    const gone = await content();
    expect([gone.status, await gone.json()]).toEqual([410, { code: 'ContentGone', message: 'its rows gave way' }]);
    site.leads = false;
    expect(await codeOf(content())).toBe('PageUnavailable');
  });

  it('is asked for by the names that the API server has, with all groups', async () => {
    const asked: unknown[] = [];
    site.reviews = (plural, spec) => void (plural === 'subjectaccessreviews' && asked.push(spec));
    await sheet(await cookieOf());
    expect(asked.at(-1)).toEqual({
      user: 'jane@corp',
      groups: ['support', 'system:authenticated'],
      resourceAttributes: {
        namespace: 'agents',
        group: 'chaperone.dev',
        version: 'v1alpha1',
        resource: 'accessrequests',
        verb: 'get',
        name: REQUEST,
      },
    });
  });

  it('decides nothing that they might not write themselves', async () => {
    site.reviews = (plural, spec) => {
      const right = spec['resourceAttributes'] as { verb: string };
      return plural === 'subjectaccessreviews' && right.verb === 'create' ? { allowed: false } : undefined;
    };
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.click('#approve');
    await one.page.click('#send');
    await one.page.waitForSelector('text=jane@corp may not create approvaldecisions in agents (DecisionNotPermitted)');
    expect(site.decisions()).toEqual([]);
  });

  it.each<[string, Parameters<typeof startSite>[0], string]>([
    ['is denied', { status: { state: 'Denied' } }, 'the request is over: Denied'],
    ['was used', { status: { state: 'Released' } }, 'the request is over: Released'],
  ])('decides nothing on what %s', async (_, mods, said) => {
    await site[Symbol.asyncDispose]();
    site = await startSite(mods);
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.waitForSelector(`text=${said}`);
    expect(await one.page.isVisible('#approve')).toBe(false);
  });

  it('decides nothing late', async () => {
    await site[Symbol.asyncDispose]();
    site = await startSite({ spec: { expiresAt: new Date(Date.now() + 5_000).toISOString() } });
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.click('#approve');
    site.skewMs = 6_000;
    await one.page.click('#send');
    await one.page.waitForSelector('text=its time has run out (RequestOver)');
    expect(site.decisions()).toEqual([]);
  });

  it('is nobody with a token that the API server would take for a credential', async () => {
    site.reviews = (plural) => (plural === 'tokenreviews' ? { authenticated: true, user: {} } : undefined);
    const one = await visit(browser, site);
    await one.page.click('#sign-in');
    await one.page.waitForURL(/interaction/);
    await one.page.fill('input[name=login]', 'jane');
    await one.page.fill('input[name=password]', 'any');
    await one.page.click('button[type=submit]');
    await one.page.waitForSelector('text=Authorize');
    await one.page.click('button[type=submit]');
    await one.page.waitForSelector('text=give the page a client of its own');
    expect(await one.context.cookies(site.origin)).toMatchObject([{ name: '__Host-chaperone-sign-in' }]);
  });

  it('has no token in anything that is logged', async () => {
    await sheet(await cookieOf());
    expect(JSON.stringify(site.errors)).not.toMatch(/eyJ/);
  });
});
