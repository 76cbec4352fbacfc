import { rmSync, writeFileSync } from 'node:fs';
import { AuthState } from '@chaperone/evidence';
import { freePort, startProvider, type ProviderOptions, type TestProvider } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CONSOLE, type TestBrowser, type TestConsole } from '../provider/console.test-support.ts';
import { aConsole, anAuthority, CALLBACK } from './oidc.test-support.ts';
import { PENDING_MS } from '../provider/pending.ts';
import type { OidcSettings } from './settings.ts';

// A real provider over TLS, and a real collector without a network: what a browser sends it is written here.

const DEEP = '/sessions/s-abc?at=12';
const unknown = '/sign-in?failed=SignInUnknown&path=%2F';
const failed = (code: string, path = DEEP): string => `/sign-in?${new URLSearchParams({ failed: code, path }).toString()}`;

interface World {
  readonly provider: TestProvider;
  readonly site: TestConsole;
}

async function aWorld(settings: Partial<OidcSettings> = {}, options: ProviderOptions = {}): Promise<World> {
  const { caFile, tls } = await anAuthority();
  const provider = await startProvider({ tls, client: { id: 'console', callback: CALLBACK }, ...options });
  onTestFinished(() => provider[Symbol.asyncDispose]());
  return { provider, site: await aConsole({ issuerUrl: provider.issuer, caFile, ...settings }) };
}

/** The provider's answer to a sign-in that this browser begins. */
async function answered({ provider }: World, browser: TestBrowser, path = DEEP): Promise<string> {
  return provider.authorize(await browser.start(path), 'mira');
}
const within = (url: string): string => url.slice(CONSOLE.length);

describe('a sign-in through a provider', () => {
  test('leads to where the person wanted to go, as whom the claims name', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    expect(AuthState.parse(await (await browser.get('/auth/state')).json())).toMatchObject({
      way: 'oidc',
      provider: new URL(world.provider.issuer).host,
    });
    const to = new URL(await browser.start(DEEP));
    expect([to.origin, to.pathname]).toEqual([world.provider.issuer, '/auth']);
    expect(Object.fromEntries(to.searchParams)).toEqual({
      client_id: 'console',
      redirect_uri: CALLBACK,
      response_type: 'code',
      scope: 'openid',
      state: expect.stringMatching(/^[\w-]{43}$/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: 'S256',
    });
    const back = await world.provider.authorize(to.href, 'mira');
    expect(back).toContain(`${CALLBACK}?code=`);
    const response = await browser.get(within(back));
    expect([response.status, response.headers.get('location')]).toEqual([303, DEEP]);
    expect(response.headers.getSetCookie()).toEqual([
      expect.stringMatching(/^__Host-chaperone=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/),
      '__Host-chaperone-oidc=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure',
    ]);
    expect(await browser.user()).toBe('oidc:mira');
    expect((await browser.get('/v1/sessions?namespace=agents')).status).toBe(200);
    expect(world.site.asked.at(-1)).toEqual({ user: 'oidc:mira', groups: ['support', 'system:authenticated'] });
  });

  test('binds the browser by a cookie that no script reads and no other host sets, for ten minutes', async () => {
    const world = await aWorld();
    const response = await world.site.browser().get('/auth/oidc/start');
    expect(response.headers.getSetCookie()).toEqual([
      expect.stringMatching(/^__Host-chaperone-oidc=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/),
    ]);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  test('works with a secret, of which nothing is logged', async () => {
    const { caFile, tls } = await anAuthority();
    const secret = 'a-secret-of-the-console-of-this-test';
    const provider = await startProvider({ tls, client: { id: 'console', secret, callback: CALLBACK } });
    onTestFinished(() => provider[Symbol.asyncDispose]());
    const clientSecretFile = `${caFile}.secret`;
    writeFileSync(clientSecretFile, `${secret}\n`);
    const site = await aConsole({ issuerUrl: provider.issuer, caFile, clientSecretFile });
    const browser = site.browser();
    expect(await browser.follow(within(await answered({ provider, site }, browser)))).toBe(DEEP);
    writeFileSync(clientSecretFile, 'another-secret');
    expect(await browser.follow(within(await answered({ provider, site }, browser)))).toBe(failed('ProviderRefused'));
    expect(site.logged.at(-1)).toContain('the provider does not take the client id or secret');
    writeFileSync(clientSecretFile, '\n');
    expect(await browser.start(DEEP)).toBe(failed('ProviderUnavailable'));
    rmSync(clientSecretFile);
    expect(await browser.start(DEEP)).toBe(failed('ProviderUnavailable'));
    expect(site.logged.at(-1)).toContain('the client secret cannot be read');
    expect(site.logged.join('\n')).not.toContain('secret-');
    expect(site.logged.join('\n')).not.toContain('another-secret');
  });

  test('without the claim of groups is a sign-in without groups', async () => {
    const world = await aWorld({}, { claims: () => ({}) });
    const browser = world.site.browser();
    expect(await browser.follow(within(await answered(world, browser)))).toBe(DEEP);
    expect(await browser.user()).toBe('oidc:mira');
    expect((await browser.get('/v1/sessions?namespace=agents')).status).toBe(403);
    expect(world.site.asked.at(-1)).toEqual({ user: 'oidc:mira', groups: ['system:authenticated'] });
  });

  test.each<[string, object, Partial<OidcSettings>, string]>([
    ['with system:masters among the groups', { groups: ['support', 'system:masters'] }, {}, 'NameReserved'],
    ['with more groups than fit a token', { groups: Array.from({ length: 257 }, (_, at) => `g${at}`) }, {}, 'ClaimUnreadable'],
    ['without a required claim', {}, { requiredClaims: { team: 'payments' } }, 'ClaimMissing'],
    [
      'with an address that is not verified',
      { email: 'm@corp', email_verified: false },
      { usernameClaim: 'email' },
      'ClaimMissing',
    ],
  ])('%s is none', async (_what, claims, settings, code) => {
    const world = await aWorld(settings, { claims: () => ({ ...claims }) });
    const browser = world.site.browser();
    expect(await browser.follow(within(await answered(world, browser)))).toBe(failed(code));
    expect(await browser.user()).toBeUndefined();
    expect([...browser.cookies.keys()]).toEqual(['__Host-chaperone-oidc']);
  });

  test('gives every sign-in an id of its own, and ends the session before', async () => {
    const world = await aWorld();
    const planted = world.site.browser();
    planted.cookies.set('__Host-chaperone', 'A'.repeat(43));
    await planted.follow(within(await answered(world, planted)));
    const first = planted.cookies.get('__Host-chaperone');
    expect(first).not.toBe('A'.repeat(43));
    const old = world.site.browser();
    old.cookies.set('__Host-chaperone', first ?? '');
    expect(await old.user()).toBe('oidc:mira');
    await planted.follow(within(await answered(world, planted)));
    expect(planted.cookies.get('__Host-chaperone')).not.toBe(first);
    expect(await planted.user()).toBe('oidc:mira');
    expect(await old.user()).toBeUndefined();
  });

  test('lasts as long as the installation says, and no longer than until somebody signs out', async () => {
    const world = await aWorld({ sessionMs: 600_000 });
    const browser = world.site.browser();
    await browser.follow(within(await answered(world, browser)));
    const kept = browser.cookies.get('__Host-chaperone') ?? '';
    world.site.ahead = 599_000;
    expect(await browser.user()).toBe('oidc:mira');
    world.site.ahead = 601_000;
    expect(await browser.user()).toBeUndefined();
    world.site.ahead = 0;
    expect((await browser.post('/auth/sign-out', {})).status).toBe(204);
    browser.cookies.set('__Host-chaperone', kept);
    expect(await browser.user()).toBeUndefined();
  });
});

describe('an answer of the provider', () => {
  test('counts once', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const back = within(await answered(world, browser));
    const [bound = ''] = browser.cookies.values();
    expect(await browser.follow(back)).toBe(DEEP);
    const replaying = world.site.browser();
    replaying.cookies.set('__Host-chaperone-oidc', bound);
    expect(await replaying.follow(back)).toBe(unknown);
    expect(await replaying.user()).toBeUndefined();
    expect(await browser.user(), 'who is signed in stays so').toBe('oidc:mira');
  });

  test('counts in the browser that asked, and is spent by any other', async () => {
    const world = await aWorld();
    const [asker, other] = [world.site.browser(), world.site.browser()];
    const back = within(await answered(world, asker));
    await other.start();
    expect(await other.follow(back), 'with a cookie of its own').toBe(unknown);
    expect(await asker.follow(back)).toBe(unknown);
    expect([await asker.user(), await other.user()]).toEqual([undefined, undefined]);
    const without = world.site.browser();
    expect(await without.follow(within(await answered(world, asker))), 'without one').toBe(unknown);
    expect(without.cookies.size).toBe(0);
  });

  test('signs nobody in as somebody else: one that an attacker obtained is refused in another browser', async () => {
    const world = await aWorld();
    const [attacker, victim] = [world.site.browser(), world.site.browser()];
    const mallory = await world.provider.authorize(await attacker.start(), 'mallory');
    await victim.start();
    expect(await victim.follow(within(mallory))).toBe(unknown);
    expect(await victim.user()).toBeUndefined();
  });

  test('with the code of another sign-in is refused by the provider, for want of its verifier', async () => {
    const world = await aWorld();
    const [one, other] = [world.site.browser(), world.site.browser()];
    const stolen = new URL(await answered(world, one)).searchParams.get('code') ?? '';
    const own = new URL(await answered(world, other));
    own.searchParams.set('code', stolen);
    expect(await other.follow(within(own.href))).toBe(failed('ProviderRefused'));
  });

  test.each<[string, (back: URL) => void, string]>([
    ['with a state of nobody', (back) => back.searchParams.set('state', 'A'.repeat(43)), unknown],
    ['without a state', (back) => back.searchParams.delete('state'), unknown],
    ['with two states', (back) => back.searchParams.append('state', 'x'), failed('SignInRejected')],
    ['with two codes', (back) => back.searchParams.append('code', 'x'), failed('SignInRejected')],
    ['without a code', (back) => back.searchParams.delete('code'), failed('SignInRejected')],
    ['of another issuer', (back) => back.searchParams.set('iss', 'https://evil.example'), failed('SignInRejected')],
    ['without its issuer, which this one says always', (back) => back.searchParams.delete('iss'), failed('SignInRejected')],
    ['that is an error too', (back) => back.searchParams.set('error', 'server_error'), failed('ProviderRefused')],
    ['with a code that is none', (back) => back.searchParams.set('code', '<script>alert(1)</script>'), failed('ProviderRefused')],
  ])('%s is none', async (_what, change, expected) => {
    const world = await aWorld();
    const browser = world.site.browser();
    const back = new URL(await answered(world, browser));
    change(back);
    expect(await browser.follow(within(back.href))).toBe(expected);
    expect(await browser.user()).toBeUndefined();
  });

  test('that is a refusal is said in our words, whatever it says itself', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    for (const [error, code] of [
      ['access_denied', 'SignInDenied'],
      ['temporarily_unavailable', 'ProviderRefused'],
      ['<img src=x onerror=alert(1)>', 'ProviderRefused'],
    ] as const) {
      const back = new URL(await answered(world, browser));
      back.searchParams.delete('code');
      back.searchParams.set('error', error);
      back.searchParams.set('error_description', '<b>call 555-0100</b>');
      const response = await browser.get(within(back.href));
      expect([response.headers.get('location'), await response.text()]).toEqual([failed(code), '']);
    }
    expect(world.site.logged.join('\n')).not.toMatch(/555|onerror/);
    expect(world.site.logged).toContainEqual(expect.stringContaining('"cause":"access_denied"'));
  });

  test('that takes more than ten minutes comes too late', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const [late, intime] = [within(await answered(world, browser)), world.site.browser()];
    world.site.ahead = PENDING_MS;
    expect(await browser.follow(late)).toBe(unknown);
    world.site.ahead = 0;
    const back = within(await answered(world, intime));
    world.site.ahead = PENDING_MS - 1_000;
    expect(await intime.follow(back)).toBe(DEEP);
  });

  test('gives way where ten thousand others were begun after it', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const back = within(await answered(world, browser));
    const flood = world.site.browser();
    for (let at = 0; at < 9_999; at++) await flood.get('/auth/oidc/start');
    const last = world.site.browser();
    const kept = within(await answered(world, last));
    expect(await browser.follow(back)).toBe(unknown);
    expect(await last.follow(kept)).toBe(DEEP);
  });
});

describe('where a sign-in leads', () => {
  test.each<[string, string]>([
    ['/sessions?agent=agents%2Fbot', '/sessions?agent=agents%2Fbot'],
    ['/', '/'],
    ['https://evil.example/', '/'],
    ['//evil.example', '/'],
    ['/\\evil.example', '/'],
    ['/sessions/../../evil', '/'],
    ['/sessions\r\nset-cookie: a=b', '/'],
    ['javascript:alert(1)', '/'],
    ['/auth/oidc/start', '/'],
    ['/v1/sessions', '/'],
    [`/sessions?${'a'.repeat(501)}`, '/'],
  ])('begun for %j: %s', async (path, expected) => {
    const world = await aWorld();
    const browser = world.site.browser();
    expect(await browser.follow(within(await answered(world, browser, path)))).toBe(expected);
  });

  test('is not what the answer says', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const back = await answered(world, browser);
    expect(await browser.follow(`${within(back)}&path=https://evil.example&redirect_uri=https://evil.example`)).toBe(DEEP);
  });

  test('is not begun by another site, nor at another address: there is the page, and its link', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const start = `/auth/oidc/start?path=${encodeURIComponent(DEEP)}`;
    for (const site of ['cross-site', 'same-site'])
      expect(await browser.follow(start, { 'sec-fetch-site': site })).toBe(`${CONSOLE}${DEEP}`);
    expect(await browser.follow(`https://localhost:8443${start}`)).toBe(`${CONSOLE}${DEEP}`);
    expect(await browser.follow(`https://evil.example${start}`)).toBe(`${CONSOLE}${DEEP}`);
    expect(browser.cookies.size).toBe(0);
    expect(await browser.follow(start, { 'sec-fetch-site': 'none' })).toContain(world.provider.issuer);
  });
});

describe('the provider', () => {
  test('may be down: that is said, and it is asked again', async () => {
    const { caFile, tls } = await anAuthority();
    const port = await freePort();
    const issuerUrl = `https://localhost:${port}`;
    const site = await aConsole({ issuerUrl, caFile });
    const browser = site.browser();
    expect(await browser.start(DEEP)).toBe(failed('ProviderUnavailable'));
    expect(site.logged.at(-1)).toContain('"code":"ProviderUnavailable"');
    const provider = await startProvider({ tls, port, client: { id: 'console', callback: CALLBACK } });
    site.ahead = 2_001;
    const back = await answered({ provider, site }, browser);
    expect(await browser.follow(within(back))).toBe(DEEP);
    const interrupted = await answered({ provider, site }, browser);
    await provider[Symbol.asyncDispose]();
    expect(await browser.follow(within(interrupted))).toBe(failed('ProviderUnavailable'));
  });

  test('may change its key at any time', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    for (let round = 0; round < 3; round++) {
      expect(await browser.follow(within(await answered(world, browser)))).toBe(DEEP);
      world.provider.rotate();
    }
  });

  test('is not spoken with where its certificate is of another authority', async () => {
    const world = await aWorld();
    const { caFile } = await anAuthority();
    const other = await aConsole({ issuerUrl: world.provider.issuer, caFile });
    expect(await other.browser().start(DEEP)).toBe(failed('ProviderUnavailable'));
  });
});

test('links to sign in with are not to be had, and no proof is taken', async () => {
  const world = await aWorld();
  const browser = world.site.browser();
  expect((await browser.post('/auth/sign-in', { proof: 'x' })).status).toBe(410);
  expect((await browser.post('/auth/links', {})).status).toBe(401);
});
