import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CLIENT_SECRET, temporaryDirectory } from '@chaperone/testing';
import type { AccessRequest } from '@chaperone/api';
import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { REQUEST } from '../notify/request.test-support.ts';
import { verifyDecision } from '../attest/verify.ts';
import { termsOf } from './config.ts';
import { answer, hasChromium, launch, type Site, signIn, startSite, type Visit, visit } from './decide.test-support.ts';

const keysOf = async ({ provider }: Site): Promise<ReturnType<typeof createLocalJWKSet>> =>
  createLocalJWKSet((await (await fetch(`${provider.issuer}/jwks`)).json()) as JSONWebKeySet);
const note = ({ page }: Visit): Promise<string | null> => page.textContent('#note');

const saying = (one: Visit, text: string): Promise<void> => eventually(async () => expect(await note(one)).toContain(text));

describe.skipIf(!hasChromium)('the page where people decide, in a browser', () => {
  let browser: Browser;
  let site: Site;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    await site[Symbol.asyncDispose]();
  });
  it('what a person signs becomes their decision, which an auditor can check', async () => {
    site = await startSite();
    const one = await visit(browser, site);
    await saying(one, 'sign in to decide (SignInNeeded)');
    await signIn(one);
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.textContent('#digest')).toBe('9c1f-44ab');
    expect(await one.page.textContent('#text')).toBe('update tickets set note = CANARY-4711');
    expect(await one.page.textContent('#left')).toMatch(/^[45]:\d\d left$/);
    await answer(one, 'approve', 'ticket 4412');
    await saying(one, 'your answer is recorded');
    const [decision, ...more] = site.decisions();
    expect(more).toEqual([]);
    expect(decision?.spec).toMatchObject({
      request: REQUEST,
      requestUid: `uid-${REQUEST}`,
      decision: 'Approve',
      by: 'jane@corp',
      groups: ['support'],
      reason: 'ticket 4412',
      attestation: { assurance: 'signed' },
    });
    if (decision === undefined) throw new Error('there is none');
    expect(await verifyDecision(decision, termsOf(site.config), await keysOf(site))).toEqual({
      user: 'jane@corp',
      groups: ['support'],
    });
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it('what it meets is drawn in its place when it is known, and is what an answer signs from then on', async () => {
    site = await startSite();
    const at = { namespace: 'agents', name: REQUEST };
    const { status, ...request } = site.api.get(KINDS.accessRequests, at) as unknown as AccessRequest;
    const { preview, ...unknown } = status ?? {};
    const one = await visit(browser, site);
    await signIn(one);
    const metadata = { ...request.metadata, creationTimestamp: new Date().toISOString() };
    site.api.put(KINDS.accessRequests, { ...request, metadata, status: unknown });
    await one.page.reload();
    await one.page.waitForSelector('text=nobody has looked yet at the rows that it meets');
    const before = await one.page.locator('#approve').boundingBox();
    site.api.put(KINDS.accessRequests, { ...request, metadata, status: { ...unknown, preview } });
    await one.page.waitForSelector('text=3 rows matched when it was asked for');
    expect(await one.page.locator('#approve').boundingBox()).toEqual(before);
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it('an answer to what was shown before that was known counts', async () => {
    site = await startSite();
    const at = { namespace: 'agents', name: REQUEST };
    const { status, ...request } = site.api.get(KINDS.accessRequests, at) as unknown as AccessRequest;
    const { preview, ...unknown } = status ?? {};
    site.api.put(KINDS.accessRequests, { ...request, status: unknown });
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.waitForSelector('text=nobody has looked yet at the rows that it meets');
    site.api.put(KINDS.accessRequests, { ...request, status: { ...unknown, preview } });
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect(one.faults).toEqual([]);
  });

  it('a denial needs no reason, and says so once only', async () => {
    site = await startSite();
    const one = await visit(browser, site);
    await signIn(one);
    await answer(one, 'deny');
    await saying(one, 'your answer is recorded');
    await one.page.reload();
    await answer(one, 'deny', 'another reason');
    await saying(one, 'you have given this answer already (AnswerGiven)');
    expect(
      site.api.get(KINDS.approvalDecisions, { namespace: 'agents', name: site.decisions()[0]?.metadata.name ?? '' })?.spec,
    ).toMatchObject({
      decision: 'Deny',
    });
    expect(one.faults).toEqual([]);
  });

  it('a client with a secret, which is a file, signs people in as well', async () => {
    await using directory = await temporaryDirectory('chaperone-decide-');
    const clientSecretFile = join(directory.path, 'secret');
    await writeFile(clientSecretFile, `${CLIENT_SECRET}\n`);
    site = await startSite({}, { clientId: 'chaperone', clientSecretFile });
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.waitForSelector('#request:visible');
    expect(site.errors).toEqual([]);
  });

  it('hostile text is drawn as what it is, and does nothing', async () => {
    const text = 'a\u202eb <img src=x onerror=alert(1)> \u0430dmin ⟨U+0041⟩';
    site = await startSite({ spec: { text, sentence: '<script>alert(1)</script>' } });
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.textContent('#text')).toContain('a⟨U+202E RLO⟩b <img src=x onerror=alert(1)>');
    expect(await one.page.locator('#request img, #sentence script').count()).toBe(0);
    expect(await one.page.textContent('#text mark >> nth=0')).toBe('⟨U+202E RLO⟩');
    expect(one.faults).toEqual([]);
  });

  it('Enter in the reason sends nothing, and one press decides nothing', async () => {
    site = await startSite();
    const one = await visit(browser, site);
    await signIn(one);
    await one.page.click('#approve');
    await one.page.fill('#reason', 'because');
    await one.page.press('#reason', 'Enter');
    await one.page.click('#back');
    await one.page.waitForSelector('#approve:visible');
    expect(site.decisions()).toEqual([]);
  });

  it('no script of the page can read its key', async () => {
    site = await startSite();
    const one = await visit(browser, site);
    await signIn(one);
    const exported = await one.page.evaluate<string>(`(async () => {
      const opening = indexedDB.open('chaperone', 1);
      await new Promise((resolve) => opening.addEventListener('success', resolve));
      const get = opening.result.transaction('keys').objectStore('keys').get('key');
      await new Promise((resolve) => get.addEventListener('success', resolve));
      return crypto.subtle.exportKey('jwk', get.result.pair.privateKey).then(() => 'exported', (error) => error.name);
    })()`);
    expect(exported).toBe('InvalidAccessError');
  });

  it('no other site can put it into a frame', async () => {
    site = await startSite();
    const { page } = await visit(browser, site);
    const refused: string[] = [];
    page.on('console', (message) => refused.push(message.text()));
    await page.goto(site.provider.issuer);
    await page.setContent(`<iframe src="${site.origin}/decide/agents/${REQUEST}"></iframe>`);
    await eventually(() => expect(refused.join()).toMatch(/frame-ancestors|X-Frame-Options/));
  });
});
