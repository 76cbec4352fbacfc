import type { AccessRequest } from '@chaperone/api';
import { NewLink } from '@chaperone/evidence';
import type { Browser, Page } from 'playwright-core';
import { expect } from 'vitest';
import { type Held, startHeld } from '../../cli/src/requests/requests.test-support.ts';
import type { Shop } from '../../cli/src/program.test-support.ts';
import { type Coming, type Visit, Visits } from './browser.test-support.ts';

/** A `chaperone up` whose page is visited. */
export interface Inbox extends AsyncDisposable {
  readonly held: Held;
  /** A browser of its own, signed in, in which nothing went wrong but what is expected to. */
  come(options?: Coming): Promise<Visit>;
}

/** @param approval - the rule's approval as YAML, in place of the quickstart's */
export async function startInbox(browser: Browser, shop: Shop, approval?: string): Promise<Inbox> {
  const held = await startHeld(shop, approval);
  const newLink = async (path: string): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const { body } = await held.http({ method: 'POST', path: '/auth/links', headers, body: JSON.stringify({ path }) });
    return NewLink.parse(JSON.parse(body)).link;
  };
  const visits = new Visits(
    () => browser,
    () => ({ url: held.url, newLink }),
  );
  return {
    held,
    come: (options) => visits.come({ home: '/requests', ...options }),
    [Symbol.asyncDispose]: async () => {
      await visits.end();
      await held[Symbol.asyncDispose]();
    },
  };
}

/** What waits for an answer. */
export async function waiting({ held }: Inbox): Promise<AccessRequest[]> {
  const { items } = JSON.parse((await held.http()).body) as { items: AccessRequest[] };
  return items.filter(({ status }) => status?.state === undefined || status.state === 'Pending');
}

/** Denies it as a program does, without a page. */
export async function turnDown({ held }: Inbox, { metadata, spec }: AccessRequest): Promise<void> {
  const { status, body } = await held.http({
    method: 'POST',
    path: `/v1/requests/${metadata.namespace}/${metadata.name}/decisions`,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ requestUid: metadata.uid, digest: spec.digest, decision: 'Deny' }),
  });
  expect([status, body]).toEqual([201, expect.any(String)]);
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
