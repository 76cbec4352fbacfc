import { startProvider, type TestProvider } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hasChromium, launch, leave, visit } from './browser.test-support.ts';
import { callbackOf, CLIENT, type ClusterSite, startClusterSite } from './cluster-site.test-support.ts';
import { expectAccessible, expectNoSidewaysScroll } from './page.test-support.ts';
import { aPlainSession, type Session } from './world.test-support.ts';

// The program of a cluster's collector, a real provider at another site, both over TLS, and a real browser between them.

let browser: Browser;
let site: ClusterSite;
let session: Session;
let provider: TestProvider | undefined;
let host: string;
let deep: string;

beforeAll(async () => {
  if (!hasChromium) return undefined;
  session = aPlainSession();
  [browser, site] = await Promise.all([launch(), startClusterSite([session])]);
  host = `localhost:${site.providerPort}`;
  deep = `/sessions/${session.name}?at=7`;
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});
afterEach(async () => {
  await provider?.[Symbol.asyncDispose]();
  provider = undefined;
});

async function provide(claims: (login: string) => object = () => ({ groups: ['support'] })): Promise<TestProvider> {
  provider = await startProvider({
    tls: site.tls,
    port: site.providerPort,
    client: { ...CLIENT, callback: callbackOf(site.url) },
    claims: (login) => ({ email: `${login}@corp`, email_verified: true, ...claims(login) }),
  });
  return provider;
}

/** A browser of its own, in which our page did nothing wrong, and which was at the console and the provider alone. */
async function come(expected = /^$/): Promise<Page> {
  const visited = await visit(browser, site, { signedIn: false, elsewhere: `https://${host}/` });
  onTestFinished(async () => {
    await leave(visited.context);
    expect(visited.faults.filter((fault) => !expected.test(fault))).toEqual([]);
  });
  return visited.page;
}

const link = (page: Page) => page.getByRole('link', { name: `Sign in with ${host}` });
const alert = (page: Page) => page.getByRole('alert');

/** What a person does at the provider's own pages. */
async function atProvider(page: Page, login = 'mira'): Promise<void> {
  await page.getByPlaceholder('Enter any login').fill(login);
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

describe.runIf(hasChromium)('signing in through a provider', { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } }, () => {
  test('waits for a provider that was down when the collector started', async () => {
    const page = await come();
    await page.goto(`${site.url}${deep}`);
    await link(page).click();
    await alert(page).getByText('ProviderUnavailable').waitFor();
    expect(new URL(page.url()).pathname).toBe('/sign-in');
    await provide();
    await expect
      .poll(
        async () => {
          await link(page).click();
          await page.waitForLoadState();
          return page.url();
        },
        { timeout: 10_000 },
      )
      .toContain(host);
    await atProvider(page);
    await page.waitForURL(`${site.url}${deep}`);
  });

  test('leads through it to the moment that was linked to, and is over once somebody signs out', async () => {
    await provide();
    const page = await come();
    await page.goto(`${site.url}${deep}`);
    await link(page).waitFor();
    await expectAccessible(page, 'sign-in');
    await expectNoSidewaysScroll(page, 'sign-in');
    await link(page).click();
    await atProvider(page);
    await page.waitForURL(`${site.url}${deep}`);
    await page.locator('#entry').getByText('RuleDenies').waitFor();
    expect(await page.evaluate('document.cookie')).toBe('');
    const ours = (await page.context().cookies(site.url)).map(({ name, httpOnly, sameSite, secure }) => [
      name,
      httpOnly,
      sameSite,
      secure,
    ]);
    expect(ours).toEqual([['__Host-chaperone', true, 'Strict', true]]);
    expect(site.reviewed.at(-1)).toMatchObject({
      user: 'mira@corp',
      groups: ['oidc:support', 'system:authenticated'],
      resourceAttributes: { group: 'chaperone.dev', resource: 'sessions', namespace: 'agents' },
    });
    await page.reload();
    await page.locator('#entry').getByText('RuleDenies').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await link(page).waitFor();
    expect(await page.context().cookies(site.url)).toEqual([]);
    // The provider still knows the person, and the page is where it was.
    await link(page).click();
    await page.waitForURL(`${site.url}${deep}`);
    await page.locator('#entry').getByText('RuleDenies').waitFor();
  });

  test('that is cancelled there says so, and may be tried again', async () => {
    await provide();
    const page = await come();
    await page.goto(`${site.url}${deep}`);
    await link(page).click();
    await page.getByRole('link', { name: 'Cancel' }).click();
    await alert(page).getByText('SignInDenied').waitFor();
    await expectAccessible(page, 'cancelled');
    await link(page).click();
    await atProvider(page);
    await page.waitForURL(`${site.url}${deep}`);
  });

  test('shows whoever has no right that there is none', async () => {
    await provide(() => ({}));
    const page = await come(/status of 404/);
    await page.goto(`${site.url}${deep}`);
    await link(page).click();
    await atProvider(page, 'noah');
    await page.getByText('is not here, or not for you').waitFor();
    expect(site.reviewed.at(-1)).toMatchObject({ user: 'noah@corp', groups: ['system:authenticated'] });
  });

  test('as one of the cluster’s own is refused', async () => {
    await provide(() => ({ groups: ['support', 'system:masters'] }));
    const page = await come();
    await page.goto(`${site.url}/sessions`);
    await link(page).click();
    await atProvider(page);
    // The prefix does not make it another name.
    await alert(page).getByText('NameReserved').waitFor();
    expect(await page.context().cookies(site.url)).toMatchObject([{ name: '__Host-chaperone-oidc', sameSite: 'Lax' }]);
    await page.goto(`${site.url}${deep}`);
    await link(page).waitFor();
  });

  test('counts in the browser that asked: an address that another one was sent back to signs nobody in', async () => {
    const known = await provide();
    const [asker, victim] = [await come(), await come()];
    await asker.goto(`${site.url}/sessions`);
    await link(asker).waitFor();
    const began = await asker.context().request.get(`${site.url}/auth/oidc/start`, { maxRedirects: 0 });
    const back = await known.authorize(began.headers()['location'] ?? '', 'mallory');
    await victim.goto(`${site.url}/sessions`);
    await link(victim).waitFor();
    await victim.goto(back);
    await alert(victim).getByText('SignInUnknown').waitFor();
    expect(await victim.context().cookies(site.url)).toEqual([]);
    await asker.goto(back);
    await alert(asker).getByText('SignInUnknown').waitFor();
  });

  test('is not done twice by going back and forth', async () => {
    await provide();
    const page = await come();
    const sentBack: string[] = [];
    page.on('request', (request) => {
      if (request.url().startsWith(`${callbackOf(site.url)}?`)) sentBack.push(request.url());
    });
    await page.goto(`${site.url}${deep}`);
    await link(page).click();
    await atProvider(page);
    await page.waitForURL(`${site.url}${deep}`);
    await page.goto(sentBack[0] ?? '');
    await alert(page).getByText('SignInUnknown').waitFor();
    await page.getByRole('link', { name: 'Go to the sessions' }).click();
    await page.waitForURL(`${site.url}/sessions`);
    await page.locator('.sessions tbody tr').first().waitFor();
  });

  test('goes on when the provider has a new key', async () => {
    const known = await provide();
    for (let round = 0; round < 2; round++) {
      const page = await come();
      await page.goto(`${site.url}/sessions`);
      await link(page).click();
      await atProvider(page);
      await page.waitForURL(`${site.url}/sessions`);
      known.rotate();
    }
  });

  test('draws no word of an address that somebody made up, and leads nowhere that it names', async () => {
    const known = await provide();
    const page = await come();
    const made = { failed: '<img src=x onerror="window.hacked=1">Call 555-0100', path: `https://${host}/evil` };
    await page.goto(`${site.url}/sign-in?${new URLSearchParams(made).toString()}`);
    await link(page).waitFor();
    await expect.poll(() => alert(page).count()).toBe(0);
    expect(await page.locator('main').innerText()).not.toContain('555');
    await link(page).click();
    await atProvider(page);
    await page.waitForURL(`${site.url}/requests`);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(known.issuer).toBe(`https://${host}`);
  });
});

test.runIf(hasChromium)('the log has who signed in, and no secret, code or token', () => {
  expect(site.output()).toContain('"message":"somebody signed in","user":"mira@corp"');
  expect(site.output()).not.toContain(CLIENT.secret);
  expect(site.output()).not.toMatch(/eyJ|code=|state=|nonce/);
});
