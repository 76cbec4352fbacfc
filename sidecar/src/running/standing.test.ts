import type { PolicyRule } from '@chaperone/api';
import type { Access } from '@chaperone/policy';
import { expect, it } from 'vitest';
import { masksOf, standing } from './standing.ts';

const policy = { namespace: 'agents', name: 'ops' };
const approval = { groups: ['ops'], users: [], all: [] };
let version = 0;
/** Of an agent that may run `ls`, or must ask, or nothing of both. */
const access = (effect: PolicyRule['effect'] | undefined, reveal: string[] = []): Access =>
  ({
    resource: { namespace: 'data', name: 'build' },
    digest: `${version++}`,
    mode: 'Enforce',
    ceiling: { statements: ['exec'] },
    rules: effect === undefined ? [] : [{ name: 'r', policy, effect, ssh: { commands: ['ls'] }, approval }],
    reveal,
  }) as unknown as Access;
const LS = { effects: [{ verb: 'exec', object: 'ls', via: 'direct', kind: 'command', words: ['ls'] }] } as const;

it.each<[string, Access, boolean, Access, boolean]>([
  ['what is allowed still', access('Allow'), false, access('Allow'), true],
  ['what no rule allows any more', access('Allow'), false, access(undefined), false],
  ['what a rule denies by now', access('Allow'), false, access('Deny'), false],
  ['what people would have to be asked by now', access('Allow'), false, access('RequireApproval'), false],
  ['what people agreed to and may be asked still', access('RequireApproval'), true, access('RequireApproval'), true],
  ['what people agreed to and is allowed by now', access('RequireApproval'), true, access('Allow'), true],
  ['what people agreed to and nobody may agree to any more', access('RequireApproval'), true, access(undefined), false],
  ['what is allowed and would be masked otherwise', access('Allow', ['pii']), false, access('Allow'), false],
])('%s goes on, or not', (_, before, wasApproved, after, expected) => {
  let now = before;
  const stands = standing(() => now, LS, wasApproved, masksOf);
  expect(stands()).toBe(true);
  now = after;
  expect([stands(), stands()]).toEqual([expected, expected]);
  now = before;
  expect(stands()).toBe(true);
});

it('what was not permitted at its beginning does not begin', () => {
  expect(standing(() => access(undefined), LS, true)()).toBe(false);
});
