import { expect, it } from 'vitest';
import type { Clock } from '../../platform.ts';
import { RefusedRequest } from './exchange.ts';
import { Refusals } from './refusals.ts';

const at = { ms: 0 };
const clock: Clock = { now: () => 0, monotonic: () => at.ms, after: () => Promise.resolve() };
const refused = new RefusedRequest({ code: 'NoRuleAllows' }, 's-1/0');

it('a refusal is remembered once, for ten seconds, and for nothing but the same request', () => {
  const refusals = new Refusals(clock);
  refusals.remember('a', refused);
  expect([refusals.take('b'), refusals.take('a'), refusals.take('a')]).toEqual([undefined, refused, undefined]);
  refusals.remember('a', refused);
  at.ms += 10_001;
  expect(refusals.take('a')).toBeUndefined();
});

it('of many refusals the last are remembered', () => {
  const refusals = new Refusals(clock);
  for (let each = 0; each < 65; each++) refusals.remember(String(each), refused);
  expect([refusals.take('0'), refusals.take('1'), refusals.take('64')]).toEqual([undefined, refused, refused]);
});
