import { isDeepStrictEqual } from 'node:util';
import type { InjectionProfile } from '@chaperone/api';
import type { Container, EnvVar, Pod, Volume } from './pod.ts';
import { API_ACCESS_PREFIX, API_ACCESS_VOLUME, CONTAINER_NAMES, containersOf, OPERATOR_CA, RESERVED_PREFIX } from './profile.ts';

/** Compared where absent and empty mean the same. */
const LISTS = ['command', 'args', 'volumeMounts'] as const;
const VALUES = ['image', 'restartPolicy', 'securityContext', 'startupProbe', 'readinessProbe', 'livenessProbe'] as const;
/** Nothing of ours has one, and each could change what our programs do. */
const ABSENT = [
  'lifecycle',
  'envFrom',
  'workingDir',
  'volumeDevices',
  'stdin',
  'stdinOnce',
  'tty',
  'restartPolicyRules',
] as const;

/**
 * Compares the injected parts of a running pod with a profile, field by field as the admission policy does: the containers in
 * front and in order (in mode `node` without chaperone-init), each one's image, command, arguments, environment, mounts, probes and security
 * context, and every volume with a reserved name. The operator's CA may be any that the profile lists.
 * @returns The first field that differs, for example `spec.initContainers[1].image`; undefined where all are equal.
 */
export function profileMismatch(pod: Pod, profile: InjectionProfile): string | undefined {
  const inits = pod.spec.initContainers ?? [];
  // Its containers say of which mode it is, and never change; that the mode was its namespace's, admission saw.
  const mode = inits[0]?.name === CONTAINER_NAMES[0] ? 'pod' : 'node';
  const wanted = containersOf(mode, profile.spec.containers as readonly unknown[] as readonly Container[]);
  if (wanted.length === 0) return 'spec.initContainers';
  for (const [index, want] of wanted.entries()) {
    const path = `spec.initContainers[${index}]`;
    const have = inits[index];
    if (have?.name !== want.name) return path;
    const different = containerMismatch(have, want, profile.spec.operatorCas);
    if (different !== undefined) return `${path}.${different}`;
  }
  const stray = inits.findIndex(({ name }, index) => index >= wanted.length && name.startsWith(RESERVED_PREFIX));
  if (stray !== -1) return `spec.initContainers[${stray}]`;
  return volumeMismatch(pod, profile.spec.volumes as readonly unknown[] as readonly Volume[]);
}

/** True where {@link profileMismatch} finds nothing. */
export function matchesProfile(pod: Pod, profile: InjectionProfile): boolean {
  return profileMismatch(pod, profile) === undefined;
}

export function containerMismatch(have: Container, want: Container, operatorCas: readonly string[] = []): string | undefined {
  return (
    (isSameEnvironment(have.env ?? [], want.env ?? [], operatorCas) ? undefined : 'env') ??
    VALUES.find((name) => !isDeepStrictEqual(have[name], want[name])) ??
    LISTS.find((name) => !isDeepStrictEqual(have[name] ?? [], want[name] ?? [])) ??
    ABSENT.find((name) => have[name] !== undefined)
  );
}

function isSameEnvironment(have: readonly EnvVar[], want: readonly EnvVar[], operatorCas: readonly string[]): boolean {
  const others = (all: readonly EnvVar[]): EnvVar[] =>
    all.filter(({ name, value }) => !(name === OPERATOR_CA && operatorCas.includes(value ?? '')));
  return have.length === want.length && isDeepStrictEqual(others(have), others(want));
}

const reserved = ({ name }: Volume): boolean => name.startsWith(RESERVED_PREFIX) || name.startsWith(API_ACCESS_PREFIX);

function volumeMismatch(pod: Pod, wanted: readonly Volume[]): string | undefined {
  const volumes = pod.spec.volumes ?? [];
  const stray = volumes.findIndex((volume) => reserved(volume) && !wanted.some((want) => isDeepStrictEqual(volume, want)));
  if (stray !== -1) return `spec.volumes[${stray}]`;
  const missing = wanted.find(({ name }) => name !== API_ACCESS_VOLUME && !volumes.some((volume) => volume.name === name));
  return missing === undefined ? undefined : `spec.volumes["${missing.name}"]`;
}
