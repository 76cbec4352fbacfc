import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { AuthState } from '@chaperone/evidence';
import { aSamlProvider, processorTime, type SamlStatement, temporaryDirectory, type TestSamlProvider } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CONSOLE, consoleWith, type TestBrowser, type TestConsole } from '../provider/console.test-support.ts';
import { PENDING_MS } from '../provider/pending.ts';
import type { SamlSettings } from './settings.ts';
import { createSamlSignIn } from './sign-in.ts';

// Assertions are made and signed by a provider's library; what a browser posts is written here.

const CALLBACK = '/auth/saml/callback';
const DEEP = '/sessions/s-abc?at=12';
const unknown = '/sign-in?failed=SignInUnknown&path=%2F';
const failed = (code: string): string => `/sign-in?${new URLSearchParams({ failed: code, path: DEEP }).toString()}`;
const MIRA: SamlStatement = { name: 'mira', attributes: { groups: ['support', 'dba'], mail: 'mira@corp' } };

/** To make its key takes longer than a test. */
const PROVIDER = await aSamlProvider();

interface World {
  readonly provider: TestSamlProvider;
  readonly site: TestConsole;
  readonly certificateFile: string;
}

async function aWorld(settings: Partial<SamlSettings> = {}): Promise<World> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const certificateFile = join(directory.path, 'idp.crt');
  writeFileSync(certificateFile, PROVIDER.certificate);
  const all: SamlSettings = {
    issuerUrl: PROVIDER.entityId,
    consoleOrigin: CONSOLE,
    entryPoint: 'https://saml.example/sso',
    certificateFile,
    entityId: CONSOLE,
    usernameClaim: 'NameID',
    usernamePrefix: 'saml:',
    groupsClaim: 'groups',
    groupsPrefix: '',
    requiredClaims: {},
    sessionMs: 600_000,
    ...settings,
  };
  return { provider: PROVIDER, certificateFile, site: await consoleWith((options) => createSamlSignIn(all, options)) };
}

async function signIn({ provider }: World, browser: TestBrowser, statement: SamlStatement = MIRA): Promise<string> {
  return browser.submit(CALLBACK, provider.answer(await browser.start(DEEP), statement));
}

describe('a sign-in by SAML', () => {
  test('leads to where the person wanted to go, as whom the assertion names', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    expect(AuthState.parse(await (await browser.get('/auth/state')).json())).toMatchObject({
      way: 'saml',
      provider: 'saml.example',
    });
    const started = await browser.get(`/auth/saml/start?path=${encodeURIComponent(DEEP)}`);
    expect(started.headers.getSetCookie()).toEqual([
      expect.stringMatching(/^__Host-chaperone-saml=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=None; Secure$/),
    ]);
    const to = new URL(started.headers.get('location') ?? '');
    expect([to.origin, to.pathname]).toEqual(['https://saml.example', '/sso']);
    const request = inflateRawSync(Buffer.from(to.searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
    expect(request).toMatch(/ID="_[0-9a-f]{40}"/);
    expect(request).toContain(`AssertionConsumerServiceURL="${CONSOLE}${CALLBACK}"`);
    expect(request).not.toContain('RequestedAuthnContext');
    expect(await browser.submit(CALLBACK, world.provider.answer(to.href, MIRA))).toBe(DEEP);
    expect([...browser.cookies.keys()]).toEqual(['__Host-chaperone']);
    expect(await browser.user()).toBe('saml:mira');
    expect((await browser.get('/v1/sessions?namespace=agents')).status).toBe(200);
    expect(world.site.asked.at(-1)).toEqual({ user: 'saml:mira', groups: ['dba', 'support', 'system:authenticated'] });
  });

  test('reads user and groups where the installation says', async () => {
    const world = await aWorld({ usernameClaim: 'mail', usernamePrefix: '-', groupsPrefix: 'saml:' });
    const browser = world.site.browser();
    expect(await signIn(world, browser)).toBe(DEEP);
    await browser.get('/v1/sessions?namespace=agents');
    expect(world.site.asked.at(-1)).toEqual({ user: 'mira@corp', groups: ['saml:dba', 'saml:support', 'system:authenticated'] });
  });

  test('counts once, in the browser that asked, within ten minutes', async () => {
    const world = await aWorld();
    const [browser, other] = [world.site.browser(), world.site.browser()];
    const answer = world.provider.answer(await browser.start(DEEP), MIRA);
    await other.start();
    expect(await other.submit(CALLBACK, answer)).toBe(unknown);
    expect(await browser.submit(CALLBACK, answer), 'spent by the other').toBe(unknown);
    const mine = world.provider.answer(await browser.start(DEEP), MIRA);
    const [bound = ''] = browser.cookies.values();
    expect(await browser.submit(CALLBACK, mine)).toBe(DEEP);
    browser.cookies.set('__Host-chaperone-saml', bound);
    expect(await browser.submit(CALLBACK, mine)).toBe(unknown);
    const late = world.provider.answer(await browser.start(DEEP), MIRA);
    world.site.ahead = PENDING_MS;
    expect(await browser.submit(CALLBACK, late)).toBe(unknown);
  });

  test('goes on while the provider changes its certificate, and ends with the old one', async () => {
    const world = await aWorld();
    const next = await aSamlProvider();
    const browser = world.site.browser();
    const { certificateFile } = world;
    writeFileSync(certificateFile, `${world.provider.certificate}\n${next.certificate}`);
    expect(await signIn(world, browser)).toBe(DEEP);
    expect(await signIn({ ...world, provider: next }, browser)).toBe(DEEP);
    writeFileSync(certificateFile, next.certificate);
    expect(await signIn(world, browser)).toBe(failed('SignInRejected'));
    writeFileSync(certificateFile, 'nothing');
    expect(await browser.start(DEEP)).toBe(failed('ProviderUnavailable'));
  });
});

const EVIL = '_evil';
const assertionOf = (xml: string): string => /<saml:Assertion[\s\S]*<\/saml:Assertion>/.exec(xml)?.[0] ?? '';
/** An assertion that nobody signed, of somebody else, made out of a signed one. */
const forged = (assertion: string): string =>
  assertion
    .replace(/<Signature[\s\S]*<\/Signature>/, '')
    .replace(/ID="[^"]*"/, `ID="${EVIL}"`)
    .replace('>mira<', '>admin<');

const meddle = (change: NonNullable<SamlStatement['meddle']>): Partial<SamlStatement> => ({ meddle: change });

describe('an answer', () => {
  test.each<[string, Partial<SamlStatement>, string]>([
    ['as it should be', {}, DEEP],
    ['signed by way of SHA-1', { hash: 'sha1' }, 'SignInRejected'],
    ['that nobody signed', { signed: false }, 'SignInRejected'],
    ['with another name put in', meddle({ assertion: (xml) => xml.replace('>mira<', '>admin<') }), 'SignInRejected'],
    ['with another group put in', meddle({ assertion: (xml) => xml.replace('>dba<', '>admins<') }), 'SignInRejected'],
    [
      'with its signature taken out',
      meddle({ assertion: (xml) => xml.replace(/<Signature[\s\S]*<\/Signature>/, '') }),
      'SignInRejected',
    ],
    ['of another issuer', { issuer: 'https://evil.example' }, 'SignInRejected'],
    ['for another audience', { audience: 'https://another.example' }, 'SignInRejected'],
    ['for another address', { recipient: 'https://another.example/auth/saml/callback' }, 'SignInRejected'],
    ['to another request', { inResponseTo: '_another' }, 'SignInRejected'],
    ['to no request', { inResponseTo: '' }, 'SignInRejected'],
    ['that never expires', { lifetimeInSeconds: 0 }, 'SignInRejected'],
    ['that has expired', { lifetimeInSeconds: -60 }, 'SignInRejected'],
    [
      'in a frame that answers another request',
      meddle({ answer: (xml) => xml.replace(/InResponseTo="_/, 'InResponseTo="_0') }),
      'SignInRejected',
    ],
    [
      'in a frame that answers no request',
      meddle({ answer: (xml) => xml.replace(/ InResponseTo="[^"]*"/, '') }),
      'SignInRejected',
    ],
    ['with a forged assertion before it', meddle({ assertion: (xml) => forged(xml) + xml }), 'SignInRejected'],
    ['with a forged assertion after it', meddle({ assertion: (xml) => xml + forged(xml) }), 'SignInRejected'],
    [
      'wrapped in a forged assertion',
      meddle({ assertion: (xml) => forged(xml).replace('</saml:Assertion>', `${xml}</saml:Assertion>`) }),
      'SignInRejected',
    ],
    [
      'wrapped in the signature of a forged assertion',
      meddle({
        assertion: (xml) => {
          const signature = /<Signature[\s\S]*<\/Signature>/.exec(xml)?.[0] ?? '';
          const original = xml.replace(signature, '');
          return forged(xml).replace(
            /(<saml:Issuer[\s\S]*?<\/saml:Issuer>)/,
            `$1${signature.replace('</Signature>', `<Object>${original}</Object></Signature>`)}`,
          );
        },
      }),
      'SignInRejected',
    ],
    [
      'moved aside, a forged one of the same ID in its place',
      meddle({
        answer: (xml) => {
          const assertion = assertionOf(xml);
          const id = /ID="([^"]*)"/.exec(assertion)?.[1] ?? '';
          return xml.replace(assertion, `<x>${assertion}</x>${forged(assertion).replace(EVIL, id)}`);
        },
      }),
      'SignInRejected',
    ],
    ['with a comment in the name', meddle({ assertion: (xml) => xml.replace('>mira<', '>mi<!---->ra<') }), 'SignInRejected'],
    ['with a DTD', meddle({ answer: (xml) => `<!DOCTYPE x [<!ENTITY a "a">]>${xml}` }), 'SignInRejected'],
    ['with an instruction', meddle({ answer: (xml) => `<?xml-stylesheet href="x"?>${xml}` }), 'SignInRejected'],
    ['that is no XML', meddle({ answer: () => 'hello' }), 'SignInRejected'],
    ['that is empty', meddle({ answer: () => '' }), 'SignInRejected'],
    [
      'that is a refusal',
      meddle({
        answer: (xml) => xml.replace(assertionOf(xml), '').replace('status:Success', 'status:Responder'),
      }),
      'ProviderRefused',
    ],
    ['with system:masters among the groups', { attributes: { groups: ['support', 'system:masters'] } }, 'NameReserved'],
    ['without groups', { attributes: {} }, DEEP],
    ['with an attribute that is called as the subject is', { attributes: { NameID: 'admin' } }, DEEP],
    ['of nobody', { name: '' }, 'ClaimMissing'],
  ])('%s', async (_what, change, expected) => {
    const world = await aWorld();
    const browser = world.site.browser();
    expect(await signIn(world, browser, { ...MIRA, ...change })).toBe(expected === DEEP ? DEEP : failed(expected));
    expect(await browser.user()).toBe(expected === DEEP ? 'saml:mira' : undefined);
    expect(world.site.logged.join('\n')).not.toMatch(/another\.example|evil\.example|admin/);
  });

  test('signed by another key is none', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const stranger = await aSamlProvider(world.provider.entityId);
    expect(await signIn({ ...world, provider: stranger }, browser)).toBe(failed('SignInRejected'));
  });

  test('that keeps a parser busy is refused at once', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const took = processorTime();
    expect(
      await signIn(world, browser, {
        ...MIRA,
        ...meddle({ answer: (xml) => xml.replace('<samlp:Status>', `${'<a>'.repeat(20_000)}<samlp:Status>`) }),
      }),
    ).toBe(failed('SignInRejected'));
    expect(took()).toBeLessThan(2_000);
  });

  test('with as many groups as somebody may have counts', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const groups = Array.from({ length: 256 }, (_, at) => `group-${at}`);
    expect(await signIn(world, browser, { ...MIRA, attributes: { groups } })).toBe(DEEP);
  });

  test('that comes twice in one form is none', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const form = new URLSearchParams(world.provider.answer(await browser.start(DEEP), MIRA));
    form.append('SAMLResponse', form.get('SAMLResponse') ?? '');
    expect(await browser.submit(CALLBACK, form)).toBe(failed('SignInRejected'));
  });

  test('of more than 256 KiB is not read', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    const answer = world.provider.answer(await browser.start(DEEP), MIRA);
    expect(await browser.submit(CALLBACK, { ...answer, more: 'x'.repeat(300_000) })).toBe('status 413');
    expect(await browser.submit(CALLBACK, answer)).toBe(DEEP);
  });

  test('is the one request of another site that counts', async () => {
    const world = await aWorld();
    const browser = world.site.browser();
    await signIn(world, browser);
    for (const path of ['/auth/sign-out', '/auth/saml/callback/', '/auth/oidc/callback', '/v1/sessions/search'])
      expect(await browser.submit(path, {})).toBe('status 403');
    expect(await browser.user()).toBe('saml:mira');
  });
});
