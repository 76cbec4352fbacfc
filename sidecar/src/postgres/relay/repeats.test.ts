import { describe, expect, it } from 'vitest';
import { delayOf, Repeats } from './repeats.ts';

const MINUTE = 60_000;

describe('repeated refusals', () => {
  it.each([
    [1, 0],
    [2, 0],
    [3, 500],
    [4, 1000],
    [5, 2000],
    [6, 4000],
    [7, 5000],
    [8, 5000],
    [100_000, 5000],
  ])('the answer to refusal %i is held for %i ms', (count, ms) => {
    expect(delayOf(count)).toBe(ms);
  });

  it('count per code, reason and statement', () => {
    const repeats = new Repeats();
    const same = (): number => repeats.count('DeniedByRule', 'why', 'drop table t', 0);
    expect([same(), same(), same()]).toEqual([1, 2, 3]);
    expect(repeats.count('NoRuleAllows', 'why', 'drop table t', 0)).toBe(1);
    expect(repeats.count('DeniedByRule', 'other', 'drop table t', 0)).toBe(1);
    expect(repeats.count('DeniedByRule', 'why', 'drop table u', 0)).toBe(1);
    expect(same()).toBe(4);
  });

  it('are forgotten a minute after the last one', () => {
    const repeats = new Repeats();
    const at = (ms: number): number => repeats.count('DeniedByRule', '', '', ms);
    expect([at(0), at(MINUTE - 1), at(2 * MINUTE - 2), at(3 * MINUTE - 2)]).toEqual([1, 2, 3, 1]);
  });

  it('are remembered within a bound: the one that was said longest ago goes first', () => {
    const repeats = new Repeats();
    const of = (statement: number): number => repeats.count('DeniedByRule', '', String(statement), 0);
    for (let each = 0; each < 256; each++) of(each);
    expect(of(0)).toBe(2);
    of(1000);
    expect([of(1), of(0)]).toEqual([1, 3]);
  });
});
