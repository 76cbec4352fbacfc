import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { AGENTS, Shop } from './harness/shop.ts';

/** What pods, agents and people notice of replicas of the operator that come and go. */
const LEASE = 'chaperone-operator';
const FAILOVER_MS = 20_000;
let shop: Shop;
let bot: Agent;

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  bot = await shop.startAgent('bot');
  await bot.serves();
});
afterAll(() => shop.close());

interface Lease {
  readonly holderIdentity: string;
  readonly acquireTime: string;
  readonly renewTime: string;
}

async function lease(): Promise<Lease> {
  const json = await shop.cluster.demand(['get', 'lease', LEASE, '-n', SYSTEM, '-o', 'json']);
  return (JSON.parse(json) as { spec: Lease }).spec;
}
const podOf = ({ holderIdentity }: Lease): string => holderIdentity.split('_')[0] ?? '';

/** Asks for pods, without having them made, until `over`. @returns What was said of those that were refused, and how many were asked for. */
async function asksForPods(over: Promise<unknown>): Promise<{ asked: number; refused: string[] }> {
  const ended = new AbortController();
  void over.catch(() => undefined).finally(() => ended.abort());
  const refused: string[] = [];
  let asked = 0;
  for (; !ended.signal.aborted; asked++) {
    // Not asked again where the webhook could not be reached: that is what counts.
    const { status, stderr } = await shop.cluster.kubectl(
      ['create', '--dry-run=server', '-f', '-'],
      shop.agentPod(`asked-${asked}`),
    );
    if (status !== 0) refused.push(stderr);
  }
  return { asked, refused };
}

describe('a leader that hangs', () => {
  test('is replaced within 20 s; open sessions go on, pods are admitted, and what people change meanwhile takes effect', async ({
    skip,
  }) => {
    if (!shop.cluster.local) skip('containers are stopped from the node');
    const leader = podOf(await lease());
    let last = await lease();
    let next = last;
    const seen = await bot.readingWhile('leader', async () => {
      await shop.cluster.signal(leader, SYSTEM, 'operator', 'SIGSTOP');
      last = await lease();
      await shop.cluster.demand(
        ['apply', '-f', '-'],
        shop.policy().replace('public.customers, public.tickets,', 'public.customers,'),
      );
      expect(podOf(await lease()), 'nobody else leads yet').toBe(leader);
      expect((await shop.cluster.dryRun(shop.agentPod('young'))).status).toBe(0);
      const who = async (): Promise<string> => podOf((next = await lease()));
      await expect.poll(who, { timeout: 60_000, interval: 500 }).not.toBe(leader);
      // It believes that it leads, until it asks.
      await shop.cluster.signal(leader, SYSTEM, 'operator', 'SIGCONT');
    });
    expect(seen).toBe('lived True\n');
    expect(Date.parse(next.acquireTime) - Date.parse(last.renewTime)).toBeLessThan(FAILOVER_MS);
    const told = async (): Promise<string> => (await bot.psql('select count(*) from tickets')).stderr;
    await expect.poll(told, { timeout: 90_000, interval: 1_000 }).toContain('NoRuleAllows');
    expect((await lease()).holderIdentity).toBe(next.holderIdentity);
    await shop.cluster.demand(['apply', '-f', '-'], shop.policy());
    await shop.cluster.demand(['rollout', 'status', 'deployment/chaperone-operator', '-n', SYSTEM, '--timeout=90s']);
  }, 240_000);
});

describe('a rolling restart of the operator', () => {
  test('refuses no pod, ends no session, and restarts no agent', async () => {
    const restarts = [
      'get',
      'pod',
      'bot',
      '-n',
      AGENTS,
      '-o',
      'jsonpath={.status.initContainerStatuses[*].restartCount}{.status.containerStatuses[*].restartCount}',
    ];
    const before = await shop.cluster.demand(restarts);
    let found = { asked: 0, refused: [] as string[] };
    const seen = await bot.readingWhile('rollout', async () => {
      await shop.cluster.demand(['rollout', 'restart', 'deployment/chaperone-operator', '-n', SYSTEM]);
      const rolled = shop.cluster.demand(['rollout', 'status', 'deployment/chaperone-operator', '-n', SYSTEM, '--timeout=120s']);
      found = await asksForPods(rolled);
      await rolled;
    });
    expect(seen).toBe('lived True\n');
    expect(found.refused).toEqual([]);
    expect(found.asked).toBeGreaterThan(5);
    expect(await shop.cluster.demand(restarts)).toBe(before);
    await bot.serves();
  }, 240_000);
});
