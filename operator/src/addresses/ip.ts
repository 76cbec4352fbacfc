import { isIPv4, isIPv6 } from 'node:net';

/** An address range as its first address and its size. Throws RangeError for anything but an aligned CIDR. */
export function parseIpv4Range(cidr: string): { base: number; size: number } {
  const [address = '', prefix = ''] = cidr.split('/', 2);
  if (!isIPv4(address) || !/^\d{1,2}$/.test(prefix)) throw new RangeError(`not an IPv4 range: ${cidr.slice(0, 64)}`);
  const bits = Number(prefix);
  const single = bits === 32;
  if (!single && (bits < 8 || bits > 30)) throw new RangeError(`an IPv4 range has /8 to /30: ${cidr}`);
  const base = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - bits);
  if (base % size !== 0) throw new RangeError(`the IPv4 range does not begin at its first address: ${cidr}`);
  return { base, size };
}

export function parseIpv6Range(cidr: string, atLeast: bigint): { base: bigint; size: bigint } {
  const [address = '', prefix = ''] = cidr.split('/', 2);
  if (!isIPv6(address) || address.includes('.') || address.includes('%') || !/^\d{1,3}$/.test(prefix) || Number(prefix) > 128) {
    throw new RangeError(`not an IPv6 range: ${cidr.slice(0, 64)}`);
  }
  const [head = '', tail] = address.split('::', 2);
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const base = groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
  const size = 1n << BigInt(128 - Number(prefix));
  if (base % size !== 0n) throw new RangeError(`the IPv6 range does not begin at its first address: ${cidr}`);
  if (size < atLeast) throw new RangeError(`the IPv6 range ${cidr} is smaller than the IPv4 range`);
  return { base, size };
}

export function writeIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** RFC 5952: lower case, no leading zeros, the longest run of zeros as `::`. */
export function writeIpv6(address: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => Number((address >> BigInt(112 - 16 * index)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start === -1) return hex.join(':');
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}`;
}
