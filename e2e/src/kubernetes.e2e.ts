import { join } from 'node:path';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { ACCOUNT, Api, HIDDEN } from './harness/api.ts';
import { ROOT } from './harness/cluster.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { approve, holding } from './harness/requests.ts';
import type { Result } from './harness/run.ts';
import { arrivedSince, sessionWithCommand } from './harness/sessions.ts';
import { AGENTS, OUTSIDE, Shop } from './harness/shop.ts';

/** Stock kubectl in a pod that knows nothing of Chaperone, with in-cluster configuration and nothing else. */
/** Built by scripts/kubernetes-peers; the image has another minor. */
const OLD_KUBECTL = join(ROOT, '.cache/kubernetes-peers/kubectl-1.29');
let shop: Shop;
let api: Api;
let bot: Agent;

const kubectl = async (...args: string[]): Promise<Result> => {
  const result = await bot.run('kubectl', ...args);
  return { ...result, stderr: result.stderr.replace(/command terminated with exit code \d+\n$/, '') };
};
const feed = (object: object, ...args: string[]): Promise<Result> =>
  bot.feed(JSON.stringify(object), 'kubectl', ...args, '-f', '-');
const configMap = (name: string, data: object, namespace = OUTSIDE): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data,
});
const task = (namespace: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'task', namespace },
  spec: {
    containers: [
      {
        name: 'task',
        image: shop.installation.image('agent'),
        command: ['echo', 'done'],
        securityContext: { runAsUser: 1000 },
      },
    ],
    restartPolicy: 'Never',
  },
});
const said = async (command: Promise<Result>): Promise<string> => {
  const { status, stdout, stderr } = await command;
  if (status !== 0) throw new Error(stderr);
  return stdout;
};
const refused = async (command: Promise<Result>): Promise<string> => {
  const { status, stderr } = await command;
  expect(status).toBe(1);
  return stderr;
};
/** What the cluster has, as its administrator sees it. */
const stored = (...args: string[]): Promise<string> => shop.cluster.demand(['get', ...args]);

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.place();
  api = await Api.open(shop);
  await shop.cluster.demand(['create', 'rolebinding', 'sre', '-n', AGENTS, '--clusterrole=chaperone-approver', '--group=sre']);
  bot = await shop.startAgent('bot');
  await eventually(
    'the API to be reached',
    async () => ((await kubectl('get', '--raw', '/version')).status === 0 ? true : undefined),
    60_000,
  );
});
afterAll(async () => {
  await api?.close();
  await shop?.close();
});

describe('an agent with stock kubectl', () => {
  test('finds the API by what its pod has, and asks under the credential that the owner gave', async () => {
    expect(await said(bot.run('sh', '-c', 'echo $KUBERNETES_SERVICE_HOST; ls ~/.kube 2>&1 | head -1'))).toMatch(
      /^kubernetes\.default\.svc\n/,
    );
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    expect(JSON.parse(await said(feed(review, 'create', '-o', 'json')))).toMatchObject({
      status: { userInfo: { username: ACCOUNT } },
    });
  });

  test('holds a token that opens nothing but Chaperone', async () => {
    const token = await said(bot.run('cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'));
    const { apiServer } = await shop.cluster.places();
    const at = [
      '--server',
      `https://${apiServer}:443`,
      '--insecure-skip-tls-verify',
      '--token',
      token,
      '--kubeconfig',
      '/dev/null',
    ];
    const { status, stderr } = await shop.cluster.kubectl(['get', 'pods', '-n', AGENTS, ...at]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/Unauthorized|provide credentials/)]);
  });

  test('reads Secrets masked', async () => {
    const secret = JSON.parse(await said(kubectl('get', 'secret', 'app', '-n', OUTSIDE, '-o', 'json'))) as {
      data: { password: string };
    };
    expect(Buffer.from(secret.data.password, 'base64').toString()).not.toContain(HIDDEN);
    expect(await said(kubectl('describe', 'secret', 'app', '-n', OUTSIDE))).toContain('password:');
  });

  test('creates, applies, patches and edits what it may, client and server side', async () => {
    expect(await said(feed(configMap('mine', { a: '1' }), 'create'))).toBe('configmap/mine created\n');
    expect(await said(feed(configMap('mine', { a: '2' }), 'apply', '--server-side', '--force-conflicts'))).toContain(
      'serverside-applied',
    );
    expect(await said(feed(configMap('other', { a: '1' }), 'apply'))).toBe('configmap/other created\n');
    expect(
      await said(
        feed(configMap('other', { a: '2' }), 'diff').then((result) => ({ ...result, status: result.status === 1 ? 0 : 1 })),
      ),
    ).toContain('+  a: "2"');
    expect(await said(feed(configMap('other', { a: '2' }), 'apply'))).toBe('configmap/other configured\n');
    expect(await said(kubectl('label', 'configmap', 'other', '-n', OUTSIDE, 'tier=front'))).toBe('configmap/other labeled\n');
    expect(await stored('configmap', 'mine', 'other', '-n', OUTSIDE, '-o', 'jsonpath={.items[*].data.a}')).toBe('2 2');
  });

  test('is refused with a sentence: by a rule, by none, and whatever rules say', async () => {
    const kept = await refused(kubectl('get', 'configmap', 'kept', '-n', OUTSIDE));
    expect(kept).toContain('rule "keep"');
    expect(kept).toContain('It is what the shop is made from.');
    expect(await refused(kubectl('delete', 'secret', 'app', '-n', OUTSIDE))).toContain('(NoRuleAllows)');
    expect(await refused(kubectl('get', 'secrets', '-n', 'default'))).toContain('(NeverAllowed)');
    expect(await refused(kubectl('get', 'pods', '-n', SYSTEM))).toContain('(NeverAllowed)');
    expect(await refused(kubectl('get', 'pods', '-A'))).toContain('(NeverAllowed)');
    expect(await refused(kubectl('create', 'token', 'support-agent', '-n', AGENTS))).toContain('(NeverAllowed)');
    expect(await refused(kubectl('label', 'namespace', AGENTS, 'chaperone.dev/inject-'))).toContain('(NeverAllowed)');
  });

  test('starts pods where they are governed, and nowhere else', async () => {
    expect((await feed(task(OUTSIDE), 'create')).stderr).toContain('(NeverAllowed)');
    expect(await said(feed(task(AGENTS), 'create'))).toBe('pod/task created\n');
    expect(await stored('pod', 'task', '-n', AGENTS, '-o', 'jsonpath={.spec.initContainers[*].name}')).toContain(
      'chaperone-sidecar',
    );
    expect(
      await said(kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/task', '-n', AGENTS, '--timeout=90s')),
    ).toContain('condition met');
    expect(await said(kubectl('logs', 'task', '-n', AGENTS, '-c', 'task'))).toBe('done\n');
  });

  test('waits where people are asked, and what they approve runs once', async () => {
    await feed(configMap('old', {}), 'create');
    const { asked, result } = await holding(shop.cluster, () => kubectl('delete', 'configmap', 'old', '-n', OUTSIDE));
    expect(await stored('configmap', 'old', '-n', OUTSIDE, '-o', 'name')).toBe('configmap/old\n');
    const approved = await approve(shop.cluster, asked, 'sre');
    expect([approved.status, approved.stdout]).toEqual([0, expect.stringContaining('approved (1 of 1)')]);
    expect(await result).toMatchObject({ status: 0, stdout: expect.stringContaining('"old" deleted') });
    expect((await shop.cluster.kubectl(['get', 'configmap', 'old', '-n', OUTSIDE])).status).toBe(1);
  });
});

const exec = (...words: string[]): Promise<Result> => kubectl('exec', 'web', '-n', OUTSIDE, ...words);

const forwarded = (name: string, port: number): Promise<Result> =>
  bot.run(
    'sh',
    '-c',
    `kubectl port-forward ${name} -n ${OUTSIDE} 18080:${port} >/tmp/forward 2>&1 & sleep 3; curl -sS -m 10 http://127.0.0.1:18080; kill $!; wait; cat /tmp/forward >&2`,
  );

describe('its pods', () => {
  test('run what a rule names, with their exit codes, and print and log no card', async () => {
    expect(await exec('--', 'cat', '/tmp/receipt')).toEqual({ status: 0, stdout: 'paid with *****, thank you\n', stderr: '' });
    expect(await exec('--', 'sh', '-c', 'cat /tmp/absent')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('No such file'),
    });
    expect(await said(kubectl('logs', 'web', '-n', OUTSIDE))).toBe('paid with *****\n');
    expect(
      (await bot.feed('from the agent', 'kubectl', 'exec', '-i', 'web', '-n', OUTSIDE, '--', 'cat', '/tmp/receipt')).status,
    ).toBe(0);
  });

  test('are served to kubectl 1.29 too, which speaks SPDY', async () => {
    await shop.cluster.demand(['cp', OLD_KUBECTL, `${AGENTS}/bot:/tmp/kubectl`, '-c', 'bot']);
    const old = (...args: string[]): Promise<Result> => bot.run('/tmp/kubectl', ...args, '-n', OUTSIDE);
    expect(await said(old('get', 'secret', 'app', '-o', 'jsonpath={.data.password}'))).toBe('KioqKio=');
    expect(await said(old('logs', 'web'))).toBe('paid with *****\n');
    expect(await said(bot.run('/tmp/kubectl', 'exec', 'web', '-n', OUTSIDE, '--', 'cat', '/tmp/receipt'))).toBe(
      'paid with *****, thank you\n',
    );
    const denied = await bot.run('/tmp/kubectl', 'exec', 'web', '-n', OUTSIDE, '--', 'rm', '/tmp/receipt');
    expect([denied.status, denied.stderr]).toEqual([1, expect.stringContaining('Files are removed by the nightly job.')]);
  });

  test('run nothing that a rule denies, and enter no sidecar', async () => {
    const { status, stderr } = await exec('--', 'rm', '/tmp/receipt');
    expect(status).toBe(1);
    expect(stderr).toContain('Files are removed by the nightly job.');
    const own = await kubectl('exec', 'bot', '-n', AGENTS, '-c', 'chaperone-sidecar', '--', 'cat', '/tmp/a');
    expect([own.status, own.stderr]).toEqual([1, expect.stringContaining('(NeverAllowed)')]);
  });

  test('are entered by a terminal once people approve, also by SPDY, and the screen is kept', async () => {
    for (const webSockets of ['true', 'false']) {
      const typed = 'echo $((6*7)); exit 3\n';
      const start = (): Promise<Result> =>
        bot.feed(
          typed,
          'env',
          `KUBECTL_REMOTE_COMMAND_WEBSOCKETS=${webSockets}`,
          'script',
          '-qec',
          `kubectl exec -it web -n ${OUTSIDE} -- sh`,
          '/dev/null',
        );
      const began = Date.now();
      const { asked, result } = await holding(shop.cluster, start);
      expect((await approve(shop.cluster, asked, 'sre')).status).toBe(0);
      const { status, stdout } = await result;
      expect([status, stdout]).toEqual([3, expect.stringContaining('42')]);
      const name = await sessionWithCommand(shop.cluster, began);
      expect((await shop.cluster.chaperone('sessions', 'replay', name, '-n', AGENTS)).stdout).toContain('42');
    }
  });

  test('give and take files by kubectl cp as far as rules go', async () => {
    expect(
      await said(
        bot.run(
          'sh',
          '-ec',
          `echo from the agent >/tmp/note; kubectl cp /tmp/note ${OUTSIDE}/web:/tmp/note; kubectl cp ${OUTSIDE}/web:/tmp/note /tmp/again; cat /tmp/again`,
        ),
      ),
    ).toContain('from the agent');
    const { status, stderr } = await kubectl('cp', `${OUTSIDE}/web:/etc/hostname`, '/tmp/hostname');
    expect([status, stderr]).toEqual([1, expect.stringContaining('chaperone:')]);
  });

  test('are reached on a port that a rule names, and on no other', async () => {
    expect(await forwarded('web', 8080)).toMatchObject({ stdout: 'served' });
    expect(await forwarded('web', 9090)).toMatchObject({ stdout: '', stderr: expect.stringContaining('chaperone:') });
    expect(await forwarded('cache', 8080)).toMatchObject({ stdout: '', stderr: expect.stringContaining('protected') });
  });

  test('that run what a resource has are entered by approval alone', async () => {
    const { asked, result } = await holding(shop.cluster, () =>
      kubectl('exec', 'cache', '-n', OUTSIDE, '--', 'cat', '/tmp/receipt'),
    );
    expect((await approve(shop.cluster, asked, 'sre')).status).toBe(0);
    expect(await result).toMatchObject({ status: 0, stdout: 'paid with *****, thank you\n' });
  });
});

test('what is left behind says what was asked and what came of it, without what was masked, and verifies', async () => {
  const began = Date.now();
  await kubectl('get', 'secret', 'app', '-n', OUTSIDE, '-o', 'json');
  const [session] = await arrivedSince(shop.cluster, began, 1);
  const name = session?.name ?? '';
  const shown = (await shop.cluster.chaperone('sessions', 'show', name, '-n', AGENTS)).stdout;
  expect(shown).toMatch(/Agent: +agents\/bot \(ServiceAccount support-agent\)/);
  expect(shown).toMatch(/allow +200 +\d+ +- +get +v1\/secrets +outside\/app +[0-9a-f-]{36} +kubectl get, run [0-9a-f]{8}/);
  expect(shown).not.toContain(Buffer.from(HIDDEN).toString('base64'));
  expect((await shop.cluster.chaperone('verify', name, '-n', AGENTS)).stdout).toContain('complete');
});
