import { type Condition, readManifests } from '@chaperone/api';
import { type Agent, UNNAMED_SECRET } from '@chaperone/policy';
import { beforeEach, describe, expect, test } from 'vitest';
import { compileManifests } from './compile.ts';
import { Known } from './known.ts';

const agent: Agent = { namespace: 'agents', serviceAccount: 'support-agent', labels: {}, annotations: {} };
const RESOURCE = `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: orders-db, namespace: data}
spec:
  protocol: postgres
  hosts: [orders-db]
  port: 5432
  upstream: {address: "orders.data.svc:5432", tls: {caRef: {name: orders-ca}}}
  credentials: {secretRef: {name: orders-agent}}
  postgres: {database: orders}
  grantedTo: [{namespace: agents, serviceAccounts: [support-agent]}]
`;
const SECRETS = `
apiVersion: v1
kind: Secret
metadata: {name: orders-agent, namespace: data}
stringData: {username: agent_ro, password: CANARY-hunter2}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
stringData: {ca.crt: "-----BEGIN CERTIFICATE-----"}
`;
const POLICY = `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: support, namespace: agents, generation: 2}
spec:
  agents: {serviceAccounts: [support-agent]}
  rules:
  - {name: read, effect: Allow, resource: {namespace: data, name: orders-db}, sql: {statements: [select], relations: [public.tickets]}}
`;
const OBSERVED = { resource: { namespace: 'data', name: 'orders-db' }, type: 'Reachable' } as const;

let now: number;
let known: Known;
beforeEach(() => {
  now = Date.parse('2026-03-01T12:00:00Z');
  known = new Known(agent, () => now);
});

function adopt(...texts: readonly string[]): void {
  const { problems, ...objects } = readManifests([{ path: 'all.yaml', text: texts.join('---') }]);
  expect(problems).toEqual([]);
  known.adopt(objects, compileManifests(agent, objects));
}

const lines = (
  object: { readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined } = {},
): string[] => (object.status?.conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const messageOf = (type: string): string | undefined =>
  [...known.policies(), ...known.resources()]
    .flatMap(({ status }) => status?.conditions ?? [])
    .find((condition) => condition.type === type && condition.status !== 'True')?.message;

const since = (type: string): string | undefined =>
  known.policies()[0]?.status?.conditions?.find((condition) => condition.type === type)?.lastTransitionTime;

describe('of a policy is known', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      'that it runs, and all that its rules name is there',
      [RESOURCE, SECRETS, POLICY],
      ['Accepted=True Accepted', 'ResolvedRefs=True RefsResolved', 'Programmed=True Programmed', 'Ready=True Ready'],
    ],
    [
      'that it selects another agent; what its rules name nobody has looked at',
      [RESOURCE, SECRETS, POLICY.replace('[support-agent]', '[somebody]')],
      ['Accepted=True Accepted', 'Programmed=True NoAgentsYet', 'Ready=True NoAgentsYet'],
    ],
    [
      'that a resource of its rules is not there',
      [SECRETS, POLICY],
      [
        'Accepted=True Accepted',
        'ResolvedRefs=False ResourceNotFound',
        'Programmed=True Programmed',
        'Ready=False ResourceNotFound',
      ],
    ],
    [
      'that the owner does not grant it',
      [RESOURCE.replace('[support-agent]', '[somebody]'), SECRETS, POLICY],
      ['Accepted=True Accepted', 'ResolvedRefs=False NotGranted', 'Programmed=True Programmed', 'Ready=False NotGranted'],
    ],
    [
      'that its resource is not ready, and why',
      [RESOURCE, POLICY],
      [
        'Accepted=True Accepted',
        'ResolvedRefs=False ResourceNotReady',
        'Programmed=True Programmed',
        'Ready=False ResourceNotReady',
      ],
    ],
    [
      'that a rule asks nobody',
      [RESOURCE, SECRETS, POLICY.replace('effect: Allow', 'effect: RequireApproval')],
      [
        'Accepted=False ApproversMissing',
        'ResolvedRefs=True RefsResolved',
        'Programmed=True Programmed',
        'Ready=False ApproversMissing',
      ],
    ],
    [
      'that a rule wants a signature, which nobody can give here',
      [
        RESOURCE,
        SECRETS,
        POLICY.replace('effect: Allow', 'effect: RequireApproval, approval: {approvers: {groups: [dba]}, assurance: passkey}'),
      ],
      [
        'Accepted=False SignatureUnavailable',
        'ResolvedRefs=True RefsResolved',
        'Programmed=True Programmed',
        'Ready=False SignatureUnavailable',
      ],
    ],
    [
      'that a part of it comes to nothing, which is no failure',
      [RESOURCE, SECRETS, `${POLICY}  reveal: [pii.email]\n`],
      [
        'Accepted=True Accepted',
        'ResolvedRefs=True RefsResolved',
        'Ineffective=True LabelUnknown',
        'Programmed=True Programmed',
        'Ready=True LabelUnknown',
      ],
    ],
  ])('%s', (_, texts, expected) => {
    adopt(...texts);
    const [policy] = known.policies();
    expect(lines(policy)).toEqual(expected);
    expect(policy?.status?.observedGeneration).toBe(2);
    expect(JSON.stringify([known.policies(), known.resources()])).not.toContain('CANARY');
  });
});

describe('of a resource is known', () => {
  const CREDENTIAL = SECRETS.split('---')[0] ?? '';
  const CA = SECRETS.slice(CREDENTIAL.length + '---'.length);
  const untried = ['Reachable=Unknown NotDialledYet', 'UpstreamSuitable=Unknown NotDialledYet'];
  test.each<[string, readonly string[], readonly string[]]>([
    [
      'that its Secrets are whole, and that nobody has dialled it',
      [RESOURCE, SECRETS, POLICY],
      [
        'Accepted=True Accepted',
        'ResolvedRefs=True RefsResolved',
        'CredentialsAvailable=True CredentialsAvailable',
        ...untried,
        'Ready=True Ready',
      ],
    ],
    [
      'that its credential is missing',
      [RESOURCE, CA, POLICY],
      [
        'Accepted=True Accepted',
        'ResolvedRefs=True RefsResolved',
        'CredentialsAvailable=False CredentialsNotFound',
        ...untried,
        'Ready=False CredentialsNotFound',
      ],
    ],
    [
      'that its authority is missing, and nothing of its credential then',
      [RESOURCE, CREDENTIAL, POLICY],
      ['Accepted=True Accepted', 'ResolvedRefs=False CANotFound', ...untried, 'Ready=False CANotFound'],
    ],
    [
      'that its text is right, where the agent has no use for it',
      [RESOURCE, SECRETS, POLICY.replace('[support-agent]', '[somebody]')],
      ['Accepted=True Accepted'],
    ],
    [
      'of protocol tcp nothing that is not asked of it',
      [
        RESOURCE.replace('postgres', 'tcp').replaceAll(/^ {2}(credentials|postgres): .*\n/gm, ''),
        SECRETS,
        POLICY.replace(/, sql: .*\}\}/, '}'),
      ],
      ['Accepted=True Accepted', 'ResolvedRefs=True RefsResolved', 'Reachable=Unknown NotDialledYet', 'Ready=True Ready'],
    ],
  ])('%s', (_, texts, expected) => {
    adopt(...texts);
    expect(lines(known.resources()[0])).toEqual(expected);
  });

  test('what a session saw last, with the name of the Secret, until upstream or credential is another', () => {
    adopt(RESOURCE, SECRETS, POLICY);
    known.see({ ...OBSERVED, status: 'True', reason: 'UpstreamReachable', message: 'it answers' });
    const rejected = { status: 'False', reason: 'CredentialsRejected', message: `it refused; update ${UNNAMED_SECRET}` } as const;
    known.see({ ...OBSERVED, type: 'CredentialsAvailable', ...rejected });
    const [resource] = known.resources();
    expect(lines(resource)).toContain('Reachable=True UpstreamReachable');
    expect(lines(resource).at(-1)).toBe('Ready=False CredentialsRejected');
    expect(messageOf('Ready')).toBe('it refused; update Secret data/orders-agent');
    adopt(RESOURCE, SECRETS, `${POLICY}  purpose: another\n`);
    expect(lines(known.resources()[0]).at(-1)).toBe('Ready=False CredentialsRejected');
    adopt(RESOURCE, SECRETS.replace('hunter2', 'hunter3'), POLICY);
    expect(lines(known.resources()[0]).at(-1)).toBe('Ready=True Ready');
    expect(lines(known.resources()[0])).toContain('Reachable=Unknown NotDialledYet');
  });

  test('nothing that was seen of another one', () => {
    adopt(RESOURCE, SECRETS, POLICY);
    const before = known.resources();
    known.see({
      ...OBSERVED,
      resource: { namespace: 'data', name: 'stock-db' },
      status: 'False',
      reason: 'UpstreamRefused',
      message: 'no',
    });
    expect(known.resources()).toEqual(before);
  });
});

test('a condition is as old as its status, whatever its reason and message become', () => {
  adopt(RESOURCE, SECRETS, POLICY);
  now += 60_000;
  adopt(RESOURCE, SECRETS, `${POLICY}  reveal: [pii.email]\n`);
  expect(since('Ready')).toBe('2026-03-01T12:00:00Z');
  now += 60_000;
  adopt(SECRETS, POLICY);
  expect([since('Accepted'), since('ResolvedRefs'), since('Ready')]).toEqual([
    '2026-03-01T12:00:00Z',
    '2026-03-01T12:02:00Z',
    '2026-03-01T12:02:00Z',
  ]);
});
