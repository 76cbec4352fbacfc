import { createHash, timingSafeEqual } from 'node:crypto';

export interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

export type Verb = 'list' | 'get' | 'replay' | 'export' | 'erase' | 'hold';
/** What rights are about: resources of chaperone.dev, of which sessions are no objects. */
export type Resource = 'sessions' | 'accessrequests' | 'accesspolicies' | 'protectedresources';

export interface ApiRequest {
  readonly method: string;
  /** Path and query exactly as received. */
  readonly target: string;
  header(name: string): string | undefined;
}

/** Why a request is from nobody; the text is for the person who made it and holds nothing secret. */
export interface Refusal {
  readonly refused: string;
}

/** Who asks, and what they may see. `authorise` and `allowed` reject where that cannot be found out: the answer is then no. */
export interface Access {
  authorise(request: ApiRequest): Promise<Identity | Refusal>;
  /** Whether the person may do this with sessions, or with what else is named, of agents in the namespace. */
  allowed(identity: Identity, verb: Verb, namespace: string, resource?: Resource): Promise<boolean>;
}

/** Those of the objects that the person may get; asked once for each namespace. */
export async function permitted<T extends { readonly metadata: { readonly namespace?: string | undefined } }>(
  access: Access,
  identity: Identity,
  resource: Resource,
  found: readonly T[],
): Promise<T[]> {
  const namespaces = new Map<string, boolean>();
  for (const { metadata } of found) {
    const { namespace = '' } = metadata;
    if (!namespaces.has(namespace)) namespaces.set(namespace, await access.allowed(identity, 'get', namespace, resource));
  }
  return found.filter(({ metadata }) => namespaces.get(metadata.namespace ?? '') === true);
}

/** Whose machine it is, in embedded mode. */
export const LOCAL_IDENTITY: Identity = { user: 'local', groups: [] };

/** Embedded mode: one bearer token, compared in constant time, opens everything that this machine recorded. */
export function createTokenAccess(token: string): Access {
  const expected = digest(token);
  return {
    authorise(request) {
      const given = /^Bearer (.+)$/.exec(request.header('authorization') ?? '')?.[1];
      const same = given !== undefined && timingSafeEqual(digest(given), expected);
      return Promise.resolve(same ? LOCAL_IDENTITY : { refused: 'the collector wants its bearer token' });
    },
    allowed: () => Promise.resolve(true),
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
