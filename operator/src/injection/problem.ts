/** Why a pod may not run in a governed namespace. */
export interface Problem {
  readonly code: AdmissionCode;
  /** One sentence that names the object, the field and what to change. */
  readonly message: string;
}

export type AdmissionCode =
  | 'AgentMustSetUser'
  | 'AppArmorUnconfined'
  | 'BlockDevice'
  | 'CapabilityAdded'
  | 'DeviceNotAllowed'
  | 'DnsSettings'
  | 'EscalationAllowed'
  | 'ExtraNetwork'
  | 'HostNamespace'
  | 'HostNetwork'
  | 'HostPort'
  | 'NotLinux'
  | 'Privileged'
  | 'ProbeHost'
  | 'ProcMount'
  | 'ReservedName'
  | 'ReservedUser'
  | 'SELinuxSet'
  | 'SeccompUnconfined'
  | 'SharedProcesses'
  | 'StaticPod'
  | 'SysctlSet'
  | 'TokenProjected'
  | 'VolumeNotAllowed';

export const problem = (code: AdmissionCode, message: string): Problem => ({ code, message });

const MAX_NAME = 80;

/** Foreign text without anything that a terminal would act on; names are not validated yet when a mutating webhook sees them. */
export function plain(text: string): string {
  return text.slice(0, MAX_NAME).replaceAll(/[^\x20-\x7e…]/gu, '?');
}

/** {@link plain} in quotes. */
export function quote(text: string): string {
  return `"${plain(text).replaceAll('"', '?')}"`;
}
