import { isDeepStrictEqual } from 'node:util';
import type { Container, Handler, Pod, VolumeMount } from './pod.ts';
import { type Problem, plain, problem, quote } from './problem.ts';
import { CA_PATH, CA_VOLUME, RESERVED_PREFIX, SSH_MOUNT } from './profile.ts';

export interface ContainerContext {
  readonly pod: Pod;
  /** The sidecar's user and group. */
  readonly uid: number;
  /** Extended resources that agents may ask for. */
  readonly devices: readonly string[];
}

/** Looks at one container of an agent, after what may be set has been set; `path` is where its author wrote it. */
type Check = (container: Container, path: string, context: ContainerContext) => Problem | undefined;

const owner = ({ name }: Container): string => `container ${quote(name)}`;

const checkUser: Check = (container, path, { pod, uid }) => {
  const user = container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser;
  const field = `${path}.securityContext.runAsUser`;
  if (user === uid)
    return problem('ReservedUser', `${owner(container)}: ${field} ${uid} belongs to chaperone-sidecar; choose another`);
  if (user !== undefined && user >= 1) return undefined;
  const text = `${owner(container)}: set ${field} to its image's numeric user, 1 or higher, not ${uid}`;
  return problem('AgentMustSetUser', text);
};

const checkGroup: Check = (container, path, { pod, uid }) => {
  const group = container.securityContext?.runAsGroup ?? pod.spec.securityContext?.runAsGroup;
  if (group !== uid) return undefined;
  const text = `${owner(container)}: ${path}.securityContext.runAsGroup ${uid} belongs to chaperone-sidecar; choose another`;
  return problem('ReservedUser', text);
};

const checkPrivileged: Check = (container, path) =>
  container.securityContext?.privileged === true
    ? problem('Privileged', `${owner(container)}: ${path}.securityContext.privileged is true; set it to false or remove the line`)
    : undefined;

const checkEscalation: Check = (container, path) => {
  if (container.securityContext?.allowPrivilegeEscalation === false) return undefined;
  const field = `${path}.securityContext.allowPrivilegeEscalation`;
  return problem('EscalationAllowed', `${owner(container)}: ${field} is true; set it to false or remove the line`);
};

const checkCapabilities: Check = (container, path) => {
  const added = container.securityContext?.capabilities?.add ?? [];
  if (added.length === 0) return undefined;
  const names = added.slice(0, 8).map(plain).join(', ');
  const text = `${owner(container)}: remove ${names} from ${path}.securityContext.capabilities.add; agents may add none`;
  return problem('CapabilityAdded', text);
};

const checkProcMount: Check = (container, path) =>
  (container.securityContext?.procMount ?? 'Default') === 'Default'
    ? undefined
    : problem('ProcMount', `${owner(container)}: set ${path}.securityContext.procMount to Default or remove the line`);

const checkSeccomp: Check = (container, path, { pod }) => {
  const type = container.securityContext?.seccompProfile?.type ?? pod.spec.securityContext?.seccompProfile?.type;
  if (type === 'RuntimeDefault' || type === 'Localhost') return undefined;
  return problem('SeccompUnconfined', `${owner(container)}: set ${path}.securityContext.seccompProfile.type to RuntimeDefault`);
};

const checkAppArmor: Check = (container, path, { pod }) => {
  const type = container.securityContext?.appArmorProfile?.type ?? pod.spec.securityContext?.appArmorProfile?.type;
  if (type !== 'Unconfined') return undefined;
  const field = `${path}.securityContext.appArmorProfile.type`;
  return problem('AppArmorUnconfined', `${owner(container)}: set ${field} to RuntimeDefault or remove it`);
};

const checkSeLinux: Check = (container, path) =>
  container.securityContext?.seLinuxOptions === undefined
    ? undefined
    : problem('SELinuxSet', `${owner(container)}: remove ${path}.securityContext.seLinuxOptions`);

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const;
const HOOKS = ['postStart', 'preStop'] as const;

/** The kubelet would dial that host from the node, past every rule of the pod. */
const checkProbeHosts: Check = (container, path) => {
  const handlers: [string, Handler | undefined][] = [
    ...PROBES.map((name): [string, Handler | undefined] => [name, container[name]]),
    ...HOOKS.map((name): [string, Handler | undefined] => [`lifecycle.${name}`, container.lifecycle?.[name]]),
  ];
  const found = handlers.flatMap(([field, handler]) =>
    (['httpGet', 'tcpSocket'] as const).filter((way) => handler?.[way]?.host).map((way) => `${path}.${field}.${way}.host`),
  );
  if (found.length === 0) return undefined;
  return problem('ProbeHost', `${owner(container)}: remove ${found.join(', ')}; the node would dial it for the agent`);
};

const checkHostPorts: Check = (container, path) => {
  const index = (container.ports ?? []).findIndex(({ hostPort }) => (hostPort ?? 0) > 0);
  if (index === -1) return undefined;
  return problem('HostPort', `${owner(container)}: remove ${path}.ports[${index}].hostPort; use a Service`);
};

const checkDevices: Check = (container, path, { devices }) => {
  const asked = Object.keys({ ...container.resources?.requests, ...container.resources?.limits });
  const device = asked.find((resource) => resource.includes('/') && !devices.includes(resource));
  if (device === undefined) return undefined;
  const text = `${owner(container)}: remove ${plain(device)} from ${path}.resources; the platform team allows devices in injection.devices`;
  return problem('DeviceNotAllowed', text);
};

const checkBlockDevices: Check = (container, path) =>
  (container.volumeDevices ?? []).length === 0
    ? undefined
    : problem('BlockDevice', `${owner(container)}: remove ${path}.volumeDevices`);

const isInjected = (mount: VolumeMount): boolean =>
  (mount.name === CA_VOLUME && mount.mountPath === CA_PATH) || isDeepStrictEqual(mount, SSH_MOUNT);

const checkMounts: Check = (container, path) => {
  const index = (container.volumeMounts ?? []).findIndex((mount) => mount.name.startsWith(RESERVED_PREFIX) && !isInjected(mount));
  if (index === -1) return undefined;
  const text = `${owner(container)}: remove ${path}.volumeMounts[${index}]; volumes beginning with chaperone- belong to Chaperone`;
  return problem('ReservedName', text);
};

const CHECKS: readonly Check[] = [
  checkUser,
  checkGroup,
  checkPrivileged,
  checkEscalation,
  checkCapabilities,
  checkProcMount,
  checkSeccomp,
  checkAppArmor,
  checkSeLinux,
  checkProbeHosts,
  checkHostPorts,
  checkDevices,
  checkBlockDevices,
  checkMounts,
];

/** Every problem of one container of an agent. */
export function checkContainer(container: Container, path: string, context: ContainerContext): readonly Problem[] {
  return CHECKS.map((check) => check(container, path, context)).filter((found) => found !== undefined);
}
