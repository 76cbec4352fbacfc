import { X509Certificate } from 'node:crypto';
import { CODES, type Code, PROTOCOLS, type ProtectedResource, type ResourceAddress } from '@chaperone/api';
import { keyOf } from '@chaperone/kube';
import { credentialSource, readCredential, type ResourceObservation } from '@chaperone/policy';
import { type ConditionDraft, fails, firstProblem, holds, type Problem, unknown, withReady } from '@chaperone/policy/conditions';
import type { SecretView } from './secrets.ts';
import type { FoundCredential } from './source.ts';

/** Everything that the conditions of one ProtectedResource depend on. */
export interface ResourceFacts {
  readonly resource: ProtectedResource;
  /** Other resources of the cluster that name one of its hosts. */
  readonly rivals: readonly ProtectedResource[];
  /** Whether agents run in the resource's own namespace. */
  readonly governed: boolean;
  /** Host patterns that the operator's configuration grants to the namespace; `*` stands for anything within one label. */
  readonly hostPatterns: readonly string[];
  /** Absent: the spec names none. */
  readonly credentials: FoundCredential | undefined;
  /** Absent: does not exist. Only looked at where the spec names one. */
  readonly ca: SecretView | undefined;
  /** One per host that has an address; a host without one found the range full. */
  readonly addresses: readonly ResourceAddress[];
  readonly range: { readonly cidr: string; readonly used: number };
  /** What sidecars saw last. */
  readonly observations: readonly ResourceObservation[];
}

export interface ResourceDecision {
  readonly conditions: ConditionDraft[];
  /** Why no session may open, from what the operator itself knows; what sidecars saw does not count, or nobody would try again. */
  readonly blocked: Problem | undefined;
}

type Check = (facts: ResourceFacts) => Problem | undefined;
const nameOf = (resource: ProtectedResource): string => keyOf(resource);
const secretName = (facts: ResourceFacts, name: string): string => `Secret ${facts.resource.metadata.namespace ?? ''}/${name}`;

const protocolIsSupported: Check = ({ resource }) =>
  PROTOCOLS.some((protocol) => protocol === resource.spec.protocol)
    ? undefined
    : {
        code: 'ProtocolNotSupported',
        message: `protocol ${resource.spec.protocol as string} is not built yet; supported: ${PROTOCOLS.join(', ')}`,
      };

const hostsAreOwned: Check = ({ resource, hostPatterns }) => {
  const namespace = resource.metadata.namespace ?? '';
  const foreign = resource.spec.hosts.find((host) => !mayClaim(host, namespace, hostPatterns));
  if (foreign === undefined) return undefined;
  const service = serviceNamespace(foreign);
  const rest =
    service === undefined
      ? `no pattern granted to namespace ${namespace} covers it; grant one in the Helm values or change spec.hosts`
      : `it belongs to namespace ${service}; change spec.hosts`;
  return { code: 'HostNotOwned', message: `host ${foreign} may not be claimed by namespace ${namespace}: ${rest}` };
};

const hostsAreFree: Check = ({ resource, rivals }) => {
  for (const host of resource.spec.hosts) {
    const owner = rivals
      .filter((rival) => rival.spec.port === resource.spec.port && rival.spec.hosts.includes(host))
      .find((rival) => isOlder(rival, resource));
    if (owner !== undefined) {
      return {
        code: 'HostConflict',
        message: `host ${host} port ${resource.spec.port} belongs to ProtectedResource ${nameOf(owner)} (older); change spec.hosts or spec.port here`,
      };
    }
  }
  return undefined;
};

const credentialsAreOutOfReach: Check = ({ resource, governed }) =>
  governed && resource.spec.credentials !== undefined
    ? {
        code: 'CredentialsReachableByAgents',
        message: `namespace ${resource.metadata.namespace ?? ''} is governed, so its agents may be able to read ${credentialSource(resource) ?? ''}; move the ProtectedResource and what it signs in with to a namespace without chaperone.dev/inject`,
      }
    : undefined;

const caIsThere: Check = (facts) => {
  const ref = facts.resource.spec.upstream.tls.caRef;
  if (ref === undefined) return undefined;
  const secret = secretName(facts, ref.name);
  if (facts.ca === undefined) return { code: 'CANotFound', message: `${secret} does not exist; create it with key "${ref.key}"` };
  const pem = facts.ca.text(ref.key);
  if (pem === undefined) {
    const has = facts.ca.keys.length === 0 ? 'it is empty' : `it has: ${facts.ca.keys.join(', ')}`;
    return { code: 'CANotFound', message: `${secret} has no key "${ref.key}" (${has}); change spec.upstream.tls.caRef.key` };
  }
  return isCertificate(pem)
    ? undefined
    : {
        code: 'CANotFound',
        message: `${secret} key "${ref.key}" holds no PEM certificate; put the authority's certificate there`,
      };
};

const credentialsAreThere: Check = ({ credentials }) => credentials?.absent;

const credentialsAreWhole: Check = ({ resource, credentials }) => {
  const view = credentials?.view;
  if (view === undefined) return undefined;
  const read = readCredential(resource.spec, (key) => view.text(key));
  return 'problem' in read
    ? { code: 'CredentialsInvalid', message: `${credentialSource(resource) ?? ''} ${read.problem}` }
    : undefined;
};

const credentialsAreBound: Check = ({ credentials }) => credentials?.unbound;

const addressesAreFree: Check = ({ resource, addresses, range }) =>
  resource.spec.hosts.every((host) => addresses.some((address) => address.host === host))
    ? undefined
    : {
        code: 'AddressesExhausted',
        message: `no virtual address is free in ${range.cidr} (${range.used} used); widen addresses.ipv4 in the Helm values`,
      };

/** Without these a resource is none: it gets no address and is compiled for nobody. */
export const ACCEPTED_CHECKS = [protocolIsSupported, hostsAreOwned, hostsAreFree, credentialsAreOutOfReach] as const;
const CREDENTIAL_CHECKS = [credentialsAreThere, credentialsAreWhole, credentialsAreBound] as const;

/** Whether the resource is accepted; needs neither Secrets nor addresses. */
export function refusal(facts: Pick<ResourceFacts, 'resource' | 'rivals' | 'governed' | 'hostPatterns'>): Problem | undefined {
  return firstProblem(ACCEPTED_CHECKS, facts as ResourceFacts);
}

/** The conditions of a ProtectedResource, in their fixed order, Ready last. */
export function decideResource(facts: ResourceFacts): ResourceDecision {
  const { resource } = facts;
  const refused = refusal(facts);
  const unresolved = caIsThere(facts);
  const uncredentialed = firstProblem(CREDENTIAL_CHECKS, facts);
  const unaddressed = refused === undefined ? addressesAreFree(facts) : undefined;
  const drafts: ConditionDraft[] = [
    refused === undefined ? holds('Accepted', `${nameOf(resource)} is accepted`, 'Accepted') : fails('Accepted', refused),
    unresolved === undefined
      ? holds('ResolvedRefs', 'all that it refers to exists', 'RefsResolved')
      : fails('ResolvedRefs', unresolved),
  ];
  if (resource.spec.credentials !== undefined) {
    const complete = `${credentialSource(resource) ?? ''} is complete`;
    drafts.push(
      uncredentialed === undefined
        ? (seen(facts, 'CredentialsAvailable') ?? holds('CredentialsAvailable', complete, 'CredentialsAvailable'))
        : fails('CredentialsAvailable', uncredentialed),
    );
  }
  drafts.push(addressCondition(facts, refused, unaddressed));
  drafts.push(seen(facts, 'Reachable') ?? unknown('Reachable', NOT_DIALLED_YET));
  // What is asked of a database's user means nothing where nothing inside the connection is looked at.
  if (resource.spec.protocol === 'postgres')
    drafts.push(seen(facts, 'UpstreamSuitable') ?? unknown('UpstreamSuitable', NOT_DIALLED_YET));
  const blocked = refused ?? unresolved ?? uncredentialed ?? unaddressed;
  return { conditions: withReady(drafts, { reason: 'Ready', message: `${nameOf(resource)} is ready` }), blocked };
}

function addressCondition(facts: ResourceFacts, refused: Problem | undefined, unaddressed: Problem | undefined): ConditionDraft {
  if (unaddressed !== undefined) return fails('AddressAllocated', unaddressed);
  if (refused !== undefined) {
    return unknown('AddressAllocated', { code: 'NotAccepted', message: 'addresses are given to accepted resources only' });
  }
  const addresses = facts.addresses.map(({ host, ipv4 }) => `${host} is ${ipv4}`).join(', ');
  return holds('AddressAllocated', addresses, 'AddressAllocated');
}

const NOT_DIALLED_YET: Problem = {
  code: 'NotDialledYet',
  message: 'no session has used it yet; it is tried when an agent connects',
};

/** What sidecars saw last; a word that the table does not have is none of ours and still no good news. */
function seen({ observations }: ResourceFacts, wanted: ResourceObservation['type']): ConditionDraft | undefined {
  const found = observations.find(({ type }) => type === wanted);
  if (found === undefined) return undefined;
  const { type, status, reason, message } = found;
  return { type, status, reason: Object.hasOwn(CODES, reason) ? (reason as Code) : 'InternalFault', message };
}

/** Namespace of a Service name `X.NS.svc…` (or of a pod behind one, `P.X.NS.svc…`); undefined for every other name. */
export function serviceNamespace(host: string): string | undefined {
  const labels = host.split('.');
  const at = labels.lastIndexOf('svc');
  return at >= 2 ? labels[at - 1] : undefined;
}

function mayClaim(host: string, namespace: string, patterns: readonly string[]): boolean {
  const service = serviceNamespace(host);
  if (service !== undefined) return service === namespace;
  return patterns.some((pattern) => matchesHost(pattern, host));
}

/** A label of the pattern may hold one `*`, for any characters of that label: *.corp covers db.corp, not a.b.corp. */
export function matchesHost(pattern: string, host: string): boolean {
  const patterns = pattern.split('.');
  const labels = host.split('.');
  return patterns.length === labels.length && patterns.every((each, index) => matchesLabel(each, labels[index] ?? ''));
}

function matchesLabel(pattern: string, label: string): boolean {
  const [start = '', end, more] = pattern.split('*');
  if (end === undefined) return pattern === label;
  return more === undefined && label.length >= start.length + end.length && label.startsWith(start) && label.endsWith(end);
}

/** The older of two resources keeps a name; the same second is decided by namespace and name. */
export function isOlder(a: ProtectedResource, b: ProtectedResource): boolean {
  const [first, second] = [a, b].map((resource) => `${resource.metadata.creationTimestamp ?? '9'} ${nameOf(resource)}`);
  return (first ?? '') < (second ?? '');
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
