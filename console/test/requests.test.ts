import type { AccessRequest } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Shop, startShop } from '../../cli/src/program.test-support.ts';
import { totalOf } from '../../cli/src/requests/requests.test-support.ts';
import { hasChromium, launch } from './browser.test-support.ts';
import {
  begin,
  confirm,
  bar,
  type Inbox,
  open,
  outcome,
  panel,
  row,
  startInbox,
  turnDown,
  waiting,
} from './requests.test-support.ts';

let browser: Browser;
let shop: Shop;
beforeAll(async () => {
  if (!hasChromium) return;
  [browser, shop] = await Promise.all([launch(), startShop()]);
});
afterAll(async () => {
  if (!hasChromium) return;
  await browser.close();
  await shop[Symbol.asyncDispose]();
});

/** One agent asks people ten times a minute at most, and most tests make it ask once. */
const TESTS_OF_ONE = 8;
let shared: { readonly inbox: Inbox; tests: number } | undefined;
afterAll(() => shared?.inbox[Symbol.asyncDispose]());

/** With the quickstart's rule, of which nothing waits in it, or one of its own with another rule. */
async function start(approval?: string): Promise<Inbox> {
  if (approval !== undefined) {
    const inbox = await startInbox(browser, shop, approval);
    onTestFinished(() => inbox[Symbol.asyncDispose]());
    return inbox;
  }
  if (shared?.tests === TESTS_OF_ONE) {
    await shared.inbox[Symbol.asyncDispose]();
    shared = undefined;
  }
  shared ??= { inbox: await startInbox(browser, shop), tests: 0 };
  shared.tests++;
  const { inbox } = shared;
  onTestFinished(async () => {
    for (const request of await waiting(inbox)) await turnDown(inbox, request);
  });
  return inbox;
}

let total = 20;
/** An update that nobody made before, and what it sets. */
function anUpdate(): { sql: string; becomes: string } {
  const becomes = `${++total}.50`;
  return { sql: `update orders set total = ${becomes} where id = 102`, becomes };
}

/** Other tests make network namespaces, and Chromium then drops what is on its way. That alone is no fault of the page. */
const NETWORK = { retry: { count: 2, condition: /ERR_NETWORK_CHANGED/ } };
const decisionsOf = async ({ held }: Inbox, { metadata }: AccessRequest): Promise<AccessRequest['status']> =>
  (JSON.parse((await held.http({ path: `/v1/requests/agents/${metadata.name}` })).body) as AccessRequest).status;

describe.runIf(hasChromium)('an update that a rule holds', NETWORK, () => {
  test('is approved by mouse in two acts, and really runs', async () => {
    const inbox = await start();
    const { page } = await inbox.come();
    await page.getByText('Nothing waits for you').waitFor();
    const { sql, becomes } = anUpdate();
    const { request, answer } = await inbox.held.held(sql);
    const { name } = request.metadata;
    await row(page, name).waitFor();
    // What it meets is looked at once people are asked.
    await expect
      .poll(async () => (await row(page, name).innerText()).replaceAll(/\s+/g, ' '))
      .toMatch(/^⧗ (5 min|4:\d\d) UPDATE public\.orders 1 row support-agent → on data\/orders-db 0 of 1$/);
    await expect.poll(() => page.title()).toBe('(1) Requests · Chaperone');
    await open(page, name);
    await expect
      .poll(() => page.locator('h1').innerText())
      .toBe('support-agent wants to UPDATE 1 row of public.orders on data/orders-db');
    await expect.poll(() => page.locator('.lines').innerText()).toBe(sql);
    await page.getByRole('region', { name: 'Rows as they are before it' }).getByText('*****').waitFor();
    await expect
      .poll(() => bar(page).innerText())
      .toMatch(/left\n+You are local:\S+, for whoever is asked: chaperone up knows no people/);
    await begin(page, 'Approve');
    expect(await totalOf(shop, 102)).not.toBe(becomes);
    await panel(page).getByLabel('Reason').fill('ticket 2');
    await panel(page).getByRole('button', { name: 'Run UPDATE on 1 row' }).click();
    await outcome(page).getByText('and ran: ').waitFor();
    expect((await outcome(page).innerText()).replaceAll(/\s+/g, ' ')).toMatch(
      new RegExp(
        `^✓ recorded 1 of 1 ✓ released ✓ ran ${name} was approved \\d s ago by ?local:\\S+ \\(" ?ticket 2 ?"\\) and ran: ?UPDATE 1$`,
      ),
    );
    expect([await answer, await totalOf(shop, 102)]).toEqual(['UPDATE 1', becomes]);
    await expect.poll(() => bar(page).count()).toBe(0);
    await page.reload();
    await outcome(page).getByText('and ran: ').waitFor();
    // The session is recorded in segments, of which the first has to come.
    const { session } = request.spec;
    await eventually('the session', async () =>
      (await inbox.held.http({ path: `/v1/sessions/${session}` })).status === 200 ? true : undefined,
    );
    await page.getByRole('link', { name: session }).click();
    await page.locator('.replay').waitFor();
  });

  test('is reached by a link that is made for it', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ signedIn: false });
    const { request } = await inbox.held.held(anUpdate().sql);
    const { out } = await inbox.held.ask('console', request.metadata.name.slice(0, 8));
    await page.goto(out.trim());
    await page.waitForURL(`${inbox.held.url}/requests/agents/${request.metadata.name}`);
    await begin(page, 'Deny');
    expect(await inbox.held.ask('console', 'ar-aaaaaaaaaaaaaaaa')).toMatchObject({ code: 5, out: '' });
  });

  test('that is approved with a signature only has no button to approve it, and says where', async () => {
    const inbox = await start('approvers: {groups: [shop-leads]}, assurance: signed');
    const { page } = await inbox.come();
    const { request } = await inbox.held.held(anUpdate().sql);
    await row(page, request.metadata.name).waitFor();
    await open(page, request.metadata.name);
    await bar(page).getByText('It is approved with a signature only, on the page of the operator.').waitFor();
    await expect.poll(() => bar(page).getByRole('button').allInnerTexts()).toEqual([expect.stringMatching(/^Deny…/)]);
    await page.keyboard.press('a');
    await expect.poll(() => panel(page).count()).toBe(0);
  });

  test('is denied by keys; the agent reads why', async () => {
    const inbox = await start();
    const { page } = await inbox.come();
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await row(page, name).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await bar(page).waitFor();
    await page.keyboard.press('d');
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    await page.keyboard.type('wrong order');
    await page.keyboard.press('Enter');
    await page.keyboard.type('a d 103 is meant');
    expect((await decisionsOf(inbox, request))?.decisions).toEqual([]);
    await page.keyboard.press('Control+Enter');
    await outcome(page).getByText('was denied').waitFor();
    expect(await answer).toBe(
      `chaperone: ${name} was denied by a reviewer (ApprovalDenied); UPDATE on public.orders did not run. Do not retry. Reviewer: "wrong order a d 103 is meant"`,
    );
  });

  test('is decided by no letter: a and d open, Escape leaves it, and the list of keys says so', async () => {
    const inbox = await start();
    const { page } = await inbox.come();
    const { request } = await inbox.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    await page.locator('h1').focus();
    await page.keyboard.press('a');
    await panel(page).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => panel(page).count()).toBe(0);
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('Approve');
    await page.keyboard.press('d');
    await panel(page).getByText('Deny it?').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Shift+?');
    await page.getByRole('dialog').getByText('approve…: asks first, decides nothing').waitFor();
    await page.keyboard.press('Escape');
    expect((await decisionsOf(inbox, request))?.decisions).toEqual([]);
    await turnDown(inbox, request);
    await outcome(page).getByText('was denied').waitFor();
  });

  test('that is decided at the command line shows within a second, in the list and on its page', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come();
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await row(page, name).waitFor();
    const second = await context.newPage();
    await second.goto(page.url());
    await open(second, name);
    await row(page, name).getByRole('link').focus();
    const decided = inbox.held.ask('deny', name, '--reason', 'no');
    await answer;
    const since = performance.now();
    await row(page, name).getByText('denied').waitFor();
    await outcome(second).getByText('was denied').waitFor();
    expect(performance.now() - since).toBeLessThan(1_000);
    await decided;
    await expect.poll(() => bar(second).count()).toBe(0);
    await expect.poll(() => page.title()).toBe('Requests · Chaperone');
    // It stays where it was, until the list is left.
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.waitForURL(/sessions$/);
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await page.getByText('Nothing waits for you').waitFor();
    await page.getByRole('link', { name: 'Decided' }).click();
    await row(page, name).getByText('denied').waitFor();
  });
});

describe.runIf(hasChromium)('one decision is made', NETWORK, () => {
  test('of a double click, and of two tabs', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come();
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await open(page, name);
    const second = await context.newPage();
    await second.goto(page.url());
    // A double click on what opens the panel confirms nothing.
    await bar(page).getByRole('button', { name: 'Approve…' }).dblclick();
    await panel(page).waitFor();
    expect((await decisionsOf(inbox, request))?.decisions).toEqual([]);
    await expect.poll(() => confirm(page).isEnabled()).toBe(true);
    await begin(second, 'Approve');
    const sent: string[] = [];
    const both = Promise.withResolvers<void>();
    await context.route('**/decisions', async (route) => {
      sent.push(route.request().url());
      if (sent.length === 2) both.resolve();
      await both.promise;
      await route.continue();
    });
    // As fast as a hand never is, in both at once.
    const press = "document.querySelector('.panel-buttons button')?.click()";
    await Promise.all([page.evaluate(press), page.evaluate(press), second.evaluate(press)]);
    await outcome(page).getByText('and ran: ').waitFor();
    await outcome(second).getByText('and ran: ').waitFor();
    expect(sent).toHaveLength(2);
    expect((await decisionsOf(inbox, request))?.decisions).toHaveLength(1);
    expect(await answer).toBe('UPDATE 1');
  });

  test('of two people who answer otherwise: the later one is told what was decided', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ expected: /status of 409/ });
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await open(page, name);
    await begin(page, 'Approve');
    const gate = Promise.withResolvers<void>();
    await page.route('**/decisions', async (route) => {
      await gate.promise;
      await route.continue();
    });
    await confirm(page).click();
    await inbox.held.ask('deny', name, '--as', 'bob', '--as-group', 'shop-leads', '--reason', 'not now');
    gate.resolve();
    await page.getByText('Too late: it was decided before your answer came, which changed nothing.').waitFor();
    expect((await outcome(page).innerText()).replaceAll(/\s+/g, ' ')).toMatch(/was denied .* by ?bob \(" ?not now ?"\)/);
    expect(await answer).toContain('ApprovalDenied');
  });

  test('where two are needed: recorded 1 of 2, and it runs with the other', async () => {
    const two = await start('approvers: {groups: [shop-leads]}, minimum: 2, timeout: 5m, reason: required');
    const { page } = await two.come();
    const { request, answer } = await two.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await open(page, name);
    await begin(page, 'Approve');
    await expect.poll(() => confirm(page).innerText()).toContain('Approve UPDATE on 1 row');
    await confirm(page).click();
    await panel(page).getByText('The rule wants a reason.').waitFor();
    await panel(page).getByLabel('Reason').fill('...');
    await page.keyboard.press('Control+Enter');
    await panel(page).getByText('The rule wants a reason.').waitFor();
    await panel(page).getByLabel('Reason').fill('checked');
    await page.keyboard.press('Control+Enter');
    await outcome(page).getByText('waits for one more').waitFor();
    await expect.poll(() => outcome(page).locator('li').first().innerText()).toBe('✓ recorded 1 of 2');
    await expect.poll(() => bar(page).getByRole('button').allInnerTexts()).toEqual([expect.stringContaining('Deny…')]);
    await page.goto(`${two.held.url}/requests?show=others`);
    await row(page, name).getByText('1 of 2').waitFor();
    const digest = `${request.spec.digest.slice(0, 4)}-${request.spec.digest.slice(4, 8)}`;
    await open(page, name);
    await page.getByText(digest).waitFor();
    await two.held.ask('approve', name, '--digest', digest, '--as', 'bob', '--as-group', 'shop-leads', '--reason', 'me too');
    await outcome(page).getByText('and ran: ').waitFor();
    expect(await answer).toBe('UPDATE 1');
  });
});

describe.runIf(hasChromium)('what nobody knows is said so', NETWORK, () => {
  test('an answer that is lost is looked up and not sent again', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ expected: /ERR_FAILED/ });
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    await begin(page, 'Approve');
    let sent = 0;
    await page.route('**/decisions', async (route) => {
      sent++;
      await route.fetch();
      await route.abort();
    });
    await page.route('**/v1/requests/agents/*', (route) => route.abort(), { times: 2 });
    await confirm(page).click();
    await page.getByText('We do not know yet').waitFor();
    await outcome(page).getByText('and ran: ').waitFor();
    await page.getByText(/Recorded: your answer is given as local:/).waitFor();
    expect([await answer, sent]).toEqual(['UPDATE 1', 1]);
  });

  test('one that never arrived decided nothing, and may be given again', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ expected: /ERR_FAILED/ });
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    await begin(page, 'Deny');
    await panel(page).getByLabel('Reason').fill('no');
    await page.route('**/decisions', (route) => route.abort(), { times: 1 });
    await confirm(page).click();
    await page.getByText('Your answer did not arrive: nothing was decided by it.').waitFor();
    expect((await decisionsOf(inbox, request))?.decisions).toEqual([]);
    expect(await panel(page).getByLabel('Reason').inputValue(), 'what was written stays').toBe('no');
    await confirm(page).click();
    await outcome(page).getByText('was denied').waitFor();
    expect(await answer).toContain('Reviewer: "no"');
  });

  test('one that comes after the end is too late, by how much is said, and nothing runs', async () => {
    const short = await start('approvers: {groups: [shop-leads]}, timeout: 10s');
    const { page } = await short.come({ expected: /status of 410/ });
    const { request, answer } = await short.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    await expect.poll(() => page.getByRole('timer').innerText()).toMatch(/^0:\d\d left$/);
    await begin(page, 'Approve');
    await page.route('**/decisions', async (route) => {
      await answer;
      await route.continue();
    });
    await confirm(page).click();
    // By how much is said where it is measurable: the answer may come within a few milliseconds of the end.
    await page.getByText(/^⊘ (?:\S+ m?s too|Too) late: nothing ran\.$/).waitFor();
    await expect.poll(() => outcome(page).innerText()).toContain('never ran');
    expect(await answer).toContain('ApprovalExpired');
    await expect.poll(() => bar(page).count()).toBe(0);
  });

  test('the clock of the device has no say', async () => {
    const inbox = await start();
    const { page } = await inbox.come({ signedIn: false });
    const { request } = await inbox.held.held(anUpdate().sql);
    await page.clock.install({ time: Date.now() + 3_600_000 });
    const { out } = await inbox.held.ask('console');
    await page.goto(out.trim());
    await open(page, request.metadata.name);
    await expect.poll(() => page.getByRole('timer').innerText()).toMatch(/^(5 min|4:\d\d) left$/);
  });
});

describe.runIf(hasChromium)('a stream that is cut', NETWORK, () => {
  test('is said to be, blocks decisions, and is opened again with what happened meanwhile', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come({ expected: /ERR_INTERNET_DISCONNECTED|ERR_FAILED|status of 502/ });
    const { request } = await inbox.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    await page.getByText('● Live').waitFor();
    // A browser that is offline keeps what is open: the stream is cut where it comes from.
    let broken = true;
    await context.route('**/v1/requests?watch=1', (route) => (broken ? route.fulfill({ status: 502 }) : route.continue()));
    await page.reload();
    await page.getByText('reconnecting').or(page.getByText('connecting')).first().waitFor();
    await expect.poll(() => bar(page).count()).toBe(0);
    broken = false;
    await page.getByText('● Live').waitFor();
    await bar(page).waitFor();
    await turnDown(inbox, request);
    await outcome(page).getByText('was denied').waitFor();
  });

  test('ends with the sign-in in every tab, and what was shown is gone', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come({ expected: /status of 401/ });
    const { request } = await inbox.held.held(anUpdate().sql);
    await open(page, request.metadata.name);
    const other = await context.newPage();
    await other.goto(`${inbox.held.url}/requests`);
    await other.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.locator('body').innerText()).not.toContain('update orders');
    expect(await page.title()).not.toContain('(');
  });
});

describe.runIf(hasChromium)('many tabs', NETWORK, () => {
  test('have one stream: each is told all, and another reads when the one that did is closed', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come();
    const { request, answer } = await inbox.held.held(anUpdate().sql);
    const { name } = request.metadata;
    let streams = 0;
    context.on('request', (asked) => {
      if (asked.url().endsWith('watch=1')) streams++;
    });
    const tabs = [];
    for (let tab = 0; tab < 8; tab++) {
      const opened = await context.newPage();
      await opened.goto(`${inbox.held.url}/requests/agents/${name}`);
      await bar(opened).waitFor();
      tabs.push(opened);
    }
    expect(streams).toBe(0);
    await page.close();
    const [first, ...others] = tabs;
    if (first === undefined) return;
    await expect.poll(() => streams).toBe(1);
    await first.bringToFront();
    await begin(first, 'Deny');
    await confirm(first).click();
    for (const tab of [first, ...others]) await outcome(tab).getByText('was denied').waitFor();
    expect(await answer).toContain('ApprovalDenied');
  });
});

describe.runIf(hasChromium)('who may not', NETWORK, () => {
  test('sees no button, and who can', async () => {
    const users = await start('approvers: {users: [jane]}, timeout: 5m');
    const { page } = await users.come();
    const { request } = await users.held.held(anUpdate().sql);
    const { name } = request.metadata;
    await page.getByRole('link', { name: '1 request waiting on others' }).click();
    await open(page, name);
    expect((await bar(page).innerText()).replaceAll(/\s+/g, ' ')).toMatch(
      /left You cannot decide on it: it needs user jane; you are local:\S+\.$/,
    );
    await expect.poll(() => bar(page).getByRole('button').count()).toBe(0);
    await page.locator('h1').focus();
    await page.keyboard.press('a');
    await page.keyboard.press('d');
    await expect.poll(() => panel(page).count()).toBe(0);
    await eventually('the end', async () => ((await users.held.ask('deny', name, '--as', 'jane')).code === 0 ? true : undefined));
    await outcome(page).getByText('was denied').waitFor();
  });

  test('of a foreign page decides nothing with a browser’s cookie', async () => {
    const inbox = await start();
    const { page, context } = await inbox.come();
    const { request } = await inbox.held.held(anUpdate().sql);
    const [cookie] = await context.cookies();
    const { name, uid } = request.metadata;
    const path = `/v1/requests/agents/${name}/decisions`;
    const body = JSON.stringify({ requestUid: uid, digest: request.spec.digest, decision: 'Approve' });
    const own = { authorization: undefined, cookie: `${cookie?.name}=${cookie?.value}`, 'content-type': 'application/json' };
    for (const headers of [
      { origin: 'http://evil.example', 'x-chaperone-console': '1' },
      { origin: inbox.held.url },
      { 'x-chaperone-console': '1' },
      { origin: inbox.held.url, 'x-chaperone-console': '1', 'sec-fetch-site': 'cross-site' },
    ])
      expect((await inbox.held.http({ method: 'POST', path, headers: { ...own, ...headers }, body })).status).toBe(403);
    // As a page of another origin would: the browser asks first, and is not answered.
    const foreign = await page.context().newPage();
    await foreign.route('http://foreign.example/', (route) =>
      route.fulfill({ contentType: 'text/html', body: '<p>foreign</p>' }),
    );
    await foreign.goto('http://foreign.example/');
    const got = await foreign.evaluate(
      ([url, sent]) =>
        fetch(url ?? '', { method: 'POST', mode: 'no-cors', credentials: 'include', body: sent ?? '' }).then(
          () => 'sent',
          () => 'refused',
        ),
      [`${inbox.held.url}${path}`, body],
    );
    expect(['sent', 'refused']).toContain(got);
    expect((await decisionsOf(inbox, request))?.decisions).toEqual([]);
  });
});
