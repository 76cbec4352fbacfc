import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Far } from './harness/far.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { AGENTS, OUTSIDE, Shop } from './harness/shop.ts';
import { waysOut } from './harness/ways.ts';

/** Agents of a namespace that enforces Pod Security `restricted`: an agent of the node writes their rules. */
let shop: Shop;
let bot: Agent;
let far: Far;

const CLOSED = expect.stringMatching(/^(closed|ECONNRESET|ECONNREFUSED)$/) as unknown;
const NODE_AGENT = ['daemonset', 'chaperone-node', '-n', SYSTEM] as const;
/** Leads the node's agent to no node, or back to all. */
const place = (nodeSelector: object | null): Promise<string> =>
  shop.cluster.demand([
    'patch',
    ...NODE_AGENT,
    '--type=merge',
    '-p',
    JSON.stringify({ spec: { template: { spec: { nodeSelector } } } }),
  ]);
const capture = (): Promise<string> => {
  const path = `jsonpath={.items[0].status.conditions[?(@.type=="CaptureProven")].reason}`;
  return shop.cluster.demand(['get', 'accesspolicies', '-n', AGENTS, '-o', path]);
};
const rules = (pod: string, namespace: string): Promise<string> =>
  shop.cluster.inNetworkOf(pod, namespace, 'nft', 'list', 'ruleset');
/** The first line of the rules of `bot`, with the number that the kernel gave their table when it was written. */
const table = async (): Promise<string | undefined> =>
  (await shop.cluster.inNetworkOf('bot', AGENTS, 'nft', '-a', 'list', 'table', 'inet', 'chaperone')).split('\n')[0];
const podOf = async (name: string): Promise<string> =>
  await shop.cluster.demand(['get', 'pod', name, '-n', AGENTS, '-o', 'json']);

/** What the API server says to an agent's pod whose spec was changed. */
const refusal = async (mods: object): Promise<string> => {
  const pod = shop.agentPod('tried') as { spec: object };
  return (await shop.cluster.dryRun({ ...pod, spec: { ...pod.spec, ...mods } })).stderr;
};

beforeAll(async () => {
  shop = new Shop(await Installation.create(), 'node');
  await shop.open();
  [bot, far] = await Promise.all([shop.startAgent('bot'), Far.start(shop)]);
  await bot.serves();
});
afterAll(() => shop.close());

test('a pod of a restricted namespace has its sidecar, and no right more than that standard allows', async () => {
  const { spec } = JSON.parse(await podOf('bot')) as { spec: { initContainers: { name: string }[] } };
  expect(spec.initContainers.map(({ name }) => name)).toEqual(['chaperone-sidecar', 'chaperone-verify']);
  expect(JSON.stringify(spec)).not.toMatch(/"add":|NET_ADMIN|"privileged"/);
  await expect.poll(capture).toBe('CaptureProven');
});

test('3, 6 nothing in it can write or take away rules', async () => {
  expect((await bot.run('grep', 'CapBnd', '/proc/self/status')).stdout).toMatch(/^CapBnd:\t0+\n$/);
  for (const command of [
    ['nft', 'flush', 'ruleset'],
    ['unshare', '-Ur', 'nft', 'flush', 'ruleset'],
  ])
    expect([command, (await bot.run(...command)).status === 0]).toEqual([command, false]);
});

test('11, 12, 14, 18 addresses, names and ports that are not granted are closed to it', async () => {
  const { ipv4, ipv6 = '' } = await shop.virtualAddress();
  expect((await bot.psql('select 1', `host=${ipv6} dbname=orders user=bot`)).stdout).toBe('1\n');
  for (const [host, port] of [
    [await shop.address('pod'), 5432],
    [await shop.address('service'), 5432],
    ['127.0.0.1', 15_001],
    [ipv4, 5433],
    [ipv6, 5433],
  ] as const)
    expect([host, port, await bot.dial(host, port)]).toEqual([host, port, CLOSED]);
  const { stderr } = await bot.psql('select 1', 'host=chaperone-operator.chaperone-system.svc dbname=orders user=bot');
  expect(stderr).toContain('could not translate host name');
});

test('19 a caller from outside reaches none of its ports', async () => {
  const address = await shop.cluster.demand(['get', 'pod', 'bot', '-n', AGENTS, '-o', 'jsonpath={.status.podIP}']);
  const seen = await Promise.all([5432, 15_001, 15_053].map((port) => far.control.dial(address, port)));
  expect(seen).toEqual(['timeout', 'timeout', 'timeout']);
});

waysOut(() => ({ shop, bot, far }));

describe('admission', () => {
  test('22 takes chaperone-init for what it is there: a container of somebody else', async () => {
    const init = {
      name: 'chaperone-init',
      image: 'x',
      securityContext: { runAsUser: 1000, capabilities: { add: ['NET_ADMIN'] } },
    };
    expect(await refusal({ initContainers: [init] })).toContain('[ReservedName]');
  });

  test('10, 24 refuses the network of the node, and hears no annotation of the pod', async () => {
    expect(await refusal({ hostNetwork: true })).toContain('[HostNetwork]');
    const pod = shop.agentPod('tried') as { metadata: object };
    const annotated = {
      ...pod,
      metadata: { ...pod.metadata, annotations: { 'chaperone.dev/capture': 'pod', 'chaperone.dev/inbound-ports': '1' } },
    };
    const { stdout } = await shop.cluster.dryRun(annotated);
    expect(stdout).toContain('"chaperone.dev/inbound-ports": ""');
    expect(stdout).not.toContain('chaperone-init');
  });
});

describe('where the node has no agent', () => {
  let live: Promise<string> | undefined;
  const stopped = Promise.withResolvers<void>();
  beforeAll(async () => {
    live = bot.readingWhile('live', () => stopped.promise);
    await place({ 'chaperone.test/nowhere': 'true' });
    await shop.cluster.demand([
      'wait',
      '--for=delete',
      'pod',
      '-n',
      SYSTEM,
      '-l',
      'app.kubernetes.io/component=node',
      '--timeout=60s',
    ]);
  });

  test('35 an agent does not start', async () => {
    await shop.cluster.demand(['create', '-f', '-'], shop.agentPod('waiting'));
    const sidecar = async (): Promise<string> =>
      (await shop.cluster.kubectl(['logs', 'waiting', '-n', AGENTS, '-c', 'chaperone-sidecar'])).stdout;
    await expect.poll(sidecar, { timeout: 60_000 }).toContain('the rules of this pod are not there yet');
    const { status } = JSON.parse(await podOf('waiting')) as {
      status: { containerStatuses: { started?: boolean; state: object }[] };
    };
    expect(status.containerStatuses[0]?.started).toBe(false);
    expect(status.containerStatuses[0]?.state).toMatchObject({ waiting: {} });
  });

  test('39 one that runs keeps its rules and its proof', async ({ skip }) => {
    expect(await capture()).not.toBe('CaptureNotProven');
    expect((await bot.psql('select 1')).stdout).toBe('1\n');
    if (!shop.cluster.local) skip('rules are read from the node');
    expect(await rules('bot', AGENTS)).toContain('table inet chaperone');
    expect(await rules('far', OUTSIDE)).not.toContain('chaperone');
  });

  test('35 and starts when the agent is back, which leaves the rules of the other as they are', async ({ skip }) => {
    if (!shop.cluster.local) skip('rules are read from the node');
    const before = await table();
    await place({ 'chaperone.test/nowhere': null });
    await shop.cluster.demand(['wait', '--for=condition=Ready', 'pod/waiting', '-n', AGENTS, '--timeout=90s']);
    expect(await table()).toBe(before);
    stopped.resolve();
    expect(await live).toBe('lived True\n');
    await expect.poll(capture).toBe('CaptureProven');
  });
});
