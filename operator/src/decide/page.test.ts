import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CLIENT_SECRET, temporaryDirectory } from '@chaperone/testing';
import type { AccessRequest } from '@chaperone/api';
import { drawn } from '@chaperone/api/hostile';
import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { verifyDecision } from '@chaperone/policy/attest';
import { anAccessRequest, REQUEST } from '../notify/request.test-support.ts';
import { termsOf } from './config.ts';
import {
  answer,
  grantable,
  hasChromium,
  launch,
  leave,
  type Seat,
  type Site,
  signIn,
  startSite,
  takeSeat,
  type Visit,
  visit,
} from './decide.test-support.ts';

const keysOf = async ({ provider }: Site): Promise<ReturnType<typeof createLocalJWKSet>> =>
  createLocalJWKSet((await (await fetch(`${provider.issuer}/jwks`)).json()) as JSONWebKeySet);
const note = ({ page }: Visit): Promise<string | null> => page.textContent('#note');

const HOSTILE_CELLS: readonly string[] = [
  '<img src=x onerror=alert(1)>',
  '<script>alert(1)</script>',
  'javascript:alert(1)',
  'a\u202eb\u2066c',
  '\u0430dmin',
  '\u05d0\u05d1 12 \u05d2',
  '\u0000\u001b[2J\u0007',
  '\ud800',
  '⟨U+0041⟩',
  `e${'\u0301'.repeat(40)}`,
  ' '.repeat(100),
  'line\nfeed\ttab',
  '\u115f\u3164\u2800',
];

const saying = (one: Visit, text: string): Promise<void> => eventually(async () => expect(await note(one)).toContain(text));

/** Of rows, to nobody. */
const reviews: Site['reviews'] = (plural, spec) => {
  const right = spec['resourceAttributes'] as { subresource?: string } | undefined;
  return plural === 'subjectaccessreviews' && right?.subresource === 'content' ? { allowed: false } : undefined;
};

describe.skipIf(!hasChromium)('the page where people decide, in a browser', () => {
  let browser: Browser;
  let seat: Seat;
  let site: Site;
  beforeAll(async () => {
    browser = await launch();
    seat = await takeSeat(browser);
    ({ site } = seat);
  });
  afterAll(async () => {
    await seat?.[Symbol.asyncDispose]();
    await browser?.close();
  });
  /** As somebody who has signed in. */
  const begin = async (...how: Parameters<Seat['begin']>): Promise<Visit> => {
    await seat.begin(...how);
    return seat.one;
  };

  it('what a person signs becomes their decision, which an auditor can check', async () => {
    await using other = await startSite();
    const one = await visit(browser, other);
    await saying(one, 'sign in to decide (SignInNeeded)');
    await signIn(one);
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.textContent('#digest')).toBe('9c1f-44ab');
    expect(await one.page.textContent('#text')).toBe('update tickets set note = CANARY-4711');
    expect(await one.page.textContent('#left')).toMatch(/^[45]:\d\d left$/);
    await answer(one, 'approve', 'ticket 4412');
    await saying(one, 'your answer is recorded');
    const [decision, ...more] = other.decisions();
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
    const { person } = await verifyDecision(decision, termsOf(other.config), await keysOf(other));
    expect(person).toEqual({ user: 'jane@corp', groups: ['support'] });
    expect([one.faults, other.errors]).toEqual([[], []]);
    await leave(one.context);
  });

  it('what it meets is drawn in its place when it is known, and is what an answer signs from then on', async () => {
    const one = await begin();
    const at = { namespace: 'agents', name: REQUEST };
    const { status, ...request } = site.api.get(KINDS.accessRequests, at) as unknown as AccessRequest;
    const { preview, ...unknown } = status ?? {};
    // Young for as long as this takes, on a machine of any speed.
    const put = (mods: object): void => {
      const metadata = { ...request.metadata, creationTimestamp: new Date().toISOString() };
      site.api.forget(KINDS.accessRequests, at);
      site.api.put(KINDS.accessRequests, { ...request, metadata, status: { ...unknown, ...mods } });
    };
    put({});
    const young = setInterval(put, 100, {});
    await one.page.reload();
    await one.page.waitForSelector('text=nobody has looked yet at the rows that it meets');
    const before = await one.page.locator('#approve').boundingBox();
    site.content = { columns: ['id'], rows: Array.from({ length: 5 }, (_, id) => [String(id)]) };
    clearInterval(young);
    put({ preview });
    await one.page.waitForSelector('text=3 rows matched when it was asked for');
    await one.page.waitForSelector('#met td');
    expect(await one.page.locator('#approve').boundingBox()).toEqual(before);
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it('an answer to what was shown before that was known counts', async () => {
    const one = await begin();
    const at = { namespace: 'agents', name: REQUEST };
    const { status, ...request } = site.api.get(KINDS.accessRequests, at) as unknown as AccessRequest;
    const { preview, ...unknown } = status ?? {};
    site.api.put(KINDS.accessRequests, { ...request, status: unknown });
    await one.page.reload();
    await one.page.waitForSelector('text=nobody has looked yet at the rows that it meets');
    site.api.put(KINDS.accessRequests, { ...request, status: { ...unknown, preview } });
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect(one.faults).toEqual([]);
  });

  it('a denial needs no reason, and says so once only', async () => {
    const one = await begin();
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

  it('a person chooses and signs for how long the same may run again', async () => {
    const one = await begin({ spec: grantable() });
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.isVisible('#grant'), 'a denial has no choice').toBe(false);
    const rows = (await one.page.textContent('#rows')) ?? '';
    expect(rows).toContain('with any other values, in conditions too');
    expect(rows).toContain(
      'agent agents/support-agent in pod support-agent-6d9, on data/orders-db, by rule agents/support-agent fix',
    );
    expect(rows).toContain('update tickets set note = ?');
    await one.page.click('#approve');
    expect(
      await one.page.locator('#grant input').evaluateAll((all) => all.map((each) => (each as { value?: string }).value)),
    ).toEqual(['0', '600', '1800']);
    expect(await one.page.isChecked('#grant input[value="0"]')).toBe(true);
    expect(await one.page.textContent('#send')).toBe('Approve 9c1f-44ab');
    await one.page.check('#grant input[value="600"]');
    expect(await one.page.textContent('#send')).toBe('Approve 9c1f-44ab, and the same for 10 min');
    await one.page.click('#send');
    await saying(one, 'your answer is recorded');
    const [decision] = site.decisions();
    if (decision === undefined) throw new Error('there is none');
    expect(decision.spec).toMatchObject({ decision: 'Approve', grantFor: 600 });
    const check = async (grantFor: number | undefined): Promise<unknown> => {
      const { grantFor: _signed, ...spec } = decision.spec;
      const said = { ...decision, spec: { ...spec, ...(grantFor !== undefined && { grantFor }) } };
      return verifyDecision(said, termsOf(site.config), await keysOf(site));
    };
    expect(await check(600)).toMatchObject({ person: { user: 'jane@corp' } });
    for (const other of [601, undefined]) await expect(check(other)).rejects.toMatchObject({ code: 'SignatureRefused' });
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it('only this once says nothing of a time, and where the rule lets nobody grant there is no choice', async () => {
    const one = await begin({ spec: grantable() });
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect(site.decisions()[0]?.spec).not.toHaveProperty('grantFor');
    site.api.put(KINDS.accessRequests, anAccessRequest());
    await one.page.reload();
    await one.page.click('#approve');
    expect(await one.page.isVisible('#grant')).toBe(false);
  });

  it('what an approval granted is revoked with a signature, in two acts', async () => {
    const status = { state: 'Ran', votes: '1/1', grantedUntil: new Date(Date.now() + 600_000).toISOString() } as const;
    const one = await begin({ spec: grantable(), status });
    await saying(one, 'the request is over: Ran');
    expect(await one.page.textContent('#granted-left')).toMatch(
      /^the same runs again, with other values, for (10:00|9:\d\d) left$/,
    );
    expect(await one.page.isVisible('#approve')).toBe(false);
    await one.page.click('#revoke');
    expect([await one.page.textContent('#send'), await one.page.isVisible('#grant')]).toEqual(['Revoke 9c1f-44ab', false]);
    await one.page.click('#back');
    expect(site.decisions()).toEqual([]);
    await one.page.click('#revoke');
    await one.page.fill('#reason', 'ticket closed');
    await one.page.click('#send');
    await saying(one, 'your answer is recorded, and not counted yet');
    const request = site.api.get(KINDS.accessRequests, { namespace: 'agents', name: REQUEST });
    site.api.put(KINDS.accessRequests, { ...request, status: { ...status, revokedBy: 'jane@corp' } });
    await saying(one, 'your answer is recorded; nothing is granted any more');
    const [decision] = site.decisions();
    if (decision === undefined) throw new Error('there is none');
    expect(decision.spec).toMatchObject({ decision: 'Deny', reason: 'ticket closed', attestation: { assurance: 'signed' } });
    expect(await verifyDecision(decision, termsOf(site.config), await keysOf(site))).toMatchObject({
      person: { user: 'jane@corp' },
    });
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it.each<[string, Parameters<typeof anAccessRequest>[0]]>([
    ['grants nothing', { status: { state: 'Ran' } }],
    ['granted until a moment ago', { status: { state: 'Ran', grantedUntil: new Date(Date.now() - 1_000).toISOString() } }],
    ['was revoked', { status: { state: 'Ran', grantedUntil: new Date(Date.now() + 600_000).toISOString(), revokedBy: 'ann' } }],
  ])('a request that is over and %s has nothing to press', async (_, mods) => {
    const one = await begin({ ...mods, spec: grantable() });
    await saying(one, 'the request is over: Ran');
    for (const id of ['#granted', '#approve', '#deny']) expect(await one.page.isVisible(id)).toBe(false);
  });

  it('a client with a secret, which is a file, signs people in as well', async () => {
    await using directory = await temporaryDirectory('chaperone-decide-');
    const clientSecretFile = join(directory.path, 'secret');
    await writeFile(clientSecretFile, `${CLIENT_SECRET}\n`);
    await using other = await startSite({}, { clientId: 'chaperone', clientSecretFile });
    const one = await visit(browser, other);
    await signIn(one);
    await one.page.waitForSelector('#request:visible');
    expect(other.errors).toEqual([]);
    await leave(one.context);
  });

  it('hostile text is drawn as what it is, and does nothing', async () => {
    const text = 'a\u202eb <img src=x onerror=alert(1)> \u0430dmin ⟨U+0041⟩';
    const one = await begin({ spec: { text, sentence: '<script>alert(1)</script>' } });
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.textContent('#text')).toContain('a⟨U+202E RLO⟩b <img src=x onerror=alert(1)>');
    expect(await one.page.locator('#request img, #sentence script').count()).toBe(0);
    expect(await one.page.textContent('#text mark >> nth=0')).toBe('⟨U+202E RLO⟩');
    expect(one.faults).toEqual([]);
  });

  it('rows that it would meet are drawn as what they are, whoever chose them, and say what they are', async () => {
    const content = {
      columns: ['id', '<b>x</b>'],
      rows: [...HOSTILE_CELLS.map((cell) => ['1', cell]), ['NULL', null], ['', 'empty']],
    };
    const one = await begin({}, { content });
    await one.page.waitForSelector('#request:visible');
    expect(await one.page.textContent('#content-note')).toContain('as they are before it, masked; stored nowhere');
    expect(await one.page.locator('#met th').allTextContents()).toEqual(['id', '<b>x</b>']);
    const shown = await one.page.locator('#met td').allTextContents();
    expect(shown.slice(0, -4)).toEqual(HOSTILE_CELLS.flatMap((cell) => ['1', drawn(cell)]));
    expect(shown.slice(-4)).toEqual(['NULL', 'NULL', 'empty', 'empty']);
    expect(await one.page.locator('#met td.none').allTextContents()).toEqual(['NULL', 'empty']);
    expect(await one.page.locator('#met img, #met script, #met b').count()).toBe(0);
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
    expect([one.faults, site.errors]).toEqual([[], []]);
  });

  it('what it changes is drawn in lines, whoever chose them, and says that it was tried', async () => {
    const content = { change: ['  data:', '-   a: "1"', '+   a: <b>x</b>\u202e'] };
    const one = await begin({ spec: { protocol: 'kubernetes' }, status: { state: 'Pending', preview: {} } }, { content });
    await one.page.waitForSelector('#change:visible');
    expect(await one.page.textContent('#change')).toBe('  data:\n-   a: "1"\n+   a: <b>x</b>⟨U+202E RLO⟩');
    expect(await one.page.textContent('#content-note')).toContain('tried as a dry run');
    expect(await one.page.textContent('#rows')).toContain('tried as a dry run when it was asked for');
    expect(await one.page.locator('#change b').count()).toBe(0);
    await answer(one, 'approve');
    await saying(one, 'your answer is recorded');
  });

  it('all of a long text is shown, and one that keeps browsers busy as far as that is harmless', async () => {
    const text = 'x'.repeat(9000);
    // A page of its own: to let go of it keeps the browser busy, too.
    await using other = await startSite({ spec: { text: text.slice(0, 8192), textBytes: 9000 } });
    other.content = { text };
    const one = await visit(browser, other);
    await signIn(one);
    await one.page.waitForSelector('#whole:visible');
    expect(await one.page.textContent('#whole')).toBe(text);
    other.content = { text: '\u202ea'.repeat(50_000) };
    await one.page.reload();
    await one.page.waitForSelector('#whole:visible');
    expect(await one.page.locator('#whole mark').count()).toBe(10_001);
    expect(await one.page.textContent('#whole')).toMatch(/⟨the rest is left out⟩$/);
    await leave(one.context);
  });

  it.each<[string, string | object, string]>([
    ['are there no more', 'its rows gave way', 'its rows gave way (ContentGone)'],
    ['may be read by others only', {}, 'jane@corp may not get accessrequests/content in agents (DecisionNotPermitted)'],
  ])('that its rows %s is said, and keeps nobody from deciding', async (_, content, said) => {
    const one = await begin({}, typeof content === 'string' ? { content } : { reviews });
    await one.page.waitForSelector(`text=${said}`);
    await answer(one, 'deny');
    await saying(one, 'your answer is recorded');
  });

  it('Enter in the reason sends nothing, and one press decides nothing', async () => {
    const one = await begin();
    await one.page.click('#approve');
    await one.page.fill('#reason', 'because');
    await one.page.press('#reason', 'Enter');
    await one.page.click('#back');
    await one.page.waitForSelector('#approve:visible');
    expect(site.decisions()).toEqual([]);
  });

  it('no script of the page can read its key', async () => {
    const one = await begin();
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
    const { page, context } = await visit(browser, site);
    const refused: string[] = [];
    page.on('console', (message) => refused.push(message.text()));
    await page.goto(site.provider.issuer);
    await page.setContent(`<iframe src="${site.origin}/decide/agents/${REQUEST}"></iframe>`);
    await eventually(() => expect(refused.join()).toMatch(/frame-ancestors|X-Frame-Options/));
    await leave(context);
  });
});
