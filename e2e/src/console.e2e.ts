import { eventually } from '@chaperone/testing';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Api } from './harness/api.ts';
import { atProvider, hasChromium, PersonsBrowser } from './harness/browser.ts';
import { HOST, Host } from './harness/host.ts';
import { Installation } from './harness/installation.ts';
import { LoginPod, SITES } from './harness/login.ts';
import {
  type AccessRequest,
  approve,
  decisionOn,
  heldPolicy,
  hold,
  holding,
  readRequest,
  untilItIs,
} from './harness/requests.ts';
import { sessionOf, sessionWithCommand } from './harness/sessions.ts';
import { AGENTS, OUTSIDE, Shop } from './harness/shop.ts';

/** People in front of browsers: they sign in at their provider, see in the console what waits, and decide on the page that signs. */
let shop: Shop;
let login: LoginPod;
let host: Host;
let api: Api;
let bot: Agent;
let browser: PersonsBrowser;

interface Decision {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly request: string; readonly by: string; readonly attestation?: object };
  readonly status?: { readonly counted?: boolean; readonly assurance?: string };
}
async function decisionsOn(request: string): Promise<Decision[]> {
  const { items } = JSON.parse(await shop.cluster.demand(['get', 'approvaldecisions', '-n', AGENTS, '-o', 'json'])) as {
    items: Decision[];
  };
  return items.filter(({ spec }) => spec.request === request);
}
async function denied(asked: AccessRequest): Promise<void> {
  const decision = decisionOn(asked, `${asked.metadata.name}-1`, { decision: 'Deny' });
  await shop.cluster.demand(['create', '-f', '-', '--as=jane@corp', '--as-group=dba'], decision);
}
const ticket = async (): Promise<string> => (await bot.psql('select status from tickets where id = 1')).stdout.trim();

/** Somebody in the console, signed in at the provider. */
async function inConsole(who: string): Promise<Page> {
  const page = await browser.person();
  await page.goto(`https://${SITES.console}/requests`);
  await page.getByRole('link', { name: /^Sign in with/ }).click();
  await atProvider(page, who);
  await page.waitForURL(`https://${SITES.console}/requests`);
  return page;
}

describe.skipIf(!hasChromium)('people with browsers', () => {
  beforeAll(async () => {
    shop = new Shop(await Installation.create());
    await shop.open();
    login = new LoginPod(shop.installation);
    await login.start({ jane: ['dba'], eve: ['support'] });
    [host, api] = await Promise.all([Host.start(shop), Api.open(shop)]);
    await shop.cluster.apply(heldPolicy());
    const bind = ['create', 'rolebinding', '-n', AGENTS];
    for (const role of ['approver', 'viewer'])
      await shop.cluster.demand([...bind, `dba-${role}`, `--clusterrole=chaperone-${role}`, '--group=dba']);
    await shop.cluster.demand([...bind, 'sre-approver', '--clusterrole=chaperone-approver', '--group=sre']);
    bot = await shop.startAgent('bot');
    await bot.serves();
    await shop.condition('accesspolicy/support-agent', AGENTS, 'Programmed', 60_000);
    browser = await PersonsBrowser.open(shop.cluster);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await login?.stop();
    await api?.close();
    await shop?.close();
  });

  test('see at once what waits for them, and nothing that they may not get', async () => {
    const [jane, eve] = [await inConsole('jane'), await inConsole('eve')];
    await jane.getByText('Nothing waits for you').waitFor();
    const { asked, result } = await hold(shop.cluster, bot, '?');
    const { name } = asked.metadata;
    await jane.locator(`a[href="/requests/${AGENTS}/${name}"]`).first().waitFor({ timeout: 3_000 });
    expect(await eve.locator(`a[href*="${name}"]`).count()).toBe(0);
    await eve.goto(`https://${SITES.console}/requests/${AGENTS}/${name}`);
    await eve.getByText(`Request ${name} is not here, or not for you`).waitFor();

    await jane.goto(`https://${SITES.console}/requests/${AGENTS}/${name}`);
    await jane.getByRole('link', { name: 'Decide on the signing page' }).waitFor();
    expect(await jane.getByRole('button', { name: /^(Approve|Deny)/ }).count()).toBe(0);
    await jane.goto(`https://${SITES.console}/policies/${AGENTS}/support-agent`);
    await jane.getByText('Programmed').first().waitFor();
    expect(await jane.getByText('public.tickets').count()).toBeGreaterThan(0);
    await eve.goto(`https://${SITES.console}/policies/${AGENTS}/support-agent`);
    await eve.getByText('is not here, or not for you').waitFor();
    await denied(asked);
    await result;
  });

  test('approve on the page that signs, and it runs once, with a decision that anybody can verify', async () => {
    const before = await ticket();
    const { asked, result } = await hold(shop.cluster, bot, '+');
    const { name } = asked.metadata;
    const jane = await inConsole('jane');
    await jane.goto(`https://${SITES.console}/requests/${AGENTS}/${name}`);
    await jane.getByRole('link', { name: 'Decide on the signing page' }).click();
    await jane.waitForURL(`https://${SITES.decide}/decide/${AGENTS}/${name}`);
    await jane.click('#sign-in');
    await atProvider(jane, 'jane');
    await jane.waitForURL(new RegExp(`/decide/${AGENTS}/${name}`));
    const { digest } = asked.spec;
    await jane
      .getByText(`${digest.slice(0, 4)}-${digest.slice(4, 8)}`)
      .first()
      .waitFor();
    // One of the rows that it meets, which the operator alone keeps.
    await jane.getByText('of the rows that it meets').waitFor();
    await jane.click('#approve');
    await jane.fill('#reason', 'ticket 4412');
    await jane.click('#send');
    expect(await result).toMatchObject({ status: 0, stdout: 'UPDATE 1\n' });
    expect(await ticket()).toBe(`${before}+`);
    await untilItIs(shop.cluster, name, 'Ran');
    const [decision, ...others] = await decisionsOn(name);
    expect(others).toEqual([]);
    expect(decision).toMatchObject({
      metadata: { annotations: { 'chaperone.dev/attested-by': 'page' } },
      spec: { by: 'jane@corp', decision: 'Approve', reason: 'ticket 4412', digest, attestation: expect.any(Object) },
      status: { counted: true },
    });
  });

  test('play what an agent saw on a host’s terminal, and nothing in it does anything there', async () => {
    const hostile = [
      'paid with 4111 1111 1111 1111',
      '\u001b]52;c;YWdlbnQ=\u0007\u001b]0;Approved\u0007<img src=x onerror="window.hacked=1">',
      '\u001b]8;;https://evil.test/\u0007press me\u001b]8;;\u0007 \u001b[31mred\u001b[0m \u001b[c',
    ];
    await host.write('/srv/app/hostile', `${hostile.join('\n')}\n`);
    const { name } = await sessionOf(shop.cluster, async () => {
      const type = 'cat /srv/app/hostile\nexit 7\n';
      const { asked, result } = await holding(shop.cluster, () => bot.feed(type, 'ssh', '-tt', HOST));
      expect(await approve(shop.cluster, asked, 'sre')).toMatchObject({ status: 0 });
      expect(await result).toMatchObject({ status: 7, stdout: expect.stringContaining('press me') });
    });
    const jane = await inConsole('jane');
    const faults: string[] = [];
    jane.on('pageerror', (error) => void faults.push(String(error)));
    jane.on('request', (request) => {
      if (new URL(request.url()).host !== SITES.console) faults.push(request.url());
    });
    await jane.goto(`https://${SITES.console}/sessions/${name}?at=1`);
    const rows = jane.locator('.player[data-busy="false"] .term-row');
    await rows.filter({ hasText: 'press me red' }).first().waitFor();
    await rows.filter({ hasText: 'paid with *****' }).first().waitFor();
    await rows.filter({ hasText: '<img src=x onerror=' }).first().waitFor();
    const left = await jane.locator('.player .hidden-note').first().innerText();
    for (const what of ['1 write to the clipboard', '1 window title', '2 links', '1 query']) expect(left).toContain(what);
    expect(await jane.locator('.player a, .player img').count()).toBe(0);
    expect([await jane.evaluate('window.hacked'), await jane.title()]).toEqual([
      undefined,
      expect.not.stringContaining('Approved'),
    ]);
    await jane.keyboard.press('0');
    await jane.getByRole('button', { name: 'Play' }).click();
    await rows.filter({ hasText: 'press me red' }).first().waitFor();
    expect(faults).toEqual([]);
  });

  test('play what a command in a pod printed', async () => {
    const began = Date.now();
    const command = ['kubectl', 'exec', 'web', '-n', OUTSIDE, '--', 'cat', '/tmp/receipt'];
    const ran = await eventually(
      'the API to be reached',
      async () => {
        const result = await bot.run(...command);
        return result.status === 0 ? result : undefined;
      },
      60_000,
    );
    expect(ran.stdout).toBe('paid with *****, thank you\n');
    const name = await sessionWithCommand(shop.cluster, began);
    const jane = await inConsole('jane');
    await jane.goto(`https://${SITES.console}/sessions/${name}?at=1`);
    await jane.getByText('kubectl exec -n outside web').first().waitFor();
    await jane.getByText('paid with *****, thank you').first().waitFor();
    await jane.keyboard.press('0');
    await jane.getByRole('button', { name: 'Play' }).click();
    await jane.getByText('paid with *****, thank you').first().waitFor();
  });

  test('are refused there where the rule does not ask them, and the agent goes on waiting', async () => {
    const { asked, result } = await hold(shop.cluster, bot, '-');
    const { name } = asked.metadata;
    const eve = await browser.person();
    await eve.goto(`https://${SITES.decide}/decide/${AGENTS}/${name}`);
    await eve.click('#sign-in');
    await atProvider(eve, 'eve');
    await eve.waitForURL(new RegExp(`/decide/${AGENTS}/${name}`));
    await eve
      .getByText(/no request|may not/)
      .first()
      .waitFor();
    expect(await eve.locator('#approve:visible').count()).toBe(0);
    expect(await decisionsOn(name)).toEqual([]);
    expect((await readRequest(shop.cluster, name)).status?.state).toBe('Pending');
    await denied(asked);
    await result;
  });
});
