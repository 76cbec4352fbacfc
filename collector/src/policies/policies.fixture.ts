import { AccessPolicy, API_VERSION, type Condition, ProtectedResource } from '@chaperone/api';
import type { PolicySource } from './source.ts';

export interface Made {
  readonly namespace?: string;
  readonly name?: string;
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: object;
}

export function aCondition(type: string, mods: Partial<Condition> = {}): Condition {
  return { type, status: 'True', reason: type, message: `${type} holds`, lastTransitionTime: '2026-03-01T12:00:00Z', ...mods };
}

/** A policy as an operator leaves it: its agents read one table, and ask before they change it. */
export function aPolicy({ namespace = 'agents', name = 'support-agent', metadata, spec, status }: Made = {}): AccessPolicy {
  const resource = { namespace: 'data', name: 'orders-db' };
  return AccessPolicy.parse({
    apiVersion: API_VERSION,
    kind: 'AccessPolicy',
    metadata: { namespace, name, uid: `uid-${namespace}-${name}`, generation: 14, ...metadata },
    spec: {
      agents: { podSelector: { matchLabels: { app: name } }, serviceAccounts: [name] },
      rules: [
        { name: 'read', effect: 'Allow', resource, sql: { statements: ['select'], relations: ['public.tickets'] } },
        {
          name: 'fix',
          effect: 'RequireApproval',
          resource,
          sql: { statements: ['update'], relations: ['public.tickets'] },
          approval: { approvers: { groups: ['dba'] } },
        },
      ],
      ...spec,
    },
    status: {
      observedGeneration: 14,
      conditions: ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready'].map((type) => aCondition(type)),
      ...status,
    },
  });
}

/** A database as an operator leaves it, granted to the agents of {@link aPolicy}. */
export function aResource({ namespace = 'data', name = 'orders-db', metadata, spec, status }: Made = {}): ProtectedResource {
  return ProtectedResource.parse({
    apiVersion: API_VERSION,
    kind: 'ProtectedResource',
    metadata: { namespace, name, uid: `uid-${namespace}-${name}`, generation: 3, ...metadata },
    spec: {
      protocol: 'postgres',
      hosts: [name],
      port: 5432,
      upstream: { address: 'orders.data.svc:5432' },
      postgres: { database: 'orders' },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      sensitive: [{ label: 'pii.email', columns: ['public.customers.email'] }],
      grantedTo: [{ namespace: 'agents', statements: ['select', 'update'] }],
      ...spec,
    },
    status: {
      observedGeneration: 3,
      conditions: ['Accepted', 'ResolvedRefs', 'CredentialsAvailable', 'Ready'].map((type) => aCondition(type)),
      ...status,
    },
  });
}

/** Policies and resources that a test writes. */
export class Policies implements PolicySource {
  readonly #policies: AccessPolicy[] = [];
  readonly #resources: ProtectedResource[] = [];
  invalid: string | undefined;

  policies(): readonly AccessPolicy[] {
    return this.#policies;
  }

  resources(): readonly ProtectedResource[] {
    return this.#resources;
  }

  /** Adds objects, or puts them in the place of those of their names. */
  put(...objects: readonly (AccessPolicy | ProtectedResource)[]): void {
    for (const object of objects)
      if (object.kind === 'AccessPolicy') replace(this.#policies, object);
      else replace(this.#resources, object);
  }

  clear(): void {
    this.invalid = undefined;
    this.#policies.length = 0;
    this.#resources.length = 0;
  }
}

function replace<T extends AccessPolicy | ProtectedResource>(all: T[], object: T): void {
  const { namespace, name } = object.metadata;
  const at = all.findIndex(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  if (at < 0) all.push(object);
  else all[at] = object;
}
