import type { AccessPolicy, ProtectedResource, ResourceAddress } from '@chaperone/api';
import {
  type Agent,
  type ClusterFacts,
  compileAccess,
  elsewhereOf,
  type GrantedResource,
  protocolSettings,
  readCredential,
  selectsAgent,
  type Snapshot,
  splitAddress,
  withHashKeys,
} from '@chaperone/policy';
import type { Problem } from '@chaperone/policy/conditions';
import type { SecretView } from '../resources/secrets.ts';
import type { CredentialView } from '../resources/source.ts';

/** A resource with all that was found out about it. */
export interface ResourceState {
  readonly resource: ProtectedResource;
  /** Not accepted: it does not take part, whoever names it. */
  readonly refused: Problem | undefined;
  readonly blocked: Problem | undefined;
  readonly addresses: readonly ResourceAddress[];
  readonly credentials: CredentialView | undefined;
  readonly ca: SecretView | undefined;
}
export type SnapshotContent = Pick<Snapshot, 'agent' | 'resources' | 'elsewhere' | 'cluster' | 'inboundPorts'>;

/** What one agent may do, with what it takes to do it. Pure; resources are in a fixed order. */
export function compileContent(
  agent: Agent,
  policies: readonly AccessPolicy[],
  states: ReadonlyMap<string, ResourceState>,
  { hashSecret, cluster }: { readonly hashSecret: Buffer; readonly cluster: ClusterFacts },
): SnapshotContent {
  const selecting = policies.filter((policy) => selectsAgent(policy, agent));
  const named = new Set(
    selecting.flatMap((policy) => policy.spec.rules.map((rule) => `${rule.resource.namespace}/${rule.resource.name}`)),
  );
  const resources = [...named].toSorted().flatMap((key) => {
    const state = states.get(key);
    const granted = state === undefined || state.refused !== undefined ? undefined : grant(agent, selecting, state, hashSecret);
    return granted === undefined ? [] : [granted];
  });
  const inbound = new Set(selecting.flatMap((policy) => policy.spec.inbound?.ports ?? []));
  const elsewhere = elsewhereOf(resources, states.values());
  return {
    agent,
    resources,
    ...(elsewhere !== undefined && { elsewhere }),
    ...(resources.some((one) => one.kubernetes !== undefined) && { cluster }),
    inboundPorts: [...inbound].toSorted((a, b) => a - b),
  };
}

function grant(
  agent: Agent,
  policies: readonly AccessPolicy[],
  state: ResourceState,
  hashSecret: Buffer,
): GrantedResource | undefined {
  const { resource, blocked } = state;
  const compiled = compileAccess({ agent, policies, resource });
  if (!compiled.ok) return undefined;
  const { spec } = resource;
  const ca = spec.upstream.tls.caRef === undefined ? undefined : state.ca?.text(spec.upstream.tls.caRef.key);
  const read = blocked === undefined ? readCredential(spec, (key) => state.credentials?.text(key)) : undefined;
  return {
    access: withHashKeys(compiled.access, hashSecret),
    hosts: spec.hosts,
    port: spec.port,
    upstream: {
      ...splitAddress(spec.upstream.address),
      tls: {
        mode: spec.upstream.tls.mode,
        ...(ca === undefined ? {} : { ca }),
        ...(spec.upstream.tls.serverName === undefined ? {} : { serverName: spec.upstream.tls.serverName }),
      },
    },
    ...(spec.credentials !== undefined && read !== undefined && 'credential' in read ? { credentials: read.credential } : {}),
    ...protocolSettings(spec),
    ...(spec.kubernetes !== undefined && { kubernetes: { ...spec.kubernetes, own: isOwnApi(spec.upstream.address) } }),
    addresses: [...state.addresses],
    ...(blocked === undefined ? {} : { notReady: blocked }),
  };
}

/** Whether it is the Service by which a pod finds the API server of its own cluster. */
export function isOwnApi(address: string): boolean {
  return /^kubernetes\.default\.svc(\.cluster\.local)?:443$/.test(address);
}

/** Names and addresses under which agents reach these resources: what the sidecar's certificate must carry. */
export function namesOf(content: SnapshotContent): string[] {
  const names = content.resources.flatMap((resource) => [
    ...resource.hosts,
    ...resource.addresses.flatMap(({ ipv4, ipv6 }) => (ipv6 === undefined ? [ipv4] : [ipv4, ipv6])),
  ]);
  return [...new Set(names)].toSorted();
}
