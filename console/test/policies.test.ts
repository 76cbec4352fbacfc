import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { undrawn } from '@chaperone/api/hostile';
import { eventually } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';
import { startShop } from '../../cli/src/program.test-support.ts';
import { aCondition, aPolicy, aResource } from '../../collector/src/policies/policies.fixture.ts';
import { aRequest } from '../../collector/src/requests/requests.fixture.ts';
import {
  type Coming,
  hasChromium,
  launch,
  LongVisit,
  type Site,
  startSite,
  visit,
  type Visit,
  Visits,
} from './browser.test-support.ts';
import { windowsInTurn, expectNoSidewaysScroll, expectNothingUnseen, focused } from './page.test-support.ts';
import { hostilePolicy, policiesOf, resourcesOf } from './policies-world.test-support.ts';
import { startInbox } from './requests.test-support.ts';
import { tell } from './world.test-support.ts';

let browser: Browser;
let site: Site;
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site] = await Promise.all([launch(), startSite()]);
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});
beforeEach(() => {
  site?.policies.clear();
  site?.requests.clear();
});

const visits = new Visits(
  () => browser,
  () => site,
);
const come = (options: Coming = {}): Promise<Visit> => visits.come({ home: '/policies', ...options });
afterEach(() => {
  if (hasChromium) site.before = () => Promise.resolve(undefined);
});

const settled = async (page: Page): Promise<void> => {
  await page.locator('h1').waitFor();
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
};
const rows = (page: Page) => page.locator('.objects tbody tr');
const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).first().innerText()).replaceAll(/\s+/g, ' ').trim();
/** Comes back to the page, as from another tab: it looks at once. */
const look = (page: Page): Promise<unknown> => page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
const NETWORK = { retry: { count: 2, condition: /ERR_NETWORK_CHANGED/ } };

describe.runIf(hasChromium)('policies and resources in every state', NETWORK, () => {
  test('are accessible, fit every window, and hide nothing', async () => {
    const expectInWindow = windowsInTurn();
    const [policies, resources] = [policiesOf(site.policies), resourcesOf(site.policies)];
    site.policies.invalid = `shop/policy.yaml:18:3 spec.rules[0] is unknown\n${Object.values(HOSTILE_TEXTS).join(' ')}`;
    const { page } = await come({ expected: /status of 404/ });
    const paths = {
      policies: '/policies',
      resources: '/resources',
      nothing: '/policies?namespace=nobody',
      gone: '/policies/agents/nobody',
      ...Object.fromEntries(
        Object.entries(policies).map(([name, { metadata }]) => [name, `/policies/${metadata.namespace}/${metadata.name}`]),
      ),
      ...Object.fromEntries(
        Object.entries(resources).map(([name, { metadata }]) => [name, `/resources/${metadata.namespace}/${metadata.name}`]),
      ),
    };
    for (const [name, path] of Object.entries(paths)) {
      await page.goto(`${site.url}${path}`);
      await settled(page);
      if (name !== 'gone')
        expect(await textOf(page, '.banner.deny')).toMatch(/^⊘ The files have mistakes\..*shop\/policy\.yaml:18:3/);
      await expectInWindow(page, name);
      await expectNothingUnseen(page);
      expect(await page.evaluate('window.hacked')).toBeUndefined();
    }
  });

  test('stay within the window with twice the text, and in colours of the system', async () => {
    policiesOf(site.policies);
    resourcesOf(site.policies);
    const { page } = await come({ width: 640 });
    await page.emulateMedia({ forcedColors: 'active' });
    for (const path of ['/policies', '/policies/agents/support-agent', '/resources', '/resources/data/orders-db']) {
      await page.goto(`${site.url}${path}`);
      await settled(page);
      await page.evaluate("document.documentElement.style.fontSize = '32px'");
      await expectNoSidewaysScroll(page, path);
    }
  });
});

describe.runIf(hasChromium)('the list of policies', NETWORK, () => {
  test('says of each its mode, whom it selects, how many rules it has, and how it stands', async () => {
    policiesOf(site.policies);
    const { page } = await come();
    await settled(page);
    const lines = (await rows(page).allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
    expect(lines.slice(0, 3)).toEqual([
      'agents/report-agent Enforce app=report-agent, as ServiceAccount report-agent 1 ✓ Accepted fails: ⚠ Programmed Programming ⚠ Not ready ResourceNotFound 5 h',
      'agents/support-agent Enforce app=support-agent, as ServiceAccount support-agent 3 ✓ Accepted ✓ Programmed ✓ Ready 3 d',
      'agents/trial-agent ⚠ Audit every pod 2 ✓ Accepted ✓ Programmed ✓ Ready NoAgentsYet 15 min',
    ]);
    expect(await textOf(page, '.head .count')).toMatch(/^7 policies, 2 not ready, as of \d\d:\d\d:\d\d UTC$/);
    await expect.poll(() => page.title()).toBe('Policies · Chaperone');
  });

  test('is walked by keys, opened, and left again', async () => {
    policiesOf(site.policies);
    const { page } = await come();
    await settled(page);
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    expect(await focused(page)).toBe('A agents/support-agent');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/policies/agents/support-agent');
    await expect.poll(() => focused(page)).toBe('H1 agents/support-agent');
    await page.keyboard.press('u');
    await page.waitForURL('**/policies');
    await page.keyboard.press('g');
    await page.keyboard.press('o');
    await page.waitForURL('**/resources');
    await page.keyboard.press('?');
    await page.getByText('go to Policies').waitFor();
  });

  test('says how many it leaves out', async () => {
    for (let at = 0; at < 1_002; at++) site.policies.put(aPolicy({ name: `p-${at}` }));
    const { page } = await come();
    await settled(page);
    await page.getByText('The first 1,000 by name; 2 more are not shown.').waitFor();
    expect(await textOf(page, '.head .count')).toContain('1,002 policies');
  });
});

describe.runIf(hasChromium)('a policy', NETWORK, () => {
  test('says first what fails: why, since when, what mends it, and the command that says more', async () => {
    policiesOf(site.policies);
    const { page } = await come({ home: '/policies/agents/report-agent' });
    await settled(page);
    expect(await textOf(page, '.conditions h2')).toBe('⚠ Not ready 2 of 3 conditions fail');
    const first = await textOf(page, '.conditions li');
    expect(first).toMatch(/^⚠ fails ResolvedRefs ResourceNotFound rule "read" names data\/orders-dv, which does not exist/);
    expect(first).toMatch(/chaperone explain ResourceNotFound Copy since \S+/);
    await page.getByRole('button', { name: 'Copy' }).first().click();
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe('chaperone explain ResourceNotFound');
    await expect.poll(() => page.title()).toBe('⚠ agents/report-agent · Chaperone');
  });

  test('reads as sentences, those first that win, and leads to the resources of its rules and back', async () => {
    policiesOf(site.policies);
    resourcesOf(site.policies);
    const { page } = await come({ home: '/policies/agents/support-agent' });
    await settled(page);
    const sentences = (await page.locator('.rules-list > li > p').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '));
    expect(sentences).toEqual([
      'Denies DROP, TRUNCATE, GRANT on anything of data/orders-db',
      'Asks before UPDATE on columns public.tickets.status within public.tickets of data/orders-db, for callers by their token: group support',
      'Allows SELECT on public.customers, public.tickets, public.orders of data/orders-db',
    ]);
    await page.locator('.rules-list').getByRole('link', { name: 'data/orders-db' }).first().click();
    await page.waitForURL('**/resources/data/orders-db');
    await page.getByRole('heading', { name: 'Policies that name it' }).waitFor();
    await page.locator('.objects').getByRole('link', { name: 'agents/support-agent' }).click();
    await page.waitForURL('**/policies/agents/support-agent');
  });

  test('that was changed since anybody looked says so, and of one at which nobody looked nothing is said', async () => {
    policiesOf(site.policies);
    const { page } = await come({ home: '/policies/batch/changed-agent' });
    await page.getByText('This was said of generation 13; the policy is at 14 by now.').waitFor();
    await page.goto(`${site.url}/policies/batch/new-agent`);
    await page.getByText('Nothing is known here about how this policy stands.').waitFor();
    expect(await textOf(page, '.conditions h2')).toBe('◌ nobody looked');
  });
});

test.runIf(hasChromium)('a resource names the Secret of its credential, and no page has what is in one', NETWORK, async () => {
  resourcesOf(site.policies);
  const { page } = await come({ home: '/resources/data/orders-db' });
  await settled(page);
  const text = await textOf(page, 'main');
  expect(text).toContain('Secret data/orders-db-agent as user agent_ro; never shown, and no agent holds it');
  expect(text).toContain('trusts no authority but those of Secret data/orders-ca key ca.crt, for the name pg-0.corp');
  expect(text).toContain('namespace agents, ServiceAccounts support-agent: at most SELECT, UPDATE; may reveal pii.email');
});

describe.runIf(hasChromium)('what changes', NETWORK, () => {
  test('is there a little later, and quietly: the focus stays where it is', async () => {
    site.policies.put(aPolicy(), aPolicy({ name: 'a-bot' }));
    const { page } = await come();
    await settled(page);
    await page.getByRole('link', { name: 'agents/support-agent' }).focus();
    const fails = aCondition('Ready', { status: 'False', reason: 'NotGranted', message: 'data/orders-db is not granted' });
    site.policies.put(aPolicy({ status: { conditions: [fails] } }));
    await look(page);
    await page.locator('.has-failing').getByText('NotGranted').waitFor();
    expect(await focused(page)).toBe('A agents/support-agent');
    await expect.poll(() => page.locator('.skeleton').count()).toBe(0);
  });

  test('is asked for every ten seconds without anybody doing anything', async () => {
    site.policies.put(aPolicy());
    const { page } = await come({ alone: true });
    await page.clock.install();
    await page.reload();
    await settled(page);
    site.policies.put(aPolicy({ name: 'new-bot' }));
    await page.clock.runFor(10_000);
    await page.getByRole('link', { name: 'agents/new-bot' }).waitFor();
  });

  test('is not shown on once it is gone, or may not be seen any more', async () => {
    site.policies.put(aPolicy());
    const { page } = await come({ expected: /status of 404/, home: '/policies/agents/support-agent' });
    await page.locator('.rules-list').waitFor();
    site.policies.clear();
    await look(page);
    await page.getByText('Policy agents/support-agent is not here').waitFor();
    await expect.poll(() => page.locator('.rules-list').count()).toBe(0);
  });

  test('is said to be of before while the collector does not answer', async () => {
    site.policies.put(aPolicy(), aResource());
    const { page } = await come({ expected: /status of 503/ });
    for (const path of ['/policies', '/policies/agents/support-agent']) {
      site.before = () => Promise.resolve(undefined);
      await page.goto(`${site.url}${path}`);
      await settled(page);
      site.before = (asked) =>
        Promise.resolve(
          asked.url.includes('/v1/policies') ? Response.json({ code: 'Unavailable', message: 'no' }, { status: 503 }) : undefined,
        );
      await look(page);
      await page.getByText(/The collector does not answer; this is what it said at \d\d:\d\d:\d\d UTC\./).waitFor();
      await page.getByText('agents/support-agent').first().waitFor();
    }
  });
});

test.runIf(hasChromium)('of a chaperone up they are what its files say, and how that turned out', NETWORK, async () => {
  const shop = await startShop();
  onTestFinished(() => shop[Symbol.asyncDispose]());
  const inbox = await startInbox(browser, shop);
  onTestFinished(() => inbox[Symbol.asyncDispose]());
  const { page } = await inbox.come({ home: '/policies' });
  await settled(page);
  expect((await rows(page).first().innerText()).replaceAll(/\s+/g, ' ')).toMatch(
    /^agents\/support-agent Enforce app=support-agent, as ServiceAccount support-agent 4 ✓ Accepted ✓ Programmed ✓ Ready –/,
  );
  const file = join(inbox.held.manifests, 'secret.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('name: orders-db-agent', 'name: another'));
  await eventually('what is missing now', async () => {
    await look(page);
    return (await page.locator('.has-failing').getByText('ResourceNotReady').count()) > 0 ? true : undefined;
  });
  await page.getByRole('link', { name: 'agents/support-agent' }).click();
  await page.getByText(/data\/orders-db is not ready: Secret data\/orders-db-agent does not exist/).waitFor();
  expect(await page.content()).not.toContain('CANARY');
});

describe.runIf(hasChromium)('links', NETWORK, () => {
  test('lead from a request to its resource and its policy', async () => {
    const request = site.requests.put(aRequest());
    site.policies.put(aPolicy(), aResource());
    const { page } = await come({ home: `/requests/agents/${request.metadata.name}` });
    await page.locator('.whole').getByRole('link', { name: 'agents/support-agent' }).click();
    await page.waitForURL('**/policies/agents/support-agent');
    await page.goBack();
    await page.getByRole('heading', { level: 1 }).getByRole('link', { name: 'data/orders-db' }).click();
    await page.waitForURL('**/resources/data/orders-db');
  });

  test('lead from a session to its resource and its policy', async () => {
    const session = tell({ serviceAccount: 'support-agent', resource: 'orders-db', ago: 60_000, segments: [[]] });
    for (const bytes of session.segments) await site.collector.ingest(bytes);
    site.policies.put(aPolicy(), aResource());
    const { page } = await come({ home: `/sessions/${session.name}?at=0` });
    await page.locator('#entry').getByRole('link', { name: 'agents/support-agent' }).click();
    await page.waitForURL('**/policies/agents/support-agent');
    await page.goBack();
    await page.getByRole('heading', { level: 1 }).getByRole('link', { name: 'data/orders-db' }).click();
    await page.waitForURL('**/resources/data/orders-db');
  });

  test('are made of no name that could lead elsewhere', async () => {
    site.policies.put(hostilePolicy('../../v1/trust', 'p'));
    const { page } = await come({ home: '/policies/hostile/p' });
    await settled(page);
    expect(await page.locator('.rules-list a').count()).toBe(0);
    await page.locator('.rules-list').getByText('../../v1/trust').first().waitFor();
  });
});

describe.runIf(hasChromium)('hostile text in a policy', NETWORK, () => {
  const long = new LongVisit();
  afterAll(() => long.end());

  test.each(Object.entries(HOSTILE_TEXTS))('is shown as text, whole: %s', async (name, text) => {
    const page = await long.page(() => visit(browser, site, { home: '/policies' }));
    site.policies.put(hostilePolicy(text, 'p'));
    await page.goto(`${site.url}/policies/hostile/p`);
    await settled(page);
    await expectNothingUnseen(page);
    await expectNoSidewaysScroll(page, name);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    const shown = undrawn((await page.locator('.cause').first().textContent()) ?? '');
    expect(shown.toWellFormed()).toBe(text.slice(0, 1024).toWellFormed());
  });
});
