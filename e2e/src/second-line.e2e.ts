import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Far } from './harness/far.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { AGENTS, Shop } from './harness/shop.ts';

/** What is left of the boundary when the rules of a running pod are gone, as a tool of its node may bring about. */
let shop: Shop;
let bot: Agent;
let far: Far;
const FAR = [{ kind: 'tcp', port: 7001 }];

const capture = (): Promise<string> => {
  const path = `jsonpath={.items[0].status.conditions[?(@.type=="CaptureProven")].reason}`;
  return shop.cluster.demand(['get', 'accesspolicies', '-n', AGENTS, '-o', path]);
};
const editor = (...args: readonly string[]): readonly string[] => [...args, '-n', AGENTS, '--as=jane', '--as-group=editors'];

const ofPart = (part: string): Promise<string> => {
  const path = ['-o', 'jsonpath={.items[0].status.podIP}'];
  return shop.cluster.demand(['get', 'pods', '-n', SYSTEM, '-l', `app.kubernetes.io/component=${part}`, ...path]);
};

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  [bot, far] = await Promise.all([shop.startAgent('bot'), Far.start(shop)]);
  await bot.serves();
});
afterAll(() => shop.close());

describe('a governed namespace', () => {
  test('39 has a NetworkPolicy that lets out to DNS, Chaperone and what its policies name', async () => {
    const spec = ['get', 'networkpolicy', 'chaperone-agents', '-n', AGENTS, '-o', 'jsonpath={.spec}'];
    await expect.poll(() => shop.cluster.demand(spec)).toContain('"kubernetes.io/metadata.name":"data"');
    const text = await shop.cluster.demand(spec);
    expect(text).toContain('"app.kubernetes.io/component":"operator"');
    expect(text).not.toContain('7001');
  });

  test('39 lets nobody who may edit it open another way', async () => {
    const open = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'open', namespace: AGENTS } };
    const spec = { podSelector: {}, policyTypes: ['Egress'], egress: [{}] };
    await shop.cluster.demand(['create', 'rolebinding', 'editors', '-n', AGENTS, '--clusterrole=edit', '--group=editors']);
    for (const [args, object] of [
      [['apply', '-f', '-'], { ...open, spec }],
      [['delete', 'networkpolicy', 'chaperone-agents'], undefined],
      [['delete', '--raw', `/apis/networking.k8s.io/v1/namespaces/${AGENTS}/networkpolicies`], undefined],
    ] as const) {
      const { status, stderr } = await shop.cluster.kubectl(editor(...args), object);
      expect([status, stderr]).toEqual([1, expect.stringContaining('[WaysOutReserved]')]);
    }
    const inbound = { ...open, spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [] } };
    expect(await shop.cluster.kubectl(editor('apply', '--dry-run=server', '-f', '-'), inbound)).toMatchObject({ status: 0 });
  });
});

describe('Chaperone’s own pods', () => {
  test.each<[string, string, number, boolean]>([
    ['the operator’s metrics', 'operator', 8080, true],
    ['the console', 'collector', 8443, true],
    ['where sidecars come to the operator', 'operator', 8443, false],
    ['the broker', 'nats', 4222, false],
    ['what the broker says of itself', 'nats', 8222, false],
  ])('are reached by a pod that is not governed as far as it needs: %s, %s:%i, %s', async (_what, part, port, reaches) => {
    expect(await far.control.dial(await ofPart(part), port)).toMatch(reaches ? /^(answer|closed|ECONNRESET)/ : /^timeout$/);
  });
});

describe('a pod whose rules are gone', () => {
  test('39 is found out, its sessions end and none opens, and its node lets it to nowhere but its upstreams', async ({
    skip,
  }) => {
    if (!shop.cluster.local) skip('the rules are flushed from the node');
    await expect.poll(capture).toBe('CaptureProven');
    const { ipv4 } = await shop.virtualAddress();
    const open = bot.startPsql();
    let said = '';
    for (const stream of [open.stdout, open.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
    open.stdin.write("select 'is open';\n");
    await expect.poll(() => said).toContain('is open');
    await shop.cluster.inNetworkOf('bot', AGENTS, 'nft', 'flush', 'ruleset');
    // Without the second line this is what the agent would reach: an ungoverned pod does.
    expect(await far.triedBy(far.control, FAR)).toEqual(['reached']);
    expect(await far.triedBy(bot, FAR)).not.toEqual(['reached']);
    await expect.poll(capture, { timeout: 60_000 }).toBe('CaptureNotProven');
    open.stdin.end('select 1;\n');
    await expect.poll(() => said).toContain('CaptureNotProven');
    // By its address: names are asked of whoever answers now.
    const { status, stderr } = await bot.psql('select 1', `host=${ipv4} dbname=orders user=bot`);
    expect([status, stderr]).toEqual([2, expect.stringContaining('CaptureNotProven')]);
    const events = await shop.cluster.demand(['get', 'events', '-n', AGENTS, '--field-selector', 'reason=CaptureNotProven']);
    expect(events).toContain('pod/bot');
    // Where it still gets to asks for a credential that it does not have.
    expect(
      (await bot.psql('select 1', `host=${await shop.address('pod')} dbname=orders user=bot connect_timeout=5`)).status,
    ).toBe(2);
  });
});
