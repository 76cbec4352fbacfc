import { expect, it } from 'vitest';
import { Credit } from './credit.ts';

type Step = { readonly waits: number } | { readonly came: number } | { readonly went: number };

it.each<[string, Step[], number[]]>([
  ['what goes on at once', [{ waits: 10 }, { went: 10 }, { came: 10 }], [10]],
  ['what waits, once it goes', [{ waits: 10 }, { came: 10 }, { went: 4 }, { went: 6 }], [4, 6]],
  ['what is held back of it', [{ waits: 0 }, { came: 10 }], [10]],
  ['what led to less', [{ waits: 3 }, { came: 10 }, { went: 3 }], [7, 3]],
  ['what led to more, once that is nearly gone', [{ waits: 30 }, { came: 10 }, { went: 15 }, { went: 15 }], [10]],
])('gives a sender back %s', (_, steps, given) => {
  const got: number[] = [];
  const credit = new Credit((bytes) => got.push(bytes));
  for (const step of steps) {
    if ('waits' in step) credit.waits(step.waits);
    else if ('came' in step) credit.came(step.came);
    else credit.went(step.went);
  }
  expect(got).toEqual(given);
});

it('gives nothing back while it may not', () => {
  const got: number[] = [];
  let mayGive = false;
  const credit = new Credit(
    (bytes) => got.push(bytes),
    () => mayGive,
  );
  credit.came(10);
  mayGive = true;
  credit.settle();
  expect(got).toEqual([10]);
});
