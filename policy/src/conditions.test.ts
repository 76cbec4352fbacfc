import { expect, test } from 'vitest';
import { fails, firstProblem, holds, type Problem, stamp, unknown, withReady } from './conditions.ts';

const problem: Problem = { code: 'CANotFound', message: 'Secret a/b does not exist' };

test('lastTransitionTime moves only when the status changes', () => {
  const first = stamp([holds('Accepted', '', 'Accepted')], undefined, { now: 1000, generation: 1 });
  expect(first[0]).toMatchObject({ lastTransitionTime: '1970-01-01T00:00:01Z', observedGeneration: 1 });
  const same = stamp([holds('Accepted', 'another message', 'Accepted')], first, { now: 60_000, generation: 2 });
  expect(same[0]).toMatchObject({
    lastTransitionTime: '1970-01-01T00:00:01Z',
    observedGeneration: 2,
    message: 'another message',
  });
  const changed = stamp([fails('Accepted', problem)], same, { now: 60_000, generation: 2 });
  expect(changed[0]?.lastTransitionTime).toBe('1970-01-01T00:01:00Z');
});

const accepted = holds('Accepted', '', 'Accepted');
const ready = { reason: 'Ready', message: 'all is well' } as const;

test('Ready repeats the first condition that fails', () => {
  const other: Problem = { code: 'UpstreamRefused', message: 'y' };
  const { code: reason, message } = problem;
  for (const drafts of [
    [accepted, fails('ResolvedRefs', problem), fails('Reachable', other)],
    [accepted, unknown('UpstreamSuitable', other), fails('ResolvedRefs', problem)],
  ])
    expect(withReady(drafts, ready).at(-1)).toEqual({ type: 'Ready', status: 'False', reason, message });
});

test('Ready fails with what was looked at and could not be told, and not with what nobody has looked at', () => {
  const { code: reason, message } = problem;
  expect(withReady([accepted, unknown('UpstreamSuitable', problem)], ready).at(-1)).toEqual({
    type: 'Ready',
    status: 'False',
    reason,
    message,
  });
  const unseen: Problem = { code: 'NotDialledYet', message: 'no session has used it yet' };
  expect(withReady([accepted, unknown('Reachable', unseen)], ready).at(-1)).toEqual({ type: 'Ready', status: 'True', ...ready });
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
  expect(stamp([holds('A', 'x'.repeat(5000), 'Accepted')], undefined, { now: 0, generation: 1 })[0]?.message).toHaveLength(1024);
});
