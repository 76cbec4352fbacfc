import { type Container, injectPod, type Pod, type PodSpec } from '@chaperone/operator/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Cluster } from './harness/cluster.ts';
import { bot, PolicyFixture } from './harness/policies.ts';

/**
 * The policies of the chart alone, without operator and webhook: what they let through and what they refuse is all that stands
 * between a namespace's editor and an ungoverned pod while the operator is down. Pods are injected here, by the function that
 * the webhook calls, and only shown to the API server (dry run).
 */
const NAMESPACE = 'e2e-policies';
const policies = new PolicyFixture(NAMESPACE);
const { config } = policies;
const aPod = policies.aPod.bind(policies);
const injected = policies.injected.bind(policies);

/** An injected pod whose agent, spec or injected container was changed afterwards. */
const withBot = (mods: Partial<Container>): Pod => {
  const pod = injected();
  return { ...pod, spec: { ...pod.spec, containers: pod.spec.containers.map((one) => ({ ...one, ...mods })) } };
};
const withContext = (mods: object): Pod => {
  const [agent] = injected().spec.containers;
  return withBot({ securityContext: { ...agent?.securityContext, ...mods } });
};
const sshMount = { name: 'chaperone-ssh', readOnly: true, mountPath: '/etc/ssh/ssh_known_hosts2', subPath: 'known_hosts' };
const withSpec = (mods: Partial<PodSpec>): Pod => {
  const pod = injected();
  return { ...pod, spec: { ...pod.spec, ...mods } };
};
const withInit = (index: number, mods: Partial<Container>): Pod => {
  const inits = injected().spec.initContainers ?? [];
  return withSpec({ initContainers: inits.map((one, at) => (at === index ? { ...one, ...mods } : one)) });
};
const withVolume = (volume: { name: string; [source: string]: unknown }): Pod =>
  withSpec({ volumes: [...(injected().spec.volumes ?? []).filter(({ name }) => name !== volume.name), volume] });
const inits = (): readonly Container[] => injected().spec.initContainers ?? [];
const field = 'spec.containers[0].securityContext';

/** What the kubelet would dial, from the node, for whoever wrote it. */
const http = { httpGet: { host: '192.0.2.1', port: 80, path: '/', scheme: 'HTTP' } };
const tcp = { tcpSocket: { host: '192.0.2.1', port: 80 } };
const handlers: readonly [string, Partial<Container>][] = [
  ['a startup probe', { startupProbe: http }],
  ['a readiness probe', { readinessProbe: tcp }],
  ['a liveness probe', { livenessProbe: http }],
  ['a hook at its start', { lifecycle: { postStart: http } }],
  ['a hook at its end', { lifecycle: { preStop: tcp } }],
];
/** What the node would mount from elsewhere, or show of itself. */
const remote: readonly [string, object][] = [
  ['nfs', { server: '192.0.2.1', path: '/' }],
  ['iscsi', { targetPortal: '192.0.2.1:3260', iqn: 'iqn.2001-04.com.example:a', lun: 0 }],
  ['csi', { driver: 'secrets-store.csi.k8s.io' }],
  ['cephfs', { monitors: ['192.0.2.1:6789'] }],
  ['glusterfs', { endpoints: 'x', path: 'x' }],
  ['fc', { targetWWNs: ['50060e801049cfd1'], lun: 0 }],
  ['flexVolume', { driver: 'example.com/x' }],
];

/** Whom the platform lets end the governing of a namespace. */
const ADMIN = ['--as-group=system:masters', '--as-group=chaperone:namespace-admins'];

let cluster: Cluster;

beforeAll(async () => {
  cluster = await policies.install();
});

afterAll(() => policies.remove());

async function expectRefused(pod: Pod, text: string): Promise<void> {
  const { status, stderr } = await cluster.dryRun(pod);
  expect(stderr).toContain(text);
  expect(stderr).toContain('(Forbidden)');
  expect(status).toBe(1);
  if (pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined) return;
  // Where nobody is governed it may run: it is refused by us, and for nothing else.
  const free = await cluster.dryRun({ ...pod, metadata: { ...pod.metadata, namespace: policies.free } });
  expect([free.status, free.status === 0 ? '' : free.stderr]).toEqual([0, '']);
}

async function eventuallyRefused(pod: Pod, text: string): Promise<void> {
  await expect.poll(async () => (await cluster.dryRun(pod)).stderr, { interval: 200 }).toContain(text);
}

describe('without a profile', () => {
  test('no pod of a governed namespace starts', async () => {
    await eventuallyRefused(injected(), 'no params found for policy binding with `Deny` parameterNotFoundAction');
  });
});

describe('with the profile', () => {
  beforeAll(async () => {
    await policies.applyProfile();
  });

  test('the API server finds no mistake in the policies', async () => {
    const list = JSON.parse(await cluster.demand(['get', 'validatingadmissionpolicies', '-o', 'json'])) as {
      items: { metadata: { name: string }; status?: { typeChecking?: { expressionWarnings?: unknown[] } } }[];
    };
    const own = list.items.filter(({ metadata }) => metadata.name.startsWith('chaperone-'));
    expect(own.length).toBeGreaterThanOrEqual(7);
    for (const { metadata, status } of own)
      expect([metadata.name, status?.typeChecking?.expressionWarnings ?? []]).toEqual([metadata.name, []]);
  });

  test.each<[string, Pod]>([
    ['a simple pod', injected()],
    [
      'a Job’s pod with init containers of its own',
      injected({ restartPolicy: 'Never', initContainers: [{ ...bot, name: 'setup' }] }),
    ],
    [
      'a pod with volumes of every allowed kind',
      injected({
        volumes: [
          { name: 'a', emptyDir: {} },
          { name: 'b', secret: { secretName: 'x' } },
          { name: 'c', configMap: { name: 'x' } },
        ],
      }),
    ],
    [
      'a pod that brings its own /etc/ssh',
      injected({
        containers: [{ ...bot, volumeMounts: [{ name: 'a', mountPath: '/etc/ssh' }] }],
        volumes: [{ name: 'a', configMap: { name: 'x' } }],
      }),
    ],
    ['a pod that wants no token', injected({ automountServiceAccountToken: false })],
    [
      'a pod whose user stands at pod level',
      injected({ containers: [{ name: 'bot', image: 'bot:1' }], securityContext: { runAsUser: 5, fsGroup: 5 } }),
    ],
    ['a pod with a device that the platform allows', withBot({ resources: { limits: { 'nvidia.com/gpu': '1' } } })],
    ['a pod whose sidecar has other resources', withInit(1, { resources: { limits: { memory: '1Gi' } } })],
  ])('%s is accepted', async (_name, pod) => {
    const { status, stderr } = await cluster.dryRun(pod);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test('what the API server stores equals the profile, so that nothing is denied that was injected', async () => {
    const { stdout } = await cluster.dryRun(injected());
    const stored = JSON.parse(stdout) as Pod;
    const again = injectPod({ pod: stored, config });
    expect(again.spec.initContainers).toEqual(stored.spec.initContainers);
    expect(again.spec.volumes).toEqual(stored.spec.volumes);
    expect(again.spec.containers).toEqual(stored.spec.containers);
  });

  test.each<[string, () => Pod, string]>([
    [
      '1 the sidecar’s user',
      () => withContext({ runAsUser: 24_601 }),
      `container "bot": ${field}.runAsUser 24601 belongs to chaperone-sidecar; choose another [ReservedUser]`,
    ],
    [
      '1 the sidecar’s user for the whole pod',
      () => injected({ containers: [{ name: 'bot', image: 'b:1' }], securityContext: { runAsUser: 24_601 } }),
      '[ReservedUser]',
    ],
    [
      '2 the image’s user, which admission cannot see',
      () => withContext({ runAsUser: undefined }),
      `container "bot": set ${field}.runAsUser to its image's numeric user, 1 or higher, not 24601 [AgentMustSetUser]`,
    ],
    ['3 root', () => withContext({ runAsUser: 0 }), '[AgentMustSetUser]'],
    ['3 a capability', () => withContext({ capabilities: { drop: ['ALL'], add: ['SETUID'] } }), '[CapabilityAdded]'],
    ['3 the default capabilities', () => withContext({ capabilities: {} }), '[CapabilityAdded]'],
    [
      '4 a setuid program',
      () => withContext({ allowPrivilegeEscalation: true }),
      `container "bot": ${field}.allowPrivilegeEscalation is true; set it to false or remove the line [EscalationAllowed]`,
    ],
    ['5 the sidecar’s group', () => withContext({ runAsGroup: 24_601 }), '[ReservedUser]'],
    [
      '5 the sidecar’s files',
      () => withSpec({ securityContext: { ...injected().spec.securityContext, fsGroup: 24_601 } }),
      '[ReservedUser]',
    ],
    ['6 NET_ADMIN', () => withContext({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }), '[CapabilityAdded]'],
    ['7, 8, 49 NET_RAW', () => withContext({ capabilities: { drop: ['ALL'], add: ['NET_RAW'] } }), '[CapabilityAdded]'],
    ['9 privileged', () => withContext({ privileged: true, allowPrivilegeEscalation: undefined }), '[Privileged]'],
    ['9 a path of the node', () => withVolume({ name: 'host', hostPath: { path: '/' } }), '[VolumeNotAllowed]'],
    [
      '9 a volume of another host',
      () => withVolume({ name: 'share', nfs: { server: 'x', path: '/' } }),
      'volume "share": replace spec.volumes[6]; allowed are',
    ],
    ['9 the node’s processes', () => withSpec({ hostPID: true }), '[HostNamespace]'],
    ['9 the node’s IPC', () => withSpec({ hostIPC: true }), '[HostNamespace]'],
    ['9 a device', () => withBot({ resources: { limits: { 'intel.com/sriov': '1' } } }), '[DeviceNotAllowed]'],
    ['9 a second network', () => injected({}, { 'k8s.v1.cni.cncf.io/networks': 'x' }), '[ExtraNetwork]'],
    [
      '9 unmasked /proc',
      () => withSpec({ hostUsers: false, containers: withContext({ procMount: 'Unmasked' }).spec.containers }),
      '[ProcMount]',
    ],
    ['9 no seccomp', () => withContext({ seccompProfile: { type: 'Unconfined' } }), '[SeccompUnconfined]'],
    ['54 no AppArmor', () => withContext({ appArmorProfile: { type: 'Unconfined' } }), '[AppArmorUnconfined]'],
    [
      '54 no AppArmor, as older manifests say it',
      () => injected({}, { 'container.apparmor.security.beta.kubernetes.io/bot': 'unconfined' }),
      '[AppArmorUnconfined]',
    ],
    ['54 a label of SELinux', () => withContext({ seLinuxOptions: { type: 'spc_t' } }), '[SELinuxSet]'],
    [
      '54 a label of SELinux for the pod',
      () => withSpec({ securityContext: { ...injected().spec.securityContext, seLinuxOptions: { type: 'spc_t' } } }),
      '[SELinuxSet]',
    ],
    [
      '9 a block device',
      () =>
        withSpec({
          containers: [{ ...injected().spec.containers[0], name: 'bot', volumeDevices: [{ name: 'd', devicePath: '/dev/x' }] }],
          volumes: [...(injected().spec.volumes ?? []), { name: 'd', persistentVolumeClaim: { claimName: 'x' } }],
        }),
      '[BlockDevice]',
    ],
    [
      '44 a port of the node',
      () => withBot({ ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' } as never] }),
      '[HostPort]',
    ],
    ...handlers.map(([name, mods]): [string, () => Pod, string] => [
      `43 a host in ${name}`,
      () => withBot(mods),
      'container "bot": remove host from probes and hooks of spec.containers[0]; the node would dial it for the agent [ProbeHost]',
    ]),
    ...remote.map(([kind, source]): [string, () => Pod, string] => [
      `41 a volume of kind ${kind}`,
      () => withVolume({ name: 'far', [kind]: source }),
      'volume "far": replace spec.volumes[6]; allowed are',
    ]),
    ['10 the node’s network', () => withSpec({ hostNetwork: true, securityContext: {} }), '[HostNetwork]'],
    ['11 host aliases', () => withSpec({ hostAliases: [{ ip: '1.1.1.1', hostnames: ['x'] }] }), '[DnsSettings]'],
    ['11 another resolver', () => withSpec({ dnsPolicy: 'Default' }), '[DnsSettings]'],
    ['11 a resolver’s settings', () => withSpec({ dnsConfig: { nameservers: ['1.1.1.1'] } }), '[DnsSettings]'],
    ['20 shared processes', () => withSpec({ shareProcessNamespace: true }), '[SharedProcesses]'],
    [
      '21 the sidecar’s token by name',
      () => withBot({ volumeMounts: [{ name: 'chaperone-identity', mountPath: '/x' }] }),
      '[ReservedName]',
    ],
    ['21 the CA at another path', () => withBot({ volumeMounts: [{ name: 'chaperone-ca', mountPath: '/x' }] }), '[ReservedName]'],
    ...[{ readOnly: false }, { mountPath: '/x' }, { subPath: '' }].map((mods): [string, () => Pod, string] => [
      `21 what SSH clients are told, with ${JSON.stringify(mods)}`,
      () => withBot({ volumeMounts: [{ ...sshMount, ...mods }] }),
      '[ReservedName]',
    ]),
    ['22 a sidecar of one’s own', () => withInit(1, { image: 'evil:1' }), '[ProfileMismatch]'],
    ['22 a sidecar with another command', () => withInit(1, { command: ['sleep'] }), '[ProfileMismatch]'],
    [
      '22 a sidecar with another operator',
      () => withInit(1, { env: [{ name: 'CHAPERONE_OPERATOR', value: 'evil:1' }] }),
      '[ProfileMismatch]',
    ],
    [
      '22 a sidecar that does not restart',
      () =>
        withInit(1, {
          restartPolicy: undefined,
          startupProbe: undefined,
          livenessProbe: undefined,
          readinessProbe: undefined,
        } as never),
      '[ProfileMismatch]',
    ],
    [
      '22 an init with more rights',
      () => withInit(0, { securityContext: { runAsUser: 0, privileged: true } }),
      '[ProfileMismatch]',
    ],
    [
      '22 a hook in the sidecar',
      () => withInit(1, { lifecycle: { preStop: { exec: { command: ['x'] } } } }),
      '[ProfileMismatch]',
    ],
    [
      '22 a reserved name among the agents',
      () =>
        withSpec({
          containers: [...injected().spec.containers, { ...(injected().spec.containers[0] as Container), name: 'chaperone-x' }],
        }),
      'rename spec.containers[1]; names beginning with chaperone-',
    ],
    ['22 no verification', () => withSpec({ initContainers: inits().slice(0, 2) }), '[NotInjected]'],
    [
      '23 a container in front of ours',
      () => withSpec({ initContainers: [{ ...(injected().spec.containers[0] as Container), name: 'first' }, ...inits()] }),
      '[NotInjected]',
    ],
    ['24 an annotation that says it was injected', () => aPod({}, { 'chaperone.dev/status': 'injected' }), '[NotInjected]'],
    [
      '24 a label that opts out',
      () => ({ ...aPod(), metadata: { ...aPod().metadata, labels: { 'chaperone.dev/inject': 'false' } } }),
      '[NotInjected]',
    ],
    [
      '30 a token of its own',
      () => withVolume({ name: 'tok', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }),
      '[TokenProjected]',
    ],
    [
      '30 a token under our name',
      () => withVolume({ name: 'kube-api-access-chaperone', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }),
      '[ReservedName]',
    ],
    [
      '30 the sidecar’s token under another audience',
      () =>
        withVolume({
          name: 'chaperone-identity',
          projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'x' } }] },
        }),
      '[ReservedName]',
    ],
    ['30 the API token back', () => withSpec({ automountServiceAccountToken: true }), '[ProfileMismatch]'],
    ['33 no injection at all', () => aPod(), 'Break-glass: docs/guides/cluster.md [NotInjected]'],
    [
      'a sysctl',
      () => withSpec({ securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } }),
      '[SysctlSet]',
    ],
    ['our sysctls taken away', () => withSpec({ securityContext: {} }), '[SysctlSet]'],
    ['38 a mirror of a static pod', () => injected({}, { 'kubernetes.io/config.mirror': 'x' }), 'a mirror pod may not'],
  ])('refuses %s', async (_name, pod, text) => expectRefused(pod(), text));
});

const service = (spec: object, namespace = NAMESPACE): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'bot', namespace },
  spec: { selector: { app: 'bot' }, ports: [{ port: 80 }], ...spec },
});

describe('a Service', () => {
  test.each<[string, object]>([
    ['of type NodePort', { type: 'NodePort' }],
    ['of type LoadBalancer', { type: 'LoadBalancer' }],
    ['with addresses of its own', { externalIPs: ['192.0.2.7'] }],
  ])('40 %s, by which callers come in the name of the node, is refused', async (_name, spec) => {
    expect((await cluster.dryRun(service(spec))).stderr).toContain('[CallersHidden]');
    expect((await cluster.dryRun(service(spec, policies.free))).status).toBe(0);
  });

  test.each<[string, object]>([
    ['for the cluster', {}],
    ['whose callers keep their addresses', { type: 'NodePort', externalTrafficPolicy: 'Local' }],
  ])('%s is accepted', async (_name, spec) => {
    expect((await cluster.dryRun(service(spec))).stderr).toBe('');
  });

  test('that was there before is updated', async () => {
    const governing = (value: string): Promise<string> =>
      cluster.demand(['label', 'namespace', policies.free, `chaperone.dev/inject${value}`, '--as=ann', ...ADMIN]);
    await cluster.apply(service({ type: 'NodePort' }, policies.free));
    await governing('=enabled');
    const annotate = ['annotate', 'service', 'bot', '-n', policies.free, '--overwrite'];
    const refused = async (): Promise<string> => (await cluster.dryRun(service({ type: 'NodePort' }, policies.free))).stderr;
    await expect.poll(refused).toContain('[CallersHidden]');
    expect((await cluster.kubectl([...annotate, 'team=support'])).status).toBe(0);
    await cluster.demand(['delete', 'service', 'bot', '-n', policies.free]);
    await governing('-');
  });
});

const template = (spec: object): object => ({ metadata: { labels: { app: 'bot' } }, spec });

const deployment = (spec: object): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'bot', namespace: NAMESPACE },
  spec: { selector: { matchLabels: { app: 'bot' } }, template: template(spec) },
});
const cronJob = (spec: object): object => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name: 'bot', namespace: NAMESPACE },
  spec: { schedule: '@daily', jobTemplate: { spec: { template: template({ ...spec, restartPolicy: 'Never' }) } } },
});

describe('the author of a workload', () => {
  const noUser = { containers: [{ name: 'bot', image: 'bot:1' }] };

  test.each<[string, object, string]>([
    ['Deployment', deployment(noUser), 'set spec.template.spec.containers[0].securityContext.runAsUser [AgentMustSetUser]'],
    [
      'Deployment on the node’s network',
      deployment({ containers: [bot], hostNetwork: true }),
      'set spec.template.spec.hostNetwork to false [HostNetwork]',
    ],
    [
      'Deployment whose probe names a host',
      deployment({ containers: [{ ...bot, ...handlers[2]?.[1] }] }),
      'remove host from probes and hooks of spec.template.spec.containers[0] [ProbeHost]',
    ],
    [
      'Deployment with a label of SELinux',
      deployment({ containers: [{ ...bot, securityContext: { runAsUser: 1000, seLinuxOptions: { type: 'spc_t' } } }] }),
      'remove spec.template.spec.containers[0].securityContext.seLinuxOptions [SELinuxSet]',
    ],
    [
      'CronJob',
      cronJob(noUser),
      'set spec.jobTemplate.spec.template.spec.containers[0].securityContext.runAsUser [AgentMustSetUser]',
    ],
  ])('of a %s is warned, and not refused', async (_what, object, text) => {
    const { status, stderr } = await cluster.dryRun(object);
    expect(stderr).toContain('Warning: ');
    expect(stderr).toContain(text);
    expect(status).toBe(0);
  });

  test('whose pods will be taken is told nothing', async () => {
    expect((await cluster.dryRun(deployment({ containers: [bot] }))).stderr).toBe('');
  });
});

const byNode = (spec: Partial<PodSpec> = {}): Pod => injectPod({ pod: aPod(spec), config, capture: 'node' });
/** Gives the namespace its own mode. */
const mode = (value: string): Promise<string> =>
  cluster.demand(['annotate', 'namespace', NAMESPACE, '--overwrite', `chaperone.dev/capture=${value}`]);

/** Such a pod with other init containers. */
const withInits = (mods: (inits: readonly Container[]) => readonly Container[]): Pod => {
  const pod = byNode();
  return { ...pod, spec: { ...pod.spec, initContainers: mods(pod.spec.initContainers ?? []) } };
};

describe('where an agent of the node writes the rules', () => {
  const [init] = inits();

  test('35 that shape is refused in a namespace of the other mode, and where the namespace says what is no mode', async () => {
    await expectRefused(byNode(), '[NotInjected]');
    await mode('none');
    await expectRefused(byNode(), '[NotInjected]');
    expect((await cluster.dryRun(injected())).status).toBe(0);
  });

  test('a pod without chaperone-init is accepted, also under Pod Security restricted', async () => {
    await mode('node');
    await cluster.demand(['label', 'namespace', NAMESPACE, '--overwrite', 'pod-security.kubernetes.io/enforce=restricted']);
    const strict = byNode({ securityContext: { runAsNonRoot: true } });
    await expect.poll(async () => (await cluster.dryRun(strict)).stderr, { interval: 200 }).toBe('');
    await cluster.demand(['label', 'namespace', NAMESPACE, '--overwrite', 'pod-security.kubernetes.io/enforce=privileged']);
  });

  test.each<[string, () => Pod, string]>([
    ['6 chaperone-init, which could write rules', () => injected(), '[NotInjected]'],
    [
      '6 chaperone-init further back',
      () => withInits((own) => [...own, ...(init === undefined ? [] : [init])]),
      '[ReservedName]',
    ],
    [
      '6 the sidecar with NET_ADMIN',
      () =>
        withInits(([sidecar, verify]) => [
          { ...sidecar, securityContext: { ...sidecar?.securityContext, capabilities: { add: ['NET_ADMIN'] } } } as Container,
          verify as Container,
        ]),
      '[ProfileMismatch]',
    ],
    ['35 no chaperone-verify', () => withInits(([sidecar]) => [sidecar as Container]), '[NotInjected]'],
    ['23 an init container in front', () => withInits((own) => [{ ...bot, name: 'setup' }, ...own]), '[NotInjected]'],
  ])('refuses %s', async (_name, pod, text) => {
    await expect.poll(async () => (await cluster.dryRun(pod())).stderr, { interval: 200 }).toContain(text);
    await expectRefused(pod(), text);
  });
});
