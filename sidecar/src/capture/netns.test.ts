import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GrantedResource } from '@chaperone/policy';
import { type Way as Attempt, readOutcomes, temporaryDirectory, WAYS_PROGRAM } from '@chaperone/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

const here = import.meta.dirname;
const POD = `chap-pod-${process.pid}`;
const WORLD = `chap-world-${process.pid}`;
const SIDECAR = 24601;
const AGENT = 1000;
const NONCE = 'ab'.repeat(16);
const OUTSIDE = '10.99.7.1';
const OUTSIDE6 = 'fd99:7::1';

const missing = reasonToSkip();
if (missing !== undefined) process.stderr.write(`netns.test.ts is skipped: ${missing}\n`);

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const tool = ['nft', 'ip', 'nsenter', 'setpriv'].find((name) => spawnSync('which', [name]).status !== 0);
  if (tool !== undefined) return `${tool} is not installed`;
  const trial = spawnSync('ip', ['netns', 'add', WORLD]);
  return trial.status === 0 ? undefined : `no network namespace can be made: ${trial.stderr.toString().trim()}`;
}

function sh(script: string): string {
  const { status, stderr, stdout } = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

/** A command inside a namespace as a user without capabilities, or as root with all of them. */
function inside(namespace: string, user: number | 'all-powerful', command: readonly string[]): [string, string[]] {
  const drop = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];
  return ['nsenter', [`--net=/run/netns/${namespace}`, ...(user === 'all-powerful' ? [] : drop), ...command]];
}

async function background(namespace: string, uid: number, script: string, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(...inside(namespace, uid, [process.execPath, join(here, 'testdata', script), ...args]), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
  if (!String(line).includes('ready')) throw new Error(`${script} did not start: ${String(line)}`);
  return child;
}

interface Way {
  readonly by: 'tcp' | 'udp' | 'dns';
  readonly host: string;
  readonly port: number;
  readonly name?: string;
  readonly from?: number;
}
async function probe(
  ways: readonly Way[],
  { namespace = POD, uid = AGENT }: { namespace?: string; uid?: number } = {},
): Promise<string[]> {
  const child = spawn(...inside(namespace, uid, [process.execPath, join(here, 'testdata', 'probe.ts'), JSON.stringify(ways)]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child, 'close');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as string);
}

function run(
  namespace: string,
  user: number | 'all-powerful',
  command: readonly string[],
): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(...inside(namespace, user, command), { encoding: 'utf8', timeout: 20_000 });
  return { status, output: stdout + stderr };
}

async function init(...args: string[]): Promise<{ status: number | null; output: string }> {
  return run(POD, 'all-powerful', [process.execPath, join(here, 'init.ts'), ...args]);
}

function aResource(name: string, port: number, ipv4: string, ipv6: string): GrantedResource {
  const access = { resource: { namespace: 'data', name, generation: 1, protocol: 'tcp' } };
  return {
    access,
    hosts: [`${name}.data.svc`],
    port,
    addresses: [{ host: `${name}.data.svc`, ipv4, ipv6 }],
  } as unknown as GrantedResource;
}
const RESOURCES = JSON.stringify([
  aResource('orders', 5432, '240.240.0.5', '2001:2::5'),
  aResource('billing', 5432, '240.240.0.6', '2001:2::6'),
  aResource('bastion', 22, '240.240.0.7', '2001:2::7'),
]);

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function verify(nonce: string): Promise<{ status: number | null; output: string }> {
  await using directory = await temporaryDirectory();
  await chmod(directory.path, 0o755);
  await writeFile(join(directory.path, 'nonce'), nonce);
  const args = ['--nonce-file', join(directory.path, 'nonce'), '--patience', '0'];
  return run(POD, AGENT, [process.execPath, join(here, 'verify.ts'), ...args]);
}

/** What one look of a sidecar at its own capture says. */
async function look(at: ChildProcess | undefined): Promise<string> {
  at?.stdin?.write('look\n');
  const [line] = (await once(at?.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return line.toString().trim();
}
const nft = (script: string): string => sh(`nsenter --net=/run/netns/${POD} nft ${script}`);

/** A Python that the agent's user may run too. */
const PYTHON = '/usr/bin/python3';
const FAR_PORT = 7001;
const ATTEMPTS: readonly (readonly [string, Partial<Attempt>])[] = [
  ['tcp', {}],
  ['tcp', { host: OUTSIDE6 }],
  ['tcp, IPv4 in IPv6', {}],
  ['tcp by a device', {}],
  ['tcp by a device', { host: OUTSIDE6 }],
  ['tcp with a mark', {}],
  ['tcp with fast open', {}],
  ['tcp with fast open', { host: OUTSIDE6 }],
  ['mptcp', {}],
  ['mptcp', { host: OUTSIDE6 }],
  ['io_uring', {}],
  ['io_uring', { host: OUTSIDE6 }],
  ['sctp', {}],
  ['udp', {}],
  ['udp', { host: OUTSIDE6 }],
  ['udp-lite', {}],
  ['echo', {}],
  ['echo by a raw socket', {}],
  ['raw ip', {}],
  ['frame', {}],
];
/** What a kernel says of a protocol that it does not have. */
const LACKING = ['EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EAFNOSUPPORT', 'ENOSYS', 'ENOPROTOOPT'];
/** Tries them all. @returns What each said, by its name, without those that this kernel does not have. */
function attempt(user: number | 'all-powerful', who: string): [string, string][] {
  const ways = ATTEMPTS.map(([kind, mods]): Attempt => ({ kind, host: OUTSIDE, port: FAR_PORT, who, ...mods }));
  const { output } = run(POD, user, [PYTHON, WAYS_PROGRAM, JSON.stringify(ways)]);
  return readOutcomes(output)
    .map((outcome, index): [string, string] => [`${ways[index]?.kind} to ${ways[index]?.host}`, outcome])
    .filter(([, outcome]) => !LACKING.includes(outcome));
}

describe.skipIf(missing !== undefined)('a pod whose traffic is captured', () => {
  let world: ChildProcess | undefined;
  let sidecar: ChildProcess | undefined;
  let far: ChildProcess | undefined;
  let free: readonly [string, string][] = [];
  let arrived = '';

  beforeAll(async () => {
    sh(`ip netns add ${POD}
      ip link add podside netns ${POD} type veth peer name worldside netns ${WORLD}
      ip -n ${POD} link set podside name eth0
      for ns in ${POD} ${WORLD}; do ip -n $ns link set lo up; done
      ip -n ${POD} link set eth0 up; ip -n ${WORLD} link set worldside up
      ip -n ${POD} addr add 10.99.7.2/24 dev eth0; ip -n ${POD} addr add fd99:7::2/64 dev eth0 nodad
      ip -n ${WORLD} addr add ${OUTSIDE}/24 dev worldside; ip -n ${WORLD} addr add ${OUTSIDE6}/64 dev worldside nodad
      ip -n ${POD} route add default via ${OUTSIDE}; ip -n ${POD} -6 route add default via ${OUTSIDE6}
      ip -n ${WORLD} route add 240.240.0.0/16 via 10.99.7.2; ip -n ${WORLD} -6 route add 2001:2::/48 via fd99:7::2
      for ns in ${POD} ${WORLD}; do nsenter --net=/run/netns/$ns sysctl -qw net.ipv4.ip_unprivileged_port_start=0; done`);
    world = await background(WORLD, 0, 'world.ts', `${OUTSIDE},${OUTSIDE6}`);
    const open = await probe([
      { by: 'tcp', host: OUTSIDE, port: 80 },
      { by: 'tcp', host: OUTSIDE6, port: 80 },
      { by: 'udp', host: OUTSIDE, port: 443 },
    ]);
    expect(open, 'the way out is open before capture').toEqual(['world', 'world', 'world']);
    far = spawn(...inside(WORLD, 'all-powerful', [PYTHON, WAYS_PROGRAM, 'serve', String(FAR_PORT)]));
    far.stdout?.on('data', (text: Buffer) => (arrived += text.toString()));
    await once(far.stdout ?? far, 'data');
    // Whoever runs the node may let groups open sockets for echo requests; what is refused then is refused by the rules.
    sh(`ip netns exec ${POD} sysctl -qw net.ipv4.ping_group_range="0 4294967294"`);
    free = attempt('all-powerful', 'nobody in particular');
    for (const time of ['first', 'second']) expect(await init('--inbound-ports', '8080'), time).toMatchObject({ status: 0 });
  });
  afterEach(() => stop(sidecar));
  afterAll(async () => {
    await stop(world);
    await stop(far);
    for (const namespace of [POD, WORLD]) spawnSync('ip', ['netns', 'del', namespace]);
  });
  async function startSidecar(): Promise<void> {
    sidecar = await background(POD, SIDECAR, 'sidecar.ts', RESOURCES, NONCE);
  }

  test('34 reaches nothing while the sidecar is down', async () => {
    const ways: Way[] = ['240.240.0.5', '2001:2::5', OUTSIDE, OUTSIDE6].map((host) => ({
      by: 'tcp',
      host,
      port: host.startsWith('2') ? 5432 : 80,
    }));
    expect(await probe([...ways, { by: 'dns', host: OUTSIDE, port: 53, name: 'orders.data.svc' }])).toEqual([
      ...ways.map(() => 'ECONNREFUSED'),
      'ECONNREFUSED',
    ]);
  });

  test('reaches each resource at its own virtual address and real port', async () => {
    await startSidecar();
    expect(
      await probe([
        { by: 'tcp', host: '240.240.0.5', port: 5432 },
        { by: 'tcp', host: '240.240.0.6', port: 5432 },
        { by: 'tcp', host: '240.240.0.7', port: 22 },
        { by: 'tcp', host: '2001:2::5', port: 5432 },
        { by: 'tcp', host: '2001:2::6', port: 5432 },
      ]),
    ).toEqual(['resource orders', 'resource billing', 'resource bastion', 'resource orders', 'resource billing']);
  });

  test.each<[string, Way, string]>([
    ['18 another port of a granted address', { by: 'tcp', host: '240.240.0.5', port: 22 }, 'ECONNREFUSED'],
    ['18 another address of the range', { by: 'tcp', host: '240.240.9.9', port: 5432 }, 'ECONNREFUSED'],
    ['18 another IPv6 address of the range', { by: 'tcp', host: '2001:2::9', port: 5432 }, 'ECONNRESET'],
    ['18 a granted port of loopback, IPv6', { by: 'tcp', host: '::1', port: 5432 }, 'ECONNRESET'],
    ['11 a literal IPv4 address', { by: 'tcp', host: OUTSIDE, port: 80 }, 'ECONNRESET'],
    ['12 a literal IPv6 address', { by: 'tcp', host: OUTSIDE6, port: 80 }, 'ECONNRESET'],
    ['32 the metadata address', { by: 'tcp', host: '169.254.169.254', port: 80 }, 'ECONNRESET'],
    ['13 UDP', { by: 'udp', host: OUTSIDE, port: 443 }, 'EPERM'],
    ['13 UDP by IPv6', { by: 'udp', host: OUTSIDE6, port: 443 }, 'EPERM'],
    ['13 UDP to a virtual address', { by: 'udp', host: '240.240.0.5', port: 443 }, 'EPERM'],
    ['18 the deny listener itself', { by: 'tcp', host: '127.0.0.1', port: 15001 }, 'ECONNRESET'],
    [
      '14 a DNS server of its own choice, granted name',
      { by: 'dns', host: OUTSIDE, port: 53, name: 'orders.data.svc' },
      '240.240.0.5',
    ],
    ['14 the same by IPv6', { by: 'dns', host: OUTSIDE6, port: 53, name: 'orders.data.svc' }, '240.240.0.5'],
    [
      'a search-expanded name',
      { by: 'dns', host: OUTSIDE, port: 53, name: 'orders.data.svc.agents.svc.cluster.local' },
      '240.240.0.5',
    ],
    ['14 a name that is not granted', { by: 'dns', host: OUTSIDE, port: 53, name: 'secret-payload.example.com' }, 'ENOTFOUND'],
  ])('%s', async (_what, way, seen) => {
    await startSidecar();
    expect(await probe([way])).toEqual([seen]);
  });

  test('3 no user but the sidecar gets out, not even root without capabilities', async () => {
    await startSidecar();
    const way: Way = { by: 'tcp', host: OUTSIDE, port: 80 };
    expect(await probe([way], { uid: 0 })).toEqual(['ECONNRESET']);
    expect(await probe([way], { uid: 65_534 })).toEqual(['ECONNRESET']);
    expect(await probe([way, { ...way, host: OUTSIDE6 }, { by: 'udp', host: OUTSIDE, port: 53 }], { uid: SIDECAR })).toEqual([
      'world',
      'world',
      'world',
    ]);
  });

  test("5 the sidecar's group is no way out", () => {
    const [program, args] = inside(POD, AGENT, ['true']);
    const command = args.map((arg) => (arg.startsWith('--regid') ? `--regid=${SIDECAR}` : arg)).slice(0, -1);
    const way = JSON.stringify([{ by: 'tcp', host: OUTSIDE, port: 443 }]);
    const { stdout } = spawnSync(program, [...command, process.execPath, join(here, 'testdata', 'probe.ts'), way], {
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toBe('ECONNREFUSED');
  });

  test('51 the port of a socket that the sidecar has just closed is no way out', async () => {
    for (const [port, host] of [
      [40_053, OUTSIDE],
      [40_054, OUTSIDE6],
    ] as const) {
      const way: Way = { by: 'udp', host, port: 53, from: port };
      expect(await probe([way, way], { uid: SIDECAR }), 'conntrack knows it').toEqual(['world', 'world']);
      expect(await probe([way])).toEqual(['EPERM']);
      const stream: Way = { by: 'tcp', host, port: 80, from: port };
      expect(await probe([stream], { uid: SIDECAR })).toEqual(['world']);
      expect(await probe([stream])).not.toEqual(['world']);
    }
  });

  test.skipIf(!existsSync(PYTHON))(
    '7, 11, 12, 13, 15, 16, 17, 45, 46, 48, 50 no protocol and no way of asking for it leads out, with rights or without',
    async () => {
      expect(free.filter(([, outcome]) => !['reached', 'sent'].includes(outcome))).toEqual([]);
      expect(free.length).toBeGreaterThan(15);
      await startSidecar();
      for (const user of [AGENT, 'all-powerful'] as const) {
        const seen = attempt(user, `user ${user}`);
        expect(seen.map(([name]) => name)).toEqual(free.map(([name]) => name));
        expect(seen.filter(([, outcome]) => outcome === 'reached')).toEqual([]);
      }
      for (const [name] of free)
        if (!name.startsWith('echo')) expect(arrived).toContain(`nobody in particular by ${name.split(' to ')[0]}`);
      expect(arrived).not.toContain('user ');
    },
  );

  test.skipIf(spawnSync('which', ['ping']).status !== 0)('13 no echo request leaves the pod', () => {
    expect(run(POD, AGENT, ['ping', '-c1', '-W1', OUTSIDE]).status).not.toBe(0);
    expect(run(POD, AGENT, ['ping', '-6', '-c1', '-W1', OUTSIDE6]).status).not.toBe(0);
  });

  test('19 others reach no listener of the sidecar and no virtual address', async () => {
    await startSidecar();
    const ways: Way[] = [
      { by: 'tcp', host: '10.99.7.2', port: 15001 },
      { by: 'tcp', host: '10.99.7.2', port: 15053 },
      { by: 'tcp', host: '10.99.7.2', port: 9999 },
      { by: 'tcp', host: 'fd99:7::2', port: 5432 },
      { by: 'tcp', host: '240.240.0.5', port: 5432 },
      { by: 'tcp', host: '2001:2::5', port: 5432 },
      { by: 'udp', host: '10.99.7.2', port: 15053 },
    ];
    const seen = await Promise.all(ways.map((way) => probe([way], { namespace: WORLD, uid: 0 })));
    expect(seen.flat()).toEqual(ways.map(() => 'silence'));
    expect(sh(`nsenter --net=/run/netns/${POD} nft list counter inet chaperone refused_input`)).toMatch(/packets [1-9]/);
  });

  test('40 others reach the port that policy named, and the answer gets back to them', async () => {
    const agent = spawn(
      ...inside(POD, AGENT, [
        process.execPath,
        '-e',
        'require("net").createServer((s)=>s.end("agent")).listen(8080,()=>console.log("ready"))',
      ]),
    );
    await once(agent.stdout, 'data');
    const answers = await probe(
      ['10.99.7.2', 'fd99:7::2'].map((host) => ({ by: 'tcp', host, port: 8080 })),
      { namespace: WORLD, uid: 0 },
    );
    await stop(agent);
    expect(answers).toEqual(['agent', 'agent']);
  });

  test('51 an agent that takes the port of the health endpoints while the sidecar is down answers nobody outside', async () => {
    const take = (port: number): ChildProcess =>
      spawn(
        ...inside(POD, AGENT, [
          process.execPath,
          '-e',
          `require("net").createServer((s)=>s.end("agent")).listen(${port},()=>console.log("ready"))`,
        ]),
      );
    const asked = (['10.99.7.2', 'fd99:7::2'] as const).map((host): Way => ({ by: 'tcp', host, port: 15_021 }));
    const agent = take(15_021);
    await once(agent.stdout ?? agent, 'data');
    expect(await probe(asked, { namespace: WORLD, uid: 0 })).toEqual(['silence', 'silence']);
    await stop(agent);
    sidecar = spawn(
      ...inside(POD, SIDECAR, [
        process.execPath,
        '-e',
        'require("net").createServer((s)=>s.end("sidecar")).listen(15021,()=>console.log("ready"))',
      ]),
    );
    await once(sidecar.stdout ?? sidecar, 'data');
    expect(await probe(asked, { namespace: WORLD, uid: 0 })).toEqual(['sidecar', 'sidecar']);
  });

  test.skipIf(spawnSync('which', ['python3']).status !== 0)(
    '8, 49 frames around the IP stack stay inside, where the kernel can say so',
    async () => {
      const send = `import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
for i in range(20):
  try: s.send(b"\\xff" * 6 + b"\\x02" * 6 + b"\\x08\\x00" + b"c" * 1400)
  except OSError: pass`;
      const received = (): number => {
        const [link] = JSON.parse(sh(`ip -n ${WORLD} -j -s link show worldside`)) as [{ stats64: { rx: { bytes: number } } }];
        return link.stats64.rx.bytes;
      };
      const sent = (): number => {
        const before = received();
        run(POD, 'all-powerful', ['python3', '-c', send]);
        return received() - before;
      };
      expect(sent()).toBeLessThan(20_000);
      sh(`nsenter --net=/run/netns/${POD} nft delete table netdev chaperone`);
      expect(sent(), 'they leave without that table').toBeGreaterThan(20_000);
      expect(await init('--inbound-ports', '8080')).toMatchObject({ status: 0 });
    },
  );

  test('35 chaperone-verify passes while the sidecar answers with its nonce', async () => {
    await startSidecar();
    expect(await verify(NONCE)).toEqual({ status: 0, output: '' });
  });

  test('35 chaperone-verify fails while the sidecar is down, and says what was not proven', async () => {
    const { status, output } = await verify(NONCE);
    expect(status).toBe(1);
    expect(output).toMatch(/the agent does not start ungoverned \(CaptureNotProven\)/);
  });

  test('35 chaperone-verify fails where somebody else listens', async () => {
    sidecar = await background(POD, SIDECAR, 'sidecar.ts', RESOURCES, 'cd'.repeat(16));
    expect(await verify(NONCE)).toMatchObject({ status: 1 });
  });

  test('35 rules that nft does not take leave those that are there, and init fails', async () => {
    expect(await init('--inbound-ports', '15001')).toMatchObject({ status: 1 });
    expect((await probe([{ by: 'udp', host: OUTSIDE, port: 443 }]))[0]).toBe('EPERM');
  });

  test('35 without rules chaperone-verify does not pass', async () => {
    await startSidecar();
    sh(`nsenter --net=/run/netns/${POD} nft flush ruleset`);
    expect(await verify(NONCE)).toMatchObject({ status: 1 });
    expect(await init('--inbound-ports', '8080')).toMatchObject({ status: 0 });
    expect(await verify(NONCE)).toMatchObject({ status: 0 });
  });

  describe('35, 39 the look of the sidecar at its own capture, while it runs and without a right', () => {
    test('35, 39 proves it as often as it looks, and nothing of it leaves the pod', async () => {
      await startSidecar();
      nft('add table netdev watch');
      nft(`'add chain netdev watch out { type filter hook egress device "eth0" priority 10; }'`);
      nft(`'add rule netdev watch out ip daddr 192.0.2.0/24 counter'`);
      nft(`'add rule netdev watch out ip6 daddr 2001:db8::/32 counter'`);
      for (let n = 0; n < 3; n++) expect(await look(sidecar)).toBe('proven');
      expect(nft('list table netdev watch').match(/packets (\d+)/g)).toEqual(['packets 0', 'packets 0']);
      nft('delete table netdev watch');
    });

    test.each([
      ['the table is gone', 'flush ruleset', /was not stopped by the sidecar|by UDP/],
      ['the chain that redirects is empty', 'flush chain inet chaperone out_nat', /was not stopped by the sidecar/],
      ['the chain that refuses is empty', 'flush chain inet chaperone out_filter', /was not stopped by the sidecar/],
      ['a rule of somebody else lets all out first', 'insert rule inet chaperone out_filter accept', /by UDP was not stopped/],
      [
        'a rule of somebody else lets TCP out first',
        'insert rule inet chaperone out_nat meta l4proto tcp accept',
        /was not stopped/,
      ],
    ])('35, 39 says what is not proven where %s', async (_what, script, said) => {
      await startSidecar();
      nft(script);
      expect(await look(sidecar)).toMatch(said);
      expect(await init('--inbound-ports', '8080')).toMatchObject({ status: 0 });
      expect(await look(sidecar)).toBe('proven');
    });

    test('35, 39 is no proof where an agent takes the port that it looks from, nor where it answers in its place', async () => {
      await startSidecar();
      const agent = spawn(
        ...inside(POD, AGENT, [
          process.execPath,
          '-e',
          'require("net").createServer((s)=>s.end("agent")).listen(15011,()=>console.log("ready"))',
        ]),
      );
      await once(agent.stdout, 'data');
      expect(await look(sidecar)).toMatch(/could not be tried \(EADDRINUSE\)/);
      await stop(agent);
      // What conntrack remembers of a redirected connection does not stand for rules that are gone.
      expect(await look(sidecar)).toBe('proven');
      nft('flush ruleset');
      expect(await look(sidecar)).not.toBe('proven');
      expect(await init('--inbound-ports', '8080')).toMatchObject({ status: 0 });
    });

    test('35, 39 gains the agent nothing: from that port it gets no further than from another', async () => {
      await startSidecar();
      const ways: Way[] = [OUTSIDE, OUTSIDE6].flatMap((host): Way[] => [
        { by: 'tcp', host, port: 80, from: 15_011 },
        { by: 'udp', host, port: 443, from: 15_011 },
      ]);
      expect(await probe(ways)).toEqual(['ECONNRESET', 'EPERM', 'ECONNRESET', 'EPERM']);
    });
  });
});
