import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { hasChromium, launch, SHOTS, type Site, startSite, visit } from './browser.test-support.ts';
import { aWorld, type World } from './world.test-support.ts';

/** Pictures for people to look at: SHOTS=1. */
const wanted = process.env['SHOTS'] !== undefined && hasChromium;
let browser: Browser;
let site: Site;
let world: World;
beforeAll(async () => {
  if (!wanted) return undefined;
  await mkdir(SHOTS, { recursive: true });
  [browser, site] = await Promise.all([launch(), startSite()]);
  world = aWorld();
  for (const { segments } of world.sessions) for (const bytes of segments) await site.collector.ingest(bytes);
  for (const at of [0, 2]) await site.collector.ingest(world.gapped.segments[at] ?? Buffer.alloc(0));
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});

const SIZES = [1440, 390].flatMap((width) => [false, true].map((dark) => ({ width, dark })));
test.runIf(wanted).each(SIZES)('pictures at $width, dark: $dark', async ({ width, dark }) => {
  const { page, faults } = await visit(browser, site, { width, dark, height: width === 390 ? 844 : 900 });
  const shot = (name: string): Promise<Buffer> =>
    page.screenshot({ path: join(SHOTS, `${name}-${width}-${dark ? 'dark' : 'light'}.png`) });
  const pages: Record<string, string> = {
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
    gone: '/sessions/s-aaaaaaaaaaaaaaaa',
  };
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(`${site.url}${path}`);
    await page.waitForLoadState('networkidle');
    await page.waitForTimeout(150);
    await shot(name);
  }
  await page.keyboard.press('?');
  await shot('keys');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await shot('sign-in');
  expect(faults.filter((fault) => !fault.includes('404'))).toEqual([]);
});
