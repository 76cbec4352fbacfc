import { isIP } from 'node:net';
import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { z } from 'zod';
import { resourcesOf } from '../policies/facts.ts';

/** What an installation says about the NetworkPolicies that the operator writes; as the chart writes it. */
export const NetworkConfig = z.strictObject({
  /** Where the cluster's DNS is: pods by namespace and labels, and addresses where it runs on nodes. */
  dns: z.strictObject({
    namespace: z.string().max(63),
    labels: z.record(z.string().max(317), z.string().max(63)),
    cidrs: z.array(z.union([z.cidrv4(), z.cidrv6()])).max(64),
    port: z.int().min(1).max(65_535),
  }),
  /** Addresses of hosts outside the cluster, by their name or by `*.SUFFIX`. */
  cidrs: z.record(z.string().max(253), z.array(z.union([z.cidrv4(), z.cidrv6()])).max(64)),
  /** Labels of the operator's pods; absent where they are on the node's network. */
  operator: z.record(z.string().max(317), z.string().max(63)).optional(),
  /** Labels of the broker's pods; absent where it is not the chart's. */
  nats: z.record(z.string().max(317), z.string().max(63)).optional(),
  /** Where sidecars send traces; absent where they make none. */
  traces: z.url().max(1024).optional(),
});
export type NetworkConfig = z.infer<typeof NetworkConfig>;

/** What a Service leads to. */
export type ServiceFacts =
  | { readonly kind: 'pods'; readonly labels: Readonly<Record<string, string>>; readonly port: number | string }
  | { readonly kind: 'addresses'; readonly addresses: readonly string[]; readonly ports: readonly number[] }
  | { readonly kind: 'name'; readonly host: string };

/** A place that sidecars dial. */
export interface Dialled {
  readonly host: string;
  readonly port: number;
}

export interface NetworkFacts {
  readonly config: NetworkConfig;
  /** Where Chaperone itself is, and where sidecars reach it. */
  readonly system: { readonly namespace: string; readonly operatorPort: number; readonly natsUrl: string };
  readonly dialled: readonly Dialled[];
  /** By NAMESPACE/NAME:PORT; absent: there is no such Service, or no such port. */
  readonly services: ReadonlyMap<string, ServiceFacts>;
  /** Addresses and CIDRs that sidecars never dial. */
  readonly forbidden: readonly string[];
}

/** Names of the object, and of who wrote it. */
export const NETWORK_POLICY = 'chaperone-agents';
export const MANAGED_BY = { 'app.kubernetes.io/managed-by': 'chaperone-operator' } as const;
/** Ways out of one namespace; policies of more are left as they are, and it is said. */
export const MAX_WAYS = 512;
const NATS_PORT = 4222;
/** Cloud metadata and the like. */
const LINK_LOCAL = { ipv4: '169.254.0.0/16', ipv6: 'fe80::/10' } as const;

interface Peer {
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
  readonly namespaceSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly podSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
}
interface Way {
  readonly to: readonly Peer[];
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP'; readonly port: number | string }[];
}
export interface NetworkPolicySpec {
  readonly podSelector: Record<string, never>;
  readonly policyTypes: readonly ['Egress'];
  readonly egress: readonly Way[];
}

/** There are more ways than a NetworkPolicy of ours may have. */
export class TooManyWaysError extends Error {
  override readonly name = 'TooManyWaysError';
  readonly code = 'NetworkPolicyTooLarge';
}

/**
 * The second line of a governed namespace, enforced where the network plugin does: should the rules of a pod be gone, it reaches
 * what its sidecar needs and nothing else. A NetworkPolicy is about pods, not containers, so it cannot tell the agent from its
 * sidecar; what is reached still asks for a credential that only the sidecar has.
 * @throws TooManyWaysError
 */
export function networkPolicySpec(facts: NetworkFacts): NetworkPolicySpec {
  const ways = [
    dnsWay(facts.config.dns),
    operatorWay(facts),
    ...natsWays(facts),
    ...tracesAt(facts.config).flatMap((to) => wayTo(to, facts)),
    ...facts.dialled.flatMap((to) => wayTo(to, facts)),
  ];
  const texts = [...new Set(ways.map((way) => JSON.stringify(way)))];
  if (texts.length > MAX_WAYS) throw new TooManyWaysError(`${texts.length} ways out are more than ${MAX_WAYS}`);
  const [dns = '', ...others] = texts;
  return {
    podSelector: {},
    policyTypes: ['Egress'],
    // In an order of its own, so that the same facts make the same object.
    egress: [dns, ...others.toSorted()].map((text) => JSON.parse(text) as Way),
  };
}

/** Where sidecars of a namespace dial: upstreams that its policies name and that are granted to it, and issuers of tokens. */
export function dialledFrom(
  namespace: string,
  policies: readonly AccessPolicy[],
  resources: ReadonlyMap<string, ProtectedResource>,
): Dialled[] {
  const of = policies.filter(({ metadata }) => metadata.namespace === namespace);
  const named = new Set(of.flatMap(resourcesOf));
  const upstreams = [...named].flatMap((key) => {
    const resource = resources.get(key);
    const granted = resource?.spec.grantedTo.some((grant) => grant.namespace === namespace) === true;
    return granted ? [dialledAt(resource.spec.upstream.address)] : [];
  });
  const issuers = of.flatMap(({ spec }) => (spec.identity === undefined ? [] : [addressOf(spec.identity.oidc.issuer)]));
  const all = [...upstreams, ...issuers].map(({ host, port }) => `${port} ${host}`);
  return [...new Set(all)].toSorted().map((text) => {
    const [port = '', host = ''] = text.split(' ');
    return { host, port: Number(port) };
  });
}

function dialledAt(address: string): Dialled {
  const at = address.lastIndexOf(':');
  return { host: bare(address.slice(0, at)), port: Number(address.slice(at + 1)) };
}

function addressOf(url: string): Dialled {
  const { hostname, port, protocol } = new URL(url);
  return { host: bare(hostname), port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port) };
}

/** Where every sidecar sends traces. */
export const tracesAt = ({ traces }: NetworkConfig): Dialled[] => (traces === undefined ? [] : [addressOf(traces)]);

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1').toLowerCase();

/** The Service that a name stands for: `NAME.NAMESPACE.svc`, also of one of its pods. Undefined where it is no such name. */
export function serviceOf(host: string): { namespace: string; name: string } | undefined {
  const [, name = '', namespace = ''] =
    /^(?:[a-z0-9-]+\.)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?\.?$/.exec(host) ?? [];
  return name === '' ? undefined : { namespace, name };
}

export const serviceKey = ({ namespace, name }: { namespace: string; name: string }, port: number): string =>
  `${namespace}/${name}:${port}`;

const pods = (namespace: string, labels: Readonly<Record<string, string>>): Peer => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
  podSelector: { matchLabels: labels },
});
const tcp = (port: number | string): Way['ports'] => [{ protocol: 'TCP', port }];
const block = (cidr: string): Peer => ({ ipBlock: { cidr } });
const single = (address: string): Peer => block(`${address}/${isIP(address) === 6 ? 128 : 32}`);

function dnsWay({ namespace, labels, cidrs, port }: NetworkConfig['dns']): Way {
  return {
    to: [pods(namespace, labels), ...cidrs.map(block)],
    ports: [
      { protocol: 'UDP', port },
      { protocol: 'TCP', port },
    ],
  };
}

function operatorWay(facts: NetworkFacts): Way {
  const { config, system } = facts;
  const to = config.operator === undefined ? everywhere(facts) : [pods(system.namespace, config.operator)];
  return { to, ports: tcp(system.operatorPort) };
}

function natsWays(facts: NetworkFacts): Way[] {
  const { config, system } = facts;
  if (config.nats !== undefined) return [{ to: [pods(system.namespace, config.nats)], ports: tcp(NATS_PORT) }];
  return system.natsUrl.split(',').flatMap((url) => {
    const { hostname, port } = new URL(url);
    return wayTo({ host: bare(hostname), port: port === '' ? NATS_PORT : Number(port) }, facts);
  });
}

/** Nothing where the name is of a Service that is not there: whoever makes it later is not meant by anybody yet. */
function wayTo({ host, port }: Dialled, facts: NetworkFacts): Way[] {
  if (isIP(host) !== 0) return [{ to: [single(host)], ports: tcp(port) }];
  const service = serviceOf(host);
  if (service === undefined) return [{ to: outside(host, facts), ports: tcp(port) }];
  const found = facts.services.get(serviceKey(service, port));
  if (found === undefined) return [];
  if (found.kind === 'name') return [{ to: outside(found.host, facts), ports: tcp(port) }];
  if (found.kind === 'pods') return [{ to: [pods(service.namespace, found.labels)], ports: tcp(found.port) }];
  if (found.addresses.length === 0) return [];
  return [{ to: found.addresses.map(single), ports: found.ports.flatMap((each) => tcp(each)) }];
}

/** A name outside the cluster: at the addresses that the platform gave for it, or else anywhere but where no sidecar dials. */
function outside(host: string, facts: NetworkFacts): readonly Peer[] {
  const given = Object.entries(facts.config.cidrs).find(
    ([name]) => name === host || (name.startsWith('*.') && host.endsWith(name.slice(1))),
  )?.[1];
  return given?.map(block) ?? everywhere(facts);
}

function everywhere({ forbidden }: NetworkFacts): readonly Peer[] {
  return ([4, 6] as const).map((version) => {
    const cidrs = forbidden
      .filter((range) => isIP(range.split('/')[0] ?? '') === version)
      .map((range) => (range.includes('/') ? range : `${range}/${version === 4 ? 32 : 128}`));
    const except = [...new Set([version === 4 ? LINK_LOCAL.ipv4 : LINK_LOCAL.ipv6, ...cidrs])].toSorted();
    return { ipBlock: { cidr: version === 4 ? '0.0.0.0/0' : '::/0', except } };
  });
}
