import type { ProtectedResource } from '@chaperone/api';
import { describe, expect, test } from 'vitest';
import { aPolicy, aResource, aRule, ORDERS } from './builders.ts';
import { policyWarnings } from './warnings.ts';

const SENSITIVE = [
  { label: 'pii.email', columns: ['public.customers.email'] },
  { label: 'pii.ssn', columns: ['public.customers.ssn'] },
];
const GRANT = {
  namespace: 'agents',
  serviceAccounts: ['support-agent'],
  statements: ['select', 'update'],
  reveal: ['pii.email'],
};
const orders = (spec: object = {}): ReadonlyMap<string, ProtectedResource> =>
  new Map([['data/orders-db', aResource({ sensitive: SENSITIVE, grantedTo: [GRANT], ...spec })]]);
const masking = (label: string): object => ({ masking: [{ label, strategy: { redact: {} } }] });
const rule = (statements: string[], more: object = {}): object => aRule({ name: 'fix', sql: { statements } as never, ...more });
const IDENTITY = { oidc: { issuer: 'https://login.corp', audiences: ['a'], groupsClaim: 'groups', userClaim: 'sub' } };
const asking = (approval: object = {}): object => ({
  effect: 'RequireApproval',
  approval: { approvers: { groups: ['dba'] }, ...approval },
});
const OTHER = { resource: { namespace: 'data', name: 'other' } };
const HOST: ReadonlyMap<string, ProtectedResource> = new Map([
  ['data/web-1', aResource({ protocol: 'ssh', postgres: undefined, grantedTo: [{ namespace: 'agents', operations: ['exec'] }] })],
]);
const commands = (name: string, effect: string, ...patterns: string[]): object =>
  aRule({
    name,
    effect: effect as never,
    resource: { namespace: 'data', name: 'web-1' },
    sql: undefined,
    ssh: { commands: patterns },
  });

describe('a policy is warned', () => {
  test.each<[string, object, ReadonlyMap<string, ProtectedResource>, string[]]>([
    [
      'of a misspelt label to reveal',
      { reveal: ['pii.emial'] },
      orders(),
      ['LabelUnknown: spec.reveal[0]: no resource of the rules has the label "pii.emial"; did you mean "pii.email"?'],
    ],
    [
      'of a misspelt label to mask',
      masking('pii.sssn'),
      orders(),
      ['LabelUnknown: spec.masking[0].label: no resource of the rules has the label "pii.sssn"; did you mean "pii.ssn"?'],
    ],
    [
      'of a label that is nothing like the ones that there are',
      masking('medical'),
      orders(),
      ['LabelUnknown: spec.masking[0].label: no resource of the rules has the label "medical"; they have pii.email, pii.ssn'],
    ],
    [
      'of a label where there is none',
      masking('medical'),
      orders({ sensitive: [] }),
      ['LabelUnknown: spec.masking[0].label: no resource of the rules has the label "medical"; they have none'],
    ],
    [
      'not of what Secrets of a cluster hold',
      masking('kubernetes.secret'),
      orders({ protocol: 'kubernetes', sensitive: [] }),
      [],
    ],
    [
      'of what Secrets hold, where there are none',
      masking('kubernetes.secret'),
      orders({ sensitive: [] }),
      ['LabelUnknown: spec.masking[0].label: no resource of the rules has the label "kubernetes.secret"; they have none'],
    ],
    [
      'of a label that the owner keeps',
      { reveal: ['pii.email', 'pii.ssn'] },
      orders(),
      [
        'RevealNotGranted: spec.reveal[1]: "pii.ssn" stays masked, since no owner lets namespace agents reveal it; it belongs in spec.grantedTo[].reveal of the resource',
      ],
    ],
    [
      'of a label that the owner grants to others',
      { reveal: ['pii.email'], agents: { serviceAccounts: ['other'] } },
      orders({ grantedTo: [GRANT, { namespace: 'agents' }] }),
      [
        'RevealNotGranted: spec.reveal[0]: "pii.email" stays masked, since no owner lets namespace agents reveal it; it belongs in spec.grantedTo[].reveal of the resource',
      ],
    ],
    [
      'of statements beyond the grant',
      { rules: [rule(['update', 'delete', 'drop'])] },
      orders(),
      [
        'StatementNotGranted: rule "fix": delete, drop on data/orders-db stays denied, since its owner grants select, update; it belongs in spec.grantedTo[].statements of the resource',
      ],
    ],
    [
      'of statements that need approval, and what an owner grants by default',
      { rules: [rule(['insert'], asking())] },
      orders({ grantedTo: [{ namespace: 'agents' }] }),
      [
        'StatementNotGranted: rule "fix": insert on data/orders-db stays denied, since its owner grants select; it belongs in spec.grantedTo[].statements of the resource',
      ],
    ],
    [
      'of a rule that says nothing of whom to ask',
      { rules: [rule(['update'], { effect: 'RequireApproval' })] },
      orders(),
      [
        'ApproversMissing: rule "fix" needs approval but names nobody; add spec.rules[0].approval.approvers. Until then it denies',
      ],
    ],
    [
      'of a rule that asks nobody at first, whomever it asks later',
      { rules: [rule(['update'], asking({ approvers: {}, escalation: { after: '1m', approvers: { groups: ['dba'] } } }))] },
      orders(),
      [
        'ApproversMissing: rule "fix" needs approval but names nobody; add spec.rules[0].approval.approvers. Until then it denies',
      ],
    ],
    [
      'of people who are asked when all is over, by the default of the timeout too',
      {
        rules: [
          rule(['update'], asking({ timeout: '2m', escalation: { after: '2m', approvers: { groups: ['lead'] } } })),
          rule(['update'], asking({ escalation: { after: '10m', approvers: { groups: ['lead'] } } })),
        ],
      },
      orders(),
      [
        'EscalationTooLate: rule "fix": escalation after 2m comes too late, since the action is refused after 2m; nobody more is asked',
        'EscalationTooLate: rule "fix": escalation after 10m comes too late, since the action is refused after 5m; nobody more is asked',
      ],
    ],
    [
      'of a timeout that nobody means',
      { rules: [rule(['update'], asking({ timeout: '400d' })), rule(['update'], asking({ timeout: '1441m' }))] },
      orders(),
      [
        'TimeoutTooLong: rule "fix": timeout 400d holds an action for longer than a day; nobody looks at what was asked so long ago',
        'TimeoutTooLong: rule "fix": timeout 1441m holds an action for longer than a day; nobody looks at what was asked so long ago',
      ],
    ],
    [
      'of a token where nothing can carry one',
      { identity: IDENTITY },
      orders({ protocol: 'tcp' }),
      [
        'TokenNotCarried: spec.identity: no session opens on data/orders-db, since protocol tcp cannot carry a token; name it in policies without identity',
      ],
    ],
    [
      'of a Deny of commands beside an Allow of all of them',
      { rules: [commands('all', 'Allow', 'ls', '**'), commands('never', 'Deny', 'rm **')] },
      HOST,
      [
        'DenyBesideAllowAll: rule "never" is no wall on data/web-1: rule "all" allows **, also programs that nobody here knows, and one of them may run what "rm **" denies; allow what is meant by name',
      ],
    ],
    [
      'of verbs that open pods and name nothing in them',
      {
        rules: [
          {
            name: 'look',
            effect: 'Allow',
            resource: { namespace: 'data', name: 'staging' },
            kubernetes: { verbs: ['get', 'exec', 'attach', 'portforward'], resources: ['**'], ports: [8080] },
          },
        ],
      },
      new Map(),
      [
        'PodsNotOpened: rule "look": exec on data/staging lets nothing through, since the rule names no commands, files or shell; add what is meant',
        'PodsNotOpened: rule "look": attach on data/staging lets nothing through, since the rule names no shell; add what is meant',
      ],
    ],
    [
      'of resources of the Kubernetes API without their group, in a Deny too, and not of patterns',
      {
        rules: [
          {
            name: 'never',
            effect: 'Deny',
            resource: { namespace: 'data', name: 'staging' },
            kubernetes: {
              verbs: ['delete'],
              resources: ['deployments', 'deployments/scale', 'pod', 'pods/log', 'widgets', 'widgets.example.com', 'pod*', '**'],
            },
          },
        ],
      },
      new Map(),
      [
        'ResourceUnknown: rule "never": the core group has no resource "deployments"; write deployments.apps',
        'ResourceUnknown: rule "never": the core group has no resource "deployments"; write deployments.apps/scale',
        'ResourceUnknown: rule "never": the core group has no resource "pod"; write pods',
        'ResourceUnknown: rule "never": the core group has no resource "widgets"; write it as kubectl api-resources --output name does',
      ],
    ],
  ])('%s', (_what, spec, resources, expected) => {
    expect(policyWarnings(aPolicy(spec), resources).map(({ code, message }) => `${code}: ${message}`)).toEqual(expected);
  });
});

test.each<[string, object, ReadonlyMap<string, ProtectedResource>]>([
  ['what is granted', { reveal: ['pii.email'], ...masking('pii.ssn'), rules: [rule(['select', 'update'])] }, orders()],
  ['a Deny of all commands', { rules: [commands('all', 'Allow', '**'), commands('never', 'Deny', '**')] }, HOST],
  [
    'a Deny beside what is allowed by name',
    { rules: [commands('some', 'Allow', 'ls **'), commands('never', 'Deny', 'rm **')] },
    HOST,
  ],
  [
    'a Deny beside an Allow of all commands on another host',
    { rules: [aRule({ ...commands('all', 'Allow', '**'), ...OTHER }), commands('never', 'Deny', 'rm **')] },
    HOST,
  ],
  ['all statements that are granted', { rules: [rule(['*'])] }, orders()],
  ['a rule for what is not SQL', { rules: [{ name: 'read', effect: 'Allow', resource: ORDERS }] }, orders()],
  ['statements where all are granted', { rules: [rule(['drop'])] }, orders({ grantedTo: [{ ...GRANT, statements: ['*'] }] })],
  ['a token of a resource that can carry one', { identity: IDENTITY }, orders()],
  ['who is asked by all alone', { rules: [rule(['update'], asking({ approvers: {}, all: ['dba'] }))] }, orders()],
  [
    'people who are asked in time, within a day',
    { rules: [rule(['update'], asking({ timeout: '24h', escalation: { after: '23h', approvers: { groups: ['lead'] } } }))] },
    orders(),
  ],
  ['a denial', { rules: [rule(['drop'], { effect: 'Deny' })] }, orders()],
  ['what is told already: a resource that is not granted', { rules: [rule(['drop'])] }, orders({ grantedTo: [] })],
  [
    'what is told already: a resource that does not exist, which may have the label',
    { ...masking('medical'), rules: [rule(['select']), aRule(OTHER)] },
    orders(),
  ],
])('nothing is said of %s', (_what, spec, resources) => {
  expect(policyWarnings(aPolicy(spec), resources)).toEqual([]);
});
