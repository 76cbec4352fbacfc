import { describe, expect, test } from 'vitest';
import { KINDS, type Kind, LANES } from './model.ts';
import { plan, type Step } from './plan.ts';

const SEEDS = [1, 2, 3, 20_261_201];
const isOf = (lane: (typeof LANES)[number]) => (kind: Kind) => KINDS[kind].lane === lane;

describe.each(SEEDS)('a plan by seed %i', (seed) => {
  const steps = plan(seed, 30);

  test('is the same each time, and another by another seed', () => {
    expect(plan(seed, 30)).toEqual(steps);
    expect(plan(seed + 1, 30)).not.toEqual(steps);
  });

  test.each(LANES)('has every kind of lane %s, several a minute', (lane) => {
    expect(new Set(steps[lane].map(({ kind }) => kind))).toEqual(new Set((Object.keys(KINDS) as Kind[]).filter(isOf(lane))));
    expect(steps[lane].length).toBeGreaterThanOrEqual(60);
  });

  test('has the beginning of a longer one', () => {
    for (const lane of LANES) expect(steps[lane].slice(0, plan(seed, 3)[lane].length)).toEqual(plan(seed, 3)[lane]);
  });

  test('is over in its time, in order', () => {
    for (const lane of LANES) {
      const times = steps[lane].map(({ atMs }) => atMs);
      expect(times).toEqual(times.toSorted((one, other) => one - other));
      expect(times.at(-1)).toBeLessThan(30 * 60_000);
    }
  });

  test('ends and kills only what was made and not ended, makes nothing twice, and keeps few', () => {
    const living = new Set<string>();
    const made = new Set<string>();
    for (const { kind, subject } of steps.agents) {
      if (kind === 'agent-ended') expect(living.delete(subject)).toBe(true);
      else if (kind === 'sidecar-killed') expect(living).toContain(subject);
      else {
        expect(made).not.toContain(subject);
        made.add(subject);
        if (kind !== 'job-run') living.add(subject);
      }
      expect(living.size).toBeLessThanOrEqual(6);
    }
    expect([...steps.rules, ...steps.parts].every(({ subject }: Step) => subject === '')).toBe(true);
  });
});
