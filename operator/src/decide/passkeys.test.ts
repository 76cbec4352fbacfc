import type { Attestation } from '@chaperone/api';
import { KINDS, type KubeObject } from '@chaperone/kube';
import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import type { Browser, CDPSession } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { AttestError, verifyDecision } from '@chaperone/policy/attest';
import { anAccessRequest } from '../notify/request.test-support.ts';
import { termsOf } from './config.ts';
import {
  answer,
  atIssuer,
  hasChromium,
  launch,
  leave,
  type Site,
  signIn,
  startSite,
  type Visit,
  visit,
} from './decide.test-support.ts';

const [RULE] = anAccessRequest().spec.rules;
type Decision = Parameters<typeof verifyDecision>[0];

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (!(error instanceof AttestError)) throw error;
    return error.code;
  }
}

describe.skipIf(!hasChromium)('a passkey, in a browser with an authenticator of its own', () => {
  let browser: Browser;
  let site: Site;
  let one: Visit;
  let cdp: CDPSession;
  let authenticatorId: string;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    if (RULE === undefined) throw new Error('a request has a rule');
    site = await startSite({ spec: { rules: [{ ...RULE, groups: ['support'], assurance: 'passkey' }] } });
    one = await visit(browser, site);
    cdp = await one.context.newCDPSession(one.page);
    await cdp.send('WebAuthn.enable');
    ({ authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    }));
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map(leave));
    await site[Symbol.asyncDispose]();
  });

  const saying = (text: string): Promise<void> =>
    eventually(async () => expect(await one.page.textContent('#note')).toContain(text));
  const secrets = (): KubeObject[] =>
    site.api.asked.flatMap(({ method, url, body }) =>
      method !== 'GET' && url.pathname.includes('/secrets') ? [body as unknown as KubeObject] : [],
    );

  /** Signs in, proves once more who it is, and adds a passkey. */
  async function register(): Promise<void> {
    await signIn(one);
    await saying('to approve this you need a passkey');
    await one.page.click('#passkey');
    await atIssuer(one.page, 'jane');
    await one.page.waitForSelector('#request:visible');
    await Promise.all([one.page.waitForEvent('load'), one.page.click('#passkey')]);
    expect(secrets()).toHaveLength(1);
    await one.page.waitForSelector('#request:visible');
    await eventually(async () => expect(await one.page.textContent('#note')).toBe(''));
  }

  it('is registered right after a sign-in, told to everybody, and signs what the page signed', async () => {
    await register();
    expect(site.events).toEqual(['jane@corp has registered a passkey for approvals']);
    await answer(one, 'approve', 'ticket 4412');
    await saying('your answer is recorded');
    const [decision] = site.decisions();
    if (decision === undefined) throw new Error('there is none');
    expect(decision.spec).toMatchObject({ by: 'jane@corp', attestation: { assurance: 'passkey' } });

    const keys = createLocalJWKSet((await (await fetch(`${site.provider.issuer}/jwks`)).json()) as JSONWebKeySet);
    const terms = termsOf(site.config);
    const audit = (object: Decision, mods = terms): Promise<string> => codeOf(verifyDecision(object, mods, keys));
    expect(await audit(decision)).toBe('ok');
    expect(await audit(decision, { ...terms, site: { ...terms.site, origin: 'https://evil.example' } })).toBe('PasskeyRefused');
    expect(await audit(decision, { ...terms, site: { ...terms.site, rpId: 'evil.example' } })).toBe('PasskeyRefused');

    // Every field of what it signed, changed at several places.
    const { attestation } = decision.spec;
    const assertion = attestation?.assertion;
    if (attestation === undefined || assertion === undefined) throw new Error('there is none');
    for (const [field, text] of Object.entries(assertion).filter(([name]) => name !== 'credential'))
      for (let at = 4; at < text.length - 4; at += Math.ceil(text.length / 40)) {
        const bytes = Buffer.from(text, 'base64url');
        const place = Math.floor((at / text.length) * bytes.length);
        bytes[place] = (bytes[place] ?? 0) ^ 1;
        const changed: Attestation = { ...attestation, assertion: { ...assertion, [field]: bytes.toString('base64url') } };
        const object = { ...decision, spec: { ...decision.spec, attestation: changed } };
        expect([field, place, await audit(object)]).toEqual([field, place, 'PasskeyRefused']);
      }
  });

  it('that its holder did not unlock signs nothing', async () => {
    await register();
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await answer(one, 'approve');
    await saying('nothing was decided');
    expect(site.decisions()).toEqual([]);
  });

  it('whose counter went back is not taken', async () => {
    await register();
    const { credentials } = await cdp.send('WebAuthn.getCredentials', { authenticatorId });
    const [credential] = credentials;
    if (credential === undefined) throw new Error('there is none');
    const name = secrets()[0]?.metadata.name ?? '';
    const kept = site.api.get(KINDS.secrets, { namespace: 'chaperone-system', name });
    const data = (kept?.data as Record<string, string> | undefined)?.['passkeys'] ?? '';
    const ahead = Buffer.from(data, 'base64')
      .toString()
      .replace(/"counter":\d+/, '"counter":900');
    site.api.put(KINDS.secrets, { ...kept, data: { passkeys: Buffer.from(ahead).toString('base64') } });
    await answer(one, 'approve');
    await saying('(PasskeyRefused)');
    expect(site.decisions()).toEqual([]);
  });

  it('is not known of a person who registered none', async () => {
    await register();
    const name = secrets()[0]?.metadata.name ?? '';
    site.api.remove(KINDS.secrets, { namespace: 'chaperone-system', name });
    await answer(one, 'approve');
    await saying('this passkey is not registered for you (PasskeyRefused)');
    expect(site.decisions()).toEqual([]);
  });

  it('is not needed to deny', async () => {
    await register();
    await cdp.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
    await answer(one, 'deny');
    await saying('your answer is recorded');
    expect(site.decisions().map(({ spec }) => [spec.decision, spec.attestation?.assurance])).toEqual([['Deny', 'signed']]);
  });

  const kept = (): unknown => {
    const name = secrets()[0]?.metadata.name ?? '';
    const secret = site.api.get(KINDS.secrets, { namespace: 'chaperone-system', name });
    const text = (secret?.data as Record<string, string> | undefined)?.['passkeys'] ?? '';
    return (JSON.parse(Buffer.from(text, 'base64').toString()) as { passkeys: unknown }).passkeys;
  };

  it('is shown to its person, who removes it by two presses; that is told, and it approves nothing from then on', async () => {
    await register();
    const item = one.page.locator('#known li');
    expect(await item.locator('span').textContent()).toMatch(/^Passkey ….{6}, added \d{4}-\d\d-\d\d \d\d:\d\d UTC$/);
    await item.locator('button').click();
    expect(await item.locator('button').textContent()).toMatch(/^Remove ….{6} for good$/);
    expect(kept()).toHaveLength(1);
    await Promise.all([one.page.waitForEvent('load'), item.locator('button').click()]);
    await saying('to approve this you need a passkey; add one below');
    expect([kept(), await one.page.locator('#own').isVisible()]).toEqual([[], false]);
    expect(site.events).toEqual([
      'jane@corp has registered a passkey for approvals',
      'jane@corp has removed a passkey for approvals',
    ]);
    expect(one.faults).toEqual([]);
  });

  it('is removed right after a sign-in alone', async () => {
    await register();
    site.skewMs = 6 * 60_000;
    const button = one.page.locator('#known li button');
    await button.click();
    await button.click();
    // Back to the issuer, to prove once more who it is.
    await atIssuer(one.page, 'jane');
    await one.page.waitForSelector('#request:visible');
    expect(kept()).toHaveLength(1);
  });

  it('is not removed where somebody between browser and operator names another one, or who has it is somebody else', async () => {
    await register();
    await one.page.route('**/decide/passkeys/remove', (route) => {
      const body = route.request().postDataJSON() as object;
      return route.continue({ postData: JSON.stringify({ ...body, credential: 'another' }) });
    });
    const button = one.page.locator('#known li button');
    await button.click();
    await button.click();
    await saying('(SignatureRefused)');
    const other = await visit(browser, site);
    await signIn(other, 'bob');
    await other.page.waitForSelector('#request:visible');
    expect(await other.page.locator('#known li').count()).toBe(0);
    expect(kept()).toHaveLength(1);
  });

  it('that somebody between browser and operator put in its place is not registered', async () => {
    await signIn(one);
    await one.page.click('#passkey');
    await atIssuer(one.page, 'jane');
    await one.page.waitForSelector('#request:visible');
    await one.page.route('**/decide/passkeys', (route) => {
      const body = route.request().postDataJSON() as { registration: string };
      return route.continue({
        postData: JSON.stringify({ ...body, registration: body.registration.replace('"id":"', '"id":"A') }),
      });
    });
    await one.page.click('#passkey');
    await saying('(SignatureRefused)');
    expect(secrets()).toEqual([]);
  });
});
