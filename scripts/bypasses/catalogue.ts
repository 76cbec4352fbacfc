/** What stands in the way. `documented`: nothing of ours does; the line says what does, and what it takes. */
export type Closing = 'admission' | 'rules' | 'guard' | 'DNS' | 'identity' | 'operator' | 'Kubernetes' | 'documented';

/** One way around the proxy. Its tests are those whose title begins with its number, in one of {@link FILES}. */
export interface Bypass {
  readonly id: number;
  readonly tried: string;
  readonly closedBy: readonly Closing[];
  /** How it is closed, or what stays open and what closes that. */
  readonly how: string;
}

/** Where tests of the catalogue are; elsewhere a number in a title is only a number. */
export const FILES = [
  'sidecar/src/capture/netns.test.ts',
  'sidecar/src/capture/guard.test.ts',
  'sidecar/src/node/agent.test.ts',
  'operator/src/sidecars/identity.test.ts',
  'e2e/src/admission-policies.e2e.ts',
  'e2e/src/admission-running.e2e.ts',
  'e2e/src/admission-webhooks.e2e.ts',
  'e2e/src/around.e2e.ts',
  'e2e/src/install.e2e.ts',
  'e2e/src/main-flow.e2e.ts',
  'e2e/src/node-capture.e2e.ts',
  'e2e/src/resilience.e2e.ts',
  'e2e/src/ways-out.e2e.ts',
] as const;

/** Those of them that try where an agent of the node writes the rules. */
export const NODE_FILES: readonly string[] = [
  'sidecar/src/node/agent.test.ts',
  'e2e/src/node-capture.e2e.ts',
] satisfies (typeof FILES)[number][];

const line = (id: number, tried: string, closedBy: readonly Closing[], how: string): Bypass => ({ id, tried, closedBy, how });

export const CATALOGUE: readonly Bypass[] = [
  line(1, 'running as the sidecar’s user', ['admission'], 'runAsUser must be there, and not be that one'),
  line(
    2,
    'an image whose own user is the sidecar’s',
    ['admission'],
    'runAsUser must be written out: admission cannot see an image’s',
  ),
  line(
    3,
    'root, or a capability, to become that user',
    ['admission', 'rules'],
    'no root, all capabilities dropped; root without them is captured',
  ),
  line(4, 'a set-user-id program of that user in the image', ['admission'], 'no escalation: it runs as whoever calls it'),
  line(5, 'the sidecar’s group', ['admission', 'rules'], 'no group is exempt'),
  line(
    6,
    'flushing the rules, with NET_ADMIN or in a user namespace',
    ['admission'],
    'the right is refused; without it the kernel refuses',
  ),
  line(
    7,
    'packets made by hand, with NET_RAW',
    ['admission', 'rules'],
    'the right is refused; with it they are dropped at output',
  ),
  line(
    8,
    'frames around the IP stack, with NET_RAW',
    ['admission', 'rules'],
    'the right is refused; with it they are dropped at the device, by kernels from 5.16',
  ),
  line(
    9,
    'privileged, paths and processes of the node, devices, a second network, no seccomp',
    ['admission'],
    'each is refused; devices need a place on the platform’s list',
  ),
  line(10, 'the node’s network', ['admission'], 'refused'),
  line(
    11,
    'a literal address, host aliases, a resolver of its own',
    ['admission', 'rules'],
    'every address that is no granted one ends at the sidecar, which resets it',
  ),
  line(12, 'a literal IPv6 address', ['rules'], 'one table for both families'),
  line(13, 'UDP, QUIC, DTLS, UDP-Lite, echo requests', ['rules'], 'what is not TCP is refused'),
  line(
    14,
    'names as messages, DNS over TLS or HTTPS, another name server',
    ['DNS', 'rules'],
    'the sidecar answers every query and forwards none',
  ),
  line(15, 'a socket bound to a device (see 50)', ['rules'], 'rules are those of the pod, not of a device'),
  line(16, 'a mark on the packets', ['rules'], 'no rule but one with an unguessable mark looks at it'),
  line(17, 'other ways to ask for TCP (see 45 to 48)', ['rules'], 'they pass the same rules'),
  line(
    18,
    'the sidecar’s own ports, virtual addresses that nobody was granted',
    ['rules'],
    'refused, and never led back to itself',
  ),
  line(19, 'another pod that calls the sidecar’s ports or a virtual address', ['rules'], 'dropped and counted'),
  line(20, 'killing, tracing or reading the sidecar', ['admission'], 'processes are not shared, and the user is another'),
  line(21, 'mounting the sidecar’s token, key or spool by name', ['admission'], 'reserved volumes are for chaperone- containers'),
  line(
    22,
    'a container of one’s own in the sidecar’s place',
    ['admission'],
    'image, command, environment, mounts, probes and rights equal the profile',
  ),
  line(23, 'an init container in front of ours', ['admission'], 'ours are first, or the pod does not start'),
  line(24, 'a label or an annotation that opts out, or says that it is injected', ['admission'], 'none is honoured'),
  line(
    25,
    'taking the label from the namespace',
    ['admission'],
    'only a group that the platform names may. A namespace made anew without it is not governed, and its pods get no credential',
  ),
  line(
    26,
    'kubectl debug with more rights, or into the sidecar',
    ['admission'],
    'ephemeral containers have no more rights than the agent, and there are none before capture is proven',
  ),
  line(
    27,
    'exec, attach, port-forward and proxy into the pod',
    ['admission'],
    'refused into the sidecar; tunnels are refused as a whole',
  ),
  line(
    28,
    'a label, changed while the pod runs, that a richer policy selects',
    ['admission'],
    'labels and chaperone.dev/ annotations are sealed, through every subresource',
  ),
  line(29, 'another image for the sidecar, or less memory, while the pod runs', ['admission'], 'neither changes'),
  line(
    30,
    'a token that the API server takes, a password that the database takes',
    ['admission', 'identity'],
    'no token of the pod is one; tokens of such accounts go to the kubelet alone; what the agent was given opens nothing',
  ),
  line(
    31,
    'the agent’s token, or a stolen one, shown as a sidecar’s',
    ['identity'],
    'the operator asks for its own audience and for the pod',
  ),
  line(32, 'metadata of a cloud, the kubelet, the node, the API server', ['rules'], 'as every other address'),
  line(
    33,
    'the webhook is down, or was made optional',
    ['admission'],
    'policies in the API server itself refuse what was not injected',
  ),
  line(34, 'the sidecar is dead, or stands still', ['rules'], 'the rules stay; there is nobody to answer'),
  line(
    35,
    'rules are missing although init succeeded',
    ['operator'],
    'chaperone-verify, as another user, has to be answered by this pod’s sidecar from everywhere, or the agent does not start',
  ),
  line(36, 'a session that is open while its policy goes', ['operator'], 'ended within two seconds'),
  line(37, 'a pod that is a proxy for others', ['rules'], 'not reached'),
  line(
    38,
    'a static pod',
    ['admission', 'Kubernetes'],
    'its mirror is refused; the kubelet’s own folder belongs to the node’s administrator',
  ),
  line(
    39,
    'a pod whose rules are gone',
    ['operator', 'documented'],
    'the sidecar goes on trying what an agent might, and within a minute ends what is open; a NetworkPolicy of the operator’s leaves the pod its upstreams, Chaperone and DNS, where the network plugin enforces it. An upstream outside the cluster whose addresses nobody gave may be anywhere on its port (networkPolicy.cidrs). Without the sidecar’s credential the upstream lets nobody in (30)',
  ),
  line(
    40,
    'a tunnel that somebody outside opens into the pod',
    ['rules', 'admission', 'documented'],
    'dropped but on ports that a policy names; what answers there may say anything. Probed ports answer the node: Services that lead callers there in its name are refused. Who may write Services and EndpointSlices in a namespace that is not governed can still lead there; probes by exec close it',
  ),
  line(
    41,
    'volumes that the node mounts from elsewhere: nfs, iscsi, csi',
    ['admission', 'documented'],
    'refused in pods. A PersistentVolumeClaim is what its StorageClass and volume make of it; who makes those decides where the data is, and who else reads it',
  ),
  line(
    42,
    'a resource’s Secret where agents may read it',
    ['operator'],
    'a resource with credentials in a governed namespace is not accepted',
  ),
  line(
    43,
    'probes and hooks, by which the kubelet dials',
    ['admission', 'Kubernetes'],
    'they may name no host; the kubelet follows no redirect to another',
  ),
  line(44, 'a port of the node', ['admission'], 'refused'),
  line(45, 'TCP Fast Open', ['rules'], 'its first packet, data and all, ends at the sidecar'),
  line(
    46,
    'io_uring, which connects without a system call that names a socket',
    ['rules'],
    'the socket’s owner counts, not who asks; the runtime’s seccomp may refuse it before',
  ),
  line(47, 'SCTP', ['rules', 'documented'], 'what is not TCP is refused, as UDP-Lite is (13); few kernels of nodes have it'),
  line(48, 'MPTCP', ['rules'], 'each of its flows is TCP'),
  line(49, 'AF_PACKET and AF_XDP', ['admission', 'rules'], 'as 8'),
  line(50, 'SO_BINDTODEVICE', ['rules'], 'as 15'),
  line(
    51,
    'borrowing a listener, a port or a connection of the sidecar’s',
    ['rules'],
    'nobody but the sidecar answers on its open port; what conntrack remembers of it is no way out',
  ),
  line(52, 'other webhooks, before and after ours', ['admission'], 'ours is called again, and the policies see what is stored'),
  line(
    53,
    'a binding to a node, which writes labels and annotations',
    ['admission'],
    'it may write none that say who the pod is',
  ),
  line(54, 'AppArmor off, a label of SELinux', ['admission'], 'refused, in old annotations too'),
  line(
    55,
    'sockets that no rule of the pod sees: the hypervisor (AF_VSOCK), PPPoE',
    ['Kubernetes', 'documented'],
    'the runtime’s default seccomp profile, which agents may not take off: containerd from 1.7. On an older one, where nodes are virtual machines with such a device, keep the module vsock from loading',
  ),
  line(
    56,
    'a pod or a Service named like the upstream',
    ['guard'],
    'names are looked up as they stand, in no file and no search list',
  ),
  line(
    57,
    'an upstream that resolves to the node, the API server, metadata or Chaperone',
    ['guard'],
    'refused at every dial, after resolution',
  ),
  line(
    58,
    'what the node carries out by itself: logs, images that it pulls',
    ['documented'],
    'a log goes where the platform sends logs; an image comes from where the pod’s author says. Registries and log readers are the platform’s to choose',
  ),
];

/** Numbers of lines that a title names at its beginning, or behind the words of its table: `refuses 9 privileged`, `45, 46 no protocol`. */
export function linesOf(title: string): number[] {
  const [, numbers = ''] = /(?:^|[a-z] )(\d{1,2}(?:, \d{1,2})*) \D/.exec(title) ?? [];
  return numbers === '' ? [] : numbers.split(', ').map(Number);
}
