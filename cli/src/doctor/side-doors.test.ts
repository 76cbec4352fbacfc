import { describe, expect, test } from 'vitest';
import type { Facts } from './facts.ts';
import { sideDoors } from './side-doors.ts';

const resource = (name: string, protocol: string, address: string, more: object = {}): object => ({
  metadata: { name, namespace: 'data' },
  spec: {
    protocol,
    hosts: [name],
    port: 5432,
    upstream: { address },
    credentials: { secretRef: { name } },
    grantedTo: [],
    ...more,
  },
});
const RESOURCES = [
  resource('orders', 'postgres', 'Orders-0.orders.data.svc.cluster.local:5432'),
  resource('six', 'postgres', '[2001:db8::5]:5432'),
  resource('jump', 'ssh', 'jump.corp:22'),
  resource('beside', 'postgres', 'jump.corp:5432'),
  resource('api', 'kubernetes', 'kubernetes.default.svc:443'),
  resource('model', 'tcp', '[2001:db8::5]:5432', { credentials: undefined }),
  resource('elsewhere', 'tcp', 'model.example:443', { credentials: undefined }),
];

/** What is found of one rule, without what every line says. */
function found(rule: object, on: string, resources: readonly object[] = RESOURCES): string[] {
  const rules = [{ name: 'r', effect: 'Allow', resource: { namespace: 'data', name: on }, ...rule }];
  const policies = [{ metadata: { name: 'p', namespace: 'agents' }, spec: { agents: {}, rules } }];
  const facts = { resources: { seen: resources }, policies: { seen: policies } } as unknown as Facts;
  return sideDoors(facts).flatMap(({ level, message }) => {
    const [, what, which] = /lets through (.*) that reaches the upstream of (.*) beside its proxy$/.exec(message) ?? [];
    return level === 'ok' ? [] : [`${what}: ${which}`];
  });
}

describe('a way beside a proxy is found', () => {
  test.each<[string, object, string, string[]]>([
    [
      'a forward to the upstream',
      { ssh: { forward: ['orders-0.orders.data.svc.cluster.local:5432'] } },
      'jump',
      ['a forward: data/orders'],
    ],
    ['a forward to any name below', { ssh: { forward: ['*.cluster.local:*'] } }, 'jump', ['a forward: data/orders']],
    ['a forward to the name that agents use', { ssh: { forward: ['orders:5432'] } }, 'jump', ['a forward: data/orders']],
    ['a forward to an IPv6 address', { ssh: { forward: ['[2001:db8::5]:*'] } }, 'jump', ['a forward: data/six']],
    [
      'a forward that asks people',
      { effect: 'RequireApproval', ssh: { forward: ['orders:*'] } },
      'jump',
      ['a forward: data/orders'],
    ],
    ['a command on the host of another', { ssh: { commands: ['psql **'] } }, 'jump', ['a program on the host: data/beside']],
    ['a shell there', { effect: 'RequireApproval', ssh: { shell: true } }, 'jump', ['a program on the host: data/beside']],
    [
      'both',
      { ssh: { commands: ['ls'], forward: ['orders:5432'] } },
      'jump',
      ['a forward: data/orders', 'a program on the host: data/beside'],
    ],
    [
      'a command in a pod',
      { kubernetes: { verbs: ['exec'], resources: ['pods/exec'], namespaces: ['da*'], commands: ['ls'] } },
      'api',
      ['a way into pods: data/orders'],
    ],
    [
      'a port of any pod',
      { kubernetes: { verbs: ['*'], resources: ['pods/*'], ports: [5432] } },
      'api',
      ['a way into pods: data/orders'],
    ],
    [
      'a shell by attach',
      { effect: 'RequireApproval', kubernetes: { verbs: ['attach'], resources: ['**'], shell: true } },
      'api',
      ['a way into pods: data/orders'],
    ],
    ['an open channel to the same address', {}, 'model', ['an open channel: data/six']],
  ])('%s', (_, rule, on, doors) => {
    expect(found(rule, on)).toEqual(doors);
  });

  test.each<[string, object, string]>([
    ['a Deny', { effect: 'Deny', ssh: { forward: ['orders:5432'] } }, 'jump'],
    ['another port', { ssh: { forward: ['orders:5433'] } }, 'jump'],
    ['a name that ends alike', { ssh: { forward: ['*.ders:5432', 'ders:5432'] } }, 'jump'],
    ['files on the host', { ssh: { files: { operations: ['read'], paths: ['/srv/**'] } } }, 'jump'],
    [
      'another namespace',
      { kubernetes: { verbs: ['exec'], resources: ['pods/exec'], namespaces: ['shop'], commands: ['ls'] } },
      'api',
    ],
    [
      'files of a pod',
      { kubernetes: { verbs: ['exec'], resources: ['pods/exec'], files: { operations: ['read'], paths: ['/**'] } } },
      'api',
    ],
    ['reading pods', { kubernetes: { verbs: ['get', 'list'], resources: ['pods'] } }, 'api'],
    ['a channel elsewhere', {}, 'elsewhere'],
    ['the resource itself', { sql: { statements: ['select'], relations: ['**'] } }, 'orders'],
    ['a resource that is not there', { ssh: { commands: ['ls'] } }, 'nothing'],
  ])('and %s is none', (_, rule, on) => {
    expect(found(rule, on)).toEqual([]);
  });

  test('what has no credential of ours is nobody’s to protect', () => {
    const open = RESOURCES.map((each) => ({ ...each, spec: { ...(each as { spec: object }).spec, credentials: undefined } }));
    expect(found({ ssh: { forward: ['*.cluster.local:*'] } }, 'jump', open)).toEqual([]);
  });
});
