import { BlockList, isIP } from 'node:net';
import { blockListOf } from './rules.ts';

/** Why an address may not be dialled; `reason` names its kind, not the address. */
export interface DialRefusal {
  readonly code: 'UpstreamForbidden';
  readonly reason: string;
}

/**
 * Judges one address that is about to be dialled, after name resolution and at every dial: a name that resolved to something
 * harmless a minute ago may resolve to the node today.
 */
export interface DialGuard {
  /** Undefined where `address` (an IP address, no name) may be dialled. What is not an address is refused. */
  refuse(address: string): DialRefusal | undefined;
  /**
   * What to look up for `host`. Absent: the name as it is, as the system does.
   *
   * In a pod the system would look first into a file that has the pod's own name, which its author chose, and then for a Service of
   * the pod's own namespace: `db.corp` could be a pod `db` of a Service `corp` there, and would get our credentials. So a name stands
   * for itself, and `X.NS.svc` for that Service of this cluster; a dot at the end says so to the system.
   */
  absolute?(host: string): string;
}

export interface GuardOptions {
  /** Embedded mode serves resources on the developer's own machine: loopback is allowed there, all else is as in a cluster. */
  readonly allowLoopback: boolean;
  /** Addresses or CIDRs of the node, the API server and Chaperone itself. */
  readonly forbidden: readonly string[];
  /** The virtual ranges: dialling one would be dialling ourselves. */
  readonly virtual: readonly string[];
  /** The search list of the pod's resolver, which knows the cluster's domain. Absent outside a cluster. */
  readonly search?: readonly string[];
}

const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['unspecified', ['0.0.0.0/8', '::/128']],
  ['link-local', ['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::/32']],
  ['multicast or broadcast', ['224.0.0.0/4', '255.255.255.255', 'ff00::/8']],
];
const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1'];

/**
 * Forms of IPv6 that carry an IPv4 address: mapped (RFC 4291 §2.5.5.2), compatible (§2.5.5.1), translated (RFC 6052 §2.1) and
 * 6to4 (RFC 3056 §2). Each is judged as the IPv4 address it stands for.
 */
const MAPPED = prefixList('::ffff:0:0', 96);
const COMPATIBLE = prefixList('::', 96);
const TRANSLATED = prefixList('64:ff9b::', 96);
const SIX_TO_FOUR = prefixList('2002::', 16);

/** @throws RuleInputError where a range of `options` cannot be read. */
export function createGuard(options: GuardOptions): DialGuard {
  const kinds: (readonly [string, BlockList])[] = KINDS.map(([kind, ranges]) => [kind, blockListOf(ranges)] as const);
  if (!options.allowLoopback) kinds.push(['loopback', blockListOf(LOOPBACK)]);
  kinds.push(['virtual', blockListOf(options.virtual)]);
  kinds.push(["node, API server or Chaperone's own", blockListOf(options.forbidden)]);
  const refuse = (address: string): DialRefusal | undefined => {
    const plain = address.split('%', 1)[0] ?? '';
    const version = isIP(plain);
    if (version === 0) return refusal('unreadable');
    const loopback = isLoopback(plain);
    if (loopback && options.allowLoopback) return undefined;
    const hit = kinds.find(([, list]) => list.check(plain, version === 4 ? 'ipv4' : 'ipv6'));
    if (hit !== undefined) return refusal(hit[0]);
    const inner = version === 6 ? embeddedIpv4(plain) : undefined;
    return inner === undefined ? undefined : refuse(inner);
  };
  return options.search === undefined ? { refuse } : { refuse, absolute: absoluteNames(options.search) };
}

function absoluteNames(search: readonly string[]): (host: string) => string {
  const domain = search.find((name) => name.startsWith('svc.'))?.slice('svc.'.length);
  return (host) => {
    if (isIP(host) !== 0 || host.endsWith('.')) return host;
    return domain !== undefined && host.toLowerCase().endsWith('.svc') ? `${host}.${domain}.` : `${host}.`;
  };
}

function refusal(kind: string): DialRefusal {
  return { code: 'UpstreamForbidden', reason: `the upstream resolves to a ${kind} address, which Chaperone never dials` };
}

const LOOPBACK_LIST = blockListOf(LOOPBACK);
/** Of an IP address, an IPv4 one in IPv6 included. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && LOOPBACK_LIST.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

function prefixList(address: string, prefix: number): BlockList {
  const list = new BlockList();
  list.addSubnet(address, prefix, 'ipv6');
  return list;
}

/** The IPv4 address inside an IPv6 one of the four forms above. */
function embeddedIpv4(address: string): string | undefined {
  const words = ipv6Words(address);
  const at = SIX_TO_FOUR.check(address, 'ipv6')
    ? 1
    : [MAPPED, COMPATIBLE, TRANSLATED].some((list) => list.check(address, 'ipv6'))
      ? 6
      : undefined;
  if (at === undefined) return undefined;
  const [high = 0, low = 0] = words.slice(at, at + 2);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The eight 16-bit words of a valid IPv6 address. */
export function ipv6Words(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const text = dotted === null ? address : `${dotted[1] ?? ''}${hexOf(dotted[2], dotted[3])}:${hexOf(dotted[4], dotted[5])}`;
  const [head = '', tail] = text.split('::');
  const left = parseWords(head);
  const right = parseWords(tail ?? '');
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

function hexOf(high: string | undefined, low: string | undefined): string {
  return ((Number(high) << 8) | Number(low)).toString(16);
}

function parseWords(part: string): number[] {
  return part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
}

/** True where every word agrees: the same address however it was written. */
export function sameAddress(a: string, b: string): boolean {
  return canonicalAddress(a) === canonicalAddress(b);
}

/** One spelling per address: IPv4 dotted, IPv4-mapped IPv6 as the IPv4 it carries, other IPv6 as eight hex words. */
export function canonicalAddress(address: string): string {
  const plain = address.split('%', 1)[0] ?? '';
  if (isIP(plain) !== 6) return plain;
  if (MAPPED.check(plain, 'ipv6')) return embeddedIpv4(plain) ?? plain;
  return ipv6Words(plain)
    .map((word) => word.toString(16))
    .join(':');
}
