import type { ProtectedResource, ResourceAddress } from '@chaperone/api';
import type { GrantedResource, Whereabouts } from './access.ts';

/**
 * Where all resources are that an agent is not granted, for a proxy that has to keep its forwards, and ways into pods, away from them; undefined
 * where no rule lets it have any, and its proxy need not know. In a fixed order.
 * @param all - every resource that there is, accepted or not
 */
export function elsewhereOf(
  granted: readonly GrantedResource[],
  all: Iterable<{ readonly resource: ProtectedResource; readonly addresses: readonly ResourceAddress[] }>,
): Whereabouts[] | undefined {
  const opens = granted.some(({ access }) =>
    access.rules.some(
      ({ effect, ssh, kubernetes }) => effect !== 'Deny' && (ssh?.forward ?? kubernetes?.verbs?.some(isIntoPods)),
    ),
  );
  if (!opens) return undefined;
  const known = new Set(granted.map(({ access: { resource } }) => `${resource.namespace}/${resource.name}`));
  return [...all]
    .map(({ resource: { metadata, spec }, addresses }) => ({ key: `${metadata.namespace}/${metadata.name}`, spec, addresses }))
    .filter(({ key }) => !known.has(key))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ spec: { hosts, port, upstream }, addresses }) => ({
      hosts: [...hosts],
      port,
      addresses: [...addresses],
      upstream: splitAddress(upstream.address),
    }));
}

const INTO_PODS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', '*']);
const isIntoPods = (verb: string): boolean => INTO_PODS.has(verb);

/** host:port or [v6]:port, whose form the API has checked. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(at + 1)) };
}
