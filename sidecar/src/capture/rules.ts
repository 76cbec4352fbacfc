import { BlockList, isIP } from 'node:net';

/** What the rules of one pod are made of. Every value is fixed at admission: nobody in the pod may change a rule afterwards. */
export interface RuleInput {
  /** UID of chaperone-sidecar: the only one whose packets leave the pod as they are. No group is exempt. */
  readonly uid: number;
  /** The virtual ranges, as CIDR. */
  readonly ranges: { readonly ipv4: string; readonly ipv6: string };
  /** Port of the sidecar's DNS server on 127.0.0.1 and ::1 (UDP and TCP). */
  readonly dnsPort: number;
  /** Port of the listener on 127.0.0.1 and ::1 to which every destination that is not granted is redirected. */
  readonly denyPort: number;
  /** Port of the sidecar's health endpoints, reachable from anywhere. */
  readonly probePort: number;
  /** Port from which the sidecar looks at its own capture: what it sends from there is treated as what any user sends. */
  readonly selfPort: number;
  /**
   * Ports on which other pods may open connections to the agent: what policies named when the pod was admitted. Rules are
   * written once, by a container that is gone before policy is known, so a later change of `inbound` takes a new pod.
   */
  readonly inboundPorts: readonly number[];
  /** Ports of the pod's own kubelet probes; open to `nodeAddresses` alone. */
  readonly probedPorts: readonly number[];
  /** Addresses from which the kubelet of this pod's node probes. */
  readonly nodeAddresses: readonly string[];
  /** Devices for which frames sent around the IP stack (AF_PACKET) are dropped too; needs a kernel with netdev egress hooks. */
  readonly egressDevices?: readonly string[];
  /** Mark by which that chain knows packets that passed the output chain; unguessable, as NET_RAW could set it. */
  readonly egressMark?: number;
}

/** A part of the input that no rule can be made of. */
export class RuleInputError extends Error {
  override readonly name = 'RuleInputError';
  readonly code = 'CaptureInputInvalid';
}

/** The port that the sidecar answers chaperone-verify on, at {@link reservedAddress}; no resource can own it. */
export const RESERVED_PORT = 1;

/** UDP, ICMP and everything else that is not TCP towards a virtual address is refused; see rules.test.ts for the whole text. */
const RULE_COMMENT = '# written by chaperone-init; replaced as a whole, never edited';

/** A packet that a process sends; nobody is this user. What the kernel sends by itself has no owner and does not match. */
const OWNED = 'meta skuid != 4294967295';

/**
 * The nftables ruleset of one pod, for `nft -f -`: one transaction, so there is either all of it or what was there before.
 * Applying it twice is the same as once.
 *
 * Output: granted resources live at virtual addresses, which are routed to `lo` (see {@link routes}); the sidecar listens there
 * itself, so no address is translated. DNS goes to the sidecar, every other TCP destination to its deny listener, all else is
 * refused. `ct state established` lets nothing out by itself: a process could otherwise bind the port of a socket that the
 * sidecar has just closed and send through the connection that conntrack still remembers. So packets with an owner pass only
 * as answers to admitted callers, and packets without one (the kernel's last segments of a closed connection) only as part of
 * a known TCP connection. On the probe port nobody but the sidecar answers: it is open to every caller, and free while the sidecar
 * is down.
 *
 * The sidecar itself gives up its exemption for what it sends from `selfPort`: such packets meet the very rules that an agent's
 * meet, so it can go on proving that they hold without a right and without another user ({@link watchCapture}).
 *
 * Input: new connections from outside reach `inboundPorts` and the probe port; kubelet probes come from the node alone.
 *
 * @throws RuleInputError
 */
export function ruleset(input: RuleInput): string {
  checkInput(input);
  const { uid, ranges, dnsPort, denyPort, probePort, selfPort } = input;
  const exempt = `meta skuid ${uid} th sport != ${selfPort}`;
  const devices = input.egressDevices ?? [];
  const mark = devices.length === 0 ? undefined : input.egressMark;
  const pass = mark === undefined ? 'accept' : `meta mark set ${mark} accept`;
  return `${RULE_COMMENT}
table inet chaperone
delete table inet chaperone
table inet chaperone {
  counter refused_output { }
  counter refused_input { }
  chain out_nat {
    type nat hook output priority -100; policy accept;
    ${exempt} return
    udp dport 53 redirect to :${dnsPort}
    tcp dport 53 redirect to :${dnsPort}
    ip daddr ${ranges.ipv4} return
    ip6 daddr ${ranges.ipv6} return
    fib daddr type local return
    meta l4proto tcp redirect to :${denyPort}
  }
  chain out_filter {
    type filter hook output priority 0; policy drop;
    ${exempt} ${pass}
    ip daddr ${ranges.ipv4} meta l4proto != tcp counter name refused_output reject
    ip6 daddr ${ranges.ipv6} meta l4proto != tcp counter name refused_output reject
    fib daddr type local accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } ${pass}
    tcp sport ${probePort} meta skuid != ${uid} counter name refused_output reject with tcp reset
    ct direction reply ct state established,related ${pass}
    ${OWNED} meta l4proto tcp counter name refused_output reject with tcp reset
    ${OWNED} counter name refused_output reject
    meta l4proto tcp ct state established ${pass}
    counter name refused_output reject
  }
  chain in_filter {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ip daddr ${ranges.ipv4} counter name refused_input drop
    ip6 daddr ${ranges.ipv6} counter name refused_input drop
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    tcp dport ${portSet([probePort, ...input.inboundPorts])} accept
${probeRules(input)}    counter name refused_input drop
  }
}
${mark === undefined ? '' : egressTable(uid, devices, mark)}`;
}

function egressTable(uid: number, devices: readonly string[], mark: number): string {
  const chains = devices.map(
    (device, index) => `  chain egress_${index} {
    type filter hook egress device "${device}" priority 0; policy drop;
    meta mark ${mark} accept
    meta skuid ${uid} accept
    meta protocol arp accept
  }
`,
  );
  return `table netdev chaperone
delete table netdev chaperone
table netdev chaperone {
${chains.join('')}}
`;
}

function probeRules({ nodeAddresses, probedPorts }: RuleInput): string {
  if (probedPorts.length === 0) return '';
  const ports = portSet(probedPorts);
  return [4, 6]
    .map((version) => ({ version, addresses: nodeAddresses.filter((address) => isIP(address) === version) }))
    .filter(({ addresses }) => addresses.length > 0)
    .map(
      ({ version, addresses }) =>
        `    ${version === 4 ? 'ip' : 'ip6'} saddr { ${[...new Set(addresses)].join(', ')} } tcp dport ${ports} accept\n`,
    )
    .join('');
}

function portSet(ports: readonly number[]): string {
  return `{ ${[...new Set(ports)].toSorted((a, b) => a - b).join(', ')} }`;
}

/** Arguments of `ip` that route the virtual ranges to `lo`; `replace` makes them safe to repeat. */
export function routes(ranges: RuleInput['ranges']): { ipv4: readonly string[]; ipv6: readonly string[] } {
  return {
    ipv4: ['route', 'replace', 'local', ranges.ipv4, 'dev', 'lo'],
    ipv6: ['-6', 'route', 'replace', 'local', ranges.ipv6, 'dev', 'lo'],
  };
}

/**
 * The last address but one of an IPv4 range: never given to a resource, always answered by the sidecar on {@link RESERVED_PORT}.
 * @throws RuleInputError where `range` is no IPv4 CIDR of /8 to /30.
 */
export function reservedAddress(range: string): string {
  const { address, prefix } = parseCidr(range, 4);
  const base = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - prefix);
  const last = Math.floor(base / size) * size + size - 2;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}

function checkInput(input: RuleInput): void {
  parseCidr(input.ranges.ipv4, 4);
  parseCidr(input.ranges.ipv6, 6);
  if (!Number.isInteger(input.uid) || input.uid < 1 || input.uid > 2 ** 31 - 1)
    throw new RuleInputError(`uid ${input.uid} is not a user that a sidecar can run as`);
  const own = [input.dnsPort, input.denyPort, input.probePort, input.selfPort];
  for (const port of [...own, ...input.inboundPorts, ...input.probedPorts]) checkPort(port);
  if (new Set(own).size !== own.length) throw new RuleInputError('dnsPort, denyPort, probePort and selfPort must differ');
  const taken = [...input.inboundPorts, ...input.probedPorts].find((port) =>
    [input.dnsPort, input.denyPort, input.selfPort].includes(port),
  );
  if (taken !== undefined) throw new RuleInputError(`inbound port ${taken} belongs to the sidecar`);
  const address = input.nodeAddresses.find((candidate) => isIP(candidate) === 0);
  if (address !== undefined) throw new RuleInputError('a node address is not an IP address');
  for (const device of input.egressDevices ?? [])
    if (!/^[A-Za-z0-9._-]{1,15}$/.test(device)) throw new RuleInputError('a device has a name that no rule can hold');
  if ((input.egressDevices ?? []).length > 0 && !Number.isInteger(input.egressMark))
    throw new RuleInputError('egressDevices need an egressMark');
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RuleInputError(`port ${port} is not between 1 and 65535`);
}

/** Splits a CIDR. @throws RuleInputError where it is none of that family, or so wide or narrow that it is a mistake. */
export function parseCidr(text: string, family: 4 | 6): { address: string; prefix: number } {
  const [address = '', bits = '', ...rest] = text.split('/');
  const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : NaN;
  const [widest, narrowest] = family === 4 ? [8, 30] : [16, 124];
  if (rest.length > 0 || isIP(address) !== family || !(prefix >= widest && prefix <= narrowest))
    throw new RuleInputError(`"${text.slice(0, 64)}" is not an IPv${family} range of /${widest} to /${narrowest}`);
  return { address, prefix };
}

/** A list that knows whether an address lies in one of `ranges` (CIDR or single addresses). @throws RuleInputError */
export function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const version = isIP(address);
    const family = version === 4 ? 'ipv4' : 'ipv6';
    const prefix = bits === undefined ? (version === 4 ? 32 : 128) : Number(bits);
    if (version === 0 || !/^\d{1,3}$/.test(String(prefix)) || prefix > (version === 4 ? 32 : 128))
      throw new RuleInputError(`"${range.slice(0, 64)}" is neither an address nor a range`);
    list.addSubnet(address, prefix, family);
  }
  return list;
}
