import { API_VERSION, type InjectionProfile } from '@chaperone/api';
import type { TracingConfig } from '@chaperone/policy/tracing';
import type { Container, EnvVar, Sysctl, Volume } from './pod.ts';

/** What an installation injects. Every value is the platform's: nothing in a pod or its namespace can change one. */
export interface InjectionConfig {
  /** Image of all three containers, by digest where the installation pins one. */
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** User and group of chaperone-sidecar, 1 to 2^31-1; the only user whose packets leave the pod as they are. */
  readonly uid: number;
  /** Where the sidecar reaches the operator, `host:port`. */
  readonly operatorAddress: string;
  /** CA certificates (PEM, one or more) that the operator's certificate is checked against: the sidecar trusts no other. */
  readonly operatorCa: string;
  /** The virtual ranges, as CIDR. */
  readonly ranges: { readonly ipv4: string; readonly ipv6: string };
  /** Addresses and CIDRs that sidecars never dial, in a fixed order: Chaperone's own Services and what the platform names. */
  readonly forbiddenRanges: readonly string[];
  /** Kubernetes quantities in their canonical form (`10m`, `64Mi`): admission compares what the API server stored. */
  readonly resources: { readonly cpuRequest: string; readonly memoryRequest: string; readonly memoryLimit: string };
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Whether a sidecar without fresh policy makes its pod unready. */
  readonly readinessProbe: boolean;
  /** Where sidecars send traces; undefined: they make none. */
  readonly tracing?: TracingConfig | undefined;
}

/** Names that injection adds. Anything else in a pod whose name begins with {@link RESERVED_PREFIX} is refused. */
export const RESERVED_PREFIX = 'chaperone-';
export const CONTAINER_NAMES = ['chaperone-init', 'chaperone-sidecar', 'chaperone-verify'] as const;
/**
 * Who writes the rules of a pod: its own chaperone-init, or the agent of its node, where the namespace's Pod Security refuses
 * chaperone-init what that needs (docs/adr/0044).
 */
export const CAPTURE_MODES = ['pod', 'node'] as const;
export type CaptureMode = (typeof CAPTURE_MODES)[number];
/** Annotation of a namespace with its mode; another value, or none, is the installation's mode. Admission reads it too. */
export const CAPTURE_ANNOTATION = 'chaperone.dev/capture';

/** Reads {@link CAPTURE_ANNOTATION}. */
export function readCaptureMode(annotations: Readonly<Record<string, string>> | undefined, installed: CaptureMode): CaptureMode {
  return CAPTURE_MODES.find((mode) => mode === annotations?.[CAPTURE_ANNOTATION]) ?? installed;
}

/** Those of a profile's containers that pods of this mode have. */
export function containersOf<T extends { readonly name: string }>(mode: CaptureMode, containers: readonly T[]): readonly T[] {
  return mode === 'pod' ? containers : containers.filter(({ name }) => name !== CONTAINER_NAMES[0]);
}

export const API_ACCESS_PREFIX = 'kube-api-access-';
/** Keeps the prefix by which the ServiceAccount plugin knows its own volume, so that it adds no real token beside ours. */
export const API_ACCESS_VOLUME = 'kube-api-access-chaperone';
export const API_ACCESS_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
export const CA_VOLUME = 'chaperone-ca';
export const CA_PATH = '/etc/chaperone';
/** ConfigMap, in each governed namespace, with the CA of the certificates that sidecars show to agents (key `ca.crt`). */
export const CA_CONFIG_MAP = 'chaperone-ca';
export const SSH_VOLUME = 'chaperone-ssh';
/**
 * What tells SSH clients in an agent's container whom they meet: the second of the two files of the system that OpenSSH reads
 * (ssh_config(5), GlobalKnownHostsFile), so that an image's own stays. One file cannot be written through this mount.
 */
export const SSH_MOUNT = {
  name: SSH_VOLUME,
  readOnly: true,
  mountPath: '/etc/ssh/ssh_known_hosts2',
  subPath: 'known_hosts',
} as const;
export const PROFILE_NAME = 'default';
/** Variable of the sidecar: the bundle that it checks the operator's certificate against until the operator tells it of another. */
export const OPERATOR_CA = 'CHAPERONE_OPERATOR_CA';

export const SIDECAR_AUDIENCE = 'chaperone-sidecar';
export const AGENT_AUDIENCE = 'chaperone-agent';

/** Annotations that injection writes, and admission keeps as they are; chaperone-init reads them through the downward API. */
export const INBOUND_PORTS_ANNOTATION = 'chaperone.dev/inbound-ports';
export const PROBED_PORTS_ANNOTATION = 'chaperone.dev/probed-ports';

/** Ports of the sidecar inside the pod. */
export const PORTS = { dns: 15_053, deny: 15_001, probe: 15_021, self: 15_011 } as const;

/**
 * The only sysctls that admission accepts. The first lets the sidecar listen on the real ports of virtual addresses without a
 * capability; the second leaves no group that may open ICMP sockets. Both are in Kubernetes' safe set.
 */
export const SYSCTLS: readonly Sysctl[] = [
  { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' },
  { name: 'net.ipv4.ping_group_range', value: '1 0' },
];

/** Directories of chaperone-sidecar. */
export const DIRECTORIES = {
  run: '/run/chaperone',
  spool: '/var/lib/chaperone/spool',
  ssh: '/run/chaperone-ssh',
  identity: '/var/run/secrets/chaperone',
} as const;

/** Above this a projected token is renewed by the kubelet at 80 % of its life; 600 s is the least that the API server issues. */
const SIDECAR_TOKEN_SECONDS = 600;
/** What the ServiceAccount plugin asks for, which makes clients that compare notice nothing. */
const AGENT_TOKEN_SECONDS = 3607;
const FILE_MODE = 0o644;
const NOBODY = 65_534;
/** Of the memory limit, for the JavaScript heap; the rest is for buffers, code and thread stacks. */
const HEAP_SHARE = 0.6;
/**
 * The space for new objects stays small: V8 lets it grow to two times 16 MiB while a program starts, and keeps that. The SQL parser
 * is not compiled a second time: that takes 20 MiB, and saves a fifth of its time. What both cost: `docs/testing/bench.md`.
 */
const V8 = ['--max-semi-space-size=1', '--liftoff-only'] as const;
const NODE = ['/usr/local/bin/node', '--conditions=chaperone-dist'] as const;
const PROGRAMS = '/app/sidecar/dist';

/** All containers in the order of `initContainers`, with every default of the API server written out; {@link containersOf} a mode. */
export function injectedContainers(config: InjectionConfig): readonly Container[] {
  return [initContainer(config), sidecarContainer(config), verifyContainer(config)];
}

function common(config: InjectionConfig, name: string): Container {
  return {
    name,
    image: config.image,
    imagePullPolicy: config.imagePullPolicy,
    resources: {
      limits: { memory: config.resources.memoryLimit },
      requests: { cpu: config.resources.cpuRequest, memory: config.resources.memoryRequest },
    },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
  };
}

const restricted = (uid: number) => ({
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
  runAsGroup: uid,
  runAsNonRoot: true,
  runAsUser: uid,
  seccompProfile: { type: 'RuntimeDefault' },
});

/**
 * Writes the rules and is gone. It is root because the kernel wants NET_ADMIN in the effective set and a user other than root
 * gets it only from file capabilities on the entry binary, which is `node`: every other use of the image would carry them, and
 * image builders that drop extended attributes would break capture. NET_ADMIN is all that this root has.
 */
function initContainer(config: InjectionConfig): Container {
  return {
    ...common(config, 'chaperone-init'),
    command: [...NODE, `${PROGRAMS}/capture/init.js`],
    args: [
      `--uid=${config.uid}`,
      `--ipv4-range=${config.ranges.ipv4}`,
      `--ipv6-range=${config.ranges.ipv6}`,
      `--dns-port=${PORTS.dns}`,
      `--deny-port=${PORTS.deny}`,
      `--probe-port=${PORTS.probe}`,
      `--self-port=${PORTS.self}`,
      '--inbound-ports=$(INBOUND_PORTS)',
      '--probed-ports=$(PROBED_PORTS)',
      '--node-addresses=$(NODE_ADDRESSES)',
    ],
    env: [
      field('INBOUND_PORTS', `metadata.annotations['${INBOUND_PORTS_ANNOTATION}']`),
      field('PROBED_PORTS', `metadata.annotations['${PROBED_PORTS_ANNOTATION}']`),
      field('NODE_ADDRESSES', 'status.hostIPs'),
    ],
    securityContext: {
      ...restricted(0),
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      runAsNonRoot: false,
    },
  };
}

function sidecarContainer(config: InjectionConfig): Container {
  const health = { httpGet: { path: '/livez', port: PORTS.probe, scheme: 'HTTP' } };
  return {
    ...common(config, 'chaperone-sidecar'),
    restartPolicy: 'Always',
    command: [...NODE, ...V8, `--max-old-space-size=${heapMiB(config.resources.memoryLimit)}`, `${PROGRAMS}/main.js`],
    env: [
      { name: 'CHAPERONE_OPERATOR', value: config.operatorAddress },
      { name: OPERATOR_CA, value: config.operatorCa },
      { name: 'CHAPERONE_TOKEN_FILE', value: `${DIRECTORIES.identity}/token` },
      { name: 'CHAPERONE_RUN_DIRECTORY', value: DIRECTORIES.run },
      { name: 'CHAPERONE_SPOOL_DIRECTORY', value: DIRECTORIES.spool },
      { name: 'CHAPERONE_SSH_DIRECTORY', value: DIRECTORIES.ssh },
      { name: 'CHAPERONE_IPV4_RANGE', value: config.ranges.ipv4 },
      { name: 'CHAPERONE_IPV6_RANGE', value: config.ranges.ipv6 },
      // The API server keeps no empty value, and what it keeps has to equal the profile.
      ...(config.forbiddenRanges.length === 0
        ? []
        : [{ name: 'CHAPERONE_FORBIDDEN_RANGES', value: config.forbiddenRanges.join(',') }]),
      { name: 'CHAPERONE_DNS_PORT', value: String(PORTS.dns) },
      { name: 'CHAPERONE_DENY_PORT', value: String(PORTS.deny) },
      { name: 'CHAPERONE_PROBE_PORT', value: String(PORTS.probe) },
      { name: 'CHAPERONE_SELF_PORT', value: String(PORTS.self) },
      { name: 'CHAPERONE_LOG_LEVEL', value: config.logLevel },
      ...(config.tracing === undefined
        ? []
        : [
            { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: config.tracing.endpoint },
            { name: 'OTEL_TRACES_SAMPLER_ARG', value: String(config.tracing.ratio) },
          ]),
      field('POD_NAMESPACE', 'metadata.namespace'),
      field('POD_NAME', 'metadata.name'),
      field('POD_UID', 'metadata.uid'),
      field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      field('NODE_NAME', 'spec.nodeName'),
      field('NODE_ADDRESSES', 'status.hostIPs'),
    ],
    startupProbe: {
      httpGet: { path: '/startz', port: PORTS.probe, scheme: 'HTTP' },
      timeoutSeconds: 2,
      periodSeconds: 1,
      successThreshold: 1,
      failureThreshold: 60,
    },
    // Lenient: a restart drops every open session.
    livenessProbe: { ...health, timeoutSeconds: 3, periodSeconds: 5, successThreshold: 1, failureThreshold: 10 },
    ...(config.readinessProbe
      ? {
          readinessProbe: {
            httpGet: { path: '/readyz', port: PORTS.probe, scheme: 'HTTP' },
            timeoutSeconds: 2,
            periodSeconds: 5,
            successThreshold: 1,
            failureThreshold: 3,
          },
        }
      : {}),
    volumeMounts: [
      { name: 'chaperone-identity', readOnly: true, mountPath: DIRECTORIES.identity },
      { name: 'chaperone-run', mountPath: DIRECTORIES.run },
      { name: 'chaperone-spool', mountPath: DIRECTORIES.spool },
      { name: SSH_VOLUME, mountPath: DIRECTORIES.ssh },
    ],
    securityContext: restricted(config.uid),
  };
}

/** Tests capture as a user that the rules do not exempt; it reads the sidecar's nonce and can write nothing. */
function verifyContainer(config: InjectionConfig): Container {
  return {
    ...common(config, 'chaperone-verify'),
    command: [...NODE, `${PROGRAMS}/capture/verify.js`],
    args: [`--nonce-file=${DIRECTORIES.run}/nonce`, `--ipv4-range=${config.ranges.ipv4}`],
    volumeMounts: [{ name: 'chaperone-run', readOnly: true, mountPath: DIRECTORIES.run }],
    securityContext: restricted(NOBODY),
  };
}

const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } });

const UNITS: Readonly<Record<string, number>> = { Ki: 1 / 1024, Mi: 1, Gi: 1024 };

/** Heap size in MiB for a memory limit such as `256Mi`. */
function heapMiB(limit: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})(Ki|Mi|Gi)$/.exec(limit) ?? [];
  const factor = UNITS[unit];
  if (factor === undefined) throw new InjectionConfigError(`memory limit "${limit.slice(0, 32)}" is not written in Ki, Mi or Gi`);
  return Math.floor(Number(digits) * factor * HEAP_SHARE);
}

type ProfileSpec = InjectionProfile['spec'];
const environmentOf = ({ env }: ProfileSpec['containers'][number]): readonly (EnvVar | undefined)[] =>
  Array.isArray(env) ? (env as EnvVar[]) : [];

/** The CA bundle that pods of this profile are given; undefined where it has none. */
export function operatorCaOf(spec: ProfileSpec): string | undefined {
  const value = spec.containers.flatMap(environmentOf).find((variable) => variable?.name === OPERATOR_CA)?.value;
  return typeof value === 'string' ? value : undefined;
}

/** The profile with another CA bundle. */
export function withOperatorCa(spec: ProfileSpec, value: string): ProfileSpec {
  const replaced = (variable: EnvVar | undefined): EnvVar | undefined =>
    variable?.name === OPERATOR_CA ? { ...variable, value } : variable;
  const containers = spec.containers.map((container) =>
    container['env'] === undefined ? container : { ...container, env: environmentOf(container).map(replaced) },
  );
  return { ...spec, containers };
}

/** A value of the installation that no pod can be made of. */
export class InjectionConfigError extends Error {
  override readonly name = 'InjectionConfigError';
  readonly code = 'ConfigurationInvalid';
}

const serviceAccountToken = (audience: string, expirationSeconds: number) => ({
  serviceAccountToken: { audience, expirationSeconds, path: 'token' },
});
const caItem = { name: CA_CONFIG_MAP, items: [{ key: 'ca.crt', path: 'ca.crt' }] };

/** What stands where the agent's API token was: a token that only Chaperone accepts, and Chaperone's CA. */
export function apiAccessVolume(): Volume {
  return {
    name: API_ACCESS_VOLUME,
    projected: {
      sources: [
        serviceAccountToken(AGENT_AUDIENCE, AGENT_TOKEN_SECONDS),
        { configMap: caItem },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
      defaultMode: FILE_MODE,
    },
  };
}

/** The volumes that every injected pod has, in order. */
export function injectedVolumes(): readonly Volume[] {
  return [
    {
      name: 'chaperone-identity',
      projected: { sources: [serviceAccountToken(SIDECAR_AUDIENCE, SIDECAR_TOKEN_SECONDS)], defaultMode: FILE_MODE },
    },
    { name: 'chaperone-run', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
    { name: 'chaperone-spool', emptyDir: { sizeLimit: '512Mi' } },
    { name: SSH_VOLUME, emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
    { name: CA_VOLUME, configMap: { ...caItem, defaultMode: FILE_MODE } },
  ];
}

/**
 * The profile that admission and enrolment compare pods with. Resources and the pull policy stay out: a LimitRange or an
 * administrator may change them without changing what runs.
 */
export function buildProfile(config: InjectionConfig): InjectionProfile {
  return {
    apiVersion: API_VERSION,
    kind: 'InjectionProfile',
    metadata: { name: PROFILE_NAME },
    spec: {
      uid: config.uid,
      containers: injectedContainers(config).map(
        ({ imagePullPolicy: _policy, resources: _resources, ...container }) => container,
      ),
      volumes: [apiAccessVolume(), ...injectedVolumes()],
    },
  };
}
