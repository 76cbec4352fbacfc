import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Message } from '../../operator/src/notify/fake-slack.test-support.ts';
import type { Agent } from './harness/agent.ts';
import { Installation } from './harness/installation.ts';
import { decisionOn, heldPolicy, hold, readRequest, untilItIs } from './harness/requests.ts';
import { AGENTS, Shop } from './harness/shop.ts';
import { EVE, GUEST, JANE, SlackPod } from './harness/slack.ts';

/** What people are told in Slack of a held UPDATE, and what their presses do. Slack is a pod that speaks its documented wire. */
const DENY = 'chaperone_deny';
const REASON = 'wrong ticket, 4412 is meant';
/** Of the operator; each takes the same bytes once. */
const REPLICAS = 2;
/** Within this many seconds Slack's word is fresh. */
const WINDOW_S = 300;
let shop: Shop;
let slack: SlackPod;
let bot: Agent;

interface Decision {
  readonly metadata: { readonly annotations?: object; readonly managedFields?: readonly { readonly manager: string }[] };
  readonly spec: { readonly request: string };
  readonly status?: { readonly counted?: boolean };
}
async function decisionsOn(request: string): Promise<Decision[]> {
  const list = ['get', 'approvaldecisions', '-n', AGENTS, '-o', 'json', '--show-managed-fields'];
  const { items } = JSON.parse(await shop.cluster.demand(list)) as { items: Decision[] };
  return items.filter(({ spec }) => spec.request === request);
}
const ticket = async (): Promise<string> => (await bot.psql('select status from tickets where id = 1')).stdout.trim();
const buttons = ({ blocks }: Message): string[] => JSON.stringify(blocks).match(/chaperone_[a-z]+/g) ?? [];

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  slack = new SlackPod(shop.installation);
  await slack.start();
  await shop.cluster.apply(heldPolicy());
  const bind = ['create', 'rolebinding', '-n', AGENTS, '--clusterrole=chaperone-approver'];
  await shop.cluster.demand([...bind, 'dba', '--group=dba']);
  await shop.cluster.demand([...bind, 'eve', '--user=eve@corp']);
  bot = await shop.startAgent('bot');
  await bot.serves();
  await shop.condition('accesspolicy/support-agent', AGENTS, 'Programmed', 60_000);
});
afterAll(async () => {
  await slack.stop();
  await shop.close();
});

describe('an UPDATE that a rule wants approved', () => {
  test('is told in Slack by names, without its text, and denied there by a member whom the rule asks', async () => {
    const before = await ticket();
    const { asked, result } = await hold(shop.cluster, bot, 'zebra');
    const { name } = asked.metadata;
    const seen = performance.now();
    const message = await slack.message(name);
    expect(performance.now() - seen).toBeLessThan(5_000);
    expect(buttons(message)).toEqual(['chaperone_open', DENY]);
    const shown = JSON.stringify(message);
    const digest = `${asked.spec.digest.slice(0, 4)}-${asked.spec.digest.slice(4, 8)}`;
    for (const word of [
      `${AGENTS}/support-agent`,
      'data/orders-db',
      'UPDATE on public.tickets',
      digest,
      'answer support tickets',
    ])
      expect(shown).toContain(word);
    expect(JSON.stringify(await slack.told())).not.toMatch(/zebra|where id|set status/i);

    expect(await slack.press({ ts: message.ts, action: DENY, user: JANE })).toEqual([200]);
    const { id: view } = await slack.view(name, JANE);
    expect(await decisionsOn(name)).toEqual([]);
    const statuses = await slack.submit({ view, values: { chaperone_reason: REASON }, times: REPLICAS + 3 });
    expect(statuses[0]).toBe(200);
    expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(3);
    const { stdout, stderr } = await result;
    expect(stdout).toBe('');
    expect(stderr).toContain('(ApprovalDenied)');
    expect(stderr).toContain(REASON);
    expect(await ticket()).toBe(before);
    expect(JSON.stringify(await slack.view(name, JANE))).toContain(`Your Deny of ${name} is recorded, as jane@corp`);
    const after = await slack.message(name, (each) => buttons(each).length === 0);
    expect(JSON.stringify(after.blocks)).toContain('Denied by jane@corp at');

    // Two replicas that take the same bytes at once write one each, which say the same.
    const given = await decisionsOn(name);
    expect(given.length).toBeLessThanOrEqual(REPLICAS);
    expect(given.some(({ status }) => status?.counted === true)).toBe(true);
    for (const { metadata, spec } of given) {
      expect(metadata.annotations).toMatchObject({ 'chaperone.dev/attested-by': 'slack' });
      expect(spec).toMatchObject({
        decision: 'Deny',
        by: 'jane@corp',
        groups: ['dba'],
        reason: REASON,
        digest: asked.spec.digest,
      });
      expect(new Set(metadata.managedFields?.map(({ manager }) => manager))).toEqual(new Set(['chaperone-operator']));
    }
  });

  test('is decided by no press that is forged, old or of somebody whom nobody asks, and has no button once kubectl approved it', async () => {
    const before = await ticket();
    const { asked, result } = await hold(shop.cluster, bot, '!');
    const { name } = asked.metadata;
    const { ts } = await slack.message(name);
    const press = { ts, action: DENY };
    const old = Math.floor(Date.now() / 1000) - WINDOW_S - 1;
    expect(await slack.press({ ...press, user: JANE, mods: { secret: 'guessed' } })).toEqual([401]);
    expect(await slack.press({ ...press, user: JANE, mods: { timestamp: old } })).toEqual([401]);
    expect(await slack.press({ ...press, user: EVE })).toEqual([200]);
    await slack.whisper('Not denied: the rule does not ask this person. It asks group dba.');
    expect(await slack.press({ ...press, user: GUEST })).toEqual([200]);
    await slack.whisper('Not denied: guests of this workspace decide nothing here.');
    expect(await decisionsOn(name)).toEqual([]);
    expect((await readRequest(shop.cluster, name)).status).toMatchObject({ state: 'Pending', votes: '0/1' });

    const jane = ['--as=jane@corp', '--as-group=dba'];
    expect(await shop.cluster.kubectl(['create', '-f', '-', ...jane], decisionOn(asked, `${name}-1`))).toMatchObject({
      status: 0,
    });
    expect(await result).toMatchObject({ status: 0, stdout: 'UPDATE 1\n' });
    expect(await ticket()).toBe(`${before}!`);
    await untilItIs(shop.cluster, name, 'Ran');
    const after = await slack.message(
      name,
      (each) => buttons(each).length === 0 && JSON.stringify(each.blocks).includes('It ran.'),
    );
    expect(after.ts).toBe(ts);
    expect(JSON.stringify(after.blocks)).toContain('Approved by jane@corp at');
    const refused = (await slack.told()).calls.filter(({ status, error }) => status !== 200 || error !== undefined);
    expect(refused).toEqual([]);
  });
});
