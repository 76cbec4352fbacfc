import { isIP } from 'node:net';
import { isLoopback } from '../../capture/guard.ts';

/** What of a resource says where it is. */
export interface Whereabouts {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly addresses: readonly { readonly ipv4: string; readonly ipv6?: string | undefined }[];
  readonly upstream: { readonly host: string; readonly port: number };
}

export interface Surroundings {
  /** All that the agent has. */
  readonly resources: readonly Whereabouts[];
  /** Where the host itself is that would connect: its loopback is its own. */
  readonly here: string;
  /** The addresses of a name; what is not known has none. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
}

/**
 * Whether a host would connect to what agents reach by a proxy of ours, by whatever name or address: then they reach it by no other
 * way. A name that only the host knows is what it reads.
 */
export async function isProtected(address: { host: string; port: number }, surroundings: Surroundings): Promise<boolean> {
  const { resources, here, resolve } = surroundings;
  const host = plain(address.host);
  const names = isOwn(host) ? [host, plain(here)] : [host];
  const near = resources.filter(({ port, upstream }) => port === address.port || upstream.port === address.port);
  const places = near.map((resource) => placesOf(resource, address.port));
  if (places.some((known) => known.some((place) => names.includes(place) || (isOwn(place) && isOwn(host))))) return true;
  const addressOf = async (name: string): Promise<readonly string[]> =>
    isIP(name) === 0 ? resolve(name).catch(() => []) : [name];
  const addressesOf = async (all: readonly string[]): Promise<string[]> =>
    (await Promise.all(all.map(addressOf))).flat().map(plain);
  const [asked, ...taken] = await Promise.all([names, ...places].map(addressesOf));
  return taken.some((known) => known.some((place) => asked?.includes(place)));
}

function placesOf({ hosts, port, addresses, upstream }: Whereabouts, asked: number): string[] {
  const own = [...hosts, ...addresses.flatMap(({ ipv4, ipv6 }) => [ipv4, ...(ipv6 === undefined ? [] : [ipv6])])];
  return [...(port === asked ? own : []), ...(upstream.port === asked ? [upstream.host] : [])].map(plain);
}

/** In the one form in which two that are the same are equal. */
function plain(host: string): string {
  const name = host.toLowerCase().replace(/[.]$/, '');
  return (isIP(name) === 6 && URL.parse(`http://[${name}]`)?.hostname.slice(1, -1)) || name;
}

/** Of whoever says it. */
function isOwn(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || name === '0.0.0.0' || name === '::' || isLoopback(name);
}
