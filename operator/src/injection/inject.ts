import { relative } from 'node:path/posix';
import { isDeepStrictEqual } from 'node:util';
import type { Container, EnvVar, Pod, Probe, VolumeMount } from './pod.ts';
import {
  API_ACCESS_PATH,
  API_ACCESS_PREFIX,
  API_ACCESS_VOLUME,
  apiAccessVolume,
  CA_PATH,
  CA_VOLUME,
  type CaptureMode,
  CONTAINER_NAMES,
  containersOf,
  INBOUND_PORTS_ANNOTATION,
  type InjectionConfig,
  injectedContainers,
  injectedVolumes,
  PROBED_PORTS_ANNOTATION,
  RESERVED_PREFIX,
  SSH_MOUNT,
  SYSCTLS,
} from './profile.ts';
import { secureContainer } from './secure.ts';

export interface InjectionInput {
  readonly pod: Pod;
  readonly config: InjectionConfig;
  /** Value of the namespace annotation `chaperone.dev/default-run-as-user`. */
  readonly defaultRunAsUser?: number | undefined;
  /** Ports that policies open to other pods at this moment. */
  readonly inboundPorts?: readonly number[];
  /** Who writes the pod's rules. Default: pod */
  readonly capture?: CaptureMode | undefined;
}

/** The sidecar needs about 2 s after the agent has ended to bring its last evidence out. */
const MIN_GRACE_SECONDS = 10;

/**
 * Points clients at the CA of the certificates that Chaperone shows them. Only variables that add trust or concern Chaperone
 * alone: NODE_EXTRA_CA_CERTS and DENO_CERT add to the built-in roots, PGSSLROOTCERT concerns PostgreSQL, where the sidecar is
 * the only server that an agent can reach. SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and GIT_SSL_CAINFO replace the
 * roots, which would break the TLS that a `tcp` resource carries through; agents that want them set them.
 */
const TRUST: readonly EnvVar[] = ['NODE_EXTRA_CA_CERTS', 'DENO_CERT', 'PGSSLROOTCERT'].map((name) => ({
  name,
  value: `${CA_PATH}/ca.crt`,
}));

/**
 * Where clients look for the API of their own cluster: by its name, which the sidecar answers for where a ProtectedResource has it.
 * The kubelet's address leads nowhere in a governed pod.
 */
const API: readonly EnvVar[] = [
  { name: 'KUBERNETES_SERVICE_HOST', value: 'kubernetes.default.svc' },
  { name: 'KUBERNETES_SERVICE_PORT', value: '443' },
];

/**
 * The pod as it shall run: Chaperone's containers in front of its init containers, the agent's API token replaced by one that
 * only Chaperone accepts, and what agents must have set where it was left out. Pure and idempotent:
 * `injectPod(injectPod(p))` equals `injectPod(p)`. It repairs; whether the pod may run is {@link findProblems}' to say.
 *
 * `automountServiceAccountToken: false` is part of it: the ServiceAccount plugin runs again after this change and would
 * otherwise mount the agent's volume into Chaperone's containers.
 */
export function injectPod({ pod, config, defaultRunAsUser, inboundPorts = [], capture = 'pod' }: InjectionInput): Pod {
  const { spec } = pod;
  const volumes = spec.volumes ?? [];
  const wantsApi = spec.automountServiceAccountToken !== false || volumes.some(({ name }) => name === API_ACCESS_VOLUME);
  const agent = (container: Container): Container =>
    withEnvironment(withMounts(secureContainer(container, spec.securityContext, defaultRunAsUser), wantsApi));
  const own: readonly string[] = CONTAINER_NAMES;
  const annotations = {
    ...pod.metadata.annotations,
    [INBOUND_PORTS_ANNOTATION]: portList(inboundPorts),
    [PROBED_PORTS_ANNOTATION]: portList(probedPorts(spec.containers)),
  };
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations },
    spec: {
      ...spec,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: Math.max(MIN_GRACE_SECONDS, spec.terminationGracePeriodSeconds ?? 30),
      securityContext: {
        ...spec.securityContext,
        sysctls: spec.securityContext?.sysctls?.length ? mergeSysctls(spec.securityContext.sysctls) : SYSCTLS,
      },
      volumes: [
        ...volumes.filter(({ name }) => !isApiAccess(name) && !name.startsWith(RESERVED_PREFIX)),
        ...(wantsApi ? [apiAccessVolume()] : []),
        ...injectedVolumes(),
      ],
      initContainers: [
        ...containersOf(capture, injectedContainers(config)),
        ...(spec.initContainers ?? []).filter(({ name }) => !own.includes(name)).map(agent),
      ],
      containers: spec.containers.map(agent),
    },
  };
}

/** Foreign ones stay, so that validation can name them. */
function mergeSysctls(given: NonNullable<NonNullable<Pod['spec']['securityContext']>['sysctls']>): typeof given {
  const foreign = given.filter((sysctl) => !SYSCTLS.some((own) => isDeepStrictEqual(own, sysctl)));
  return [...foreign, ...SYSCTLS];
}

const isApiAccess = (name: string): boolean => name.startsWith(API_ACCESS_PREFIX);

function withMounts(container: Container, wantsApi: boolean): Container {
  const mounts: VolumeMount[] = (container.volumeMounts ?? [])
    .filter(({ name }) => !name.startsWith(RESERVED_PREFIX))
    .filter(({ name }) => wantsApi || !isApiAccess(name))
    .map((mount) => (isApiAccess(mount.name) ? { ...mount, name: API_ACCESS_VOLUME } : mount));
  const add = (mount: VolumeMount): void => {
    if (!mounts.some(({ mountPath }) => mountPath === mount.mountPath)) mounts.push(mount);
  };
  if (wantsApi) add({ name: API_ACCESS_VOLUME, readOnly: true, mountPath: API_ACCESS_PATH });
  add({ name: CA_VOLUME, readOnly: true, mountPath: CA_PATH });
  if (!mounts.some(({ mountPath }) => isAbove(mountPath, SSH_MOUNT.mountPath))) mounts.push(SSH_MOUNT);
  return { ...container, volumeMounts: mounts };
}

/** Whether a mount at `path` is at `inner` or around it: nothing can be put into one that is read-only, and the container would not start. */
const isAbove = (path: string, inner: string): boolean => !relative(path, inner).startsWith('..');

function withEnvironment(container: Container): Container {
  const has = (volume: string): boolean => container.volumeMounts?.some(({ name }) => name === volume) ?? false;
  const given = container.env ?? [];
  const missing = [...(has(CA_VOLUME) ? TRUST : []), ...(has(API_ACCESS_VOLUME) ? API : [])].filter(
    ({ name }) => !given.some((variable) => variable.name === name),
  );
  return missing.length === 0 ? container : { ...container, env: [...given, ...missing] };
}

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const;

/** Ports that the kubelet itself must reach, in ascending order. */
function probedPorts(containers: readonly Container[]): readonly number[] {
  return containers.flatMap((container) =>
    PROBES.flatMap((kind) => {
      const port = portOf(container[kind]);
      const number = typeof port === 'string' ? container.ports?.find(({ name }) => name === port)?.containerPort : port;
      return number === undefined ? [] : [number];
    }),
  );
}

function portOf(probe: Probe | undefined): number | string | undefined {
  return probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? probe?.grpc?.port;
}

function portList(ports: readonly number[]): string {
  return [...new Set(ports)].toSorted((a, b) => a - b).join(',');
}
