import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { aConsole, anAuthority, aStandIn, idToken, rsa, SIGNER, type StandIn, tokens } from './oidc.test-support.ts';
import type { TestConsole } from '../provider/console.test-support.ts';
import type { OidcSettings } from './settings.ts';

// A provider that lies, or is broken: what is wrong with its answer is in each row.

const HOME = '/sessions';
const failed = (code: string): string => `/sign-in?failed=${code}&path=%2Fsessions`;
const REJECTED = failed('SignInRejected');

async function aWorld(settings: Partial<OidcSettings> = {}): Promise<{ standIn: StandIn; site: TestConsole }> {
  const { caFile, tls } = await anAuthority();
  const standIn = await aStandIn(tls.certified);
  return { standIn, site: await aConsole({ issuerUrl: standIn.issuer, caFile, ...settings }) };
}

/** What comes of a sign-in at a provider that answers so; nobody is signed in unless it leads home. */
async function outcome(
  token: (nonce: string, issuer: string) => string,
  settings: Partial<OidcSettings> = {},
  change: (standIn: StandIn) => void = () => undefined,
): Promise<string> {
  const { standIn, site } = await aWorld(settings);
  standIn.token = (_, nonce) => tokens(token(nonce, standIn.issuer));
  change(standIn);
  const browser = site.browser();
  const to = await browser.follow(standIn.answerTo(await browser.start()));
  expect(await browser.user()).toBe(to === HOME ? 'oidc:mira' : undefined);
  return to;
}

const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PUBLIC = SIGNER.publicKey.export({ type: 'spki', format: 'pem' });
const seconds = Math.floor(Date.now() / 1000);

describe('an ID token', () => {
  test.each<[string, (claims: Record<string, unknown>) => string, string]>([
    ['as it should be', (claims) => idToken(claims), HOME],
    ['that nobody signed', (claims) => idToken(claims, { alg: 'none' }, () => ''), REJECTED],
    ['that nobody signed, in other letters', (claims) => idToken(claims, { alg: 'None' }, () => ''), REJECTED],
    ['signed with an algorithm and nothing else', (claims) => idToken(claims, {}, () => ''), REJECTED],
    [
      'signed with the public key as a secret',
      (claims) => idToken(claims, { alg: 'HS256' }, (text) => createHmac('sha256', PUBLIC).update(text).digest()),
      REJECTED,
    ],
    ['signed by a stranger', (claims) => idToken(claims, {}, (text) => rsa(text, stranger.privateKey)), REJECTED],
    [
      'signed by a key that it brings along',
      (claims) =>
        idToken(claims, { jwk: stranger.publicKey.export({ format: 'jwk' }) }, (text) => rsa(text, stranger.privateKey)),
      REJECTED,
    ],
    ['with a key id that is not there', (claims) => idToken(claims, { kid: 'key-2' }), REJECTED],
    ['with an extension that must be understood', (claims) => idToken(claims, { crit: ['x'], x: 1 }), REJECTED],
    ['with an algorithm that the key is not for', (claims) => idToken(claims, { alg: 'ES256' }), REJECTED],
    ['with another algorithm of the same key', (claims) => idToken(claims, { alg: 'RS512' }), REJECTED],
    ['with another nonce', (claims) => idToken({ ...claims, nonce: 'another' }), REJECTED],
    ['without a nonce', (claims) => idToken({ ...claims, nonce: undefined }), REJECTED],
    ['for another audience', (claims) => idToken({ ...claims, aud: 'another' }), REJECTED],
    [
      'for several audiences, none of them said to be asking',
      (claims) => idToken({ ...claims, aud: ['console', 'b'] }),
      REJECTED,
    ],
    [
      'for several audiences, asked for by another',
      (claims) => idToken({ ...claims, aud: ['console', 'b'], azp: 'b' }),
      REJECTED,
    ],
    ['for several audiences, asked for by us', (claims) => idToken({ ...claims, aud: ['console', 'b'], azp: 'console' }), HOME],
    ['asked for by another', (claims) => idToken({ ...claims, azp: 'another' }), REJECTED],
    ['without an audience', (claims) => idToken({ ...claims, aud: undefined }), REJECTED],
    ['of another issuer', (claims) => idToken({ ...claims, iss: 'https://evil.example' }), REJECTED],
    ['without an issuer', (claims) => idToken({ ...claims, iss: undefined }), REJECTED],
    ['that has expired', (claims) => idToken({ ...claims, exp: seconds - 60 }), REJECTED],
    ['that never expires', (claims) => idToken({ ...claims, exp: undefined }), REJECTED],
    ['that is not valid yet', (claims) => idToken({ ...claims, nbf: seconds + 300 }), REJECTED],
    ['of nobody', (claims) => idToken({ ...claims, sub: undefined }), REJECTED],
    ['that is none', () => 'a.b.c', REJECTED],
    ['that is markup', () => '<html>', REJECTED],
    ['in five parts', (claims) => `${idToken(claims)}.a.b`, REJECTED],
  ])('%s', async (_what, token, expected) => {
    expect(await outcome((nonce, issuer) => token({ nonce, iss: issuer }))).toBe(expected);
  });

  test('may be signed as the installation says, and not as it does not', async () => {
    const es = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const by = (text: string): Buffer => sign('sha256', Buffer.from(text), { key: es.privateKey, dsaEncoding: 'ieee-p1363' });
    const token = (nonce: string, iss: string): string => idToken({ nonce, iss }, { alg: 'ES256', kid: 'es' }, by);
    const publish = (standIn: StandIn): void => {
      standIn.jwks = () => ({ keys: [{ ...es.publicKey.export({ format: 'jwk' }), kid: 'es', use: 'sig' }] });
    };
    expect(await outcome(token, { signingAlgs: ['RS256', 'ES256'] }, publish)).toBe(HOME);
    expect(await outcome(token, {}, publish)).toBe(REJECTED);
  });

  test('is from the key that the provider publishes now: one that was withdrawn no longer counts', async () => {
    const { standIn, site } = await aWorld();
    const browser = site.browser();
    expect(await browser.follow(standIn.answerTo(await browser.start()))).toBe(HOME);
    standIn.jwks = () => ({
      keys: [{ ...stranger.publicKey.export({ format: 'jwk' }), kid: 'key-2', alg: 'RS256', use: 'sig' }],
    });
    expect(await browser.follow(standIn.answerTo(await browser.start()))).toBe(REJECTED);
    expect(site.logged.at(-1)).toContain('not accepted: ');
  });

  test('that is not accepted is told in the log by what is wrong with it, and by nothing that it holds', async () => {
    const { standIn, site } = await aWorld();
    standIn.token = (_, nonce) => tokens(idToken({ iss: standIn.issuer, nonce, aud: 'audience-of-another', sub: 'somebody' }));
    const browser = site.browser();
    expect(await browser.follow(standIn.answerTo(await browser.start(), 'the-code'))).toBe(REJECTED);
    expect(site.logged.at(-1)).toContain('(audience) claim value');
    expect(site.logged.join('\n')).not.toMatch(/of-another|somebody|the-code|eyJ/);
  });
});

describe('a provider', () => {
  test.each<[string, (standIn: StandIn) => void, string]>([
    ['that gives no ID token', (it) => (it.token = () => ({ body: { access_token: 'a', token_type: 'Bearer' } })), REJECTED],
    ['that answers with markup', (it) => (it.token = () => ({ body: '<script>alert(1)</script>' })), REJECTED],
    ['that answers with a megabyte', (it) => (it.token = () => ({ body: 'x'.repeat(1 << 20) })), failed('ProviderUnavailable')],
    ['that fails', (it) => (it.token = () => ({ status: 503, body: '{}' })), failed('ProviderUnavailable')],
    [
      'that refuses in words of its own',
      (it) => (it.token = () => ({ status: 400, body: { error: 'invalid_grant', error_description: '<b>555-0100</b>' } })),
      failed('ProviderRefused'),
    ],
    ['that sends elsewhere', (it) => (it.token = () => ({ status: 302, body: '{}' })), REJECTED],
    ['without keys', (it) => (it.jwks = () => ({ keys: [] })), REJECTED],
    ['with keys that are none', (it) => (it.jwks = () => ({ keys: [{ kty: 'RSA', kid: 'key-1', n: 'x', e: 'y' }] })), REJECTED],
    [
      'with a secret among its keys',
      (it) => {
        it.jwks = () => ({ keys: [{ kty: 'oct', k: 'AAAA', kid: 'key-1' }] });
        it.token = (_, nonce) =>
          tokens(
            idToken({ nonce, iss: it.issuer }, { alg: 'HS256' }, (text) =>
              createHmac('sha256', Buffer.from('AAAA', 'base64url')).update(text).digest(),
            ),
          );
      },
      REJECTED,
    ],
  ])('%s signs nobody in', async (_what, change, expected) => {
    const { standIn, site } = await aWorld();
    change(standIn);
    const browser = site.browser();
    expect(await browser.follow(standIn.answerTo(await browser.start()))).toBe(expected);
    expect(await browser.user()).toBeUndefined();
    expect(site.logged.join('\n')).not.toMatch(/555|alert/);
  });

  test.each<[string, (issuer: string) => object]>([
    ['of another name', (issuer) => ({ issuer: `${issuer}/` })],
    ['of any tenant', (issuer) => ({ issuer: `${issuer}/{tenantid}` })],
    ['without a page to sign in at', () => ({ authorization_endpoint: undefined })],
    ['with a page that is a script', () => ({ authorization_endpoint: 'javascript:alert(1)' })],
    ['with a page over plain http', () => ({ authorization_endpoint: 'http://localhost/authorize' })],
  ])('%s is none that people are sent to', async (_what, change) => {
    const { standIn, site } = await aWorld();
    const usual = standIn.discovery;
    standIn.discovery = (issuer) => ({ ...usual(issuer), ...change(issuer) });
    expect(await site.browser().start()).toBe(failed('ProviderUnavailable'));
  });

  test.each<[string, object]>([
    ['keys', { jwks_uri: 'http://localhost:1/jwks' }],
    ['tokens', { token_endpoint: 'http://localhost:1/token' }],
  ])('that has %s over plain http is not asked for them', async (_what, change) => {
    const { standIn, site } = await aWorld();
    const usual = standIn.discovery;
    standIn.discovery = (issuer) => ({ ...usual(issuer), ...change });
    const browser = site.browser();
    expect(await browser.follow(standIn.answerTo(await browser.start()))).toBe(REJECTED);
  });

  test('that never answers is waited for five seconds, by all who ask at once', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const site = await aConsole({ issuerUrl: `https://localhost:${port}` });
    const began = performance.now();
    const found = await Promise.all(Array.from({ length: 20 }, () => site.browser().start()));
    expect(new Set(found)).toEqual(new Set([failed('ProviderUnavailable')]));
    expect(performance.now() - began).toBeLessThan(50_000);
  });

  test('that says nothing useful of itself is asked again after two seconds, however many want to sign in', async () => {
    const { standIn, site } = await aWorld();
    const usual = standIn.discovery;
    standIn.discovery = () => ({});
    for (let round = 0; round < 5; round++) expect(await site.browser().start()).toBe(failed('ProviderUnavailable'));
    expect(standIn.asked).toHaveLength(1);
    standIn.discovery = usual;
    site.ahead = 2_001;
    expect(await site.browser().start()).toContain(standIn.issuer);
  });

  test('is asked about itself once in ten minutes, and for a token with nothing but what belongs to this sign-in', async () => {
    const { standIn, site } = await aWorld();
    const browser = site.browser();
    for (let round = 0; round < 2; round++)
      expect(await browser.follow(standIn.answerTo(await browser.start(), `code-${round}`))).toBe(HOME);
    expect(standIn.asked).toEqual(['/.well-known/openid-configuration', '/token', '/jwks', '/token', '/jwks']);
    expect(Object.fromEntries(standIn.forms[1] ?? [])).toEqual({
      grant_type: 'authorization_code',
      code: 'code-1',
      redirect_uri: 'https://console.example/auth/oidc/callback',
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
      client_id: 'console',
    });
    expect(standIn.forms[0]?.get('code_verifier')).not.toBe(standIn.forms[1]?.get('code_verifier'));
    site.ahead = 10 * 60_000;
    await browser.start();
    expect(standIn.asked.at(-1)).toBe('/.well-known/openid-configuration');
  });
});
