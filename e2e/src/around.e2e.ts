import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation } from './harness/installation.ts';
import { AGENTS, OUTSIDE, Shop } from './harness/shop.ts';

/** What an agent, and a caller from outside, find when they try to go around the proxy of a pod that runs. */
let shop: Shop;
let bot: Agent;
let outsider: Agent;

/** What the sidecar, or the system in its place, says to a connection that leads nowhere. */
const CLOSED = expect.stringMatching(/^(closed|ECONNRESET|ECONNREFUSED)$/) as unknown;
const ownAddress = (pod: string): Promise<string> =>
  shop.cluster.demand(['get', 'pod', pod, '-n', AGENTS, '-o', 'jsonpath={.status.podIP}']);
/** Another address of the same virtual range, which no resource has. */
const another = (address: string): string => address.replace(/[^.:]+$/, (last) => (last === '99' ? '98' : '99'));

const ports = [8080, 8081];
/** Serves on both from the agent's container. */
async function listen(agent: Agent): Promise<void> {
  for (const port of ports) await agent.run('sh', '-c', `setsid python3 -m http.server ${port} </dev/null >/dev/null 2>&1 &`);
  for (const port of ports) await expect.poll(() => agent.dial('127.0.0.1', port)).toContain('answer HTTP');
}
/** What somebody outside gets from these ports of a pod. */
async function fromOutside(pod: string, on: readonly number[]): Promise<string[]> {
  const address = await ownAddress(pod);
  return await Promise.all(on.map((port) => outsider.dial(address, port)));
}
/** The rights that a program in the container may ever get. */
const rights = async (agent: Agent): Promise<string> => (await agent.run('grep', 'CapBnd', '/proc/self/status')).stdout;

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  [bot, outsider] = await Promise.all([shop.startAgent('bot'), shop.startAgent('outsider', OUTSIDE)]);
  await bot.serves();
});
afterAll(() => shop.close());

describe('around the proxy', () => {
  test.each<'service' | 'pod'>(['service', 'pod'])('11 the address of the database’s %s is closed to the agent', async (kind) => {
    const { status, stdout } = await bot.psql(
      'select 1',
      `host=${await shop.address(kind)} dbname=orders user=bot connect_timeout=5`,
    );
    expect([status, stdout]).toEqual([2, '']);
  });

  test('30 what the agent was given opens nothing at the database itself', async () => {
    const { status, stderr } = await outsider.psql('select 1', 'host=orders.data.svc dbname=orders user=bot sslmode=require');
    expect(status).toBe(2);
    expect(stderr).toContain('password authentication failed');
  });

  test('14 a name that was not granted does not resolve', async () => {
    const { status, stderr } = await bot.psql('select 1', 'host=chaperone-operator.chaperone-system.svc dbname=orders user=bot');
    expect(status).toBe(2);
    expect(stderr).toContain('could not translate host name');
  });

  test('18 the sidecar’s own ports, and virtual addresses that are not granted, serve nothing', async () => {
    const own = await ownAddress('bot');
    const { ipv4 } = await shop.virtualAddress();
    const targets: [string, number][] = [
      ['127.0.0.1', 15_001],
      ['::1', 15_001],
      [own, 15_001],
      [own, 5432],
      [ipv4, 5433],
      [another(ipv4), 5432],
    ];
    for (const [host, port] of targets) expect([host, port, await bot.dial(host, port)]).toEqual([host, port, CLOSED]);
    expect(await bot.dial('127.0.0.1', 15_053)).not.toContain('answer');
  });

  test('12 IPv6 leads to the same sidecar: what is granted is served there, what is not is closed', async () => {
    const { ipv6 = '' } = await shop.virtualAddress();
    expect((await bot.psql('select 1', `host=${ipv6} dbname=orders user=bot`)).stdout).toBe('1\n');
    for (const [host, port] of [
      [ipv6, 5433],
      [another(ipv6), 5432],
    ] as const)
      expect([host, port, await bot.dial(host, port)]).toEqual([host, port, CLOSED]);
  });

  test('19, 40 a caller from outside reaches what listens in the agent’s pod only on a port that a policy named', async () => {
    await listen(bot);
    expect(await fromOutside('bot', [5432, 15_001, 15_053, ...ports])).toEqual(Array.from({ length: 5 }, () => 'timeout'));
    try {
      await shop.cluster.demand(['apply', '-f', '-'], `${shop.policy()}  inbound: {ports: [8080]}\n`);
      const asked = async (): Promise<string> => (await shop.cluster.dryRun(shop.agentPod('listener'))).stdout;
      await expect.poll(asked).toContain('"chaperone.dev/inbound-ports": "8080"');
      await listen(await shop.startAgent('listener'));
      expect(await fromOutside('listener', ports)).toEqual([expect.stringContaining('answer HTTP'), 'timeout']);
      // Rules are written once: the pod that was there before stays closed.
      expect(await fromOutside('bot', ports)).toEqual(['timeout', 'timeout']);
    } finally {
      await shop.cluster.demand(['delete', 'pod', 'listener', '-n', AGENTS, '--ignore-not-found', '--timeout=60s']);
      await shop.cluster.demand(['apply', '-f', '-'], shop.policy());
    }
  });
});

describe('with what a program can do in its own container', () => {
  test('3 becoming the sidecar’s user takes a right that the agent does not have', async () => {
    const become = 'import os\ntry: os.setuid(24601)\nexcept PermissionError: print("refused")\n';
    expect(await bot.python(become)).toEqual({ status: 0, stdout: 'refused\n', stderr: '' });
    expect(await rights(bot)).toMatch(/^CapBnd:\t0+\n$/);
    expect(await rights(outsider)).not.toMatch(/^CapBnd:\t0+\n$/);
  });

  test('4 a set-user-id program runs as whoever calls it', async () => {
    expect((await outsider.run('id-as-24601', '-u')).stdout).toBe('24601\n');
    expect((await bot.run('id-as-24601', '-u')).stdout).toBe('1000\n');
  });

  test('6 the rules cannot be flushed from inside, with or without a user namespace', async () => {
    for (const command of [
      ['nft', 'flush', 'ruleset'],
      ['unshare', '-Ur', 'nft', 'flush', 'ruleset'],
    ])
      expect([command, (await bot.run(...command)).status === 0]).toEqual([command, false]);
    expect(await bot.dial(await shop.address('pod'), 5432)).toEqual(CLOSED);
  });
});
