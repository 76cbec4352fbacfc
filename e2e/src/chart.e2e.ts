import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiServer, chartPeer, findProgram, KUBECTL, startApiServer, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from './harness/cluster.ts';
import { demand, type Result, run } from './harness/run.ts';

/**
 * The chart's life as both Helms lead it: the release before this one, upgrades, a removal. On an API server of its own, without nodes:
 * no pod runs, so what the removal's pod does is run here, with the rights that the chart gives it.
 */
const CHART = join(ROOT, 'helm');
const PREVIOUS = join(CHART, 'test/testdata/previous/0.1.0.yaml');
const SYSTEM = 'chaperone-system';
const AGENTS = 'agents';
const OPERATOR = `system:serviceaccount:${SYSTEM}:chaperone-operator`;
const IN_SYSTEM = ['-n', SYSTEM];
let server: ApiServer;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

const env = (): Record<string, string> => ({
  KUBECONFIG: join(directory.path, 'config'),
  ...Object.fromEntries(['CACHE', 'CONFIG', 'DATA'].map((kind) => [`HELM_${kind}_HOME`, directory.path])),
});
const helmOf = (major: number): string => (major === 4 ? findProgram('helm') : chartPeer('helm')) ?? '';
const helm = (major: number, args: readonly string[]): Promise<string> => demand(helmOf(major), args, { env: env() });
const render = (major: number, file: string): Promise<string> =>
  helm(major, ['template', 'chaperone', CHART, ...IN_SYSTEM, '--kube-version', '1.34.4', '-s', `templates/${file}.yaml`]);
const kubectl = (args: readonly string[], input?: string | object): Promise<Result> =>
  run(KUBECTL ?? '', args, { env: env(), input: typeof input === 'object' ? JSON.stringify(input) : input });
async function ask(args: readonly string[], input?: string | object): Promise<string> {
  const { status, stdout, stderr } = await kubectl(args, input);
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const aPod = (namespace: string, spec: object): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'tried', namespace },
  spec,
});
const bot = aPod(AGENTS, { containers: [{ name: 'bot', image: 'bot' }] });
/** What the API server says against a pod. */
const against = async (pod: string | object): Promise<string> =>
  (await kubectl(['create', '--dry-run=server', ...(typeof pod === 'string' ? IN_SYSTEM : []), '-f', '-'], pod)).stderr;
const aPolicy = (metadata: object): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata,
  spec: { podSelector: {}, policyTypes: ['Ingress'] },
});
/** Writes as the operator does. */
const write = (object: object, ...args: readonly string[]): Promise<string> =>
  ask(['apply', '--server-side', '--field-manager=chaperone-operator', ...args, '-f', '-'], object);

/** Runs what the removal's pod runs, by a token of its ServiceAccount or another. */
async function remove(token: string): Promise<Result> {
  const given = JSON.parse(server.kubeconfig(`https://${server.address}`, server.ca, SYSTEM)) as object;
  const config = join(directory.path, 'removal');
  writeFileSync(config, JSON.stringify({ ...given, users: [{ name: 'u', user: { token } }] }));
  return run(process.execPath, [join(ROOT, 'operator/src/removal-main.ts'), SYSTEM], { env: { KUBECONFIG: config } });
}

beforeAll(async () => {
  await demand(join(ROOT, 'scripts/chart-peers'), [], { timeoutMs: 600_000 });
  [server, directory] = await Promise.all([startApiServer(), temporaryDirectory()]);
  writeFileSync(join(directory.path, 'config'), server.kubeconfig(`https://${server.address}`, server.ca, 'default'));
  // What was rendered, as a chart that renders itself.
  mkdirSync(join(directory.path, 'previous/templates'), { recursive: true });
  cpSync(PREVIOUS, join(directory.path, 'previous/all.yaml'));
  writeFileSync(join(directory.path, 'previous/templates/all.yaml'), '{{ .Files.Get "all.yaml" }}');
  writeFileSync(join(directory.path, 'previous/Chart.yaml'), 'apiVersion: v2\nname: chaperone\nversion: 0.1.0\n');
  for (const [name, labels] of [
    [SYSTEM, { 'pod-security.kubernetes.io/enforce': 'restricted' }],
    [AGENTS, { 'chaperone.dev/inject': 'enabled' }],
  ] as const)
    await ask(['create', '-f', '-'], { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

describe.each([4, 3])('by Helm %i', (major) => {
  test('the release before this one is upgraded, twice, and what the operator wrote stays', async () => {
    await helm(major, ['install', 'chaperone', join(directory.path, 'previous'), ...IN_SYSTEM]);
    const caBundle = Buffer.from(server.ca).toString('base64');
    const webhooks = [{ name: 'pods.chaperone.dev', clientConfig: { caBundle } }];
    const configuration = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' };
    await write({ ...configuration, metadata: { name: 'chaperone' }, webhooks });
    for (let time = 1; time <= 2; time++) await helm(major, ['upgrade', 'chaperone', CHART, ...IN_SYSTEM]);
    const path = ['-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}'];
    expect(await ask(['get', 'mutatingwebhookconfiguration', 'chaperone', ...path])).toBe(caBundle);
  });

  test('every pod of the chart is one that Pod Security’s “restricted” lets run', async () => {
    const { items } = JSON.parse(await ask(['get', 'deployments,statefulsets', ...IN_SYSTEM, '-o', 'json'])) as {
      items: { spec: { template: { spec: { volumes?: object[] } }; volumeClaimTemplates?: object[] } }[];
    };
    expect(items).toHaveLength(3);
    for (const { spec } of items) {
      const { spec: pod } = spec.template;
      const claimed = spec.volumeClaimTemplates === undefined ? [] : [{ name: 'data', emptyDir: {} }];
      expect(await against(aPod(SYSTEM, { ...pod, volumes: [...(pod.volumes ?? []), ...claimed] }))).toBe('');
    }
    for (const file of ['removal', 'tests/installed'])
      expect(await against((await render(major, file)).split('\n---\n').at(-1) ?? ''), file).toBe('');
  });

  test('the way out that the guide names opens one namespace while no operator answers, to its group alone', async () => {
    const guide = readFileSync(join(ROOT, 'docs/guides/cluster.md'), 'utf8');
    const [, words = ''] = /^kubectl (label namespace agents chaperone\.dev\/inject- .*)$/m.exec(guide) ?? [];
    const command = words.split(' ');
    expect(await against(bot)).toMatch(/failed calling webhook|\[NotInjected\]/);
    await ask(['create', 'clusterrolebinding', `editors-${major}`, '--clusterrole=cluster-admin', '--group=editors']);
    const others = command.map((word) => (word.startsWith('--as-group') ? '--as-group=editors' : word));
    await expect.poll(async () => (await kubectl(others)).stderr).toContain('[OptInLocked]');
    await ask(command);
    await expect.poll(() => against(bot), { interval: 200 }).toBe('');
    await ask(['label', 'namespace', AGENTS, 'chaperone.dev/inject=enabled']);
    await expect.poll(() => against(bot), { interval: 200 }).not.toBe('');
  });

  test('pods start again in what was governed once the removal ran, before anything else is gone', async () => {
    const ours = {
      name: 'chaperone-agents',
      namespace: AGENTS,
      labels: { 'app.kubernetes.io/managed-by': 'chaperone-operator' },
    };
    await write(aPolicy(ours), `--as=${OPERATOR}`);
    await write(aPolicy({ name: 'chaperone-agents', namespace: 'default' }));
    expect(await against(bot)).toMatch(/failed calling webhook|\[NotInjected\]/);

    const objects = (await render(major, 'removal')).split('\n---\n').filter((text) => !/^kind: Pod$/m.test(text));
    await ask(['apply', ...IN_SYSTEM, '-f', '-'], objects.join('\n---\n'));
    const token = (await ask(['create', 'token', 'chaperone-removal', ...IN_SYSTEM])).trim();
    expect(await remove(token)).toMatchObject({
      status: 0,
      stdout:
        'the operator was told to stop\nthe webhook and 14 bindings of admission policies are gone\n1 NetworkPolicies of governed namespaces are gone\n',
    });
    const replicas = ['get', 'deployment', 'chaperone-operator', ...IN_SYSTEM, '-o', 'jsonpath={.spec.replicas}'];
    expect(await ask(replicas)).toBe('0');
    await expect.poll(() => against(bot), { interval: 200 }).toBe('');
    // Somebody else's of this name stays.
    expect(await ask(['get', 'networkpolicies', '-A', '-o', 'jsonpath={.items[*].metadata.namespace}'])).not.toContain(AGENTS);
    await ask(['get', 'networkpolicy', 'chaperone-agents', '-n', 'default']);
    expect(await remove(token)).toMatchObject({ status: 0, stdout: expect.stringContaining('0 NetworkPolicies') });

    await helm(major, ['uninstall', 'chaperone', '--no-hooks', ...IN_SYSTEM]);
    expect(await ask(['get', 'validatingadmissionpolicies', '-o', 'name'])).toBe('');
    expect(await ask(['get', 'crds', '-o', 'name'])).toContain('/accesspolicies.chaperone.dev');
  });

  test('a removal that may not do it says so, and what to do', async () => {
    const { status, stdout } = await remove('nobody');
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/^FAIL {2}.+\nRemove the chart all the same: helm uninstall --no-hooks; /),
    ]);
  });
});
