import type { AccessPolicy } from '@chaperone/api';
import type { TokenDemand } from './access.ts';
import { canonicalJson, compare } from './canonical.ts';
import { PolicyError } from './errors.ts';

/**
 * What the policies demand of a caller's token, each demand once and in one order. All of them hold, so they must agree on what
 * one token can have one of only: its issuer, and the claims that name the user and the groups. Otherwise a name that one policy
 * trusts could be taken from a claim that another one reads.
 * @throws PolicyError PolicyInvalid where they do not agree.
 */
export function tokenDemands(policies: readonly AccessPolicy[]): TokenDemand[] {
  const demands = new Map<string, TokenDemand>();
  let first: { readonly name: string; readonly demand: TokenDemand } | undefined;
  for (const { metadata, spec } of policies) {
    if (spec.identity === undefined) continue;
    const demand = demandOf(spec.identity.oidc);
    first ??= { name: metadata.name, demand };
    for (const field of ['issuer', 'userClaim', 'groupsClaim'] as const) {
      if (demand[field] !== first.demand[field])
        throw new PolicyError(
          'PolicyInvalid',
          `policies ${first.name} and ${metadata.name} demand tokens of another ${field}, and one token cannot have both`,
        );
    }
    demands.set(canonicalJson(demand), demand);
  }
  return [...demands].toSorted(([a], [b]) => compare(a, b)).map(([, demand]) => demand);
}

type Oidc = NonNullable<AccessPolicy['spec']['identity']>['oidc'];

function demandOf({ issuer, audiences, requiredClaims = {}, groupsClaim, userClaim, caBundle }: Oidc): TokenDemand {
  return {
    issuer,
    audiences: unique(audiences),
    requiredClaims: Object.entries(requiredClaims)
      .map(([claim, values]) => ({ claim, values: unique(values) }))
      .toSorted((a, b) => compare(a.claim, b.claim)),
    groupsClaim,
    userClaim,
    ...(caBundle !== undefined && { ca: caBundle }),
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)].toSorted(compare);
}
