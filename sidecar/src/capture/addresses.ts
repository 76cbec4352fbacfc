import type { GrantedResource, Snapshot } from '@chaperone/policy';
import { canonicalAddress } from './guard.ts';

/** One place where the sidecar listens for one resource. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly resource: GrantedResource;
}

/** What a snapshot says about names and addresses. (address, port) names a resource; one name may lead to several ports. */
export interface AddressIndex {
  /** The resource that lives at this virtual address and port. IPv4-mapped spellings are the same address. */
  lookup(address: string, port: number): GrantedResource | undefined;
  /** The virtual addresses of a granted name (any case, no final dot); undefined where nothing is granted under it. */
  resolve(host: string): { readonly ipv4: readonly string[]; readonly ipv6: readonly string[] } | undefined;
  readonly endpoints: readonly Endpoint[];
}

/**
 * Indexes the addresses of a snapshot. Where two resources claim one (address, port) — the operator never lets that happen —
 * neither is served there: whichever were meant, the other would be the wrong database.
 */
export function indexAddresses(snapshot: Pick<Snapshot, 'resources'> | undefined): AddressIndex {
  const endpoints = new Map<string, Endpoint>();
  const disputed = new Set<string>();
  const names = new Map<string, { ipv4: Set<string>; ipv6: Set<string> }>();
  const claim = (address: string, resource: GrantedResource): void => {
    const key = keyOf(address, resource.port);
    const other = endpoints.get(key);
    if (other !== undefined && other.resource !== resource) disputed.add(key);
    endpoints.set(key, { address, port: resource.port, resource });
  };
  for (const resource of snapshot?.resources ?? []) {
    for (const { host, ipv4, ipv6 } of resource.addresses) {
      const name = names.get(host.toLowerCase()) ?? { ipv4: new Set(), ipv6: new Set() };
      names.set(host.toLowerCase(), name);
      name.ipv4.add(ipv4);
      if (ipv6 !== undefined) name.ipv6.add(ipv6);
      for (const address of ipv6 === undefined ? [ipv4] : [ipv4, ipv6]) claim(address, resource);
    }
  }
  for (const key of disputed) endpoints.delete(key);
  return {
    lookup: (address, port) => endpoints.get(keyOf(address, port))?.resource,
    resolve: (host) => {
      const found = names.get(host.toLowerCase());
      return found === undefined ? undefined : { ipv4: [...found.ipv4], ipv6: [...found.ipv6] };
    },
    endpoints: [...endpoints.values()],
  };
}

function keyOf(address: string, port: number): string {
  return `${canonicalAddress(address)}#${port}`;
}
