import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { surveyEvidence } from '@chaperone/evidence';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasChromium, launch, type Site, startSite, Visits } from './browser.test-support.ts';
import { expectAccessible, expectInEveryWindow, expectNothingUnseen } from './page.test-support.ts';
import { ask, type Session, tell } from './world.test-support.ts';

/** Other tests make network namespaces, and Chromium then drops what is on its way. That alone is no fault of the page. */
const NETWORK = { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } };
const HOSTILE = '<img src=x onerror="window.hacked=1"> \u202e\u001b[2J =1+1';
const HOUR = 3_600_000;

const told = (serviceAccount: string, ago: number): Session =>
  tell({ serviceAccount, resource: 'orders-db', ago, segments: [ask({ text: 'SELECT 1' }), ask({ text: 'SELECT 2' })] });

let browser: Browser;
let site: Site;
let [plain, gapped, erased, held]: Session[] = [];
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site] = await Promise.all([launch(), startSite()]);
  plain = told('support-agent', HOUR);
  gapped = tell({ serviceAccount: 'release-bot', resource: 'orders-db', ago: 2 * HOUR, segments: [[], [], []] });
  erased = told('infra-agent', 3 * HOUR);
  held = told('report-agent', 4 * HOUR);
  for (const { segments } of [plain, erased, held]) for (const bytes of segments) await site.collector.ingest(bytes);
  for (const at of [0, 2]) await site.collector.ingest(gapped.segments[at] ?? Buffer.alloc(0));
  await order(erased, 'erasure');
  await order(held, 'hold');
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});

/** As somebody gives one whose reason is hostile. */
async function order({ name }: Session, kind: 'erasure' | 'hold'): Promise<void> {
  const body = JSON.stringify({ kind, reason: HOSTILE });
  const digest = createHash('sha256').update(body).digest('hex');
  const headers = { authorization: 'Bearer token', 'content-type': 'application/json' };
  const target = `http://collector/v1/sessions/${name}/orders?body=${digest}`;
  expect((await site.collector.fetch(new Request(target, { method: 'POST', headers, body }))).status).toBe(200);
}

const visits = new Visits(
  () => browser,
  () => site,
);

async function come(path: string): Promise<Page> {
  // An erased recording is a 410, which a browser says in its console.
  const { page } = await visits.come({ home: path, expected: /status of 410/ });
  await page.locator('h1').waitFor();
  await page.locator('.skeleton').waitFor({ state: 'detached' });
  return page;
}

describe.runIf(hasChromium)('how the evidence stands', NETWORK, () => {
  test('is on a page of its own: the checkpoint, gaps, erasures and holds, with who and why as text', async () => {
    const page = await come('/evidence');
    await page.getByRole('heading', { name: '1 session with a gap, or no end' }).waitFor();
    expect(await page.locator('.sessions tbody tr').allTextContents()).toEqual([
      expect.stringContaining('release-bot') as string,
    ]);
    const orders = await page.locator('.orders li').allTextContents();
    expect(orders.map((text) => [text.includes('put on hold'), text.includes('erased')])).toEqual([
      [true, false],
      [false, true],
    ]);
    for (const text of orders) expect(text).toMatch(/by local: .*<img src=x.*entry \d+ of the log/);
    await expect.poll(() => page.getByText('chaperone log verify').isVisible()).toBe(true);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    await expectInEveryWindow(page, 'evidence');
    await expectNothingUnseen(page);
    await page.locator('.orders a').first().click();
    await page.waitForURL(`${site.url}/sessions/${held?.name}`);
  });

  test('is said of each session: on hold, erased, in the log', async () => {
    const page = await come(`/sessions/${erased?.name}`);
    await page.getByText('What was recorded was erased').waitFor();
    await expect.poll(() => page.locator('.orders li').count()).toBe(1);
    await expect.poll(() => page.getByRole('button', { name: 'Records as NDJSON' }).count()).toBe(0);
    await expectAccessible(page, 'an erased session');
    await page.goto(`${site.url}/sessions/${held?.name}`);
    await page.locator('.meta').getByText('on hold').waitFor();
    await page.locator('.meta').getByText('; in the log, all of it').waitFor();
    await page.goto(`${site.url}/sessions/${gapped?.name}`);
    await page.locator('.meta').getByText('; in the log, the first 1').waitFor();
  });

  test('says who read it, on the page of the session and on that of all evidence', async () => {
    const page = await come(`/sessions/${plain?.name}`);
    await page.locator('.said').first().waitFor();
    await page.reload();
    await page.getByText(/^Who read this session: \d+ entr(y|ies) of the log$/).click();
    await expect.poll(() => page.locator('.reads li').last().innerText()).toMatch(/local looked at it entry \d+ of the log/);
    await expectAccessible(page, 'who read a session');
    await page.goto(`${site.url}/evidence`);
    await page.getByRole('heading', { name: 'Who read evidence' }).waitFor();
    await page
      .locator('.reads')
      .getByRole('link', { name: plain?.name ?? '' })
      .first()
      .waitFor();
    await expectInEveryWindow(page, 'who read evidence');
  });

  test('is taken away as an evidence file, and as a line of JSON for each record', async () => {
    const page = await come(`/sessions/${plain?.name}`);
    const taken = async (role: 'link' | 'button', name: string): Promise<{ file: string; bytes: Buffer }> => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole(role, { name }).click()]);
      return { file: download.suggestedFilename(), bytes: await readFile(await download.path()) };
    };
    const evidence = await taken('link', 'Evidence file');
    expect(evidence.file).toBe(`${plain?.name}.evidence`);
    expect(await surveyEvidence([evidence.bytes])).toMatchObject({ sessions: 1, segments: 2, keys: 1 });
    const { file, bytes } = await taken('button', 'Records as NDJSON');
    const records = bytes
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number; type: string });
    expect([file, records.map(({ seq }) => seq)]).toEqual([`${plain?.name}.ndjson`, records.map((_, at) => at)]);
    expect(records.map(({ type }) => type)).toEqual(expect.arrayContaining(['session.open', 'action', 'session.close']));
  });
});
