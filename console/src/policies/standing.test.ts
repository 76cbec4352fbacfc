import type { Condition } from '@chaperone/api';
import { expect, test } from 'vitest';
import { behind, inOrder, type Known, lookOf, standing } from './standing.ts';

const condition = (type: string, status: Condition['status'], reason = type): Condition => ({
  type,
  status,
  reason,
  message: '',
  lastTransitionTime: '',
});
const known = (conditions: readonly Condition[], generation?: number, observedGeneration?: number): Known =>
  ({ metadata: { name: 'x', generation }, status: { conditions, observedGeneration } }) as unknown as Known;

test.each([
  ['Accepted', 'True', 'allow'],
  ['Accepted', 'False', 'finding'],
  ['Accepted', 'Unknown', 'none'],
  ['Ineffective', 'True', 'finding'],
  ['Conflicted', 'False', 'allow'],
] as const)('%s=%s is drawn as %s', (type, status, look) => {
  expect(lookOf(condition(type, status))).toBe(look);
});

test('what fails is told first, and Ready apart', () => {
  const all = [
    condition('Accepted', 'True'),
    condition('Reachable', 'Unknown'),
    condition('ResolvedRefs', 'False'),
    condition('Ineffective', 'True'),
    condition('Ready', 'False'),
  ];
  expect(inOrder(known(all)).map(({ type }) => type)).toEqual(['ResolvedRefs', 'Ineffective', 'Reachable', 'Accepted']);
  expect(inOrder({ ...known([]), status: undefined })).toEqual([]);
});

test.each([
  ['nobody looked', [], { look: 'none', word: 'nobody looked' }],
  ['ready', [condition('Ready', 'True')], { look: 'allow', word: 'Ready' }],
  ['ready, with a word', [condition('Ready', 'True', 'NoAgentsYet')], { look: 'allow', word: 'Ready', reason: 'NoAgentsYet' }],
  ['not', [condition('Ready', 'False', 'CANotFound')], { look: 'finding', word: 'Not ready', reason: 'CANotFound' }],
  ['not known', [condition('Ready', 'Unknown', 'Later')], { look: 'none', word: 'not known', reason: 'Later' }],
] as const)('an object of which is known: %s', (_, conditions, said) => {
  expect(standing(known(conditions))).toEqual(said);
});

test.each([
  [14, 13, 13],
  [14, 14, undefined],
  [undefined, 13, undefined],
  [14, undefined, undefined],
])('at generation %s with conditions of %s it is behind at %s', (generation, observed, said) => {
  expect(behind(known([], generation, observed))).toBe(said);
});
