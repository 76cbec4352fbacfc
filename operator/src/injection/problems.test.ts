import { describe, expect, test } from 'vitest';
import { injectPod } from './inject.ts';
import type { Container, Pod, PodSpec, SecurityContext } from './pod.ts';
import { describeProblems, findProblems } from './problems.ts';
import { aConfig, aContainer, aPod } from './sample.test-support.ts';
import { readDefaultUser } from './secure.ts';

const config = aConfig();
const problemsOf = (pod: Pod, defaultRunAsUser?: number) =>
  findProblems({ pod, config, defaultRunAsUser, devices: ['nvidia.com/gpu'] }).map(({ code, message }) => `${code}: ${message}`);
const withContainer = (mods: Partial<Container>): Pod => aPod({ containers: [aContainer(mods)] });
const secured = (mods: SecurityContext): Pod => withContainer({ securityContext: { runAsUser: 1000, ...mods } });
const annotated = (key: string): Pod => aPod({}, { name: 'bot', annotations: { [key]: 'x' } });
const field = 'spec.containers[0].securityContext';

const http = { httpGet: { host: '192.0.2.1', port: 80 } };
const tcp = { tcpSocket: { host: '127.0.0.1', port: 80 } };
const probes: readonly [string, Partial<Container>, string][] = [
  ['a startup probe', { startupProbe: http }, 'startupProbe.httpGet'],
  ['a readiness probe', { readinessProbe: tcp }, 'readinessProbe.tcpSocket'],
  ['a liveness probe', { livenessProbe: http }, 'livenessProbe.httpGet'],
  ['what runs at its start', { lifecycle: { postStart: http } }, 'lifecycle.postStart.httpGet'],
  ['what runs at its end', { lifecycle: { preStop: tcp } }, 'lifecycle.preStop.tcpSocket'],
];

describe('a pod is refused', () => {
  test.each<[string, Pod, string]>([
    [
      'without a user',
      withContainer({ securityContext: {} }),
      `AgentMustSetUser: container "bot": set ${field}.runAsUser to its image's numeric user, 1 or higher, not 24601`,
    ],
    [
      'as root',
      secured({ runAsUser: 0 }),
      `AgentMustSetUser: container "bot": set ${field}.runAsUser to its image's numeric user, 1 or higher, not 24601`,
    ],
    [
      'as the sidecar',
      secured({ runAsUser: 24_601 }),
      `ReservedUser: container "bot": ${field}.runAsUser 24601 belongs to chaperone-sidecar; choose another`,
    ],
    [
      'in the group of the sidecar',
      secured({ runAsGroup: 24_601 }),
      `ReservedUser: container "bot": ${field}.runAsGroup 24601 belongs to chaperone-sidecar; choose another`,
    ],
    [
      'with the files of the sidecar',
      aPod({ securityContext: { fsGroup: 24_601 } }),
      'ReservedUser: spec.securityContext.fsGroup 24601 belongs to chaperone-sidecar; choose another',
    ],
    [
      'in a further group of the sidecar',
      aPod({ securityContext: { supplementalGroups: [5, 24_601] } }),
      'ReservedUser: spec.securityContext.supplementalGroups 24601 belongs to chaperone-sidecar; choose another',
    ],
    [
      'with escalation',
      secured({ allowPrivilegeEscalation: true }),
      `EscalationAllowed: container "bot": ${field}.allowPrivilegeEscalation is true; set it to false or remove the line`,
    ],
    [
      'with capabilities',
      secured({ capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } }),
      `CapabilityAdded: container "bot": remove NET_ADMIN, NET_RAW from ${field}.capabilities.add; agents may add none`,
    ],
    [
      'privileged',
      secured({ privileged: true }),
      `Privileged: container "bot": ${field}.privileged is true; set it to false or remove the line`,
    ],
    [
      'without seccomp',
      secured({ seccompProfile: { type: 'Unconfined' } }),
      `SeccompUnconfined: container "bot": set ${field}.seccompProfile.type to RuntimeDefault`,
    ],
    [
      'without AppArmor',
      secured({ appArmorProfile: { type: 'Unconfined' } }),
      `AppArmorUnconfined: container "bot": set ${field}.appArmorProfile.type to RuntimeDefault or remove it`,
    ],
    [
      'with a label of SELinux',
      secured({ seLinuxOptions: { type: 'spc_t' } }),
      `SELinuxSet: container "bot": remove ${field}.seLinuxOptions`,
    ],
    [
      'with a label of SELinux for all of it',
      aPod({ securityContext: { seLinuxOptions: {} } }),
      'SELinuxSet: remove spec.securityContext.seLinuxOptions; agents run under the runtime’s own label',
    ],
    ...probes.map(([name, mods, path]): [string, Pod, string] => [
      `with a host in ${name}`,
      withContainer(mods),
      `ProbeHost: container "bot": remove spec.containers[0].${path}.host; the node would dial it for the agent`,
    ]),
    [
      'with all of /proc',
      secured({ procMount: 'Unmasked' }),
      `ProcMount: container "bot": set ${field}.procMount to Default or remove the line`,
    ],
    [
      'with a port of the node',
      withContainer({ ports: [{ containerPort: 1 }, { hostPort: 80 }] }),
      'HostPort: container "bot": remove spec.containers[0].ports[1].hostPort; use a Service',
    ],
    [
      'with a device',
      withContainer({ resources: { limits: { 'intel.com/sriov': '1', 'nvidia.com/gpu': '1', cpu: '1' } } }),
      'DeviceNotAllowed: container "bot": remove intel.com/sriov from spec.containers[0].resources; the platform team allows devices in injection.devices',
    ],
    [
      'with a block device',
      withContainer({ volumeDevices: [{}] }),
      'BlockDevice: container "bot": remove spec.containers[0].volumeDevices',
    ],
    [
      'with the sidecar’s token',
      withContainer({ volumeMounts: [{ name: 'chaperone-identity', mountPath: '/x' }] }),
      'ReservedName: container "bot": remove spec.containers[0].volumeMounts[0]; volumes beginning with chaperone- belong to Chaperone',
    ],
    [
      'with the CA elsewhere',
      withContainer({ volumeMounts: [{ name: 'chaperone-ca', mountPath: '/x' }] }),
      'ReservedName: container "bot": remove spec.containers[0].volumeMounts[0]; volumes beginning with chaperone- belong to Chaperone',
    ],
    [
      'with what SSH clients are told, to write to',
      withContainer({
        volumeMounts: [{ name: 'chaperone-ssh', mountPath: '/etc/ssh/ssh_known_hosts2', subPath: 'known_hosts' }],
      }),
      'ReservedName: container "bot": remove spec.containers[0].volumeMounts[0]; volumes beginning with chaperone- belong to Chaperone',
    ],
    [
      'with a sidecar of its own',
      aPod({ initContainers: [aContainer({ name: 'chaperone-sidecar' })] }),
      'ReservedName: rename spec.initContainers[0] "chaperone-sidecar"; names beginning with chaperone- are added at injection',
    ],
    [
      'with a reserved container',
      aPod({ containers: [aContainer({ name: 'chaperone-x' })] }),
      'ReservedName: rename spec.containers[0] "chaperone-x"; names beginning with chaperone- are added at injection',
    ],
    [
      'with a reserved volume',
      aPod({ volumes: [{ name: 'chaperone-run', emptyDir: {} }] }),
      'ReservedName: rename spec.volumes[0] "chaperone-run"; names beginning with chaperone- are added at injection',
    ],
    [
      'with a path of the node',
      aPod({ volumes: [{ name: 'host', hostPath: { path: '/' } }] }),
      'VolumeNotAllowed: volume "host": replace spec.volumes[0].hostPath; allowed are configMap, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret',
    ],
    [
      'with files of another host',
      aPod({ volumes: [{ name: 'share', nfs: { server: 'evil', path: '/' } }] }),
      'VolumeNotAllowed: volume "share": replace spec.volumes[0].nfs; allowed are configMap, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret',
    ],
    [
      'with a token of its own',
      aPod({
        volumes: [
          { name: 'a', emptyDir: {} },
          { name: 'tok', projected: { sources: [{ configMap: {} }, { serviceAccountToken: { path: 'token' } }] } },
        ],
      }),
      'TokenProjected: volume "tok": remove spec.volumes[1].projected.sources[1].serviceAccountToken; the mounted token already reaches the API through Chaperone',
    ],
    [
      'with a certificate of its own',
      aPod({ volumes: [{ name: 'tok', projected: { sources: [{ podCertificate: {} }] } }] }),
      'TokenProjected: volume "tok": remove spec.volumes[0].projected.sources[0].podCertificate; the mounted token already reaches the API through Chaperone',
    ],
    [
      'on the node’s network',
      aPod({ hostNetwork: true }),
      'HostNetwork: set spec.hostNetwork to false; a pod on the node’s network cannot be governed. If it must be there, move it to a namespace without chaperone.dev/inject',
    ],
    ['with the node’s processes', aPod({ hostPID: true }), 'HostNamespace: set spec.hostPID to false'],
    ['with the node’s IPC', aPod({ hostIPC: true }), 'HostNamespace: set spec.hostIPC to false'],
    [
      'with shared processes',
      aPod({ shareProcessNamespace: true }),
      'SharedProcesses: set spec.shareProcessNamespace to false; the agent would see the processes of chaperone-sidecar',
    ],
    [
      'with host aliases',
      aPod({ hostAliases: [{}] }),
      'DnsSettings: remove spec.hostAliases; the file is shared with chaperone-sidecar and would steer it',
    ],
    [
      'with a DNS configuration',
      aPod({ dnsConfig: {} }),
      'DnsSettings: remove spec.dnsConfig; the file is shared with chaperone-sidecar and would steer it',
    ],
    ['with the node’s DNS', aPod({ dnsPolicy: 'Default' }), 'DnsSettings: set spec.dnsPolicy to ClusterFirst or remove it'],
    [
      'with claimed devices',
      aPod({ resourceClaims: [{}] }),
      'DeviceNotAllowed: remove spec.resourceClaims; a claimed device could be a way out of the pod',
    ],
    ['on Windows', aPod({ os: { name: 'windows' } }), 'NotLinux: set spec.os.name to linux; only Linux pods can be governed'],
    [
      'with a second network',
      annotated('k8s.v1.cni.cncf.io/networks'),
      'ExtraNetwork: remove annotation "k8s.v1.cni.cncf.io/networks"; a second network would be a way around the sidecar',
    ],
    [
      'as a mirror of a static pod',
      annotated('kubernetes.io/config.mirror'),
      'StaticPod: a static pod cannot be governed; create it through the API',
    ],
    [
      'with a sysctl',
      aPod({ securityContext: { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '1' }] } }),
      'SysctlSet: remove spec.securityContext.sysctls[0]; agents may set none',
    ],
  ])('%s', (_name, pod, text) => expect(problemsOf(pod)).toEqual([text]));

  test('for what an init container asks, at its own place', () => {
    const [first] = problemsOf(aPod({ initContainers: [aContainer(), aContainer({ name: 'setup', securityContext: {} })] }));
    expect(first).toMatch(/^AgentMustSetUser: container "setup": set spec\.initContainers\[1\]/);
  });
});

describe('a pod passes', () => {
  test.each<[string, Pod]>([
    ['with a user alone', aPod()],
    ['with a user for all its containers', aPod({ containers: [{ name: 'bot' }], securityContext: { runAsUser: 1 } })],
    [
      'with more than is asked',
      secured({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'Localhost', localhostProfile: 'x' },
      }),
    ],
    [
      'with volumes of every allowed kind',
      aPod({
        volumes: [
          { name: 'a', emptyDir: {} },
          { name: 'b', secret: {} },
          { name: 'c', projected: { sources: [{ secret: {} }] } },
          { name: 'd', persistentVolumeClaim: {} },
        ],
      }),
    ],
    ['with a device that the platform allows', withContainer({ resources: { limits: { 'nvidia.com/gpu': '1' } } })],
    ['as it was injected', injectPod({ pod: aPod(), config })],
    [
      'injected, with an environment that another webhook added to',
      (() => {
        const pod = injectPod({ pod: aPod(), config });
        const initContainers = (pod.spec.initContainers ?? []).map((one) => ({ ...one, env: [{ name: 'REGION', value: 'x' }] }));
        return { ...pod, spec: { ...pod.spec, initContainers } satisfies PodSpec };
      })(),
    ],
  ])('%s', (_name, pod) => expect(problemsOf(pod)).toEqual([]));

  test('where the namespace names the user', () => {
    expect(problemsOf(withContainer({ securityContext: {} }), 1000)).toEqual([]);
  });
});

describe('the namespace’s default user', () => {
  test.each<[string, string, number | undefined]>([
    ['a number', '1000', 1000],
    ['root', '0', undefined],
    ['a name', 'nobody', undefined],
    ['a sign', '-1', undefined],
    ['too large', '2147483648', undefined],
    ['largest', '2147483647', 2_147_483_647],
  ])('%s', (_name, value, user) => expect(readDefaultUser({ 'chaperone.dev/default-run-as-user': value })).toBe(user));
  test('absent', () => expect(readDefaultUser(undefined)).toBeUndefined());
});

const describeAll = (pod: Pod): string => describeProblems(pod, 'agents', findProblems({ pod, config, devices: [] }));

describe('the sentence', () => {
  test('names every problem on one line', () => {
    expect(describeAll(aPod({ hostPID: true, containers: [{ name: 'bot' }] }))).toBe(
      'pod "bot-x2v" cannot run in governed namespace agents, 2 problems: (1) set spec.hostPID to false [HostNamespace] ' +
        '(2) container "bot": set spec.containers[0].securityContext.runAsUser to its image\'s numeric user, 1 or higher, not 24601 [AgentMustSetUser] [AgentPodRejected]',
    );
  });

  test('stays short and printable whatever the names hold', () => {
    const containers = Array.from({ length: 40 }, () => ({ name: `\u001b[2J\u202e"${'x'.repeat(300)}` }));
    const text = describeAll(aPod({ containers }, { generateName: 'bot-\n' }));
    expect(text).toMatch(/^[\x20-\x7e…’]+$/u);
    expect(text).toContain('40 problems');
    expect(text).toContain('and 28 more');
    expect(text.length).toBeLessThan(4096);
  });
});
