import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Choices, shrink } from './choices.test-support.ts';
import { generate } from './generator.test-support.ts';
import { noCounts, openOracle, type Oracle } from './oracle.test-support.ts';

/** Queries of one seed and of another. */
const QUERIES = 250;

const reverses = (list: readonly number[]): Promise<boolean> =>
  Promise.resolve(generate(new Choices(list), 18).includes('reverse('));

describe('generated queries', () => {
  let oracle: Oracle;
  beforeAll(async () => {
    oracle = await openOracle();
  });
  afterAll(async () => oracle?.[Symbol.asyncDispose]());

  it.each([
    ['the same every time', 1, QUERIES],
    ['others every time', randomInt(2 ** 31), QUERIES],
  ])('%s (seeds from %i): no column that holds a labelled value is missed', async (_, seed, count) => {
    const counts = noCounts();
    for (let at = 0; at < count; at++) await oracle.check(seed + at, counts);
    expect(counts.missed).toEqual([]);
    expect(counts.invalid.map((line) => line.slice(0, 400))).toEqual([]);
    // Most queries must show something, and few may be given up, or the lines above say nothing.
    expect(counts.showing).toBeGreaterThan(count * 0.5);
    expect(counts.refused + counts.tooMuch).toBeLessThan(count * 0.15);
    expect(counts.overMasked / counts.columns).toBeLessThan(0.35);
  });

  it('a failure is shown by the smallest query that still fails', async () => {
    const large = Array.from({ length: 200 }, (_, seed) => new Choices(seed)).find((one) =>
      generate(one, 18).includes('reverse('),
    );
    const least = await shrink(large?.drawn ?? [], reverses);
    expect(await reverses(least)).toBe(true);
    expect(least.length).toBeLessThan(20);
  });
});
