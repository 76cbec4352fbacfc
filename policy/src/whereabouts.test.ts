import { expect, it } from 'vitest';
import type { AccessRule, GrantedResource } from './access.ts';
import { aResource, anAccess, anAccessRule } from './builders.ts';
import { elsewhereOf, splitAddress } from './whereabouts.ts';

const granted = (rule: Partial<AccessRule>): GrantedResource[] => [
  {
    access: anAccess([{}], { rules: [anAccessRule(rule)] }),
    hosts: [],
    port: 1,
    upstream: { host: '', port: 1, tls: { mode: 'disable' } },
    addresses: [],
  },
];
const at = (name: string, address: string) => {
  const { metadata, ...rest } = aResource({ hosts: [name], port: 22, upstream: { address } });
  return { resource: { ...rest, metadata: { ...metadata, name } }, addresses: [{ host: name, ipv4: '240.240.0.9' }] };
};
const all = [at('web-2', '10.0.4.18:22'), at('db', '[2001:db8::7]:5432'), at('orders-db', '10.0.4.17:22')];

it.each<[string, Partial<AccessRule>, string[] | undefined]>([
  ['no rule that forwards', { ssh: { commands: ['ls'] } }, undefined],
  ['a rule that denies to forward', { effect: 'Deny', ssh: { forward: ['*.corp:22'] } }, undefined],
  ['a rule that lets it forward', { ssh: { forward: ['*.corp:22'] } }, ['2001:db8::7', '10.0.4.18']],
  ['a rule that lets it into pods', { kubernetes: { verbs: ['exec'], resources: ['pods/exec'] } }, ['2001:db8::7', '10.0.4.18']],
  ['a rule about other verbs', { kubernetes: { verbs: ['get'], resources: ['pods'] } }, undefined],
  ['a rule that asks people', { effect: 'RequireApproval', ssh: { forward: ['*.corp:22'] } }, ['2001:db8::7', '10.0.4.18']],
])('a proxy knows where other resources are, in a fixed order, with %s', (_, rule, expected) => {
  expect(elsewhereOf(granted(rule), all)?.map(({ upstream }) => upstream.host)).toEqual(expected);
});

it('tells where a resource is, and nothing else of it', () => {
  expect(elsewhereOf(granted({ ssh: { forward: ['a:1'] } }), [at('web-2', '10.0.4.18:2222')])).toEqual([
    {
      hosts: ['web-2'],
      port: 22,
      addresses: [{ host: 'web-2', ipv4: '240.240.0.9' }],
      upstream: { host: '10.0.4.18', port: 2222 },
    },
  ]);
});

it.each([
  ['db.corp:5432', { host: 'db.corp', port: 5432 }],
  ['[2001:db8::7]:22', { host: '2001:db8::7', port: 22 }],
])('%s is an address', (text, expected) => {
  expect(splitAddress(text)).toEqual(expected);
});
