import { AccessPolicy, API_VERSION, ProtectedResource, type PolicyRule } from '@chaperone/api';
import type { Access, AccessRule, Agent } from './access.ts';
import type { Effect } from './action.ts';
import { compileAccess } from './compile.ts';

/** Builders for the tests of this package; each gives a valid whole, and takes what a test is about. */
export const ORDERS = { namespace: 'data', name: 'orders-db' };

export function anAgent(mods: Partial<Agent> = {}): Agent {
  return { namespace: 'agents', serviceAccount: 'support-agent', labels: { app: 'support-agent' }, annotations: {}, ...mods };
}

export function aRule(mods: Partial<PolicyRule> = {}): PolicyRule {
  return {
    name: 'read',
    effect: 'Allow',
    resource: ORDERS,
    sql: { statements: ['select'], relations: ['public.tickets'] },
    ...mods,
  };
}

const POLICY = AccessPolicy.parse({
  apiVersion: API_VERSION,
  kind: 'AccessPolicy',
  metadata: { name: 'support-agent', namespace: 'agents', generation: 1 },
  spec: { agents: { podSelector: {} }, rules: [aRule()] },
});
const RESOURCE = ProtectedResource.parse({
  apiVersion: API_VERSION,
  kind: 'ProtectedResource',
  metadata: { ...ORDERS, generation: 1 },
  spec: {
    protocol: 'postgres',
    hosts: ['orders-db'],
    port: 5432,
    upstream: { address: 'orders.data.svc:5432' },
    postgres: { database: 'orders' },
    credentials: { secretRef: { name: 'orders-db-agent' } },
    grantedTo: [{ namespace: 'agents' }],
  },
});

/** `spec` is laid over a valid one unchecked: what the schema refuses may still come from an older operator. */
export function aPolicy(spec: object = {}, metadata: object = {}): AccessPolicy {
  return { ...POLICY, metadata: { ...POLICY.metadata, ...metadata }, spec: { ...POLICY.spec, ...spec } };
}

export function aResource(spec: object = {}): ProtectedResource {
  return { ...RESOURCE, spec: { ...RESOURCE.spec, ...spec } };
}

/** The access of one policy with these rules, under a grant of every statement. */
export function anAccess(rules: readonly Partial<PolicyRule>[], mods: Partial<Access> = {}): Access {
  const resource = aResource({ grantedTo: [{ namespace: 'agents', statements: ['*'] }] });
  const compiled = compileAccess({ agent: anAgent(), policies: [aPolicy({ rules: rules.map(aRule) })], resource });
  if (!compiled.ok) throw new Error(compiled.message);
  return { ...compiled.access, ...mods };
}

export function anAccessRule(mods: Partial<AccessRule> = {}): AccessRule {
  return { name: 'read', policy: { namespace: 'agents', name: 'support-agent' }, effect: 'Allow', ...mods };
}

export function anEffect(verb: string, object: string, mods: Partial<Effect> = {}): Effect {
  return { verb, object, via: 'direct', kind: 'relation', ...mods };
}
