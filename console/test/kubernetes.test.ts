import type { RecordBody } from '@chaperone/evidence';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { aRequest } from '../../collector/src/requests/requests.fixture.ts';
import { hasChromium, launch, type Site, startSite, Visits } from './browser.test-support.ts';
import { expectInEveryWindow, expectNothingUnseen } from './page.test-support.ts';
import { begin, bar, panel, row } from './requests.test-support.ts';
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

const visits = new Visits(
  () => browser,
  () => site,
);
const come = async (home: string): Promise<Page> => (await visits.come({ home })).page;
const plain = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
const NETWORK = { retry: { count: 2, condition: /ERR_NETWORK_CHANGED/ } };
const CHANGE = ['  spec:', '-   replicas: 2', '+   replicas: 3 # <b>\u202e'];
const OBJECT = 'deployments.apps/scale web in shop';
const TEXT = 'PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale\nspec:\n  replicas: 3';
const EFFECT = { verb: 'patch', object: OBJECT, via: 'direct', verdict: 'approve', rule: 'scale' } as const;

describe.runIf(hasChromium)('a request to the Kubernetes API', NETWORK, () => {
  test('that waits shows what it would change, and is approved in two acts', async () => {
    const spec = { protocol: 'kubernetes', text: TEXT, effects: [EFFECT], sentence: `PATCH on ${OBJECT}` };
    const request = site.requests.put(aRequest({ spec, preview: {} }));
    const { name } = request.metadata;
    site.requests.contents.set(name, { change: CHANGE });
    const page = await come('/requests');
    await row(page, name).getByText('tried').waitFor();
    await page.goto(`${site.url}/requests/agents/${name}`);
    const change = page.getByRole('region', { name: 'What it changes' });
    await change.waitFor();
    await expect
      .poll(() => change.locator('.before, .after').allInnerTexts())
      .toEqual([expect.stringContaining('-   replicas: 2'), expect.stringContaining('+   replicas: 3 # <b>⟨U+202E RLO⟩')]);
    await page.getByText('tried as a dry run when it was asked for').waitFor();
    await expectInEveryWindow(page, 'a change');
    await expectNothingUnseen(page);
    await begin(page, 'Approve');
    await expect.poll(() => panel(page).getByLabel('This is not approved').count()).toBe(0);
    await expect.poll(() => bar(page).count()).toBe(1);
  });

  test('of one run of kubectl leads to the others of it, of the same agent alone', async () => {
    site.requests.clear();
    const of = (name: string, run: string, mods: object = {}): ReturnType<typeof aRequest> =>
      site.requests.put(
        aRequest({
          spec: {
            protocol: 'kubernetes',
            text: `DELETE /api/v1/namespaces/shop/configmaps/${name}`,
            effects: [{ ...EFFECT, verb: 'delete', object: `configmaps ${name} in shop` }],
            sentence: `DELETE on configmaps ${name} in shop: kubectl delete, run ${run}`,
            ...mods,
          },
          preview: {},
        }),
      );
    const [first, second] = [of('a', '1f2e3d4c'), of('b', '1f2e3d4c')];
    of('c', '00000000');
    of('d', '1f2e3d4c', { agent: { serviceAccount: 'other', purpose: '' } });
    const page = await come(`/requests/agents/${first.metadata.name}`);
    const client = page.locator('dt', { hasText: 'Client' }).locator('xpath=following-sibling::dd[1]');
    await client.getByRole('link').first().waitFor();
    expect(plain(await client.innerText())).toMatch(
      new RegExp(`^kubectl delete, run 1f2e3d4c by its own word ${second.metadata.name} DELETE ?configmaps b in shop ?held$`),
    );
    await expectInEveryWindow(page, 'a run');
  });

  test('that could not be tried says why, and wants the name of its object', async () => {
    const spec = { protocol: 'kubernetes', text: TEXT, effects: [EFFECT], sentence: `PATCH on ${OBJECT}` };
    const request = site.requests.put(aRequest({ spec, preview: { why: 'the API server refuses it (409)' } }));
    const page = await come(`/requests/agents/${request.metadata.name}`);
    await page.getByText('not previewed:').waitFor();
    await page.getByText('the API server refuses it (409)').waitFor();
    await begin(page, 'Approve');
    await panel(page).getByLabel('This is not approved').waitFor();
  });

  test('that was recorded says what it was about, who asked, and what it changed', async () => {
    const action: RecordBody = {
      type: 'action',
      action: 0,
      text: TEXT,
      bytes: TEXT.length,
      verdict: 'approve',
      code: 'ApprovalPending',
      reason: 'rule "scale" asks people',
      effects: [EFFECT],
      kubernetes: {
        verb: 'patch',
        group: 'apps',
        version: 'v1',
        resource: 'deployments',
        subresource: 'scale',
        namespace: 'shop',
        name: 'web',
        dryRun: false,
        userAgent: 'kubectl/v1.34.1',
        command: 'kubectl scale',
        run: '1f2e3d4c-0000-4000-8000-000000000000',
      },
    };
    const approval: RecordBody = {
      type: 'approval',
      action: 0,
      request: `ar-${'a'.repeat(16)}`,
      digest: '0'.repeat(64),
      state: 'Released',
      waitedMs: 1_000,
      change: CHANGE,
      decisions: [{ by: 'jane@corp', decision: 'Approve', at: '2026-01-01T12:00:00Z' }],
    };
    const done: RecordBody = {
      type: 'done',
      action: 0,
      tag: '200 audit-id a-1',
      rows: 0,
      bytes: 300,
      digest: '0'.repeat(64),
      truncated: true,
      maskedValues: 0,
      durationMs: 12,
    };
    const session = tell({
      serviceAccount: 'release-agent',
      resource: 'staging',
      protocol: 'kubernetes',
      ago: 60_000,
      segments: [[action, approval, done]],
    });
    for (const bytes of session.segments) await site.collector.ingest(bytes);
    const page = await come(`/sessions/${session.name}?at=1`);
    const listed = await page.getByRole('option').filter({ hasText: 'shop/web' }).first().innerText();
    expect(plain(listed)).toMatch(/patch apps\/v1\/deployments\/scale shop\/web .*200 audit-id a-1/);
    const call = page.locator('section', { has: page.getByRole('heading', { name: 'Call' }) }).last();
    expect(plain(await call.innerText())).toMatch(/kubectl scale, run 1f2e3d4c ?kubectl\/v1\.34\.1$/);
    await page.getByRole('region', { name: 'What it changes' }).getByText('replicas: 2').waitFor();
    await page.getByText('300 B were delivered, of which a digest is recorded').waitFor();
    await expect.poll(() => page.getByText('not all rows').count()).toBe(0);
    await expectInEveryWindow(page, 'a recorded change');
    await expectNothingUnseen(page);
  });
});
