import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from './harness/cluster.ts';
import { PolicyFixture } from './harness/policies.ts';
import type { Result } from './harness/run.ts';

/** What nobody, a cluster's administrator included, may do to a pod that runs, to its namespace and to its ServiceAccount. */
const NAMESPACE = 'e2e-running';
/** A pod whose capture was proven, by what its status says; `bot` never comes to that. */
const PROVEN = 'proven';
const policies = new PolicyFixture(NAMESPACE);
let cluster: Cluster;
let nodeName = '';

beforeAll(async () => {
  cluster = await policies.install();
  ({ nodeName } = await cluster.places());
  await policies.applyProfile();
  await cluster.apply(policies.injected());
  await cluster.apply({ ...policies.injected(), metadata: { ...policies.injected().metadata, namespace: policies.free } });
  const { metadata, spec } = policies.injected();
  // No kubelet has it, so its status is what is written here.
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: PROVEN },
    spec: { ...spec, schedulerName: 'me' },
  });
  const status = json({ status: { conditions: [{ type: 'Initialized', status: 'True' }] } });
  await cluster.demand(['patch', 'pod', PROVEN, '-n', NAMESPACE, '--subresource=status', '-p', status]);
});

afterAll(() => policies.remove());

const json = (patch: object): string => JSON.stringify(patch);
const patch = (body: object, ...args: string[]): string[] => ['patch', 'pod', 'bot', '-n', NAMESPACE, '-p', json(body), ...args];
const sidecar = (mods: object): object => ({ spec: { initContainers: [{ name: 'chaperone-sidecar', ...mods }] } });
/** The name of a node is known only when tests run. */
const onNode = (args: readonly string[]): string[] => args.map((arg) => arg.replace('/nodes/NODE/', `/nodes/${nodeName}/`));
const debug = (...args: string[]): string[] => ['debug', PROVEN, '-n', NAMESPACE, '--image=bot:1', '--attach=false', ...args];

/** What an ephemeral container must say to have no more rights than the agent. */
const AS_AGENT = {
  runAsUser: 1000,
  runAsGroup: 1000,
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/** kubectl debug with a container's fields of its own. */
async function debugAs(container: object, pod: string = PROVEN): Promise<Result> {
  await using folder = await temporaryDirectory();
  const custom = join(folder.path, 'debug.json');
  await writeFile(custom, json(container));
  const args = debug('--profile=restricted', `--custom=${custom}`);
  return await cluster.kubectl(args.map((arg) => (arg === PROVEN ? pod : arg)));
}

describe('nobody may', () => {
  test.each<[string, string[], string]>([
    [
      '25 take the namespace out by removing its label',
      ['label', 'namespace', NAMESPACE, 'chaperone.dev/inject-'],
      '[OptInLocked]',
    ],
    [
      '25 take the namespace out by changing its label',
      ['label', 'namespace', NAMESPACE, 'chaperone.dev/inject=no', '--overwrite'],
      '[OptInLocked]',
    ],
    [
      '25 take the namespace out through its status',
      [
        'patch',
        'namespace',
        NAMESPACE,
        '--subresource=status',
        '--type=merge',
        '-p',
        json({ metadata: { labels: { 'chaperone.dev/inject': null } } }),
      ],
      '[OptInLocked]',
    ],
    ['26 debug with the network of an administrator', debug('--profile=netadmin'), '[DebugRejected]'],
    ['26 debug as it comes', debug('--profile=general'), '[DebugRejected]'],
    ['26 debug as an administrator of the node', debug('--profile=sysadmin'), '[DebugRejected]'],
    ['26 debug the sidecar', debug('--profile=restricted', '--target=chaperone-sidecar'), '[DebugRejected]'],
    [
      '27 run a command in the sidecar',
      ['exec', 'bot', '-n', NAMESPACE, '-c', 'chaperone-sidecar', '--', 'id'],
      'exec into chaperone-sidecar is refused for everyone; read it: kubectl logs bot -c chaperone-sidecar [SidecarClosed]',
    ],
    ['27 attach to the sidecar', ['attach', 'bot', '-n', NAMESPACE, '-c', 'chaperone-sidecar'], '[SidecarClosed]'],
    [
      '27 forward a port',
      ['get', '--raw', `/api/v1/namespaces/${NAMESPACE}/pods/bot/portforward?ports=15001`],
      '[PodTunnelClosed]',
    ],
    [
      '27 reach a port through the API server',
      ['get', '--raw', `/api/v1/namespaces/${NAMESPACE}/pods/bot:15021/proxy/livez`],
      '[PodTunnelClosed]',
    ],
    [
      '27 run a command through the kubelet',
      ['create', '--raw', `/api/v1/nodes/NODE/proxy/run/${NAMESPACE}/bot/chaperone-sidecar?cmd=id`, '-f', '-'],
      '[NodeProxyClosed]',
    ],
    [
      '27 run a command through a crooked path',
      ['create', '--raw', `/api/v1/nodes/NODE/proxy/./run/${NAMESPACE}/bot/chaperone-sidecar?cmd=id`, '-f', '-'],
      '[NodeProxyClosed]',
    ],
    ['28 change a label', ['label', 'pod', 'bot', '-n', NAMESPACE, 'app=admin', '--overwrite'], '[IdentitySealed]'],
    ['28 add a label', ['label', 'pod', 'bot', '-n', NAMESPACE, 'role=admin'], '[IdentitySealed]'],
    ['28 remove a label', ['label', 'pod', 'bot', '-n', NAMESPACE, 'app-'], '[IdentitySealed]'],
    [
      '28 change a label through the status',
      patch({ metadata: { labels: { app: 'admin' } } }, '--subresource=status'),
      '[IdentitySealed]',
    ],
    [
      '28 change a sealed annotation',
      ['annotate', 'pod', 'bot', '-n', NAMESPACE, 'chaperone.dev/inbound-ports=22', '--overwrite'],
      '[IdentitySealed]',
    ],
    ['29 change the sidecar’s image', patch(sidecar({ image: 'evil:1' })), '[SidecarImmutable]'],
    [
      '29 change the init’s image',
      patch({ spec: { initContainers: [{ name: 'chaperone-init', image: 'evil:1' }] } }),
      '[SidecarImmutable]',
    ],
    [
      '29 resize the sidecar',
      patch(sidecar({ resources: { limits: { memory: '128Mi' } } }), '--subresource=resize'),
      '[SidecarImmutable]',
    ],
    [
      '30 ask for a token of the agent’s ServiceAccount',
      ['create', 'token', 'default', '-n', NAMESPACE],
      '[TokenForKubeletOnly]',
    ],
    [
      '30 ask for a token of the sidecar’s audience',
      ['create', 'token', 'default', '-n', NAMESPACE, '--audience=chaperone-sidecar'],
      '[TokenForKubeletOnly]',
    ],
  ])('%s', async (_name, args, text) => {
    const { status, stderr } = await cluster.kubectl(onNode(args));
    expect(stderr).toContain(text);
    expect(status).toBe(1);
    // Nodes are nobody's alone; anything else may be done where nobody is governed, as far as this pod can do it.
    if (args.some((arg) => arg.includes('/nodes/'))) return;
    const free = await cluster.kubectl(args.map((arg) => arg.replaceAll(NAMESPACE, policies.free)));
    expect(free.stderr).not.toContain('ValidatingAdmissionPolicy');
  });

  test.each<[string, object]>([
    ['26 debug as the sidecar’s user', { securityContext: { ...AS_AGENT, runAsUser: 24_601 } }],
    ['26 debug as the sidecar’s group', { securityContext: { ...AS_AGENT, runAsGroup: 24_601 } }],
    ['26 debug without AppArmor', { securityContext: { ...AS_AGENT, appArmorProfile: { type: 'Unconfined' } } }],
    ['26 debug under a label of SELinux', { securityContext: { ...AS_AGENT, seLinuxOptions: { type: 'spc_t' } } }],
    ['26 debug without seccomp', { securityContext: { ...AS_AGENT, seccompProfile: { type: 'Unconfined' } } }],
    [
      '26 debug with the sidecar’s token at hand',
      { securityContext: AS_AGENT, volumeMounts: [{ name: 'chaperone-identity', mountPath: '/x' }] },
    ],
  ])('%s', async (_name, custom) => {
    const { status, stderr } = await debugAs(custom);
    expect(stderr).toContain('[DebugRejected]');
    expect(status).toBe(1);
  });

  test('26 debug a pod whose capture is not proven yet, in which the kubelet would start it before the rules', async () => {
    const { status, stderr } = await debugAs({ securityContext: AS_AGENT }, 'bot');
    expect([status, stderr]).toEqual([1, expect.stringContaining('until chaperone-verify has proven the pod')]);
  });

  test('30 keep a long-lived token', async () => {
    const metadata = { name: 'legacy', namespace: NAMESPACE, annotations: { 'kubernetes.io/service-account.name': 'default' } };
    const { stderr } = await cluster.dryRun({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata,
      type: 'kubernetes.io/service-account-token',
    });
    expect(stderr).toContain('[LongLivedToken]');
  });
});

describe('whoever binds a pod to its node', () => {
  const pod = 'unbound';
  beforeAll(() => {
    const { metadata, spec } = policies.injected();
    return cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, name: pod },
      spec: { ...spec, schedulerName: 'me' },
    });
  });
  const bind = (metadata: object, path = `pods/${pod}/binding`): Promise<Result> => {
    const target = { apiVersion: 'v1', kind: 'Node', name: nodeName };
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: pod, ...metadata }, target };
    return cluster.kubectl(['create', '--raw', `/api/v1/namespaces/${NAMESPACE}/${path}`, '-f', '-'], binding);
  };

  test.each<[string, object, string?]>([
    ['53 gives it no label', { labels: { app: 'admin' } }],
    ['53 gives it no label by the older path', { labels: { app: 'admin' } }, 'bindings'],
    ['53 gives it no sealed annotation', { annotations: { 'chaperone.dev/inbound-ports': '22' } }],
  ])('%s', async (_name, metadata, path) => {
    const { status, stderr } = await bind(metadata, path);
    expect([status, stderr]).toEqual([1, expect.stringContaining('[IdentitySealed]')]);
  });

  test('binds it', async () => {
    const { status, stderr } = await bind({ labels: { 'topology.kubernetes.io/zone': 'a' } });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('people still may', () => {
  test.each<[string, string[]]>([
    ['annotate for themselves', ['annotate', 'pod', 'bot', '-n', NAMESPACE, 'team=support', '--overwrite']],
    ['change the agent’s own image', patch({ spec: { containers: [{ name: 'bot', image: 'bot:2' }] } })],
    ['label a governed namespace', ['label', 'namespace', NAMESPACE, 'team=support', '--overwrite']],
    ['read what the kubelet shows', ['get', '--raw', '/api/v1/nodes/NODE/proxy/healthz']],
    ['create other Secrets', ['create', 'secret', 'generic', 'mine', '-n', NAMESPACE, '--from-literal=a=b', '--dry-run=server']],
    ['get tokens elsewhere', ['create', 'token', 'default', '-n', 'kube-system']],
    [
      'let the group of namespace administrators end it',
      [
        'label',
        'namespace',
        NAMESPACE,
        'chaperone.dev/inject-',
        '--dry-run=server',
        '--as=ann',
        '--as-group=system:masters',
        '--as-group=chaperone:namespace-admins',
      ],
    ],
    ['delete the pod', ['delete', 'pod', 'bot', '-n', NAMESPACE, '--dry-run=server']],
  ])('%s', async (_name, args) => {
    const { status, stderr } = await cluster.kubectl(onNode(args));
    expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  });

  test('debug with no more rights than the agent', async () => {
    const { status, stderr } = await debugAs({ securityContext: AS_AGENT });
    expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  });
});

describe('after the profile changed with an upgrade', () => {
  test('older pods live on and new ones are the new ones', async () => {
    await cluster.apply({
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'InjectionProfile',
      metadata: { name: 'default' },
      spec: {
        uid: 24_601,
        volumes: [],
        containers: policies.injected().spec.initContainers?.map((one) => ({ ...one, image: 'chaperone.test/sidecar:2' })),
      },
    });
    await expect
      .poll(async () => (await cluster.dryRun(policies.injected())).stderr, { interval: 200 })
      .toContain('[ProfileMismatch]');
    const { status } = await cluster.kubectl(['annotate', 'pod', 'bot', '-n', NAMESPACE, 'team=other', '--overwrite']);
    expect(status).toBe(0);
    await policies.applyProfile();
  });
});

describe('an EvidenceLogin', () => {
  const key = `${'A'.repeat(43)}=`;
  const login = (user: string, groups: string[]): object => ({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'EvidenceLogin',
    metadata: { name: 'ann-1' },
    spec: { publicKey: key, user, groups },
  });
  const asAnn = ['--as=ann', '--as-group=system:masters', '--as-group=dba'];
  const own = ['system:masters', 'dba', 'system:authenticated'];

  test('is accepted from its own author', async () => {
    const { status, stderr } = await cluster.dryRun(login('ann', own), asAnn);
    expect([status, stderr]).toEqual([0, '']);
  });

  test.each<[string, object]>([
    ['in another’s name', login('bob', own)],
    ['with a group more', login('ann', [...own, 'cluster-owners'])],
    ['with a group less', login('ann', ['dba'])],
  ])('is refused %s', async (_name, object) => {
    expect((await cluster.dryRun(object, asAnn)).stderr).toContain('[LoginNotOwn]');
  });
});
