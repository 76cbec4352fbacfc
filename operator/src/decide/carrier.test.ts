import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { decisionMessage } from '@chaperone/policy/attest';
import { aBrowser } from '@chaperone/policy/attest/test-support';
import { anAccessRequest, REQUEST, requestName } from '../notify/request.test-support.ts';
import {
  answer,
  grantable,
  hasChromium,
  launch,
  leave,
  PAGE,
  type Seat,
  type Site,
  takeSeat,
  type Visit,
  visit,
} from './decide.test-support.ts';

/** An object that goes over the wire, and may be another one when it arrives. */
type Wire = Record<string, unknown>;
const OTHER = requestName(1);

/** Something between browser and operator that carries what they say, and changes it. It reads and writes everything but the script. */
describe.skipIf(!hasChromium)('what carries a decision cannot make another one count', () => {
  let browser: Browser;
  let seat: Seat;
  let site: Site;
  let one: Visit;
  beforeAll(async () => {
    browser = await launch();
    seat = await takeSeat(browser);
    ({ site, one } = seat);
  });
  afterAll(async () => {
    await seat?.[Symbol.asyncDispose]();
    await browser?.close();
  });

  /** As somebody who has signed in. */
  async function begin(spec: NonNullable<Parameters<typeof anAccessRequest>[0]>['spec'] = {}): Promise<void> {
    const { spec: other } = anAccessRequest({ name: OTHER, spec: { digest: 'd'.repeat(64), text: 'drop table tickets' } });
    site.api.put(KINDS.accessRequests, { ...anAccessRequest({ name: OTHER }), spec: other });
    await seat.begin({ spec });
  }
  const ends = (text: string): Promise<void> =>
    eventually(async () => expect(await one.page.textContent('#note')).toContain(text));
  const onAnswer = (change: (body: Wire) => Wire | Promise<Wire>): Promise<unknown> =>
    one.page.route('**/decide/api/*/*', async (route) => {
      if (route.request().method() !== 'POST') return route.continue();
      const changed = await change(route.request().postDataJSON() as Wire);
      return route.continue({ postData: JSON.stringify(changed) });
    });
  const onSheet = (change: (view: Wire, sheet: Wire) => void): Promise<unknown> =>
    one.page.route('**/decide/api/*/*', async (route) => {
      if (route.request().method() !== 'GET') return route.continue();
      const response = await route.fetch();
      const sheet = (await response.json()) as Wire;
      const view = JSON.parse(String(sheet['view'])) as Wire;
      change(view, sheet);
      return route.fulfill({ response, body: JSON.stringify({ ...sheet, view: JSON.stringify(view) }) });
    });

  it.each<[string, (body: Wire) => Wire, string]>([
    ['an Approve in place of a Deny', (body) => ({ ...body, decision: 'Approve' }), 'SignatureRefused'],
    ['another digest', (body) => ({ ...body, digest: 'd'.repeat(64) }), 'RequestChanged'],
    ['another UID', (body) => ({ ...body, uid: `uid-${OTHER}` }), 'RequestChanged'],
    ['another reason', (body) => ({ ...body, reason: 'all is well' }), 'SignatureRefused'],
    ['a time for which the same may run again', (body) => ({ ...body, grantFor: 1_800 }), 'SignatureRefused'],
    ['something else that was shown', (body) => ({ ...body, shown: 'a'.repeat(64) }), 'RequestChanged'],
    ['a challenge of its own', (body) => ({ ...body, challenge: Buffer.alloc(32).toString('base64url') }), 'ChallengeUsed'],
    ['another opening', (body) => ({ ...body, opening: Buffer.alloc(32).toString('base64url') }), 'SignatureRefused'],
    ['a field that nobody asked for', (body) => ({ ...body, by: 'mallory@corp' }), 'SignatureRefused'],
  ])('%s', async (_, change, code) => {
    await begin();
    await onAnswer(change);
    await answer(one, 'deny', 'wrong ticket');
    await ends(`(${code})`);
    expect(site.decisions()).toEqual([]);
  });

  it.each<[string, (body: Wire) => Wire]>([
    ['for longer', (body) => ({ ...body, grantFor: 1_800 })],
    ['for some time in place of once', ({ grantFor: _once, ...body }) => body],
  ])('an approval %s', async (_, change) => {
    await begin(grantable());
    await onAnswer(change);
    await one.page.click('#approve');
    await one.page.check('#grant input[value="600"]');
    await one.page.click('#send');
    await ends('(SignatureRefused)');
    expect(site.decisions()).toEqual([]);
  });

  it('a time that no rule lets anybody grant, not even with a script of its own', async () => {
    await begin(grantable());
    await one.page.route('**/decide/page.js', async (route) => {
      const response = await route.fetch();
      const script = (await response.text()).replace('onChoose(seconds)', 'onChoose(43200)');
      return route.fulfill({ response, body: script });
    });
    await one.page.reload();
    await one.page.click('#approve');
    await one.page.check('#grant input[value="600"]');
    expect(await one.page.textContent('#send')).toContain('for 12 h');
    await one.page.click('#send');
    await ends('the rules do not let the same run again for so long; nothing was decided (SignatureRefused)');
    expect(site.decisions()).toEqual([]);
  });

  it('a key and a signature of its own', async () => {
    await begin();
    const mallory = await aBrowser();
    await onAnswer(async (body) => {
      const { uid, digest, challenge, shown } = body as Record<string, string>;
      const forged = {
        namespace: 'agents',
        name: REQUEST,
        uid,
        digest,
        decision: 'Approve' as const,
        reason: '',
        challenge,
        shown,
      };
      const signature = await mallory.sign(forged as Parameters<typeof decisionMessage>[0]);
      return { ...body, decision: 'Approve', reason: '', key: mallory.key, opening: mallory.opening, signature };
    });
    await answer(one, 'deny');
    await ends('(SignatureRefused)');
    expect(site.decisions()).toEqual([]);
  });

  it('a commitment to a key of its own, at the sign-in', async () => {
    await begin();
    const mallory = await aBrowser();
    const { page, context } = await visit(browser, site);
    await page.route('**/decide/sign-in', (route) =>
      route.continue({ postData: JSON.stringify({ ...(route.request().postDataJSON() as Wire), nonce: mallory.nonce }) }),
    );
    await page.click('#sign-in');
    await eventually(async () =>
      expect(await page.textContent('#note')).toContain('the sign-in was changed on its way (SignInFailed)'),
    );
    expect(page.url()).toBe(`${site.origin}${PAGE}`);
    await leave(context);
  });

  it('the answer, carried to another request', async () => {
    await begin();
    await one.page.route('**/decide/api/*/*', (route) =>
      route.request().method() === 'POST'
        ? route.continue({ url: route.request().url().replace(REQUEST, OTHER) })
        : route.continue(),
    );
    await answer(one, 'approve');
    await ends('(RequestChanged)');
    expect(site.decisions()).toEqual([]);
  });

  it('the same answer once more, now or on another page', async () => {
    await begin();
    let sent: Wire = {};
    await onAnswer((body) => (sent = body));
    await answer(one, 'approve');
    await ends('your answer is recorded');
    const cookie = (await one.context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    const headers = { origin: site.origin, 'content-type': 'application/json', cookie };
    const again = async (body: Wire): Promise<string> => {
      const options = { method: 'POST', headers, body: JSON.stringify(body) };
      return ((await (await fetch(`${site.origin}/decide/api/agents/${REQUEST}`, options)).json()) as { code: string }).code;
    };
    expect(await again(sent)).toBe('ChallengeUsed');
    const fresh = (await (await fetch(`${site.origin}/decide/api/agents/${REQUEST}`, { headers })).json()) as Wire;
    expect(await again({ ...sent, challenge: fresh['challenge'] })).toBe('SignatureRefused');
    expect(site.decisions()).toHaveLength(1);
  });

  it.each<[string, (view: Wire, sheet: Wire) => void]>([
    ['the statement', (view) => (view['text'] = [['text', 'select 1']])],
    ['the sentence', (view) => (view['sentence'] = [['text', 'SELECT on public.tickets']])],
    ['who asks', (view) => (view['rows'] = [])],
    ['the digest', (view) => (view['digest'] = 'd'.repeat(64))],
    ['the digest as people compare it', (view) => (view['short'] = 'dddd-dddd')],
    ['the UID', (view) => (view['uid'] = `uid-${OTHER}`)],
    ['the times that are offered', (view) => (view['grants'] = [600])],
  ])('a page on which it changed %s', async (_, change) => {
    await begin();
    await onSheet(change);
    await one.page.reload();
    await answer(one, 'approve');
    await ends('what you were shown is not what the request is; nothing was decided (RequestChanged)');
    expect(site.decisions()).toEqual([]);
  });

  it('a page that shows another request, with all that belongs to it', async () => {
    await begin();
    await one.page.route('**/decide/api/*/*', (route) => route.continue({ url: route.request().url().replace(REQUEST, OTHER) }));
    await one.page.reload();
    await ends('this is another request (RequestChanged)');
    expect(await one.page.isVisible('#approve')).toBe(false);
  });

  it('a page that says that a signature is enough, where a passkey is wanted', async () => {
    const [rule] = anAccessRequest().spec.rules;
    if (rule === undefined) throw new Error('a request has a rule');
    await begin({ rules: [{ ...rule, groups: ['support'], assurance: 'passkey' }] });
    await onSheet((_view, sheet) => (sheet['assurance'] = 'signed'));
    await one.page.reload();
    await answer(one, 'approve');
    await ends('your answer is recorded');
    // It is written as what it is, which the rule does not count.
    expect(site.decisions().map(({ spec }) => spec.attestation?.assurance)).toEqual(['signed']);
  });
});
