import type { Container, PodSecurityContext } from './pod.ts';

/** What a container lacks and every agent must have is set, not asked for; what contradicts it is left for validation to name. */
export function secureContainer(
  container: Container,
  pod: PodSecurityContext | undefined,
  defaultRunAsUser: number | undefined,
): Container {
  const given = container.securityContext ?? {};
  const drop = given.capabilities?.drop ?? [];
  const runAsUser = given.runAsUser ?? pod?.runAsUser;
  return {
    ...container,
    securityContext: {
      ...given,
      allowPrivilegeEscalation: given.allowPrivilegeEscalation ?? false,
      capabilities: { ...given.capabilities, drop: drop.includes('ALL') ? drop : [...drop, 'ALL'] },
      ...(given.seccompProfile === undefined && pod?.seccompProfile === undefined
        ? { seccompProfile: { type: 'RuntimeDefault' } }
        : {}),
      ...(runAsUser === undefined && defaultRunAsUser !== undefined ? { runAsUser: defaultRunAsUser } : {}),
    },
  };
}

/** Namespace annotation with the user that agents run as where neither pod nor container names one. */
export const DEFAULT_USER_ANNOTATION = 'chaperone.dev/default-run-as-user';

/** Reads {@link DEFAULT_USER_ANNOTATION}. @returns undefined where it is absent or no user between 1 and 2^31-1. */
export function readDefaultUser(annotations: Readonly<Record<string, string>> | undefined): number | undefined {
  const text = annotations?.[DEFAULT_USER_ANNOTATION];
  if (text === undefined || !/^[1-9]\d{0,9}$/.test(text)) return undefined;
  const user = Number(text);
  return user <= 2_147_483_647 ? user : undefined;
}
