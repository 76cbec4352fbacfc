import { createHash } from 'node:crypto';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { CARD, HOST, Host } from './harness/host.ts';
import { Installation } from './harness/installation.ts';
import { approve, holding } from './harness/requests.ts';
import type { Result } from './harness/run.ts';
import { arrivedSince, listSessions } from './harness/sessions.ts';
import { AGENTS, DATA, Shop } from './harness/shop.ts';

/** Stock ssh, scp, rsync and git in a pod that knows nothing of Chaperone, on a host whose owner and whose agents' team have a say. */
let shop: Shop;
let host: Host;
let bot: Agent;

/** Runs a client as the agent; kubectl's own line about how it ended is taken off. */
const client = async (...command: string[]): Promise<Result> => {
  const result = await bot.run(...command);
  return { ...result, stderr: result.stderr.replace(/command terminated with exit code \d+\n$/, '') };
};
const ssh = (...args: string[]): Promise<Result> => client('ssh', HOST, ...args);
const inPod = async (script: string): Promise<string> => {
  const { status, stdout, stderr } = await bot.feed(script, 'sh', '-se');
  if (status !== 0) throw new Error(stderr);
  return stdout;
};

interface Shown {
  readonly name: string;
  readonly commands: readonly { readonly text?: string; readonly files: readonly object[] }[];
}
async function show(name: string): Promise<Shown> {
  return JSON.parse((await shop.cluster.chaperone('sessions', 'show', name, '-n', AGENTS, '-o', 'json')).stdout) as Shown;
}

/** What the resource says of the host. */
const reachable = (): Promise<string> =>
  shop.cluster.demand([
    'get',
    'protectedresource',
    'web-1',
    '-n',
    DATA,
    '-o',
    'jsonpath={.status.conditions[?(@.type=="Reachable")].reason}: {.status.conditions[?(@.type=="Reachable")].message}',
  ]);

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.place();
  host = await Host.start(shop);
  await shop.cluster.demand(['create', 'rolebinding', 'sre', '-n', AGENTS, '--clusterrole=chaperone-approver', '--group=sre']);
  bot = await shop.startAgent('bot');
  await eventually('the host to be reached', async () => ((await ssh('report')).status === 3 ? true : undefined), 60_000);
});
afterAll(() => shop.close());

describe('an agent with stock ssh', () => {
  test('is asked no question by a host that it never met, on any port, and remembers nothing', async () => {
    expect(await ssh('report')).toEqual({ status: 3, stdout: 'two of three\n', stderr: 'one is late\n' });
    const strict = ['-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes'];
    expect(await client('ssh', ...strict, '-p', '2222', `anybody@${HOST}`, 'report')).toMatchObject({
      status: 3,
      stderr: 'one is late\n',
    });
    const file = '/etc/ssh/ssh_known_hosts2';
    expect(await inPod(`cat ${file}; ls ~/.ssh/known_hosts 2>/dev/null || true`)).toMatch(
      /^@cert-authority \* ssh-ed25519 \S+ chaperone\n$/,
    );
    expect((await bot.run('sh', '-c', `echo '* ssh-ed25519 AAAA' >${file}`)).stderr).toContain('Read-only file system');
  });

  test('is refused what a rule denies, and what none allows, with 126 and a sentence', async () => {
    const { status, stdout, stderr } = await ssh('rm -rf /srv/app');
    expect([status, stdout]).toEqual([126, '']);
    expect(stderr).toMatch(
      /^chaperone: rm -rf \/srv\/app is denied by rule "never" \(DeniedByRule\)\. Do not retry: Files are removed by the nightly job\. [^\n]*\n$/,
    );
    expect(await ssh('cat /srv/private/note.txt')).toMatchObject({
      status: 126,
      stderr: expect.stringContaining('(NoRuleAllows)'),
    });
    expect(await host.run('cat /srv/app/receipt.txt')).toContain(CARD);
  });

  test('reads what the host prints masked', async () => {
    expect(await ssh('cat /srv/app/receipt.txt')).toEqual({ status: 0, stdout: 'paid with *****, thank you\n', stderr: '' });
  });

  test('waits where people are asked, and what they approve runs once', async () => {
    const version = `1.4.${Date.now()}`;
    const { asked, result } = await holding(shop.cluster, () => ssh(`release ${version}`));
    expect(await host.run('cat /srv/app/released')).not.toContain(version);
    const table = await shop.cluster.demand(['get', 'accessrequests', '-n', AGENTS]);
    expect(table).toMatch(new RegExp(`${asked.metadata.name} +bot +web-1 +.*release ${version}.* +Pending +0/1`));
    const approved = await approve(shop.cluster, asked, 'sre');
    expect([approved.status, approved.stdout]).toEqual([0, expect.stringMatching(/approved \(1 of 1\) · ran at .*: exit 0/)]);
    const { status, stdout, stderr } = await result;
    expect([status, stdout, stderr]).toEqual([0, `released ${version}\n`, expect.stringContaining(asked.metadata.name)]);
    expect(await host.run(`grep -c ${version} /srv/app/released`)).toBe('1\n');
  });

  test('is told when somebody ends its session', async () => {
    const began = Date.now();
    const result = ssh('sleep 60');
    const { name } = await eventually('its session', async () =>
      (await listSessions(shop.cluster)).find(
        ({ startedAt, state, actions }) => startedAt >= began && state === 'open' && actions === 1,
      ),
    );
    const killed = await shop.cluster.chaperone('sessions', 'kill', name, '-n', AGENTS, '--reason', 'gone wrong');
    expect(killed.status).toBe(0);
    const { status, stderr } = await result;
    expect([status, stderr]).toEqual([255, expect.stringMatching(/this session was ended.*\(SessionEnded\)/)]);
    expect(Date.now() - began).toBeLessThan(50_000);
  });

  test.runIf(process.env['E2E_KUBECONFIG'] === undefined)('meets the same host after its sidecar was killed', async () => {
    const known = await inPod('cat /etc/ssh/ssh_known_hosts2');
    await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGKILL');
    await eventually('the host to be reached', async () => ((await ssh('report')).status === 3 ? true : undefined), 60_000);
    expect(await inPod('cat /etc/ssh/ssh_known_hosts2')).toBe(known);
  });
});

test('a container starts, whatever its image and its mounts, and has the file where it brings no /etc/ssh', async () => {
  const { installation, cluster } = shop;
  const securityContext = { runAsUser: 1000, readOnlyRootFilesystem: true };
  const forever = { command: ['sleep', 'infinity'], securityContext };
  const own = { name: 'own', mountPath: '/etc/ssh', readOnly: true };
  const containers = [
    { name: 'without-ssh', image: installation.image('database'), ...forever },
    { name: 'own-ssh', image: installation.image('agent'), ...forever, volumeMounts: [own] },
    // Nothing but one program is in it.
    { name: 'scratch', image: installation.image('nats'), args: ['--port', '4222'], securityContext },
  ];
  await cluster.demand(['delete', 'pod', 'shapes', '-n', AGENTS, '--ignore-not-found']);
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'shapes', namespace: AGENTS },
    spec: { containers, volumes: [{ name: 'own', configMap: { name: 'chaperone-ca' } }], terminationGracePeriodSeconds: 1 },
  });
  await cluster.demand(['wait', '--for=condition=Ready', 'pod/shapes', '-n', AGENTS, '--timeout=90s']);
  const list = async (container: string): Promise<string> =>
    (await cluster.kubectl(['exec', 'shapes', '-n', AGENTS, '-c', container, '--', 'ls', '/etc/ssh'])).stdout;
  expect([await list('without-ssh'), await list('own-ssh')]).toEqual(['ssh_known_hosts2\n', 'ca.crt\n']);
});

describe('its files', () => {
  test('go by scp both ways, as far as rules go', async () => {
    await inPod('echo from the agent >/tmp/note');
    expect(await client('scp', '-q', '/tmp/note', `${HOST}:/srv/app/note`)).toMatchObject({ status: 0, stderr: '' });
    expect(await host.run('cat /srv/app/note; echo from the host >>/srv/app/note')).toBe('from the agent\n');
    expect(await client('scp', '-q', `${HOST}:/srv/app/note`, '/tmp/note')).toMatchObject({ status: 0, stderr: '' });
    expect(await inPod('cat /tmp/note')).toBe('from the agent\nfrom the host\n');
    const { status, stderr } = await client('scp', '-q', `${HOST}:/srv/private/note.txt`, '/tmp/not');
    expect([status, stderr]).toEqual([1, expect.stringContaining('/srv/private/note.txt')]);
    expect(stderr).toContain('(NoRuleAllows)');
  });

  test('go by rsync both ways, and by git', async () => {
    await inPod(`rm -rf /tmp/tree* /tmp/app* && mkdir -p /tmp/tree/below && date +%s%N >/tmp/tree/below/leaf
      rsync -a /tmp/tree/ ${HOST}:/srv/app/tree/
      rsync -a ${HOST}:/srv/app/tree/ /tmp/tree-again/ && cmp /tmp/tree/below/leaf /tmp/tree-again/below/leaf`);
    expect((await client('rsync', '-a', '/tmp/tree/', `${HOST}:/srv/private/`)).stderr).toContain('(NoRuleAllows)');
    await inPod(`export GIT_AUTHOR_NAME=bot GIT_AUTHOR_EMAIL=bot@corp GIT_COMMITTER_NAME=bot GIT_COMMITTER_EMAIL=bot@corp
      git clone -q ${HOST}:/srv/git/app.git /tmp/app 2>/dev/null
      cd /tmp/app && git checkout -q -B main && cp /tmp/tree/below/leaf . && git add . && git commit -qm first && git push -q origin main
      git clone -q ssh://${HOST}/srv/git/app.git /tmp/app-again && cmp leaf /tmp/app-again/leaf`);
    const leaf = await inPod('cat /tmp/tree/below/leaf');
    const there = 'cat /srv/app/tree/below/leaf; git --git-dir=/srv/git/app.git -c safe.directory=* show main:leaf';
    expect(await host.run(there)).toBe(leaf + leaf);
  });
});

describe('what is left behind', () => {
  test('says what ran, how it ended, what it gave and which files it moved, and verifies', async () => {
    await inPod('echo from the agent >/tmp/kept');
    const began = Date.now();
    await Promise.all([ssh('report'), client('scp', '-q', '/tmp/kept', `${HOST}:/srv/app/kept`)]);
    const sessions = await arrivedSince(shop.cluster, began, 2);
    const shown = await Promise.all(sessions.map(({ name }) => show(name)));
    const [report, copy] = shown.toSorted(
      (a, b) => Number(b.commands[0]?.text === 'report') - Number(a.commands[0]?.text === 'report'),
    );
    const bytes = 'two of three\none is late\n'.length;
    expect(report).toMatchObject({
      agent: { pod: 'bot', serviceAccount: 'support-agent' },
      purpose: 'keep web-1 running',
      commands: [{ text: 'report', verdict: 'allow', rule: 'look', ended: 'exit 3', bytes, files: [] }],
    });
    const digest = createHash('sha256').update('from the agent\n').digest('hex');
    expect(copy?.commands.flatMap(({ files }) => files)).toContainEqual(
      expect.objectContaining({ operation: 'write', path: '/srv/app/kept', bytes: 15, digest: expect.stringContaining(digest) }),
    );
    const name = report?.name ?? '';
    expect((await shop.cluster.chaperone('sessions', 'show', name, '-n', AGENTS)).stdout).toMatch(
      new RegExp(`allow +exit 3 +${bytes} +- +report`),
    );
    expect((await shop.cluster.chaperone('sessions', 'replay', name, '-n', AGENTS)).stdout).toContain('one is late');
    for (const each of sessions)
      expect((await shop.cluster.chaperone('verify', each.name, '-n', AGENTS)).stdout).toContain('complete');
  });
});

describe('a host that shows another key than its owner named', () => {
  test('gets nothing, the agent is told to come back, and the owner why', async () => {
    await host.showKey('a new one');
    try {
      const before = (await host.log()).length;
      const { status, stdout, stderr } = await ssh('report');
      expect([status, stdout]).toEqual([75, '']);
      expect(stderr).toContain('the host is not the one that its owner named');
      await expect.poll(reachable).toMatch(/^HostKeyMismatch: web-1\.data\.svc:22 does not show a host key that spec\.ssh names/);
      const log = (await host.log()).slice(before);
      expect(log).toContain('Connection');
      expect(log).not.toMatch(/publickey|Accepted|deploy/);
    } finally {
      await host.showKey('its own');
    }
    expect(await ssh('report')).toMatchObject({ status: 3 });
    await expect.poll(reachable).not.toContain('HostKeyMismatch');
  });
});
