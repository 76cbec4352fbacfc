import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { NodeAgent } from './agent.ts';
import type { CapturedPod } from './pods.ts';
import { findSandboxes, withNetwork } from './processes.ts';

const INIT = join(import.meta.dirname, '../capture/init.ts');
/** The hierarchy that processes are put into; the first version has several. */
const CGROUPS = existsSync('/sys/fs/cgroup/cgroup.controllers') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
const NODE_ARGS = ['--node-addresses=10.0.0.4'];

const networks = ['init', 'pod', 'anew', 'other'].map((name) => `chap-node-${name}-${process.pid}`);
const [BY_INIT = '', POD = '', ANEW = '', OTHER = ''] = networks;
const missing = reasonToSkip();
if (missing !== undefined) process.stderr.write(`agent.test.ts is skipped: ${missing}\n`);

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const tool = ['nft', 'ip', 'nsenter'].find((name) => spawnSync('which', [name]).status !== 0);
  return tool === undefined ? undefined : `${tool} is not installed`;
}

function inside(network: string, ...command: string[]): { status: number | null; stdout: string } {
  return spawnSync('nsenter', [`--net=/run/netns/${network}`, ...command], { encoding: 'utf8', timeout: 20_000 });
}
/** Rules without what they counted: a new network says a word of its own now and then. */
const rulesIn = (network: string): string =>
  inside(network, 'nft', 'list', 'ruleset').stdout.replaceAll(/packets \d+ bytes \d+/g, 'COUNTED');
/** Rules, and routes that the kernel did not make, but for the mark, which is another one every time. */
function stateOf(network: string): string {
  const rules = rulesIn(network).replaceAll(/0x[0-9a-f]{8}/g, 'MARK');
  const routes = ['-4', '-6'].map((family) => inside(network, 'ip', family, 'route', 'show', 'table', 'all').stdout);
  return `${rules}${routes
    .join('')
    .split('\n')
    .filter((line) => !line.includes('proto kernel'))
    .join('\n')}`;
}

const processes: ChildProcess[] = [];
const cgroups: string[] = [];

/** Who a pod is, with a cgroup of its own as kubelets make them. */
function aPod(mods: Partial<CapturedPod> = {}): CapturedPod {
  const uid = randomUUID();
  const cgroup = join(CGROUPS, `pod${uid}`);
  mkdirSync(cgroup);
  cgroups.push(cgroup);
  return { uid, name: 'agents/bot', inboundPorts: '8080', probedPorts: '8081', ...mods };
}

/** A process of that pod in a network; undefined: the one that this test runs in, which is the node's. */
async function aProcess({ uid }: CapturedPod, network: string | undefined): Promise<ChildProcess> {
  const enter = network === undefined ? [] : [`--net=/run/netns/${network}`];
  const child = spawn('nsenter', [...enter, '--', 'sh', '-c', 'echo there; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(child);
  await once(child.stdout, 'data');
  writeFileSync(join(CGROUPS, `pod${uid}`, 'cgroup.procs'), String(child.pid));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** An agent that knows these pods; what it said is in `said`. */
function anAgent(pods: readonly CapturedPod[] | undefined): { agent: NodeAgent; said: string[]; pass: (ms: number) => void } {
  const said: string[] = [];
  let now = 0;
  const log = (event: string, fields: object = {}): number => said.push(`${event} ${JSON.stringify(fields)}`);
  const logger = { info: log, warn: log, error: log };
  const agent = new NodeAgent({ args: NODE_ARGS, pods: () => pods, logger, monotonic: () => now });
  return { agent, said, pass: (ms) => (now += ms) };
}

describe.skipIf(missing !== undefined)('the agent of a node', () => {
  beforeAll(() => {
    for (const network of networks) {
      const script = `ip netns add ${network} && ip -n ${network} link set lo up && ip -n ${network} link add eth0 type veth peer name far &&
        ip -n ${network} addr add 10.99.8.2/24 dev eth0 && ip -n ${network} link set eth0 up && ip -n ${network} link set far up && ip -n ${network} route add default via 10.99.8.1`;
      expect(spawnSync('sh', ['-c', script], { encoding: 'utf8' })).toMatchObject({ status: 0 });
    }
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map(end));
    for (const network of networks.slice(1)) {
      inside(network, 'nft', 'flush', 'ruleset');
      inside(network, 'ip', 'route', 'flush', 'table', 'local', 'match', '240.240.0.0/16');
    }
  });
  afterAll(() => {
    for (const cgroup of cgroups) rmdirSync(cgroup);
    for (const network of networks) spawnSync('ip', ['netns', 'del', network]);
  });

  test('writes what chaperone-init writes, byte for byte', async () => {
    const own = ['--inbound-ports=8080', '--probed-ports=8081'];
    expect(inside(BY_INIT, process.execPath, INIT, ...NODE_ARGS, ...own)).toMatchObject({ status: 0 });
    const pod = aPod();
    await aProcess(pod, POD);
    const { agent, said } = anAgent([pod]);
    agent.turn();
    expect(stateOf(POD)).toBe(stateOf(BY_INIT));
    expect(stateOf(POD)).toContain('tcp dport { 8080, 15021 } accept');
    expect(stateOf(POD)).toContain('ip saddr { 10.0.0.4, 10.99.8.1 } tcp dport 8081 accept');
    expect(stateOf(POD)).toMatch(/local 240\.240\.0\.0\/16 dev lo .*\n.*local 2001:2::\/48 dev lo /s);
    expect(said).toEqual([`the rules of a pod are written {"pod":"agents/bot","uid":"${pod.uid}"}`]);
    expect(agent.counts).toEqual({ captured: 1, waiting: 0, failures: 0 });
  });

  test('leaves rules that are there, also where another agent wrote them, and ends what that one began', async () => {
    const pod = aPod();
    await aProcess(pod, POD);
    const first = anAgent([pod]);
    first.agent.turn();
    const rules = rulesIn(POD);
    first.agent.turn();
    expect(first.said.length).toBe(1);
    inside(POD, 'ip', 'route', 'del', 'local', '240.240.0.0/16', 'dev', 'lo', 'table', 'local');
    const second = anAgent([{ ...pod, inboundPorts: '9999' }]);
    second.agent.turn();
    expect(second.said).toEqual([expect.stringContaining('the rules of a pod are there')]);
    expect(rulesIn(POD)).toBe(rules);
    expect(stateOf(POD)).toContain('local 240.240.0.0/16 dev lo');
  });

  test('writes them anew into a sandbox that was made anew', async () => {
    const pod = aPod();
    const before = await aProcess(pod, POD);
    const { agent } = anAgent([pod]);
    agent.turn();
    await end(before);
    agent.turn();
    expect(agent.counts).toMatchObject({ captured: 0, waiting: 1 });
    expect(rulesIn(ANEW)).toBe('');
    await aProcess(pod, ANEW);
    agent.turn();
    expect(rulesIn(ANEW)).toContain('table inet chaperone');
  });

  test('goes by the oldest process of the pod, wherever a younger one went', async () => {
    const pod = aPod();
    await aProcess(pod, POD);
    await new Promise((resolve) => setTimeout(resolve, 20)); // Two ticks of the kernel.
    await aProcess(pod, OTHER);
    anAgent([pod]).agent.turn();
    expect([rulesIn(POD) === '', rulesIn(OTHER)]).toEqual([false, '']);
  });

  test('believes no cgroup that a pod made below its own and named after another pod', async () => {
    const [liar, pod] = [aPod(), aPod()];
    const below = join(CGROUPS, `pod${liar.uid}`, `pod${pod.uid}`);
    mkdirSync(below);
    cgroups.unshift(below);
    const child = await aProcess(liar, OTHER);
    writeFileSync(join(below, 'cgroup.procs'), String(child.pid));
    await new Promise((resolve) => setTimeout(resolve, 20)); // Two ticks of the kernel.
    await aProcess(pod, POD);
    const { agent } = anAgent([pod]);
    agent.turn();
    expect([rulesIn(POD) === '', rulesIn(OTHER)]).toEqual([false, '']);
    expect(agent.counts).toEqual({ captured: 1, waiting: 0, failures: 0 });
  });

  test('never touches the network of the node, nor a pod that nobody told it of', async () => {
    const [host, foreign] = [aPod(), aPod()];
    await aProcess(host, undefined);
    await aProcess(foreign, OTHER);
    const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout;
    const { agent, said, pass } = anAgent([host]);
    for (let turn = 0; turn < 2; turn += 1) {
      agent.turn();
      pass(1_000);
    }
    expect(said).toEqual([expect.stringContaining('others than the pod are in its network')]);
    expect(spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout).toBe(tables);
    expect(rulesIn(OTHER)).toBe('');
  });

  test('waits while it has not heard the API server, and where a pod has no process', () => {
    const silent = anAgent(undefined);
    silent.agent.turn();
    expect([silent.said, silent.agent.counts]).toEqual([[], { captured: 0, waiting: 0, failures: 0 }]);
    const early = anAgent([aPod()]);
    early.agent.turn();
    expect([early.said, early.agent.counts.waiting]).toEqual([[], 1]);
  });

  test.each([
    ['another argument', '--uid=1000'],
    ['a rule', '8080 }; flush ruleset; #'],
    ['a line', '8080\r\nadd table inet x'],
    ['no number', 'http'],
    ['a number that is no port', '65536'],
    ['a port of the sidecar', '15001'],
  ])('writes nothing where the ports are %s, says so once, and goes on trying', async (_what, inboundPorts) => {
    const pod = aPod({ inboundPorts });
    await aProcess(pod, POD);
    const { agent, said, pass } = anAgent([pod]);
    for (let turn = 0; turn < 6; turn += 1) {
      agent.turn();
      pass(600);
    }
    expect(rulesIn(POD)).toBe('');
    expect(said).toEqual([
      expect.stringMatching(/^the rules of a pod are not written; its agent does not start .*CaptureInputInvalid/),
    ]);
    expect(said[0]).not.toMatch(/flush|add table|--uid|http/);
    expect(agent.counts).toEqual({ captured: 0, waiting: 1, failures: 3 });
  });

  test('enters no process that took the place of the one that was found', async () => {
    const pod = aPod();
    const child = await aProcess(pod, POD);
    const sandbox = findSandboxes(new Set([pod.uid]), '/proc').get(pod.uid);
    expect(sandbox).toMatchObject({ pid: child.pid, network: readlinkSync(`/proc/${child.pid}/ns/net`) });
    if (sandbox === undefined) return;
    const entered = (mods: Partial<typeof sandbox>, uid = pod.uid): unknown => {
      try {
        return withNetwork(uid, { ...sandbox, ...mods }, '/proc', () => 'entered');
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(entered({})).toBe('entered');
    expect(entered({ startedAt: sandbox.startedAt - 1 })).toBe('the first process of the pod has ended');
    expect(entered({}, randomUUID())).toBe('the first process of the pod has ended');
    expect(entered({ pid: process.pid })).toBe('the pod has another network by now');
    await end(child);
    expect(entered({})).toBe('the network of the pod cannot be opened');
  });
});
