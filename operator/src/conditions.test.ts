import { expect, test } from 'vitest';
import { fails, firstProblem, holds, stamp, unknown, withReady } from './conditions.ts';

const problem = { code: 'CANotFound', message: 'Secret a/b does not exist' };

test('lastTransitionTime moves only when the status changes', () => {
  const first = stamp([holds('Accepted')], undefined, { now: 1000, generation: 1 });
  expect(first[0]).toMatchObject({ lastTransitionTime: '1970-01-01T00:00:01Z', observedGeneration: 1 });
  const same = stamp([holds('Accepted', 'another message')], first, { now: 60_000, generation: 2 });
  expect(same[0]).toMatchObject({
    lastTransitionTime: '1970-01-01T00:00:01Z',
    observedGeneration: 2,
    message: 'another message',
  });
  const changed = stamp([fails('Accepted', problem)], same, { now: 60_000, generation: 2 });
  expect(changed[0]?.lastTransitionTime).toBe('1970-01-01T00:01:00Z');
});

test('Ready repeats the first condition that fails, and nothing that is unknown', () => {
  const ready = { reason: 'Ready', message: 'all is well' };
  expect(
    withReady([holds('Accepted'), fails('ResolvedRefs', problem), fails('X', { code: 'Y', message: 'y' })], ready).at(-1),
  ).toEqual({
    type: 'Ready',
    status: 'False',
    reason: 'CANotFound',
    message: 'Secret a/b does not exist',
  });
  expect(withReady([holds('Accepted'), unknown('Reachable', problem)], ready).at(-1)).toEqual({
    type: 'Ready',
    status: 'True',
    ...ready,
  });
});

test('checks run in their order and stop at the first problem', () => {
  const ran: string[] = [];
  const check = (name: string, found?: typeof problem) => () => {
    ran.push(name);
    return found;
  };
  expect(firstProblem([check('a'), check('b', problem), check('c')], {})).toBe(problem);
  expect(ran).toEqual(['a', 'b']);
});

test('a message is never longer than the API allows', () => {
  expect(stamp([holds('A', 'x'.repeat(5000))], undefined, { now: 0, generation: 1 })[0]?.message).toHaveLength(1024);
});
