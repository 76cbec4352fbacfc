import type { AccessRequest } from '@chaperone/api';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { aRequest } from '../../collector/src/requests/requests.fixture.ts';
import { type Coming, hasChromium, launch, type Site, startSite, Visits } from './browser.test-support.ts';
import { expectInEveryWindow, expectNothingUnseen } from './page.test-support.ts';
import { bar, panel } from './requests.test-support.ts';
import { withPage } from './requests-world.test-support.ts';

// What a cluster's collector is: requests are read here, and decided on elsewhere.
let browser: Browser;
let site: Site;
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site] = await Promise.all([launch(), startSite(false)]);
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});
beforeEach(() => site?.requests.clear());

const PAGE = 'https://decide.corp:8443/requests/agents/x';
const [RULE] = aRequest().spec.rules as [AccessRequest['spec']['rules'][number]];

const visits = new Visits(
  () => browser,
  () => site,
);

async function open(request: AccessRequest, options: Coming = {}): Promise<Page> {
  site.requests.put(request);
  const { page } = await visits.come({ home: `/requests/agents/${request.metadata.name}`, ...options });
  await bar(page).waitFor();
  return page;
}

const NETWORK = { retry: { count: 2, condition: /ERR_NETWORK_CHANGED/ } };
const commands = (page: Page) => bar(page).locator('.commands code');
const signing = (page: Page) => bar(page).getByRole('link', { name: 'Decide on the signing page' });

describe.runIf(hasChromium)('a request that is only read here', NETWORK, () => {
  test('is accessible and fits every window', async () => {
    const page = await open(withPage(aRequest(), PAGE));
    await expectInEveryWindow(page, 'elsewhere');
    await expectNothingUnseen(page);
  });

  test('leads to the page that signs, says at which host, and tells it nothing of where one comes from', async () => {
    const page = await open(withPage(aRequest(), PAGE));
    await expect.poll(() => signing(page).getAttribute('href')).toBe(PAGE);
    await expect.poll(() => signing(page).getAttribute('rel')).toBe('noreferrer');
    await bar(page).getByText('at decide.corp:8443').waitFor();
    await bar(page).getByText('Or at a terminal:').waitFor();
  });

  test('has the commands, to be copied up to the reason, and no button or key that decides', async () => {
    const request = aRequest();
    const { name } = request.metadata;
    const page = await open(request);
    await expect
      .poll(() => commands(page).allInnerTexts())
      .toEqual([`chaperone approve ${name} -n agents --reason …`, `chaperone deny ${name} -n agents --reason …`]);
    await expect.poll(() => signing(page).count()).toBe(0);
    await bar(page).getByRole('button', { name: 'Copy' }).last().click();
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe(`chaperone deny ${name} -n agents --reason `);
    await page.locator('h1').focus();
    await page.keyboard.press('a');
    await page.keyboard.press('d');
    await expect.poll(() => panel(page).count()).toBe(0);
  });

  test.each(['javascript:alert(1)', 'http://decide.corp/x', 'https://decide.corp@evil.example/x', '//evil.example'])(
    'has no link to %s, whoever wrote it there',
    async (written) => {
      const page = await open(withPage(aRequest(), written));
      await expect.poll(() => signing(page).count()).toBe(0);
      await expect.poll(() => commands(page).count()).toBe(2);
      await expect.poll(() => bar(page).getByRole('link').count()).toBe(0);
    },
  );

  test('of which an approval is signed has no command that could not approve it', async () => {
    const request = aRequest({ spec: { rules: [{ ...RULE, assurance: 'signed' }] } });
    const page = await open(request);
    await bar(page).getByText('It is approved with a signature only, and there is no page here to sign on.').waitFor();
    await expect
      .poll(() => commands(page).allInnerTexts())
      .toEqual([`chaperone deny ${request.metadata.name} -n agents --reason …`]);
  });

  test('says to whom it does not ask who can, and nothing of where', async () => {
    const page = await open(withPage(aRequest({ spec: { rules: [{ ...RULE, groups: ['sec'] }] } }), PAGE));
    await bar(page).getByText('You cannot decide on it: it needs group sec; you are maria@corp.').waitFor();
    expect([await commands(page).count(), await signing(page).count()]).toEqual([0, 0]);
  });

  test('that is over has neither', async () => {
    const denied = { state: 'Denied', votes: '0/1', decidedAt: new Date().toISOString() } as const;
    const request = site.requests.put(withPage(aRequest({ status: denied }), PAGE));
    const { page } = await visits.come({ home: `/requests/agents/${request.metadata.name}` });
    await page.locator('.became').waitFor();
    expect([await bar(page).count(), await commands(page).count()]).toEqual([0, 0]);
  });
});
