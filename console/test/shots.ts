import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { aRequest } from '../../collector/src/requests/requests.fixture.ts';
import { launch, leave, startSite, visit } from './browser.test-support.ts';
import { policiesOf, resourcesOf } from './policies-world.test-support.ts';
import { recordPrograms, SEQ_OF } from './programs-world.test-support.ts';
import { grantsIn, manyRequests, requestsOf, withPage } from './requests-world.test-support.ts';
import { aWorld } from './world.test-support.ts';

// Pictures of every page for people to look at, at two widths and in both themes: node console/test/shots.ts [BEGINNING OF A NAME]
const SHOTS = join(import.meta.dirname, 'shots');
await mkdir(SHOTS, { recursive: true });
const [browser, site] = await Promise.all([launch(), startSite()]);
const world = aWorld();
const programs = await recordPrograms(site);
for (const { segments } of world.sessions) for (const bytes of segments) await site.collector.ingest(bytes);
for (const at of [0, 2]) await site.collector.ingest(world.gapped.segments[at] ?? Buffer.alloc(0));
const asked = requestsOf(site.requests);
const known = Object.entries({ policy: policiesOf(site.policies), resource: resourcesOf(site.policies) });
const objects = known.flatMap(([kind, all]) =>
  Object.entries(all).map(([name, { metadata }]) => [
    `${kind}-${name}`,
    `/${kind === 'policy' ? 'policies' : 'resources'}/${metadata.namespace}/${metadata.name}`,
  ]),
);
grantsIn(site.requests);
const alike = manyRequests(site.requests, 5, 5);
const pages: Record<string, string> = {
  requests: '/requests',
  'request-alike': `/requests/agents/${alike[0]?.metadata.name}`,
  'requests-others': '/requests?show=others',
  'requests-decided': '/requests?show=decided',
  grants: '/grants',
  evidence: '/evidence',
  ...Object.fromEntries(
    Object.entries(asked).map(([name, { metadata }]) => [`request-${name}`, `/requests/${metadata.namespace}/${metadata.name}`]),
  ),
  policies: '/policies',
  resources: '/resources',
  ...Object.fromEntries(objects),
  sessions: '/sessions',
  search: '/sessions#q=drop',
  empty: '/sessions?agent=agents%2Fnobody',
  replay: `/sessions/${world.plain.name}`,
  masked: `/sessions/${world.plain.name}?at=3`,
  denied: `/sessions/${world.plain.name}?at=7`,
  hidden: `/sessions/${world.plain.name}?at=5`,
  gap: `/sessions/${world.gapped.name}?at=15`,
  live: `/sessions/${world.live.name}`,
  hostile: `/sessions/${world.hostile.name}?at=31`,
  wide: `/sessions/${world.wide.name}?at=1`,
  'session-lines': `/sessions/${programs.plain}?at=${SEQ_OF.lines}`,
  'session-file': `/sessions/${programs.plain}?at=${SEQ_OF.file}`,
  'session-terminal': `/sessions/${programs.plain}?at=${SEQ_OF.terminal}`,
  'session-held': `/sessions/${programs.plain}?at=${SEQ_OF.held}`,
  'session-hostile': `/sessions/${programs.hostile}?at=29`,
  'session-large': `/sessions/${programs.large}?at=1`,
  gone: '/sessions/s-aaaaaaaaaaaaaaaa',
};
const [, , begin = ''] = process.argv;
const wanted = Object.entries(pages).filter(([name]) => name.startsWith(begin));
const panels = [
  ['a', 'request-update'],
  ['d', 'request-delete'],
  ['a', 'request-grantable', 'for 1 h'],
] as const;
async function choose(page: Page, label: string | undefined): Promise<void> {
  if (label !== undefined) await page.getByLabel(label).check();
}
/** A terminal in the middle of what it showed, and what stands below the list. */
async function lookAt(page: Page, name: string): Promise<void> {
  if (!name.startsWith('session-')) return;
  if (name === 'session-terminal') await page.keyboard.press('5');
  await page.waitForTimeout(500);
  await page.locator('.player, .decision').last().scrollIntoViewIfNeeded();
}
for (const width of [1440, 390])
  for (const dark of [false, true]) {
    const { page, context } = await visit(browser, site, { width, dark, height: width === 390 ? 844 : 900 });
    const shot = (name: string): Promise<Buffer> =>
      page.screenshot({ path: join(SHOTS, `${name}-${width}-${dark ? 'dark' : 'light'}.png`) });
    for (const [name, path] of wanted) {
      await page.goto(`${site.url}${path}`);
      await page.locator('h1').waitFor();
      // A stream of requests is never done.
      await page.waitForTimeout(name.startsWith('request') ? 300 : 800);
      await lookAt(page, name);
      await shot(name);
    }
    if (begin !== '') {
      await context.close();
      continue;
    }
    for (const [key, name, choice] of panels) {
      await page.goto(`${site.url}${pages[name]}`);
      await page.locator('.bar').waitFor();
      await page.keyboard.press(key);
      await choose(page, choice);
      await page.waitForTimeout(500);
      await shot(`${name}-panel`);
    }
    await page.goto(`${site.url}/requests`);
    await page.locator('.group button').click();
    await shot('requests-open');
    await page.locator('.group button').click();
    await page.goto(`${site.url}/grants`);
    await page.locator('.grant').first().waitFor();
    for (const key of ['j', 'r']) await page.keyboard.press(key);
    await page.waitForTimeout(500);
    await shot('grants-panel');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await shot('keys');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await shot('sign-in');
    await leave(context);
  }
// Where requests are only read, as in a cluster.
const reading = await startSite(false);
const elsewhere = reading.requests.put(withPage(aRequest(), 'https://decide.corp/requests/agents/ar-7f3kq2mzt4hcnw5e'));
for (const width of [1440, 390])
  for (const dark of [false, true]) {
    const { page, context } = await visit(browser, reading, { width, dark, height: width === 390 ? 844 : 900 });
    await page.goto(`${reading.url}/requests/${elsewhere.metadata.namespace}/${elsewhere.metadata.name}`);
    await page.locator('.bar').waitFor();
    await page.screenshot({ path: join(SHOTS, `request-elsewhere-${width}-${dark ? 'dark' : 'light'}.png`) });
    await leave(context);
  }
await reading[Symbol.asyncDispose]();
await browser.close();
await site[Symbol.asyncDispose]();
