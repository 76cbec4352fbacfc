import { expect, it } from 'vitest';
import { Logins } from './logins.ts';

it('the oldest of too many connections on which nobody is let in gives way', () => {
  const dropped: number[] = [];
  const logins = new Logins(2);
  const done = [0, 1, 2, 3].map((number) => logins.begin(() => dropped.push(number)));
  expect(dropped).toEqual([0, 1]);
  done[2]?.();
  logins.begin(() => dropped.push(4));
  expect(dropped).toEqual([0, 1]);
  // Of one that gave way already there is nothing to give back.
  done[0]?.();
  logins.begin(() => dropped.push(5));
  expect(dropped).toEqual([0, 1, 3]);
});
