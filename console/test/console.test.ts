import { undrawn } from '@chaperone/api/hostile';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';
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
import { expectAccessible, windowsInTurn, expectNoSidewaysScroll, expectNothingUnseen, focused } from './page.test-support.ts';
import { ask, aWorld, tell, type World } from './world.test-support.ts';

let browser: Browser;
let site: Site;
let world: World;
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site] = await Promise.all([launch(), startSite()]);
  world = aWorld();
  for (const { segments } of world.sessions) for (const bytes of segments) await site.collector.ingest(bytes);
  for (const at of [0, 2]) await site.collector.ingest(world.gapped.segments[at] ?? Buffer.alloc(0));
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});

const visits = new Visits(
  () => browser,
  () => site,
);
const come = (options: Coming = {}): Promise<Visit> => visits.come(options);
afterEach(() => {
  if (hasChromium) site.before = () => Promise.resolve(undefined);
});

const rows = (page: Page) => page.locator('.sessions tbody tr');
const entry = (page: Page) => page.locator('#entry');
const settled = async (page: Page): Promise<void> => {
  await page.locator('.skeleton').waitFor({ state: 'detached' });
};

/** Every page in every state that a link leads to. */
const STATES: Record<string, () => string> = {
  list: () => '/sessions',
  search: () => '/sessions#q=drop',
  'nothing that matches': () => '/sessions?agent=agents%2Fnobody',
  replay: () => `/sessions/${world.plain.name}`,
  'a masked result': () => `/sessions/${world.plain.name}?at=3`,
  'a refusal': () => `/sessions/${world.plain.name}?at=7`,
  'an error': () => `/sessions/${world.plain.name}?at=8`,
  'a gap': () => `/sessions/${world.gapped.name}?at=15`,
  'a live session': () => `/sessions/${world.live.name}`,
  'no end': () => `/sessions/${world.torn.name}`,
  'hostile text': () => `/sessions/${world.hostile.name}?at=31`,
  'hostile cells': () => `/sessions/${world.hostile.name}?at=${1 + 2 * Object.keys(HOSTILE_TEXTS).length}`,
  'a long session': () => `/sessions/${world.long.name}?at=2000`,
  'a large result': () => `/sessions/${world.wide.name}?at=1`,
  'many columns': () => `/sessions/${world.columns.name}?at=1`,
  'passed through': () => `/sessions/${world.tcp.name}`,
  'no such session': () => '/sessions/s-aaaaaaaaaaaaaaaa',
  'no such page': () => '/nowhere/at/all',
};

/** Other tests make network namespaces, and Chromium then drops what is on its way. That alone is no fault of the page. */
const NETWORK = { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } };

describe.runIf(hasChromium)('every page in every state', NETWORK, () => {
  test('is accessible, fits every window, hides nothing and asks nobody else', async () => {
    const expectInWindow = windowsInTurn();
    const { page } = await come({ expected: /status of 404/ });
    for (const [name, path] of Object.entries(STATES)) {
      await page.goto(`${site.url}${path()}`);
      await page.locator('h1').waitFor();
      await settled(page);
      await expectInWindow(page, name);
      await expectNothingUnseen(page);
      expect(await page.evaluate('window.hacked')).toBeUndefined();
    }
    await page.getByRole('button', { name: 'Keys and settings' }).click();
    await expectInWindow(page, 'keys');
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await expectInWindow(page, 'sign-in');
  });

  test('stays within the window with twice the text, and in colours of the system', async () => {
    const { page } = await come({ width: 640 });
    await page.emulateMedia({ forcedColors: 'active' });
    for (const path of ['/sessions', `/sessions/${world.plain.name}?at=3`]) {
      await page.goto(`${site.url}${path}`);
      await settled(page);
      await page.evaluate("document.documentElement.style.fontSize = '32px'");
      await expectNoSidewaysScroll(page, path);
    }
  });
});

describe.runIf(hasChromium)('signing in', NETWORK, () => {
  test('works by a link once, leaves no trace of it, and no script reads the cookie', async () => {
    const { page, context } = await come({ signedIn: false, expected: /status of 410/ });
    await page.goto(`${site.url}/sessions`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await expect.poll(() => page.getByText('chaperone console').isVisible()).toBe(true);

    const link = site.newLink(`/sessions/${world.plain.name}?at=7`);
    await page.goto(`${site.url}${link}`);
    await page.waitForURL(`${site.url}/sessions/${world.plain.name}?at=7`);
    await entry(page).getByText('RuleDenies').waitFor();
    expect(await page.evaluate('document.cookie')).toBe('');
    const cookies = await context.cookies();
    expect(cookies).toMatchObject([{ httpOnly: true, sameSite: 'Strict', path: '/', domain: '127.0.0.1' }]);

    const second = await context.newPage();
    await second.goto(`${site.url}${link}`);
    await second.getByText('This link was used already, or is too old.').waitFor();
    expect(second.url()).toBe(`${site.url}/sessions`);
    await second.close();
  });

  test('is asked for again when it ended, wherever one is', async () => {
    const { page, context } = await come({ expected: /status of 401/ });
    await rows(page).first().waitFor();
    await context.clearCookies();
    await page.getByRole('combobox', { name: 'Verdict', exact: true }).selectOption('denied');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(page.url()).toContain('verdict=denied');
  });

  test('warns two minutes before it ends', async () => {
    const { page } = await come({ signedIn: false });
    await page.clock.install();
    await page.goto(`${site.url}${site.newLink('/sessions')}`);
    await rows(page).first().waitFor();
    await page.clock.fastForward('11:57:00');
    await expect.poll(() => page.getByText('Your sign-in ends').count()).toBe(0);
    await page.clock.fastForward('00:02:00');
    await page.getByText('Your sign-in ends in less than two minutes.').waitFor();
  });

  test('ends everywhere with signing out', async () => {
    const { page, context } = await come();
    const [cookie] = await context.cookies();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await context.cookies()).toEqual([]);
    const headers = { cookie: `${cookie?.name}=${cookie?.value}` };
    expect((await fetch(`${site.url}/v1/sessions`, { headers })).status).toBe(401);
  });
});

describe.runIf(hasChromium)('the list', NETWORK, () => {
  test('is cut into pages by the server, narrowed, and restored from its address', async () => {
    const { page } = await come();
    await rows(page).first().waitFor();
    await expect.poll(() => rows(page).count()).toBe(50);
    await page.getByRole('button', { name: 'Show older sessions' }).click();
    await page.getByText('That is all.').waitFor();
    await expect.poll(() => rows(page).count()).toBe(64);

    await page.getByRole('combobox', { name: 'Agent', exact: true }).selectOption('agents/report-agent');
    await page.getByText('3 sessions, as of').waitFor();
    await page.getByRole('combobox', { name: 'Verdict', exact: true }).selectOption('denied');
    await page.getByText('No session matches').waitFor();
    await page.reload();
    await page.getByText('No session matches').waitFor();
    await page.getByRole('button', { name: 'Clear filters' }).first().click();
    await rows(page).nth(49).waitFor();
    await page.getByRole('combobox', { name: 'Time', exact: true }).selectOption('24h');
    await page.getByText('7 sessions, as of').waitFor();
  });

  test('finds commands without telling addresses what was searched, and opens at the moment', async () => {
    const { page } = await come();
    const asked: string[] = [];
    page.on('request', (request) => void asked.push(request.url()));
    await rows(page).first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('tmp_x');
    await page.keyboard.press('Enter');
    await page.getByText('4 sessions with such a command').waitFor();
    expect(page.url()).toBe(`${site.url}/sessions#q=tmp_x`);
    expect(asked.filter((url) => url.includes('tmp_x'))).toEqual([]);
    await rows(page).filter({ hasText: 'release-bot' }).getByRole('link').click();
    await page.waitForURL(/\/sessions\/s-[a-z2-7]{16}\?at=\d+$/);
    await entry(page).getByText('DROP TABLE tmp_x').waitFor();
  });

  test('moves nothing when sessions arrive; they are shown when asked for', async () => {
    const { page } = await come({ alone: true });
    await page.clock.install();
    await page.reload();
    await rows(page).first().waitFor();
    const before = await rows(page).first().textContent();
    const fresh = tell({ serviceAccount: 'fresh-agent', resource: 'orders-db', ago: 1_000, segments: [ask({})] });
    for (const bytes of fresh.segments) await site.collector.ingest(bytes);
    await page.clock.runFor(5_000);
    await page.getByRole('button', { name: '1 new session: show' }).waitFor();
    expect((await rows(page).first().textContent())?.slice(0, 8)).toBe(before?.slice(0, 8));
    await page.keyboard.press('n');
    await rows(page).first().getByText('fresh-agent').waitFor();
  });

  test('says what failed and tries again; what is slow has a skeleton', async () => {
    const { page } = await come({ expected: /status of 503/ });
    await rows(page).first().waitFor();
    const gate = Promise.withResolvers<undefined>();
    site.before = (request) => (new URL(request.url).pathname === '/v1/sessions' ? gate.promise : Promise.resolve(undefined));
    await page.getByRole('combobox', { name: 'Verdict', exact: true }).selectOption('masked');
    await page.getByText('Loading sessions').waitFor({ state: 'attached' });
    await expectAccessible(page, 'loading');
    site.before = () =>
      Promise.resolve(Response.json({ code: 'Unavailable', message: 'the collector could not answer' }, { status: 503 }));
    gate.resolve(undefined);
    await page.getByRole('combobox', { name: 'Verdict', exact: true }).selectOption('clean');
    await page.getByText('The list could not be loaded').waitFor();
    await expect.poll(() => page.getByRole('alert').textContent()).toContain('Unavailable');
    await expectAccessible(page, 'failed');
    site.before = () => Promise.resolve(undefined);
    await page.getByRole('button', { name: 'Try again' }).click();
    await rows(page).first().waitFor();
  });
});

describe.runIf(hasChromium)('a collector that is gone', NETWORK, () => {
  test('is said to be, after one more try, and the page goes on when it is back', async () => {
    const { page, context } = await come({ expected: /ERR_INTERNET_DISCONNECTED/ });
    await rows(page).first().waitFor();
    await context.setOffline(true);
    await page.getByRole('combobox', { name: 'Verdict', exact: true }).selectOption('masked');
    await page.getByText('The list could not be loaded').waitFor();
    await expect.poll(() => page.getByRole('alert').textContent()).toContain('Offline');
    await context.setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await rows(page).first().waitFor();
  });
});

describe.runIf(hasChromium)('a replay', NETWORK, () => {
  test('shows what was delivered: masked, NULL and empty cells look like nothing else', async () => {
    const { page } = await come({ home: `/sessions/${world.plain.name}?at=3` });
    const grid = entry(page).locator('table.grid');
    await grid.waitFor();
    const head = await grid.locator('thead th').nth(3).innerText();
    expect(head.replaceAll(/\s+/g, ' ')).toBe('ssn ▒ masked: pii.ssn · partly shown');
    await expect
      .poll(() => grid.locator('td.masked').allInnerTexts())
      .toEqual(['*******1234', '*******6789', '*******4411'].map((text) => expect.stringContaining(text)));
    await expect.poll(() => grid.locator('tbody tr').nth(1).locator('td').nth(2).innerText()).toBe('NULL');
    await expect.poll(() => grid.locator('tbody tr').nth(0).locator('td').nth(4).innerText()).toBe('empty');
    await expect.poll(() => grid.locator('tbody tr').nth(2).locator('td').nth(4).innerText()).toBe('bytes 000102ff');
    await entry(page).getByText('Masked values are not stored and cannot be revealed.').waitFor();
  });

  test('is walked by keys, and its address is the moment', async () => {
    const { page, context } = await come({ home: `/sessions/${world.plain.name}` });
    await entry(page).getByText('#1').waitFor();
    await page.keyboard.press('v');
    await entry(page).getByText('Nothing was sent to the resource.').waitFor();
    expect(new URL(page.url()).search).toBe('?at=7');
    await page.keyboard.press('v');
    await entry(page).getByText('column "totl" does not exist').waitFor();
    await page.keyboard.press('k');
    expect(new URL(page.url()).search).toBe('?at=7');
    await page.keyboard.press('y');
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe(page.url());
    await entry(page).getByText('Nothing was sent to the resource.').waitFor();
    await page.keyboard.press('c');
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe('DROP TABLE tmp_x');
    await page.keyboard.press('m');
    await expect.poll(() => page.getByRole('option').count()).toBe(2);
    await page.keyboard.press('m');
    await page.keyboard.press('u');
    await page.waitForURL(`${site.url}/sessions`);
    expect(context.pages()).toHaveLength(1);
  });

  test('draws a gap as a gap, and what is on both sides of it', async () => {
    const { page } = await come({ home: `/sessions/${world.gapped.name}` });
    await page.getByText('Segment 1 never arrived.').waitFor();
    const gap = page.getByRole('option', { name: 'gap: 12 records missing' });
    await gap.click();
    await entry(page).getByText('Records 12 to 23 of this session are not stored.').waitFor();
    await expect.poll(() => page.locator('.timeline rect[fill="url(#hatch)"]').count()).toBe(1);
    await page.keyboard.press('j');
    expect(new URL(page.url()).search).toBe('?at=24');
  });

  test('follows a live session', async () => {
    const { page } = await come({ alone: true });
    await page.clock.install();
    const parts = tell({
      serviceAccount: 'live-agent',
      resource: 'orders-db',
      ago: 60_000,
      end: 'close',
      segments: [ask({ text: 'SELECT first' }), ask({ text: 'SELECT second' })],
    });
    await site.collector.ingest(parts.segments[0] ?? Buffer.alloc(0));
    await page.goto(`${site.url}/sessions/${parts.name}`);
    await page.getByRole('option', { name: 'SELECT first' }).waitFor();
    await expect.poll(() => page.title()).toBe('● live-agent → orders-db · Chaperone');
    await site.collector.ingest(parts.segments[1] ?? Buffer.alloc(0));
    await page.clock.runFor(5_000);
    await page.getByRole('option', { name: 'SELECT second' }).waitFor();
    await expect.poll(() => page.title()).toBe('live-agent → orders-db · Chaperone');
  });

  test('of thousands of statements draws what is looked at, and reaches the rest', async () => {
    const { page } = await come({ home: `/sessions/${world.long.name}` });
    await page.getByRole('button', { name: 'all 2,502' }).waitFor();
    const list = page.getByRole('listbox', { name: 'What happened' });
    await expect.poll(() => list.getByRole('option').count()).toBeLessThan(80);
    await list.focus();
    await page.keyboard.press('End');
    await list.getByRole('option', { selected: true }).getByText('The session ended').waitFor();
    await expect.poll(() => list.getByRole('option', { selected: true }).getAttribute('aria-posinset')).toBe('2502');
    await page.keyboard.press('PageUp');
    await page.keyboard.press('Enter');
    expect(await focused(page)).toBe('the chosen moment');
  });

  test('of a large result draws what is looked at, and loads more when asked', async () => {
    const { page } = await come({ home: `/sessions/${world.wide.name}?at=1` });
    const box = page.getByRole('region', { name: 'Result' });
    await box.waitFor();
    await expect.poll(() => box.locator('tbody tr').count()).toBeLessThan(80);
    await page.getByText(/^1,\d{3} rows\s+shown\.$/).waitFor();
    await page.getByRole('button', { name: 'Load more rows' }).click();
    await page.getByText('2,000 rows shown.').waitFor();
    await box.evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await box.getByText('47999', { exact: true }).waitFor({ state: 'attached' });
  });

  test('of very many columns shows some, and turns to the others', async () => {
    const { page } = await come({ home: `/sessions/${world.columns.name}?at=1` });
    await page.getByText('Columns 1 to 40 of 1,600').waitFor();
    await expect.poll(() => page.locator('table.grid td').count()).toBe(20 * 40);
    await page.getByRole('button', { name: 'Columns after' }).click();
    await page.getByText('Columns 41 to 80 of 1,600').waitFor();
    await expect.poll(() => page.locator('table.grid td').first().innerText()).toBe('0.40');
    await expect.poll(() => page.locator('table.grid th').first().getAttribute('aria-colindex')).toBe('41');
  });

  test('is walked by buttons too', async () => {
    const { page } = await come({ home: `/sessions/${world.plain.name}?at=7` });
    await entry(page).getByText('Nothing was sent to the resource.').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await entry(page).getByText('column "totl" does not exist').waitFor();
    await page.getByRole('button', { name: 'Before' }).click();
    expect(new URL(page.url()).search).toBe('?at=7');
    await page.getByRole('button', { name: 'Copy link' }).click();
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe(page.url());
  });

  test('on a phone is a list, then the moment as a page of its own', async () => {
    const { page } = await come({ width: 390, height: 844, home: `/sessions/${world.plain.name}` });
    await page.getByRole('listbox').waitFor();
    await expect.poll(() => entry(page).isVisible()).toBe(false);
    await page.getByRole('option', { name: 'DROP TABLE tmp_x' }).click();
    await entry(page).getByText('RuleDenies').waitFor();
    await expect.poll(() => page.getByRole('listbox').isVisible()).toBe(false);
    await page.getByRole('link', { name: 'All of this session' }).click();
    await page.getByRole('listbox').waitFor();
  });
});

describe.runIf(hasChromium)('hostile text', NETWORK, () => {
  const shared = new LongVisit();
  afterAll(() => shared.end());

  test.each(Object.entries(HOSTILE_TEXTS).filter(([, text]) => text !== ''))(
    '%s: is drawn whole, decodes back, and does nothing',
    async (what, text) => {
      const page = await shared.page(() => visit(browser, site));
      const at = 1 + 2 * Object.keys(HOSTILE_TEXTS).indexOf(what);
      await page.goto(`${site.url}/sessions/${world.hostile.name}?at=${at}`);
      await entry(page).locator('.block').waitFor();
      while (await page.getByRole('button', { name: 'Show more' }).isVisible())
        await page.getByRole('button', { name: 'Show more' }).click();
      const lines = await entry(page)
        .locator('.block .lines li')
        .evaluateAll((items) => items.map((item) => (item.textContent === '\u200b' ? '' : (item.textContent ?? ''))));
      const shown = lines.join('\n');
      // A text that ends with a line feed has no further line; JSON has no half of a pair, so the recording has neither.
      expect(`${undrawn(shown)}${text.endsWith('\n') ? '\n' : ''}`).toBe(text);
      expect(await page.evaluate('window.hacked')).toBeUndefined();
      expect(await page.locator('.recorded a, .recorded img, .recorded script, .recorded svg').count()).toBe(0);
      await expectNothingUnseen(page);
    },
  );

  test('is copied as it is shown, or exactly', async () => {
    const { page } = await come({ home: `/sessions/${world.hostile.name}?at=1` });
    await entry(page).getByRole('button', { name: 'Copy', exact: true }).click();
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe("update t set note = 'done⟨U+202E RLO⟩' ;-- '");
    await page.getByRole('button', { name: 'Copy exact' }).click();
    await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe("update t set note = 'done\u202e' ;-- '");
  });
});

/** What the focus is on, step by step. */
const walk = async (page: Page, steps: number): Promise<string[]> => {
  const seen: string[] = [];
  for (let step = 0; step < steps; step++) {
    await page.keyboard.press('Tab');
    seen.push(await focused(page));
  }
  return seen;
};

describe.runIf(hasChromium)('by keyboard alone', NETWORK, () => {
  test('the list is walked in the order in which it reads', async () => {
    const { page } = await come();
    await rows(page).first().waitFor();
    await page.evaluate('document.activeElement?.blur(); window.getSelection()?.removeAllRanges()');
    await page.goto(`${site.url}/sessions?resource=data%2Fmetrics-db`);
    await rows(page).first().waitFor();
    expect(await focused(page)).toBe('H1 Sessions');
    expect(await walk(page, 8)).toEqual([
      'SELECT Time',
      'SELECT Agent',
      'SELECT Resource',
      'SELECT Verdict',
      'INPUT Commands that say',
      'BUTTON Search',
      'BUTTON Clear filters',
      'A infra-agent → on data/metrics-db',
    ]);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/sessions\/s-/);
    await page.getByRole('listbox').waitFor();
    expect(await focused(page)).toContain('H1 infra-agent');
  });

  test('a replay is reached, walked and left', async () => {
    const { page } = await come({ home: `/sessions/${world.plain.name}` });
    await page.getByRole('listbox').waitFor();
    // Who reads it for the first time is told of nobody.
    await page.reload();
    await page.getByRole('listbox').waitFor();
    expect(await walk(page, 11)).toEqual([
      'A data/orders-db',
      'BUTTON Copy',
      'A Evidence file',
      'A Verify in this browser',
      'BUTTON Records as NDJSON',
      expect.stringMatching(/^SUMMARY Who read this session: \d+ entr/),
      'BUTTON all 23',
      'BUTTON denied 1',
      'BUTTON errors 1',
      'BUTTON masked 2',
      'DIV What happened',
    ]);
    for (let step = 0; step < 4; step++) await page.keyboard.press('ArrowDown');
    await entry(page).getByText('column "totl" does not exist').or(entry(page).getByText('Nothing was sent')).first().waitFor();
    await page.keyboard.press('Shift+?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.waitForURL(`${site.url}/sessions`);
  });

  test('letters can be switched off, and never act in a field', async () => {
    const { page } = await come();
    await rows(page).first().waitFor();
    const zone = page.getByRole('button', { name: 'Time zone' });
    await page.keyboard.press('t');
    await expect.poll(() => zone.innerText()).toContain('America/New_York');
    await page.keyboard.press('/');
    await page.keyboard.type('t?g s');
    await expect.poll(() => zone.innerText()).toContain('America/New_York');
    await page.keyboard.press('Escape');
    await page.locator('h1').focus();
    await page.keyboard.press('?');
    await page.getByLabel('Letters are commands').uncheck();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.locator('h1').focus();
    await page.keyboard.press('t');
    await expect.poll(() => zone.innerText()).toContain('America/New_York');
  });
});

describe.runIf(hasChromium)('what this browser chose', NETWORK, () => {
  test('is kept: theme and zone', async () => {
    const { page } = await come();
    const background = (): Promise<unknown> => page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    expect(await background()).toBe('rgb(255, 255, 255)');
    await page.getByRole('button', { name: 'Theme: system' }).click();
    await page.getByRole('button', { name: 'Theme: light' }).click();
    expect(await background()).toBe('rgb(14, 18, 22)');
    await page.reload();
    await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
    expect(await background()).toBe('rgb(14, 18, 22)');
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.getByRole('button', { name: 'Theme: dark' }).click();
    await page.getByRole('button', { name: 'Theme: system' }).click();
    expect(await background()).toBe('rgb(255, 255, 255)');
  });
});

const approve = (by: string, more: object) => ({ by, decision: 'Approve' as const, at: '2026-01-01T12:00:00Z', ...more });

describe.runIf(hasChromium)('an approval', NETWORK, () => {
  test('says who gave it and how sure that is, and nothing where the record does not say it', async () => {
    const [first, done] = ask({ verdict: 'approve', text: 'update tickets set note = 1', tag: 'UPDATE 1' });
    if (first?.type !== 'action' || done === undefined) throw new Error('no action');
    const decisions = [
      approve('jane@corp', { assurance: 'passkey', via: 'page', reason: 'ticket 4412' }),
      approve('bob@corp', { assurance: 'kubernetes' }),
      approve('ann@corp', {}),
    ];
    const held = { request: `ar-${'a'.repeat(16)}`, digest: '0'.repeat(64), state: 'Released', waitedMs: 1_000 };
    const approval = { type: 'approval' as const, action: first.action, ...held, decisions };
    const told = tell({
      serviceAccount: 'support-agent',
      resource: 'orders-db',
      ago: 60_000,
      segments: [[first, approval, done]],
    });
    for (const bytes of told.segments) await site.collector.ingest(bytes);
    const { page } = await come({ home: `/sessions/${told.name}?at=1` });
    const people = entry(page).locator('section', { hasText: 'Approval' }).locator('li');
    await people.first().waitFor();
    expect((await people.allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '))).toEqual([
      expect.stringMatching(/by ?jane@corp ?, signed with a passkey: ?ticket 4412$/),
      expect.stringMatching(/by ?bob@corp ?, by the API server’s word$/),
      expect.stringMatching(/by ?ann@corp$/),
    ]);
  });
});
