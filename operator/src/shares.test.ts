import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Shares } from './shares.ts';

/** Takes all that this one gets. */
function greedy(shares: Shares, who: string): Disposable[] {
  const places: Disposable[] = [];
  for (;;) {
    const place = shares.take(who);
    if (place === undefined) return places;
    places.push(place);
  }
}
/** What callers get that take all they can, one after the other, until nothing is left. */
function untilFull(places: number): number[] {
  const shares = new Shares(places);
  const got: number[] = [];
  for (;;) {
    const { length } = greedy(shares, `${got.length}`);
    if (length === 0) return got;
    got.push(length);
  }
}

test.each([
  [256, [64, 32, 16, 8, 4, 2], 136],
  [16, [4, 2], 12],
  [2, [1], 2],
  [1, [1], 1],
])('of %i places greedy callers get %j, then one each, and %i of them take all', (places, shares, callers) => {
  const got = untilFull(places);
  expect(got).toEqual([...shares, ...Array.from({ length: callers - shares.length }, () => 1)]);
});

const sum = (held: ReadonlyMap<number, Disposable[]>): number => [...held.values()].reduce((all, own) => all + own.length, 0);
const holders = (held: ReadonlyMap<number, Disposable[]>): number => [...held.values()].filter((own) => own.length > 0).length;

describe('whatever callers take and give back', () => {
  const PLACES = 16;
  const steps = fc.array(fc.record({ who: fc.integer({ min: 0, max: 11 }), gives: fc.boolean() }), { maxLength: 200 });
  const play = (each: (held: ReadonlyMap<number, Disposable[]>, shares: Shares) => void): void =>
    fc.assert(
      fc.property(steps, (all) => {
        const shares = new Shares(PLACES);
        const held = new Map<number, Disposable[]>();
        for (const { who, gives } of all) {
          const own = held.get(who) ?? [];
          if (gives) own.shift()?.[Symbol.dispose]();
          else own.push(...[shares.take(`${who}`)].filter((place) => place !== undefined));
          held.set(who, own);
          each(held, shares);
        }
      }),
    );

  test('all together never have more than there is', () => play((held) => expect(sum(held)).toBeLessThanOrEqual(PLACES)));

  test('whoever comes finds a place while no more than half as many callers as places have any', () =>
    play((held, shares) => {
      if (holders(held) > PLACES / 2) return;
      const place = shares.take('newcomer');
      expect(place).toBeDefined();
      place?.[Symbol.dispose]();
    }));

  test('what all gave back is there again, once', () =>
    play((held, shares) => {
      if (sum(held) === 0) expect(greedy(shares, 'later').map((place) => place[Symbol.dispose]())).toHaveLength(PLACES / 4);
    }));
});

test('a place that is given back twice is given back once', () => {
  const shares = new Shares(2);
  const [first] = greedy(shares, 'a');
  first?.[Symbol.dispose]();
  first?.[Symbol.dispose]();
  expect(['b', 'c', 'd'].map((who) => shares.take(who) !== undefined)).toEqual([true, true, false]);
});

test('what was given stays when others come', () => {
  const shares = new Shares(16);
  const places = greedy(shares, 'first');
  for (let at = 0; at < 12; at += 1) shares.take(`${at}`);
  expect(places).toHaveLength(4);
  expect(shares.take('late')).toBeUndefined();
  places[0]?.[Symbol.dispose]();
  expect(shares.take('first')).toBeUndefined();
  expect(shares.take('late')).toBeDefined();
});
