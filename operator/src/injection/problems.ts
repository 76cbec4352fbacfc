import { isDeepStrictEqual } from 'node:util';
import { checkContainer } from './container-problems.ts';
import { containerMismatch } from './match.ts';
import type { Container, Pod, PodSpec, Volume } from './pod.ts';
import {
  API_ACCESS_PREFIX,
  CONTAINER_NAMES,
  type InjectionConfig,
  injectedContainers,
  injectedVolumes,
  RESERVED_PREFIX,
  SYSCTLS,
} from './profile.ts';
import { type AdmissionCode, type Problem, plain, problem, quote } from './problem.ts';
import { secureContainer } from './secure.ts';

export interface ValidationInput {
  /** The pod as it came, before injection. */
  readonly pod: Pod;
  readonly config: InjectionConfig;
  readonly defaultRunAsUser?: number | undefined;
  /** Extended resources that agents may ask for, such as `nvidia.com/gpu`. */
  readonly devices: readonly string[];
}

/**
 * Everything that keeps a pod from running in a governed namespace, in the order of its fields. The admission policies of the
 * chart hold the same rules; they speak when the operator cannot, and name only the first.
 */
export function findProblems(input: ValidationInput): readonly Problem[] {
  return [...podProblems(input.pod), ...userProblems(input), ...volumeProblems(input.pod), ...containerProblems(input)];
}

const POD_CHECKS: readonly {
  readonly fails: (pod: PodSpec) => boolean;
  readonly code: AdmissionCode;
  readonly message: string;
}[] = [
  {
    fails: (spec) => spec.hostNetwork === true,
    code: 'HostNetwork',
    message:
      'set spec.hostNetwork to false; a pod on the node’s network cannot be governed. If it must be there, move it to a namespace without chaperone.dev/inject',
  },
  { fails: (spec) => spec.hostPID === true, code: 'HostNamespace', message: 'set spec.hostPID to false' },
  { fails: (spec) => spec.hostIPC === true, code: 'HostNamespace', message: 'set spec.hostIPC to false' },
  {
    fails: (spec) => spec.shareProcessNamespace === true,
    code: 'SharedProcesses',
    message: 'set spec.shareProcessNamespace to false; the agent would see the processes of chaperone-sidecar',
  },
  {
    fails: (spec) => (spec.hostAliases ?? []).length > 0,
    code: 'DnsSettings',
    message: 'remove spec.hostAliases; the file is shared with chaperone-sidecar and would steer it',
  },
  {
    fails: (spec) => spec.dnsConfig !== undefined,
    code: 'DnsSettings',
    message: 'remove spec.dnsConfig; the file is shared with chaperone-sidecar and would steer it',
  },
  {
    fails: (spec) => (spec.dnsPolicy ?? 'ClusterFirst') !== 'ClusterFirst',
    code: 'DnsSettings',
    message: 'set spec.dnsPolicy to ClusterFirst or remove it',
  },
  {
    fails: (spec) => (spec.resourceClaims ?? []).length > 0,
    code: 'DeviceNotAllowed',
    message: 'remove spec.resourceClaims; a claimed device could be a way out of the pod',
  },
  {
    fails: (spec) => spec.securityContext?.seLinuxOptions !== undefined,
    code: 'SELinuxSet',
    message: 'remove spec.securityContext.seLinuxOptions; agents run under the runtime’s own label',
  },
  {
    fails: (spec) => (spec.os?.name ?? 'linux') !== 'linux',
    code: 'NotLinux',
    message: 'set spec.os.name to linux; only Linux pods can be governed',
  },
];

function podProblems({ metadata, spec }: Pod): Problem[] {
  const annotation = Object.keys(metadata.annotations ?? {}).find(
    (key) => key.startsWith('k8s.v1.cni.cncf.io/') || key.startsWith('v1.multus-cni.io/'),
  );
  const sysctl = (spec.securityContext?.sysctls ?? []).findIndex(
    (given) => !SYSCTLS.some((own) => isDeepStrictEqual(own, given)),
  );
  return [
    ...POD_CHECKS.filter(({ fails }) => fails(spec)).map(({ code, message }) => problem(code, message)),
    ...(annotation === undefined
      ? []
      : [problem('ExtraNetwork', `remove annotation ${quote(annotation)}; a second network would be a way around the sidecar`)]),
    ...(metadata.annotations?.['kubernetes.io/config.mirror'] === undefined
      ? []
      : [problem('StaticPod', 'a static pod cannot be governed; create it through the API')]),
    ...(sysctl === -1 ? [] : [problem('SysctlSet', `remove spec.securityContext.sysctls[${sysctl}]; agents may set none`)]),
  ];
}

/** Group and user of the sidecar at pod level; users of containers are the containers' own problems. */
function userProblems({ pod, config }: ValidationInput): Problem[] {
  const context = pod.spec.securityContext;
  const taken = (path: string): Problem =>
    problem('ReservedUser', `spec.securityContext.${path} ${config.uid} belongs to chaperone-sidecar; choose another`);
  return [
    ...(context?.fsGroup === config.uid ? [taken('fsGroup')] : []),
    ...(context?.supplementalGroups?.includes(config.uid) === true ? [taken('supplementalGroups')] : []),
  ];
}

/** Sources that neither reach another host through the kubelet nor show the node. */
const VOLUME_SOURCES = new Set([
  'configMap',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

function volumeProblems({ spec }: Pod): Problem[] {
  const own = injectedVolumes();
  return (spec.volumes ?? []).flatMap((volume, index): Problem[] => {
    const path = `spec.volumes[${index}]`;
    if (volume.name.startsWith(API_ACCESS_PREFIX)) return [];
    if (volume.name.startsWith(RESERVED_PREFIX))
      return own.some((ours) => isDeepStrictEqual(ours, volume)) ? [] : [reservedName(path, volume.name)];
    return sourceProblems(volume, path);
  });
}

function sourceProblems(volume: Volume, path: string): Problem[] {
  const source = Object.keys(volume).find((field) => field !== 'name' && !VOLUME_SOURCES.has(field));
  if (source !== undefined)
    return [
      problem(
        'VolumeNotAllowed',
        `volume ${quote(volume.name)}: replace ${path}.${source}; allowed are ${[...VOLUME_SOURCES].join(', ')}`,
      ),
    ];
  const token = (volume.projected?.sources ?? []).findIndex(
    (entry) => entry['serviceAccountToken'] !== undefined || entry['podCertificate'] !== undefined,
  );
  if (token === -1) return [];
  const kind =
    volume.projected?.sources?.[token]?.['serviceAccountToken'] === undefined ? 'podCertificate' : 'serviceAccountToken';
  return [
    problem(
      'TokenProjected',
      `volume ${quote(volume.name)}: remove ${path}.projected.sources[${token}].${kind}; the mounted token already reaches the API through Chaperone`,
    ),
  ];
}

const reservedName = (path: string, name: string): Problem =>
  problem('ReservedName', `rename ${path} ${quote(name)}; names beginning with chaperone- are added at injection`);

function containerProblems(input: ValidationInput): Problem[] {
  const { pod, config } = input;
  const wanted = injectedContainers(config);
  const own: readonly string[] = CONTAINER_NAMES;
  // What an earlier call of ours put there, or a faithful copy of it, is put there again.
  const isOurs = (container: Container): boolean => {
    const want = wanted.find(({ name }) => name === container.name);
    return want !== undefined && isSameProgram(container, want);
  };
  const list = (field: 'initContainers' | 'containers') =>
    (pod.spec[field] ?? []).flatMap((container, index): readonly Problem[] => {
      const path = `spec.${field}[${index}]`;
      if (field === 'initContainers' && own.includes(container.name) && isOurs(container)) return [];
      if (container.name.startsWith(RESERVED_PREFIX)) return [reservedName(path, container.name)];
      const secured = secureContainer(container, pod.spec.securityContext, input.defaultRunAsUser);
      return checkContainer(secured, path, { pod, uid: config.uid, devices: input.devices });
    });
  return [...list('containers'), ...list('initContainers')];
}

/** Other webhooks may have added to our container's environment or mounts; that is mended, another program is refused. */
function isSameProgram(have: Container, want: Container): boolean {
  const different = containerMismatch({ ...have, env: want.env ?? [], volumeMounts: want.volumeMounts ?? [] }, want);
  return different === undefined;
}

const MAX_LISTED = 12;

/** All problems of one pod on one line, as `kubectl` prints it. */
export function describeProblems(pod: Pod, namespace: string, problems: readonly Problem[]): string {
  const name = pod.metadata.name ?? `${pod.metadata.generateName ?? ''}…`;
  const listed = problems.slice(0, MAX_LISTED).map(({ code, message }, index) => `(${index + 1}) ${message} [${code}]`);
  const rest = problems.length - listed.length;
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const more = rest === 0 ? '' : ` and ${rest} more`;
  return `pod ${quote(name)} cannot run in governed namespace ${plain(namespace)}, ${count}: ${listed.join(' ')}${more} [AgentPodRejected]`;
}
