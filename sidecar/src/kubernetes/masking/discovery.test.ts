import type { Access } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { DiscoveryMask, shownDiscovery } from './discovery.ts';
import { anAccess, planOf } from './objects.test-support.ts';

type Rule = Access['rules'][number];
const rule = (mods: Partial<Rule>): Rule => ({
  name: 'r',
  policy: { namespace: 'agents', name: 'p' },
  effect: 'Allow',
  ...mods,
});
const allowing = (verbs: string[], resources: string[], mods: Partial<Rule> = {}): Rule =>
  rule({ kubernetes: { verbs, resources } as never, ...mods });
const access = (rules: Rule[], mods: Partial<Access> = {}): Access =>
  anAccess({ rules, ceiling: { statements: ['*'] }, ...mods });

const ALL = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const aggregated = {
  kind: 'APIGroupDiscoveryList',
  apiVersion: 'apidiscovery.k8s.io/v2',
  metadata: {},
  items: [
    {
      metadata: {},
      versions: [
        {
          version: 'v1',
          freshness: 'Current',
          resources: [
            {
              resource: 'pods',
              responseKind: { kind: 'Pod' },
              scope: 'Namespaced',
              shortNames: ['po'],
              verbs: ALL,
              subresources: [
                { subresource: 'exec', verbs: ['create', 'get'] },
                { subresource: 'log', verbs: ['get'] },
                { subresource: 'proxy', verbs: ['create', 'get'] },
              ],
            },
            { resource: 'secrets', scope: 'Namespaced', verbs: ALL },
            { resource: 'namespaces', scope: 'Cluster', verbs: ALL },
          ],
        },
      ],
    },
    {
      metadata: { name: 'apps' },
      versions: [
        {
          version: 'v1',
          resources: [{ resource: 'deployments', verbs: ALL, subresources: [{ subresource: 'scale', verbs: ['get', 'patch'] }] }],
        },
      ],
    },
  ],
};
const legacy = {
  kind: 'APIResourceList',
  groupVersion: 'v1',
  resources: [
    { name: 'pods', verbs: ALL },
    { name: 'pods/exec', verbs: ['create', 'get'] },
    { name: 'pods/log', verbs: ['get'] },
    { name: 'pods/proxy', verbs: ['get'] },
    { name: 'secrets', verbs: ALL },
    { name: 'namespaces', verbs: ALL },
  ],
};

/** RESOURCE: VERBS of every entry that is left, in both forms of discovery. */
function left(rules: Rule[], mods: Partial<Access> = {}): Record<string, string> {
  const shown = shownDiscovery(aggregated, access(rules, mods)) as unknown as typeof aggregated;
  const found: Record<string, string> = {};
  for (const group of shown.items)
    for (const { resources } of group.versions)
      for (const entry of resources) {
        const plural = [entry.resource, group.metadata.name].filter(Boolean).join('.');
        found[plural] = entry.verbs.join();
        const { subresources = [] } = entry as { subresources?: { subresource: string; verbs: string[] }[] };
        Object.assign(
          found,
          Object.fromEntries(subresources.map((each) => [`${plural}/${each.subresource}`, each.verbs.join()])),
        );
      }
  const listed = shownDiscovery(legacy, access(rules, mods)) as unknown as typeof legacy;
  const ofCore = Object.fromEntries(Object.entries(found).filter(([name]) => !name.includes('.')));
  expect(Object.fromEntries(listed.resources.map(({ name, verbs }) => [name, verbs.join()]))).toEqual(ofCore);
  return found;
}

describe('discovery shows what the agent may use', () => {
  it.each<[what: string, rules: Rule[], mods: Partial<Access>, expected: Record<string, string>]>([
    ['the verbs of a rule', [allowing(['get', 'list'], ['pods'])], {}, { pods: 'get,list' }],
    [
      'what people are asked about',
      [
        allowing(['delete'], ['pods'], {
          effect: 'RequireApproval',
          approval: {
            groups: ['sre'],
            users: [],
            all: [],
            minimum: 1,
            timeoutMs: 1,
            transactionTimeoutMs: 1,
            mode: 'hold',
            reason: false,
          },
        }),
      ],
      {},
      { pods: 'delete' },
    ],
    ['nothing that nobody could approve', [allowing(['get'], ['pods'], { effect: 'RequireApproval' })], {}, {}],
    ['a subresource, and what it is of', [allowing(['get'], ['pods/log'])], {}, { pods: '', 'pods/log': 'get' }],
    ['a connection by its verb', [allowing(['exec'], ['pods/exec'])], {}, { pods: '', 'pods/exec': 'create,get' }],
    ['no connection by the verb of its method', [allowing(['get', 'create'], ['pods/exec'])], {}, {}],
    [
      'only what the owner grants',
      [allowing(['*'], ['pods'])],
      { ceiling: { statements: ['get', 'watch'] } },
      { pods: 'get,watch' },
    ],
    [
      'what some objects are denied of',
      [allowing(['get'], ['pods']), rule({ name: 'd', effect: 'Deny', kubernetes: { verbs: ['get'], namespaces: ['x'] } })],
      {},
      { pods: 'get' },
    ],
    [
      'nothing that is denied of all',
      [allowing(['get', 'list'], ['pods']), rule({ name: 'd', effect: 'Deny', kubernetes: { verbs: ['get'] } })],
      {},
      { pods: 'list' },
    ],
    ['nothing where all is denied', [allowing(['get'], ['pods']), rule({ name: 'd', effect: 'Deny' })], {}, {}],
    [
      'nothing that no rule can allow',
      [allowing(['*'], ['**'])],
      {},
      {
        pods: ALL.join(),
        'pods/exec': 'create,get',
        'pods/log': 'get',
        secrets: ALL.join(),
        namespaces: 'get,list,watch',
        'deployments.apps': ALL.join(),
        'deployments.apps/scale': 'get,patch',
      },
    ],
    [
      'all that is granted, where policies only audit',
      [],
      { mode: 'Audit', ceiling: { statements: ['list'] } },
      { pods: 'list', secrets: 'list', namespaces: 'list', 'deployments.apps': 'list' },
    ],
    ['a group of its own', [allowing(['get'], ['*.apps'])], {}, { 'deployments.apps': 'get' }],
  ])('%s', (_, rules, mods, expected) => {
    expect(left(rules, mods)).toEqual(expected);
  });

  it('by groups, and without addresses where else to ask', () => {
    const addresses = [{ clientCIDR: '0.0.0.0/0', serverAddress: '10.0.0.1:6443' }];
    const apps = { name: 'apps', versions: [{ groupVersion: 'apps/v1', version: 'v1' }] };
    const batch = { name: 'batch', versions: [{ groupVersion: 'batch/v1', version: 'v1' }] };
    const by = access([allowing(['get'], ['deployments.apps'])]);
    expect(shownDiscovery({ kind: 'APIGroupList', groups: [apps, { ...batch }] }, by)).toEqual({
      kind: 'APIGroupList',
      groups: [apps],
    });
    expect(shownDiscovery({ kind: 'APIGroup', ...apps, serverAddressByClientCIDRs: addresses }, by)).toEqual({
      kind: 'APIGroup',
      ...apps,
    });
    expect(shownDiscovery({ kind: 'APIGroup', ...batch }, by)).toEqual({ kind: 'APIGroup', name: 'batch', versions: [] });
    expect(shownDiscovery({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: addresses }, by)).toEqual({
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [],
    });
  });

  it.each<[what: string, bytes: Buffer, code: string]>([
    ['another kind', Buffer.from('{"kind":"SecretList","items":[{"data":{"a":"x"}}]}'), 'AnswerNotJson'],
    ['a list', Buffer.from('[]'), 'AnswerNotJson'],
    ['no JSON', Buffer.from('{"kind":'), 'AnswerNotJson'],
    ['a key twice', Buffer.from('{"kind":"APIVersions","kind":"APIVersions"}'), 'AnswerNotJson'],
    ['more than there is room', Buffer.alloc(3 * 2 ** 20 + 1, ' '), 'AnswerTooLarge'],
  ])('and nothing of %s', (_, bytes, code) => {
    const mask = new DiscoveryMask(planOf(access([allowing(['*'], ['**'])])));
    const show = (): Buffer => Buffer.concat([mask.push(bytes), mask.end()]);
    expect(show).toThrow(expect.objectContaining({ code }));
  });
});
