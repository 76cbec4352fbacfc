import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';
import { aCondition, aPolicy, aResource, type Policies } from '../../collector/src/policies/policies.fixture.ts';

const HOUR = 3_600_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();
const ORDERS = { namespace: 'data', name: 'orders-db' };
const rule = (mods: object): object => ({ name: 'read', effect: 'Allow', resource: ORDERS, ...mods });
const holds = (...types: readonly string[]): object[] =>
  types.map((type) => aCondition(type, { lastTransitionTime: ago(50 * HOUR), message: HOLD_MESSAGES[type] ?? `${type} holds` }));
const HOLD_MESSAGES: Readonly<Record<string, string>> = {
  Accepted: 'the policy is accepted',
  ResolvedRefs: 'all that its rules name is there and ready',
  Programmed: '3 of 3 sidecars run generation 14',
  Reachable: 'orders.data.svc:5432 answers',
  CredentialsAvailable: 'orders.data.svc:5432 accepts user agent_ro',
};
const fails = (type: string, reason: string, message: string): object =>
  aCondition(type, { status: 'False', reason, message, lastTransitionTime: ago(HOUR / 3) });

/** Policies in every state that a page draws, by what is special about each. */
export function policiesOf(policies: Policies): Record<string, AccessPolicy> {
  const missing =
    'rule "read" names data/orders-dv, which does not exist; granted to this namespace: data/orders-db. Other rules work';
  const world: Record<string, AccessPolicy> = {
    whole: aPolicy({
      metadata: { creationTimestamp: ago(75 * HOUR) },
      spec: {
        purpose: 'answer support tickets',
        identity: {
          oidc: {
            issuer: 'https://login.corp/realms/people',
            audiences: ['chaperone'],
            requiredClaims: { department: ['support'] },
          },
        },
        rules: [
          rule({ sql: { statements: ['select'], relations: ['public.customers', 'public.tickets', 'public.orders'] } }),
          rule({
            name: 'fix',
            effect: 'RequireApproval',
            sql: { statements: ['update'], relations: ['public.tickets'], columns: ['public.tickets.status'] },
            onBehalfOf: { groups: ['support'] },
            approval: {
              approvers: { groups: ['dba'], users: ['jane@corp'] },
              minimum: 2,
              all: ['security'],
              timeout: '5m',
              reason: 'required',
              maxGrant: '30m',
              assurance: 'passkey',
              escalation: { after: '2m', approvers: { groups: ['leads'] } },
            },
          }),
          rule({
            name: 'never',
            effect: 'Deny',
            sql: { statements: ['drop', 'truncate', 'grant'] },
            message: 'Schema changes go through the migration pipeline.',
          }),
        ],
        reveal: ['pii.email'],
        masking: [{ label: 'pii.ssn', strategy: { partial: { last: 4 } } }],
        limits: { rowsPerStatement: 10_000, sessionDuration: '1h', idle: '10m' },
        recording: { mode: 'strict', retention: 'seven-years' },
        inbound: { ports: [8080] },
      },
      status: { selectedPods: 3, programmedPods: 3, conditions: holds('Accepted', 'ResolvedRefs', 'Programmed', 'Ready') },
    }),
    broken: aPolicy({
      name: 'report-agent',
      metadata: { creationTimestamp: ago(5 * HOUR) },
      spec: {
        rules: [rule({ resource: { namespace: 'data', name: 'orders-dv' }, sql: { statements: ['select'], relations: ['**'] } })],
      },
      status: {
        selectedPods: 12,
        programmedPods: 11,
        conditions: [
          ...holds('Accepted'),
          fails('ResolvedRefs', 'ResourceNotFound', missing),
          fails('Programmed', 'Programming', '11 of 12 sidecars run generation 14; report-agent-6d9 was last heard 35 s ago'),
          fails('Ready', 'ResourceNotFound', missing),
        ],
      },
    }),
    audit: aPolicy({
      name: 'trial-agent',
      metadata: { creationTimestamp: ago(HOUR / 4) },
      spec: { enforcement: 'Audit', agents: { podSelector: {} } },
      status: {
        selectedPods: 0,
        programmedPods: 0,
        conditions: [
          ...holds('Accepted', 'ResolvedRefs'),
          aCondition('Ineffective', {
            reason: 'LabelUnknown',
            message: 'spec.reveal[0]: no resource of the rules has the label "pii.mail"; did you mean "pii.email"?',
          }),
          aCondition('Programmed', { reason: 'NoAgentsYet', message: 'no running pod matches the selector' }),
          aCondition('Ready', { reason: 'NoAgentsYet', message: 'no running pod matches the selector' }),
        ],
      },
    }),
    fresh: aPolicy({ namespace: 'batch', name: 'new-agent', status: { observedGeneration: 13, conditions: [] } }),
    behind: aPolicy({ namespace: 'batch', name: 'changed-agent', status: { observedGeneration: 13 } }),
    hostile: hostilePolicy(HOSTILE_TEXTS['an image that fails'] ?? '', 'hostile'),
    long: aPolicy({
      namespace: 'n'.repeat(63),
      name: `${'p'.repeat(63)}.${'q'.repeat(63)}`,
      metadata: { creationTimestamp: ago(90_000 * HOUR) },
      spec: {
        agents: {
          podSelector: {
            matchLabels: Object.fromEntries(Array.from({ length: 32 }, (_, at) => [`label-${at}`, 'v'.repeat(63)])),
          },
          serviceAccounts: Array.from({ length: 64 }, (_, at) => `account-${at}`),
        },
        rules: Array.from({ length: 64 }, (_, at) =>
          rule({
            name: `rule-${at}-${'r'.repeat(50)}`,
            sql: {
              statements: ['select', 'update'],
              relations: Array.from({ length: 24 }, (__, each) => `a_schema.a_relation_${each}`),
            },
          }),
        ),
      },
    }),
  };
  policies.put(...Object.values(world));
  return world;
}

/** Resources in every state that a page draws. */
export function resourcesOf(policies: Policies): Record<string, ProtectedResource> {
  const world: Record<string, ProtectedResource> = {
    database: aResource({
      metadata: { creationTimestamp: ago(400 * HOUR) },
      spec: {
        hosts: ['orders.data.svc', 'orders-db'],
        upstream: { address: 'orders.data.svc:5432', tls: { caRef: { name: 'orders-ca' }, serverName: 'pg-0.corp' } },
        credentials: { secretRef: { name: 'orders-db-agent' }, username: 'agent_ro' },
        sensitive: [
          { label: 'pii.ssn', columns: ['public.customers.ssn'] },
          { label: 'pii.email', columns: ['public.customers.email', 'public.leads.email'], detector: 'email' },
          { label: 'pci.card', detector: 'credit-card' },
        ],
        grantedTo: [
          {
            namespace: 'agents',
            serviceAccounts: ['support-agent'],
            statements: ['select', 'update'],
            reveal: ['pii.email'],
            recording: { minimum: 'durable' },
          },
          { namespace: 'batch' },
        ],
      },
      status: {
        addresses: [
          { host: 'orders.data.svc', ipv4: '240.240.0.2' },
          { host: 'orders-db', ipv4: '240.240.0.3', ipv6: '2001:db8::3' },
        ],
        conditions: holds('Accepted', 'ResolvedRefs', 'CredentialsAvailable', 'Reachable', 'Ready'),
      },
    }),
    rejected: aResource({
      name: 'stock-db',
      metadata: { creationTimestamp: ago(30 * HOUR) },
      spec: {
        upstream: { address: '[2001:db8::5]:5432', tls: { mode: 'disable' } },
        allowAudit: true,
        sensitive: [],
        grantedTo: [],
      },
      status: {
        conditions: [
          ...holds('Accepted', 'ResolvedRefs'),
          fails(
            'CredentialsAvailable',
            'CredentialsRejected',
            'orders.data.svc:5432 refused user agent_ro at 12:03:07 (28P01); update Secret data/orders-db-agent, next try in 40 s',
          ),
          aCondition('Reachable', { status: 'Unknown', reason: 'NotDialledYet', message: 'no session has used it yet' }),
          fails('Ready', 'CredentialsRejected', 'orders.data.svc:5432 refused user agent_ro at 12:03:07 (28P01)'),
        ],
      },
    }),
    tcp: aResource({
      namespace: 'models',
      name: 'api',
      spec: {
        protocol: 'tcp',
        port: 443,
        postgres: undefined,
        credentials: undefined,
        sensitive: [],
        grantedTo: [{ namespace: 'agents' }],
      },
      status: { conditions: [] },
    }),
  };
  policies.put(...Object.values(world));
  return world;
}

/** A policy of which everything that somebody may choose freely is hostile. */
export function hostilePolicy(text: string, name: string): AccessPolicy {
  const line = text.replaceAll(/[\t\r\n]/g, ' ');
  const short = (most: number): string => (line === '' ? 'x' : line.slice(0, most));
  const glob = `public.${short(60).replaceAll(/[."*]/g, '_')}`;
  const good = aPolicy({ namespace: 'hostile', name });
  // Past the schema: what is drawn must not depend on it.
  return {
    ...good,
    spec: {
      ...good.spec,
      purpose: short(256),
      agents: { podSelector: { matchLabels: { app: short(63) } }, serviceAccounts: [short(253)] },
      identity: {
        oidc: {
          issuer: short(512),
          audiences: [short(256)],
          requiredClaims: { [short(128)]: [short(256)] },
          groupsClaim: short(128),
          userClaim: short(128),
        },
      },
      rules: [
        {
          name: short(63),
          effect: 'RequireApproval',
          resource: { namespace: short(63), name: short(253) },
          sql: { statements: ['update'], relations: [glob], columns: [glob], functions: [glob] },
          onBehalfOf: { users: [short(256)], groups: [short(256)] },
          message: short(256),
          approval: {
            approvers: { groups: [short(256)], users: [short(256)] },
            all: [short(256)],
            minimum: 1,
            timeout: '5m',
            mode: 'hold',
            reason: 'optional',
          },
        },
      ],
      reveal: [short(63)],
      masking: [{ label: short(63), strategy: { redact: {} } }],
    },
    status: {
      observedGeneration: 14,
      conditions: [
        aCondition(short(64), {
          status: 'False',
          reason: short(64),
          message: text.slice(0, 1024),
          lastTransitionTime: short(64),
        }),
        aCondition('Ready', { status: 'False', reason: short(64), message: text.slice(0, 1024) }),
      ],
    },
  };
}
