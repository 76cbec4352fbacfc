import { expect, it } from 'vitest';
import type { Clock } from '../platform.ts';
import { ownTimeMs, watchTime } from './time-limit.ts';

/** A clock that goes on as far as somebody waits. */
function aClock(): Clock & { passed: number } {
  const clock = {
    passed: 0,
    now: () => 1_000_000 + clock.passed,
    monotonic: () => clock.passed,
    after: (ms: number) => {
      clock.passed += ms;
      return Promise.resolve();
    },
  };
  return clock;
}
const never = new Promise(() => undefined);

it.each<[string, { ownMs: number; leftMs: number }, [string, number][], number]>([
  [
    'its own time',
    { ownMs: 600_000, leftMs: Infinity },
    [
      ['begins', 600_000],
      ['ends', 600_000],
    ],
    540_000,
  ],
  [
    'what is left of its session',
    { ownMs: 600_000, leftMs: 4_000 },
    [
      ['begins', 4_000],
      ['ends', 4_000],
    ],
    3_000,
  ],
])('tells a shell until when it goes on, and warns before: %s', async (_, times, told, warnedAfter) => {
  const clock = aClock();
  const heard: [string, number][] = [];
  let warned = 0;
  const isLate = await watchTime({
    ...times,
    clock,
    gone: never,
    tell: (said, endsAt) => {
      heard.push([said, endsAt - 1_000_000]);
      warned = clock.passed;
    },
  });
  expect([isLate, heard, warned, clock.passed]).toEqual([true, told, warnedAfter, times.ownMs]);
});

it('is over with what ends by itself, and tells nobody who is not to be told', async () => {
  const clock = { ...aClock(), after: () => never as Promise<void> };
  expect(await watchTime({ ownMs: 10, leftMs: 10, clock, gone: Promise.resolve() })).toBe(false);
});

it.each<[string, Parameters<typeof ownTimeMs>, number]>([
  ['a command', [{}, false, false], Infinity],
  ['a command with a limit', [{ statementDurationMs: 5, shellDurationMs: 1 }, false, false], 5],
  ['a shell', [{ statementDurationMs: 5 }, true, true], 3_600_000],
  ['a shell with a limit', [{ statementDurationMs: 5, shellDurationMs: 9 }, true, true], 9],
  ['a command that cannot be read', [{}, false, true], 3_600_000],
  ['the same, the shorter of both', [{ statementDurationMs: 5, shellDurationMs: 9 }, false, true], 5],
  ['the same, the other being shorter', [{ statementDurationMs: 9, shellDurationMs: 5 }, false, true], 5],
])('has a time of its own: %s', (_, of, expected) => {
  expect(ownTimeMs(...of)).toBe(expected);
});
