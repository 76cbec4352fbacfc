import type { AccessRequest, RequestStatus } from '@chaperone/api';
import { grantSteps, minutesText } from '@chaperone/api/requests';
import { describe, expect, test } from 'vitest';
import { endingOf, grantsOf } from './grants.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const at = (minutes: number): string => new Date(NOW + minutes * 60_000).toISOString();
const denial = { name: 'd', decision: 'Deny', by: 'ann', at: at(-5), counted: true, reason: 'closed' } as const;

function granted(name: string, minutes: number | undefined, status: RequestStatus = {}): AccessRequest {
  return {
    metadata: { name, namespace: 'agents', uid: `uid-${name}` },
    status: { state: 'Ran', ...(minutes !== undefined && { grantedUntil: at(minutes) }), ...status },
  } as unknown as AccessRequest;
}

describe('grants', () => {
  test('are open, those that end soonest first, or ended, the last one first', () => {
    const all = [
      granted('later', 30),
      granted('never', undefined),
      granted('soon', 1),
      granted('over', -20),
      granted('revoked', 30, { revokedBy: 'ann', decisions: [denial] }),
      granted('lapsed', 30, { grantEnded: { at: at(-2), why: 'its policy changed' } }),
    ];
    const { open, ended } = grantsOf(all, NOW);
    expect([open, ended].map((each) => each.map(({ metadata }) => metadata.name))).toEqual([
      ['soon', 'later'],
      ['lapsed', 'revoked', 'over'],
    ]);
  });
  test.each<[string, AccessRequest, object]>([
    ['with its time', granted('a', -1), { kind: 'time' }],
    [
      'by somebody, who said why',
      granted('a', 9, { revokedBy: 'ann', decisions: [denial] }),
      { kind: 'revoked', by: 'ann', at: NOW - 300_000, reason: 'closed' },
    ],
    ['by somebody whose answer is not there any more', granted('a', 9, { revokedBy: 'ann' }), { kind: 'revoked', by: 'ann' }],
    [
      'with its request, which was denied before it ran',
      granted('a', 9, { state: 'Denied' }),
      { kind: 'undone', state: 'Denied' },
    ],
    [
      'with its policy',
      granted('a', 9, { grantEnded: { at: at(-2), why: 'its policy changed' } }),
      { kind: 'lapsed', at: NOW - 120_000, why: 'its policy changed' },
    ],
    ['with its request, whose policy changed', granted('a', 9, { state: 'Voided' }), { kind: 'undone', state: 'Voided' }],
  ])('end %s', (_, request, ending) => {
    expect(endingOf(request)).toMatchObject(ending);
    expect(grantsOf([request], NOW).ended).toEqual([request]);
  });
});

test.each<[number, string | undefined, string]>([
  [1_800, 'b', '10 min, 30 min'],
  [43_200, 'b', '10 min, 30 min, 1 h, 4 h, 12 h'],
  [5_400, 'b', '10 min, 30 min, 1 h, 1 h 30 min'],
  [90, 'b', '1 min 30 s'],
  [59, 'b', ''],
  [0, 'b', ''],
  [1_800, undefined, ''],
])('of at most %d s, with template %s, is offered: %s', (grant, template, offered) => {
  const spec = {
    rules: [{ grant }],
    ...(template !== undefined && { template, templateText: 'x' }),
  } as unknown as AccessRequest['spec'];
  expect(grantSteps(spec).map(minutesText).join(', ')).toBe(offered);
});
