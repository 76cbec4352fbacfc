import type { AccessPolicy, PolicyRule, ProtectedResource } from '@chaperone/api';
import { describe, expect, test } from 'vitest';
import { decidePolicy, type PolicyFacts } from './decide.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const read: PolicyRule = {
  name: 'read',
  effect: 'Allow',
  resource: RESOURCE,
  sql: { statements: ['select'], relations: ['public.tickets'] },
};
const fix: PolicyRule = {
  name: 'fix',
  effect: 'RequireApproval',
  resource: RESOURCE,
  sql: { statements: ['update'], relations: ['public.tickets'] },
  approval: { approvers: { groups: ['dba'] }, minimum: 1, timeout: '5m', mode: 'hold', reason: 'optional' },
};
const deny = (sql?: PolicyRule['sql']): PolicyRule => ({
  name: 'never',
  effect: 'Deny',
  resource: RESOURCE,
  ...(sql && { sql }),
});

function aPolicy(
  rules: PolicyRule[],
  agents: AccessPolicy['spec']['agents'] = { serviceAccounts: ['support-agent'] },
): AccessPolicy {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { namespace: 'agents', name: 'support-agent', generation: 12 },
    spec: { agents, rules, enforcement: 'Enforce', disclosure: 'full', reveal: [], inference: 'limit', masking: [] },
  };
}
const resource = (namespaces: string[]): ProtectedResource =>
  ({
    metadata: RESOURCE,
    spec: {
      protocol: 'postgres',
      sensitive: [{ label: 'pii.email' }],
      grantedTo: namespaces.map((namespace) => ({ namespace, statements: ['select', 'update'] })),
    },
  }) as unknown as ProtectedResource;
const current = { pod: 'support-agent-a', current: true, outdated: false, heardSecondsAgo: 2, capture: { proven: true } };
function facts(mods: Partial<PolicyFacts> = {}): PolicyFacts {
  return {
    policy: aPolicy([read]),
    signing: true,
    missingEvidence: [],
    resources: new Map([['data/orders-db', resource(['agents'])]]),
    granted: ['data/orders-db'],
    blocked: new Map(),
    candidates: [],
    sidecars: [current],
    ...mods,
  };
}
const at = (mods: Partial<PolicyFacts>, type: string) => decidePolicy(facts(mods)).conditions.find((each) => each.type === type);

describe('a policy', () => {
  test('in order has its conditions in their order, Ready last', () => {
    const { conditions, selectedPods, programmedPods } = decidePolicy(facts());
    expect(conditions.map(({ type, status }) => `${type}=${status}`)).toEqual([
      'Accepted=True',
      'ResolvedRefs=True',
      'CaptureProven=True',
      'Programmed=True',
      'Ready=True',
    ]);
    expect([selectedPods, programmedPods]).toEqual([1, 1]);
    expect(conditions[3]?.message).toBe('1 of 1 sidecar run generation 12');
  });

  test.each<[string, Partial<PolicyFacts>, string, string, string]>([
    [
      'that asks nobody',
      {
        policy: aPolicy([
          read,
          { ...fix, approval: { approvers: {}, minimum: 1, timeout: '5m', mode: 'hold', reason: 'optional' } },
        ]),
      },
      'Accepted',
      'ApproversMissing',
      'rule "fix" needs approval but names nobody; add spec.rules[1].approval.approvers. Until then it denies',
    ],
    [
      'that wants signatures where nobody can sign',
      {
        signing: false,
        policy: aPolicy([
          {
            ...fix,
            approval: {
              approvers: { groups: ['dba'] },
              minimum: 1,
              timeout: '5m',
              mode: 'hold',
              reason: 'optional',
              assurance: 'signed',
            },
          },
        ]),
      },
      'Accepted',
      'SignatureUnavailable',
      'rule "fix" wants approvals that are signed, and there is no page to sign them on; set operator.decide of the chart. Until then nobody can approve',
    ],
    [
      'that names what does not exist, beside what does',
      {
        policy: aPolicy([
          { ...read, resource: { namespace: 'data', name: 'order-db' } },
          { ...fix, resource: { namespace: 'data', name: 'order-db' } },
          deny(),
        ]),
      },
      'ResolvedRefs',
      'ResourceNotFound',
      'rules "read" and "fix" name data/order-db, which does not exist; granted to this namespace: data/orders-db. Other rules work',
    ],
    [
      'that names only what does not exist',
      { resources: new Map(), granted: [] },
      'ResolvedRefs',
      'ResourceNotFound',
      'rule "read" names data/orders-db, which does not exist; nothing is granted to this namespace',
    ],
    [
      'that names what is not granted',
      { resources: new Map([['data/orders-db', resource(['other'])]]) },
      'ResolvedRefs',
      'NotGranted',
      'data/orders-db is not granted to namespace agents; its owner adds {namespace: agents} to spec.grantedTo',
    ],
    [
      'whose resource is not ready',
      {
        blocked: new Map([
          ['data/orders-db', { code: 'CredentialsNotFound', message: 'Secret data/orders-db-agent does not exist' }],
        ]),
      },
      'ResolvedRefs',
      'ResourceNotReady',
      'data/orders-db is not ready: Secret data/orders-db-agent does not exist (CredentialsNotFound)',
    ],
    [
      'that a sidecar does not run yet',
      {
        sidecars: [
          current,
          { ...current, pod: 'support-agent-6d9', current: false, heardSecondsAgo: 35 },
          { ...current, pod: 'c' },
        ],
      },
      'Programmed',
      'Programming',
      '2 of 3 sidecars run generation 12; support-agent-6d9 was last heard 35 s ago',
    ],
    [
      'of whose agents one found a way around its sidecar',
      {
        sidecars: [
          current,
          { ...current, pod: 'support-agent-6d9', capture: { proven: false, message: 'a connection was not stopped' } },
          { ...current, pod: 'c', capture: { proven: false, message: 'another' } },
        ],
      },
      'CaptureProven',
      'CaptureNotProven',
      'pod support-agent-6d9 (and 1 other pod): a connection was not stopped; its sessions were ended and none opens. Run kubectl delete pod support-agent-6d9 -n agents, then chaperone doctor',
    ],
    [
      'that a sidecar never asked for',
      { sidecars: [{ ...current, pod: 'x', current: false, heardSecondsAgo: undefined }] },
      'Programmed',
      'Programming',
      '0 of 1 sidecar run generation 12; x has not been heard yet',
    ],
  ])('%s says so, and Ready repeats it', (_name, mods, type, reason, message) => {
    expect(at(mods, type)).toEqual({ type, status: 'False', reason, message });
    expect(at(mods, 'Ready')).toEqual({ type: 'Ready', status: 'False', reason, message });
  });

  test('of whose pods evidence is missing says so, is Ready, and shows it there', () => {
    const missingEvidence = ['pod bot-1, which is gone, counted evidence', 'pod bot-2, too', 'pod bot-3, too'];
    const message = 'pod bot-1, which is gone, counted evidence. So did 2 other pods';
    expect(at({ missingEvidence }, 'EvidenceMissing')).toMatchObject({ status: 'True', reason: 'EvidenceMissing', message });
    expect(at({ missingEvidence }, 'Ready')).toMatchObject({ status: 'True', reason: 'EvidenceMissing' });
    expect(at({}, 'EvidenceMissing')).toBeUndefined();
  });

  test('of which a sidecar has not said yet whether capture is proven says so, and is Ready', () => {
    const sidecars = [current, { ...current, pod: 'b', capture: undefined }];
    expect(at({ sidecars }, 'CaptureProven')).toMatchObject({ status: 'Unknown', reason: 'CaptureNotReported' });
    expect(at({ sidecars }, 'CaptureProven')?.message).toBe('1 of 2 sidecars proved that nothing goes around them');
    expect(at({ sidecars }, 'Ready')?.status).toBe('True');
    expect(at({ sidecars: [] }, 'CaptureProven')).toBeUndefined();
  });

  test.each([
    [1, 'that of support-agent-6d9 is'],
    [2, '2 of them, such as that of support-agent-6d9, are'],
  ])('whose agents run %i sidecar of another release is Ready and says what to do', (count, whose) => {
    const old = { ...current, pod: 'support-agent-6d9', outdated: true };
    const sidecars = [current, ...Array.from({ length: count }, () => old)];
    expect(decidePolicy(facts({ sidecars }))).toMatchObject({ programmedPods: count + 1, outdated: count });
    const condition = {
      status: 'True',
      reason: 'SidecarsOutdated',
      message: `${count + 1} of ${count + 1} sidecars run generation 12; ${whose} of another release than the operator; run kubectl rollout restart for their workloads in agents`,
    };
    expect(at({ sidecars }, 'Programmed')).toEqual({ type: 'Programmed', ...condition });
    expect(at({ sidecars }, 'Ready')).toEqual({ type: 'Ready', ...condition });
    // Who does not run the policy at all is said first.
    expect(at({ sidecars: [...sidecars, { ...old, current: false }] }, 'Ready')?.reason).toBe('Programming');
  });

  test.each([
    [
      'and says who nearly is',
      [{ name: 'p', labels: { app: 'support-agent' }, serviceAccount: 'default' }],
      'no running pod matches app=support-agent with ServiceAccount support-agent; 1 pod has the labels but ServiceAccount default',
    ],
    ['', [], 'no running pod matches app=support-agent with ServiceAccount support-agent'],
  ])('without agents is Ready with NoAgentsYet %s', (_name, candidates, message) => {
    const policy = aPolicy([read], {
      podSelector: { matchLabels: { app: 'support-agent' } },
      serviceAccounts: ['support-agent'],
    });
    expect(at({ policy, candidates, sidecars: [] }, 'Programmed')).toEqual({
      type: 'Programmed',
      status: 'True',
      reason: 'NoAgentsYet',
      message,
    });
    expect(at({ policy, candidates, sidecars: [] }, 'Ready')).toMatchObject({ status: 'True', reason: 'NoAgentsYet', message });
  });

  test('with parts that have no effect is Ready, and says so where people look', () => {
    const policy = aPolicy([read, { ...fix, sql: { statements: ['delete'], relations: ['public.tickets'] } }]);
    const vain = { policy: { ...policy, spec: { ...policy.spec, reveal: ['pii.emial'] } } };
    const label = 'spec.reveal[0]: no resource of the rules has the label "pii.emial"; did you mean "pii.email"?';
    const said = `${label}. rule "fix": delete on data/orders-db stays denied, since its owner grants select, update; it belongs in spec.grantedTo[].statements of the resource`;
    expect(at(vain, 'Ineffective')).toEqual({ type: 'Ineffective', status: 'True', reason: 'LabelUnknown', message: said });
    expect(at(vain, 'Ready')).toMatchObject({
      status: 'True',
      reason: 'LabelUnknown',
      message: `1 of 1 sidecar run generation 12; ${said}`,
    });
    // What is not in force yet is more urgent.
    expect(at({ ...vain, sidecars: [] }, 'Ready')).toMatchObject({ status: 'True', reason: 'NoAgentsYet' });
  });

  test.each<[string, PolicyRule['sql'], boolean]>([
    ['everything', undefined, true],
    ['the same statements everywhere', { statements: ['update', 'select'] }, true],
    ['all statements on the same relations', { statements: ['*'], relations: ['public.tickets', 'x.y'] }, true],
    ['all relations', { relations: ['**'] }, true],
    ['other statements', { statements: ['drop'] }, false],
    ['other relations', { relations: ['public.other'] }, false],
    ['only columns', { columns: ['public.tickets.a'] }, false],
    ['only functions', { functions: ['pg_catalog.now'] }, false],
  ])('a Deny of %s', (_name, sql, shadows) => {
    const condition = at({ policy: aPolicy([fix, deny(sql)]) }, 'Conflicted');
    if (!shadows) return expect(condition).toBeUndefined();
    expect(condition).toEqual({
      type: 'Conflicted',
      status: 'True',
      reason: 'RuleShadowed',
      message: 'rule "fix" can never decide: rule "never" denies all it covers',
    });
  });

  test('a Deny on behalf of some leaves the rule to the others', () => {
    const some = { ...deny(undefined), onBehalfOf: { users: ['mira@corp'] } };
    expect(at({ policy: aPolicy([fix, some]) }, 'Conflicted')).toBeUndefined();
  });
});
