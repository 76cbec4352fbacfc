import type { ProtectedResource } from '@chaperone/api';
import { keyOf, type KubeObject } from '@chaperone/kube';
import type { ResourceObservation } from '@chaperone/policy';
import type { AddressBook } from '../addresses/address-book.ts';
import type { ResourceState } from '../sidecars/compile.ts';
import { isGoverned } from '../sidecars/governed.ts';
import { decideResource, refusal, type ResourceDecision } from './decide.ts';
import type { SecretView } from './secrets.ts';
import type { FoundCredential } from './source.ts';

export type AssessedResource = ResourceState & { readonly decision: ResourceDecision };
export interface AssessInput {
  readonly resources: readonly ProtectedResource[];
  readonly namespace: (name: string) => KubeObject | undefined;
  readonly secret: (key: string) => SecretView | undefined;
  /** What it signs in with; undefined: it names nothing. */
  readonly credential: (resource: ProtectedResource) => FoundCredential | undefined;
  readonly hostPatterns: Readonly<Record<string, readonly string[]>>;
  /** Changed by this: names in use get addresses, the others give theirs back. */
  readonly book: AddressBook;
  readonly observations: ReadonlyMap<string, readonly ResourceObservation[]>;
  readonly now: number;
}

/** Secrets that these resources name, NAMESPACE/NAME. */
export function wantedSecrets(resources: readonly ProtectedResource[]): Set<string> {
  return new Set(
    resources.flatMap((resource) => [
      ...secretKey(resource, resource.spec.credentials?.secretRef?.name),
      ...secretKey(resource, resource.spec.upstream.tls.caRef?.name),
    ]),
  );
}
function secretKey(resource: ProtectedResource, name: string | undefined): string[] {
  return name === undefined ? [] : [`${resource.metadata.namespace ?? ''}/${name}`];
}

/** Looks at all resources together: names, addresses and conditions of one depend on the others. */
export function assessResources(input: AssessInput): Map<string, AssessedResource> {
  const byHost = new Map<string, ProtectedResource[]>();
  for (const resource of input.resources) {
    for (const host of resource.spec.hosts) byHost.set(host, [...(byHost.get(host) ?? []), resource]);
  }
  const looked = input.resources.map((resource) => {
    const namespace = resource.metadata.namespace ?? '';
    const facts = {
      resource,
      rivals: resource.spec.hosts.flatMap((host) => byHost.get(host) ?? []).filter((rival) => rival !== resource),
      governed: isGoverned(input.namespace(namespace)),
      hostPatterns: [...(input.hostPatterns[namespace] ?? []), ...(input.hostPatterns['*'] ?? [])],
    };
    return { facts, refused: refusal(facts) };
  });
  const accepted = looked.filter(({ refused }) => refused === undefined);
  input.book.retain(new Set(accepted.flatMap(({ facts }) => facts.resource.spec.hosts)), input.now);
  for (const { facts } of accepted) for (const host of facts.resource.spec.hosts) input.book.allocate(host, input.now);

  return new Map(
    looked.map(({ facts, refused }) => {
      const { resource } = facts;
      const find = (name: string | undefined): SecretView | undefined => secretKey(resource, name).map(input.secret)[0];
      const key = keyOf(resource);
      const credentials = input.credential(resource);
      const found = {
        ca: find(resource.spec.upstream.tls.caRef?.name),
        addresses: refused === undefined ? resource.spec.hosts.flatMap((host) => input.book.lookup(host) ?? []) : [],
      };
      const decision = decideResource({
        ...facts,
        ...found,
        credentials,
        range: { cidr: input.book.range, used: input.book.used },
        observations: input.observations.get(key) ?? [],
      });
      return [key, { resource, refused, blocked: decision.blocked, ...found, credentials: credentials?.view, decision }];
    }),
  );
}

/** Takes over the addresses that statuses record, the older resource first. */
export function restoreAddresses(book: AddressBook, resources: readonly ProtectedResource[]): void {
  const byAge = resources.toSorted((a, b) =>
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? ''),
  );
  for (const resource of byAge) {
    for (const address of resource.status?.addresses ?? []) if (resource.spec.hosts.includes(address.host)) book.restore(address);
  }
}
