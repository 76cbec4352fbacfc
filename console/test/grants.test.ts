import type { AccessRequest } from '@chaperone/api';
import { undrawn } from '@chaperone/api/hostile';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';
import { type Shop, startShop } from '../../cli/src/program.test-support.ts';
import {
  type Coming,
  hasChromium,
  launch,
  leave,
  LongVisit,
  type Site,
  startSite,
  visit,
  Visits,
} from './browser.test-support.ts';
import { expectAccessible, expectNoSidewaysScroll, expectNothingUnseen, focused } from './page.test-support.ts';
import { begin, confirm, type Inbox, open, outcome, panel, startInbox } from './requests.test-support.ts';
import { grantsIn, hostileGrant, requestsOf, withPage } from './requests-world.test-support.ts';

let browser: Browser;
beforeAll(async () => {
  if (hasChromium) browser = await launch();
  return () => browser?.close();
});

/** Other tests make network namespaces, and Chromium then drops what is on its way. That alone is no fault of the page. */
const NETWORK = { retry: { count: 2, condition: /ERR_NETWORK_CHANGED/ } };
const card = (page: Page, name: string) => page.locator('.grant', { has: page.locator(`a[href$="/${name}"]`) });
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

const now = async ({ held }: Inbox, { metadata }: AccessRequest): Promise<AccessRequest['status']> =>
  (JSON.parse((await held.http({ path: `/v1/requests/agents/${metadata.name}` })).body) as AccessRequest).status;

describe.runIf(hasChromium)('an approval for some time', NETWORK, () => {
  let shop: Shop;
  beforeAll(async () => {
    shop = await startShop();
    return () => shop[Symbol.asyncDispose]();
  });

  let total = 40;
  const update = (id: number): string => `update orders set total = ${++total} where id = ${id}`;
  async function start(approval = 'approvers: {groups: [shop-leads]}, maxGrant: 30m'): Promise<Inbox> {
    const inbox = await startInbox(browser, shop, approval);
    onTestFinished(() => inbox[Symbol.asyncDispose]());
    return inbox;
  }
  test('is chosen, said whole, used, shown with its time, and revoked by mouse', async () => {
    const inbox = await start();
    const { page } = await inbox.come();
    const { request, answer } = await inbox.held.held(update(101));
    const { name } = request.metadata;
    await open(page, name);
    await begin(page, 'Approve');
    expect(await panel(page).getByRole('radio').all()).toHaveLength(3);
    expect(await panel(page).getByLabel('only this once').isChecked()).toBe(true);
    // How many rows it would meet is looked up while the request stands there already.
    await expect.poll(() => confirm(page).innerText()).toMatch(/^Run UPDATE on 1 row\s+Ctrl/);
    await panel(page).getByLabel('for 30 min').check();
    const said = flat(await panel(page).innerText());
    expect(said).toContain('Run it now, and the same for 30 min?');
    expect(said).toContain('For 30 min nobody is asked for the same again, with any other values, in conditions too');
    expect(said).toContain('It is for agent agents/support-agent, on data/orders-db');
    expect(said).toContain('by rule agents/support-agent refund');
    await expect.poll(() => panel(page).locator('.lines').innerText()).toBe('update orders set total = ? where id = ?');
    await panel(page).getByRole('button', { name: 'Run UPDATE on 1 row, and the same for 30 min' }).click();
    await outcome(page).getByText('and ran: ').waitFor();
    expect([await answer, await (await inbox.held.agent(update(102))).answer]).toEqual(['UPDATE 1', 'UPDATE 1']);

    await page.getByRole('link', { name: 'Grants', exact: true }).first().click();
    await card(page, name).waitFor();
    await card(page, name).getByText('1 time').waitFor();
    const shown = flat(await card(page, name).innerText());
    expect(shown).toMatch(/● open, (30|29) min left/);
    expect(shown).toMatch(/Given by ?local:\S+ \d\d:\d\d:\d\d for 30 min/);
    expect(shown).toContain('update orders set total = ? where id = ?');
    await card(page, name).getByRole('button', { name: 'Revoke…' }).click();
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    expect((await now(inbox, request))?.revokedBy, 'one press ends nothing').toBeUndefined();
    await panel(page).getByLabel('Reason').fill('ticket closed');
    await confirm(page).click();
    await card(page, name).getByText('Revoked:').waitFor();
    expect(flat(await card(page, name).innerText())).toMatch(/⊘ revoked by ?local:\S+ \d\d:\d\d:\d\d: ?ticket closed/);
    await page.getByRole('heading', { name: 'None open' }).waitFor();
    await card(page, name).getByRole('link', { name }).click();
    const answers = page.locator('.whole div', { has: page.locator('dt', { hasText: 'Answers' }) });
    await answers.getByText('revoked').waitFor();
    expect(flat(await answers.innerText())).not.toContain('denied');
    const next = await inbox.held.held(update(103));
    await inbox.held.ask('deny', next.request.metadata.name);
    expect(await next.answer).toContain('ApprovalDenied');
  });

  test('is given and revoked by keys alone, and Enter revokes nothing', async () => {
    const inbox = await start();
    const { page } = await inbox.come();
    const { request, answer } = await inbox.held.held(update(101));
    await open(page, request.metadata.name);
    await page.locator('h1').focus();
    await page.keyboard.press('a');
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowDown');
    await panel(page).getByText('Run it now, and the same for 10 min?').waitFor();
    await page.keyboard.press('Enter');
    expect((await now(inbox, request))?.decisions).toEqual([]);
    await page.keyboard.press('Control+Enter');
    expect(await answer).toBe('UPDATE 1');
    await outcome(page).getByText('and ran: ').waitFor();
    for (const key of ['g', 'g']) await page.keyboard.press(key);
    await page.locator('.grant').waitFor();
    for (const key of ['j', 'r']) await page.keyboard.press(key);
    await panel(page).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => focused(page)).toMatch(/^BUTTON Revoke…/);
    await page.keyboard.press('r');
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    await page.keyboard.type('done');
    await page.keyboard.press('Enter');
    expect((await now(inbox, request))?.revokedBy).toBeUndefined();
    await page.keyboard.press('Control+Enter');
    await page.getByText('Revoked:').waitFor();
    await expect.poll(() => focused(page)).toMatch(/^ARTICLE/);
    expect((await now(inbox, request))?.revokedBy).toMatch(/^local:/);
  });

  test('is none where nobody chooses it; that somebody else ended one is said, and changes nothing', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ expected: /status of 409/ });
    const once = await inbox.held.held(update(101));
    await open(page, once.request.metadata.name);
    await begin(page, 'Approve');
    await confirm(page).click();
    expect(await once.answer).toBe('UPDATE 1');
    expect((await now(inbox, once.request))?.grantedUntil).toBeUndefined();
    const { request, answer } = await inbox.held.held(update(102));
    const { name } = request.metadata;
    await inbox.held.ask('approve', name, '--digest', request.spec.digest, '--for', '10m');
    expect(await answer).toBe('UPDATE 1');
    await page.goto(`${inbox.held.url}/grants`);
    await card(page, name).getByRole('button', { name: 'Revoke…' }).click();
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    const gate = Promise.withResolvers<void>();
    await page.route('**/revocations', async (route) => {
      await gate.promise;
      await route.continue();
    });
    await confirm(page).click();
    await inbox.held.ask('grants', 'revoke', name, '--as', 'bob', '--as-group', 'shop-leads');
    gate.resolve();
    await card(page, name).getByText(`${name} was revoked by bob already`).waitFor();
    await page.getByText('revoked by bob').first().waitFor();
  });

  test('is not offered where the rule lets nobody grant it', async () => {
    const inbox = await start('approvers: {groups: [shop-leads]}');
    const { page } = await inbox.come();
    const { request } = await inbox.held.held(update(101));
    await open(page, request.metadata.name);
    await begin(page, 'Approve');
    await panel(page).getByText('Run it now, once?').waitFor();
    await expect.poll(() => panel(page).getByRole('radio').count()).toBe(0);
    await inbox.held.ask('deny', request.metadata.name);
  });
});

describe.runIf(hasChromium)('the page of grants', NETWORK, () => {
  let site: Site;
  let readers: Site;
  beforeAll(async () => {
    [site, readers] = await Promise.all([startSite(), startSite(false)]);
    return async () => {
      await Promise.all([site[Symbol.asyncDispose](), readers[Symbol.asyncDispose]()]);
    };
  });
  beforeEach(() => {
    for (const each of [site, readers]) each.requests.clear();
  });
  const visits = new Visits(
    () => browser,
    () => site,
  );
  const come = async (options: Coming = {}): Promise<Page> => (await visits.come({ home: '/grants', ...options })).page;

  test.each([
    { width: 1440, dark: false },
    { width: 390, dark: true },
    { width: 320, dark: false },
  ])('is accessible, fits, and says why each is over: $width, dark $dark', async (options) => {
    const world = grantsIn(site.requests);
    const nameIn = (which: string): string => world[which]?.metadata.name ?? '';
    const page = await come(options);
    await card(page, nameIn('used')).getByText('3 times').waitFor();
    await expectAccessible(page, 'grants');
    await expectNoSidewaysScroll(page, 'grants');
    await page.getByRole('heading', { name: '4 open' }).waitFor();
    for (const [which, said] of [
      ['soon', /● open, 0:\d\d left/],
      ['foreign', /You cannot end it: no rule of it asks you/],
      ['over', /ended with its time/],
      ['revoked', /⊘ revoked by ?ann@corp .*: ?ticket closed/],
      ['denied', /the request that it was given with was denied/],
    ] as const)
      expect([which, flat(await card(page, nameIn(which)).innerText())]).toEqual([which, expect.stringMatching(said)]);
    await expect.poll(() => page.getByRole('button', { name: 'Revoke…' }).count()).toBe(3);
    await card(page, nameIn('waits')).getByRole('button', { name: 'Revoke…' }).click();
    await panel(page).getByText('What has not run yet will not.').waitFor();
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    const { y = 0, height = 0 } = (await confirm(page).boundingBox()) ?? {};
    expect(y + height, 'the panel is on the screen').toBeLessThanOrEqual(page.viewportSize()?.height ?? 0);
    await confirm(page).click();
    await panel(page).getByText('The rule wants a reason.').waitFor();
    await expectAccessible(page, 'grants, panel');
    await expectNoSidewaysScroll(page, 'grants, panel');
  });

  test('counts down, and ends each with its time', async () => {
    const { soon } = grantsIn(site.requests);
    if (soon === undefined) return;
    site.requests.clear();
    const grantedUntil = new Date(Date.now() + 5_000).toISOString();
    site.requests.put({ ...soon, status: { ...soon.status, grantedUntil } });
    const page = await come();
    await page.getByText(/open, 0:0[2-4] left/).waitFor();
    await page.getByText('ended with its time').waitFor();
    await expect.poll(() => page.getByRole('button', { name: 'Revoke…' }).count()).toBe(0);
  });

  test('shows the command where nobody decides here, to copy', async () => {
    const { used } = grantsIn(readers.requests);
    const name = used?.metadata.name ?? '';
    const signing = 'https://decide.corp/decide/agents/x';
    if (used !== undefined) readers.requests.put(withPage(used, signing));
    const { page } = await new Visits(
      () => browser,
      () => readers,
    ).come({ home: '/grants' });
    const way = card(page, name).getByRole('link', { name: 'Revoke on the signing page' });
    await expect.poll(() => way.getAttribute('href')).toBe(signing);
    await card(page, name).getByText(`chaperone grants revoke ${name} --namespace agents`).waitFor();
    await expect.poll(() => page.getByRole('button', { name: 'Revoke…' }).count()).toBe(0);
    await card(page, name).locator('.grant-end').getByRole('button', { name: 'Copy' }).click();
    await expect
      .poll(() => page.evaluate('navigator.clipboard.readText()'))
      .toBe(`chaperone grants revoke ${name} --namespace agents`);
    await expectAccessible(page, 'grants, read only');
  });

  test('says why there are none', async () => {
    const page = await come();
    await page.getByText('None open').waitFor();
    await expectAccessible(page, 'no grants');
  });

  test('draws the first of many that ended, and more when asked', async () => {
    const over = grantsIn(site.requests)['over'] as AccessRequest;
    site.requests.clear();
    for (let at = 0; at < 900; at++)
      site.requests.put({
        ...over,
        metadata: { ...over.metadata, name: `ar-${'a'.repeat(13)}${at + 100}`, uid: `uid-many-${at}` },
      });
    const page = await come();
    await page.getByRole('heading', { name: '900 ended' }).waitFor();
    await expect.poll(() => page.locator('.grant').count()).toBe(50);
    await page.getByRole('button', { name: 'Show 50 more' }).click();
    await expect.poll(() => page.locator('.grant').count()).toBe(100);
  });

  describe('draws hostile text as text', () => {
    const shared = new LongVisit();
    afterAll(() => shared.end());
    test.each(Object.entries(HOSTILE_TEXTS))('%s', async (name, text) => {
      const request = site.requests.put(hostileGrant(text));
      const page = await shared.page(() => visit(browser, site, { home: '/grants' }));
      await page.goto(`${site.url}/grants`);
      await card(page, request.metadata.name).waitFor();
      await expectNothingUnseen(page);
      await expectNoSidewaysScroll(page, name);
      const lines = await page.locator('.grant .lines li').evaluateAll((items) => items.map((item) => item.textContent));
      const shown = lines.map((line) => (line === '\u200b' ? '' : line)).join('\n');
      const whole = request.spec.templateText?.endsWith('\n') === true ? `${shown}\n` : shown;
      expect(undrawn(whole).toWellFormed()).toBe(request.spec.templateText?.toWellFormed());
      expect(await page.evaluate('window.hacked')).toBeUndefined();
    });
  });
});

test.runIf(hasChromium)('the choice is accessible, and fits a phone', NETWORK, async () => {
  const site = await startSite();
  onTestFinished(() => site[Symbol.asyncDispose]());
  const { grantable } = requestsOf(site.requests);
  for (const width of [1440, 320]) {
    const { page, context, faults } = await visit(browser, site, { home: '/requests', width });
    await page.goto(`${site.url}/requests/agents/${grantable?.metadata.name}`);
    await begin(page, 'Approve');
    await panel(page).getByLabel('for 12 h').check();
    await panel(page).getByText('Everybody who approves has to say so; the shortest time counts.').waitFor();
    await expectAccessible(page, `choice ${width}`);
    await expectNoSidewaysScroll(page, `choice ${width}`);
    await leave(context);
    expect(faults).toEqual([]);
  }
});
