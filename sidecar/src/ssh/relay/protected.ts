import { isIP } from 'node:net';
import type { Whereabouts } from '@chaperone/policy';
import { isLoopback } from '../../capture/guard.ts';

export interface Surroundings {
  /** All that there are, as far as a proxy knows. */
  readonly resources: readonly Whereabouts[];
  /** Where the host itself is that would connect: its loopback is its own. */
  readonly here: string;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** {@link isProtected} as far as it can be told without looking up names. */
export function isProtectedByName({ host, port }: Address, { resources, here }: Surroundings): boolean {
  const names = namesOf(host, here);
  const isOne = (place: string): boolean => names.includes(place) || (isOwn(place) && isOwn(plain(host)));
  return resources.some((resource) => placesOf(resource, port).some(isOne));
}

/**
 * Whether a host would connect to what agents reach by a proxy of ours, by whatever name or address: then they reach it by no other
 * way. A name that only the host knows is what it reads.
 * @param resolve - the addresses of a name; what is not known has none
 */
export async function isProtected(
  address: Address,
  surroundings: Surroundings,
  resolve: (name: string) => Promise<readonly string[]>,
): Promise<boolean> {
  if (isProtectedByName(address, surroundings)) return true;
  const places = surroundings.resources.map((resource) => placesOf(resource, address.port)).filter(({ length }) => length > 0);
  const addressOf = async (name: string): Promise<readonly string[]> =>
    isIP(name) === 0 ? resolve(name).catch(() => []) : [name];
  const addressesOf = async (all: readonly string[]): Promise<string[]> =>
    (await Promise.all(all.map(addressOf))).flat().map(plain);
  const names = namesOf(address.host, surroundings.here);
  const [asked, ...taken] = await Promise.all([names, ...places].map(addressesOf));
  return taken.some((known) => known.some((place) => asked?.includes(place)));
}

function namesOf(host: string, here: string): string[] {
  return isOwn(plain(host)) ? [plain(host), plain(here)] : [plain(host)];
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
