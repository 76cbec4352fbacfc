import { NewLink } from '@chaperone/evidence';
import type { Browser, Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { type Held, startHeld } from '../../cli/src/requests/requests.test-support.ts';
import type { Shop } from '../../cli/src/program.test-support.ts';
import { leave, visit, type Visit, type VisitOptions } from './browser.test-support.ts';

/** A `chaperone up` whose page is visited. */
export interface Inbox extends AsyncDisposable {
  readonly held: Held;
  /** A browser of its own, signed in, in which nothing went wrong but what is expected to. */
  come(options?: VisitOptions & { readonly expected?: RegExp }): Promise<Visit>;
}

/** @param approval - the rule's approval as YAML, in place of the quickstart's */
export async function startInbox(browser: Browser, shop: Shop, approval?: string): Promise<Inbox> {
  const held = await startHeld(shop, approval);
  return {
    held,
    come: async ({ expected, home = '/requests', ...options } = {}) => {
      const { body } = await held.http({
        method: 'POST',
        path: '/auth/links',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ path: home }),
      });
      const { link } = NewLink.parse(JSON.parse(body));
      const visited = await visit(browser, { url: held.url, newLink: () => link }, { home, ...options });
      onTestFinished(async () => {
        await leave(visited.context);
        if (visited.faults.some((fault) => fault.includes('ERR_NETWORK_CHANGED'))) throw new Error('ERR_NETWORK_CHANGED');
        expect(visited.faults.filter((fault) => expected?.test(fault) !== true)).toEqual([]);
      });
      return visited;
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}

export const row = (page: Page, name: string) => page.locator(`.request-row:has(a[href$="/${name}"])`);
export const bar = (page: Page) => page.locator('.bar');
export const panel = (page: Page) => page.locator('.panel');
export const outcome = (page: Page) => page.locator('.became');

/** Opens a request by its row. */
export async function open(page: Page, name: string): Promise<void> {
  await row(page, name).getByRole('link').click();
  await page.locator('.request-name', { hasText: name }).waitFor();
}

/** Presses what opens the panel, and waits until what is in it may be pressed. */
export async function begin(page: Page, decision: 'Approve' | 'Deny'): Promise<void> {
  await bar(page)
    .getByRole('button', { name: `${decision}…` })
    .click();
  await expect.poll(() => confirm(page).isEnabled()).toBe(true);
}

export const confirm = (page: Page) => panel(page).locator('.panel-buttons button').first();
