import { BlockList, isIP } from 'node:net';

/** What no notice is sent to, whoever configured it: a name may resolve to another address today than yesterday. */
const IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
/** Unspecified, loopback and IPv4-compatible; link-local; EC2's metadata service; multicast; 6to4. */
const IPV6: readonly (readonly [string, number])[] = [
  ['::', 96],
  ['fe80::', 10],
  ['fd00:ec2::', 32],
  ['ff00::', 8],
  ['2002::', 16],
];
/** Prefixes that carry an IPv4 address (RFC 4291 §2.5.5.2, RFC 6052 §2.1): each is judged as that. */
const CARRIERS = ['::ffff:', '64:ff9b::'];

/** Says whether an IP address may be dialled. What is not an address may not. */
export type AddressGuard = (address: string) => boolean;

export interface AddressGuardOptions {
  /** Addresses and CIDRs beside: nodes, API server, Chaperone itself. */
  readonly forbidden?: readonly string[];
  /** Tests serve on this machine. */
  readonly allowLoopback?: boolean;
}

export function createAddressGuard({ forbidden = [], allowLoopback = false }: AddressGuardOptions = {}): AddressGuard {
  const list = new BlockList();
  for (const [address, prefix] of IPV4) addIpv4(list, address, prefix);
  for (const [address, prefix] of IPV6) list.addSubnet(address, prefix, 'ipv6');
  for (const range of forbidden) {
    const [address = '', prefix] = range.split('/', 2);
    if (isIP(address) === 6) list.addSubnet(address, Number(prefix ?? 128), 'ipv6');
    else addIpv4(list, address, Number(prefix ?? 32));
  }
  return (address) => {
    const version = isIP(address);
    if (version === 0 || address.includes('%')) return false;
    if (allowLoopback && (address === '127.0.0.1' || address === '::1')) return true;
    return !list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  };
}

function addIpv4(list: BlockList, address: string, prefix: number): void {
  list.addSubnet(address, prefix, 'ipv4');
  for (const carrier of CARRIERS) list.addSubnet(`${carrier}${address}`, 96 + prefix, 'ipv6');
}
