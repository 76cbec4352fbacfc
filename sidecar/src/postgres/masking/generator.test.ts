import { partOn, POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Choices, shrink } from './choices.test-support.ts';
import { generate } from './generator.test-support.ts';
import { noCounts, openOracle, type Oracle } from './oracle.test-support.ts';

/** Queries of each seed, the same in every run. */
const QUERIES = 250;

const reverses = (list: readonly number[]): Promise<boolean> =>
  Promise.resolve(generate(new Choices(list), 18).includes('reverse('));

describe.each(POSTGRES_SERVERS)('generated queries on $server', ({ package: name, major }) => {
  let oracle: Oracle;
  beforeAll(async () => {
    oracle = await openOracle({ package: name });
  });
  afterAll(async () => oracle?.[Symbol.asyncDispose]());

  // On all majors alike: columns that are masked although nothing was in them, and queries that are refused.
  it.each([
    ['some', 1, { overMasked: 38, refused: 18 }],
    ['others; `make soak` takes new ones', 20_261_128, { overMasked: 30, refused: 19 }],
  ])('%s (seeds from %i): no column that holds a labelled value is missed', async (_, seed, masked) => {
    const counts = noCounts();
    const all = Array.from({ length: QUERIES }, (_each, at) => seed + at);
    const seeds = partOn(major, all);
    for (const each of seeds) await oracle.check(each, counts);
    expect(counts.missed).toEqual([]);
    expect(counts.invalid.map((line) => line.slice(0, 400))).toEqual([]);
    // Most queries must show something, or the lines above say nothing.
    expect(counts.showing).toBeGreaterThan(seeds.length * 0.4);
    expect(counts).toMatchObject({ ...(seeds.length === all.length && masked), tooMuch: 0 });
  });
});

describe('generated queries', () => {
  it('a failure is shown by the smallest query that still fails', async () => {
    const large = Array.from({ length: 200 }, (_, seed) => new Choices(seed)).find((one) =>
      generate(one, 18).includes('reverse('),
    );
    const least = await shrink(large?.drawn ?? [], reverses);
    expect(await reverses(least)).toBe(true);
    expect(least.length).toBeLessThan((large?.drawn.length ?? 0) / 2);
  });
});
