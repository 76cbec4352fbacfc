import { describe, expect, test } from 'vitest';
import { FAILED_LOOKS, LOOK_AGAIN_MS, LOOK_EVERY_MS, watchCapture } from './watch.ts';

const ESCAPED = 'a connection was not stopped';

/** Looks that find this, one after another, and then nothing ever again. @returns what was said, and the waits between them */
async function watching(
  finds: readonly (string | undefined | Error)[],
): Promise<{ said: (string | undefined)[]; waits: number[] }> {
  const said: (string | undefined)[] = [];
  const waits: number[] = [];
  const left = [...finds];
  const over = Promise.withResolvers<void>();
  const watch = watchCapture({
    look: async () => {
      const found = left.shift();
      if (found instanceof Error) throw found;
      return found;
    },
    onChange: ({ problem }) => said.push(problem),
    wait: async (ms, signal) => {
      waits.push(ms);
      if (left.length > 0) return;
      over.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
    random: () => 0.5,
  });
  await over.promise;
  await watch.stop();
  return { said, waits };
}

describe('capture', () => {
  test.each<[string, (string | undefined | Error)[], (string | undefined)[]]>([
    ['is proven by one look', [undefined], [undefined]],
    ['that stays proven is told once', [undefined, undefined, undefined], [undefined]],
    [
      'is not lost by one look less than it takes',
      [undefined, ...Array<string>(FAILED_LOOKS - 1).fill(ESCAPED), undefined],
      [undefined],
    ],
    [
      'is lost by as many in a row as it takes, and told once',
      [undefined, ...Array<string>(FAILED_LOOKS + 4).fill(ESCAPED)],
      [undefined, ESCAPED],
    ],
    [
      'holds again after one look that proves it',
      [...Array<string>(FAILED_LOOKS).fill(ESCAPED), undefined],
      [ESCAPED, undefined],
    ],
    [
      'is not proven by a look that fails itself',
      Array.from({ length: FAILED_LOOKS }, () => new Error('x')),
      ['the look at it failed'],
    ],
  ])('%s', async (_what, finds, said) => {
    expect((await watching(finds)).said).toEqual(said);
  });

  test('is looked at again at once where it was not proven, and else at times that nobody knows', async () => {
    expect((await watching([undefined, ESCAPED, undefined])).waits).toEqual([LOOK_EVERY_MS, LOOK_AGAIN_MS, LOOK_EVERY_MS]);
    const waits: number[] = [];
    for (const random of [0, 0.999])
      await watchCapture({
        look: async () => undefined,
        onChange: () => undefined,
        wait: async (ms, signal) => {
          waits.push(ms);
          if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
        random: () => random,
      }).stop();
    expect(waits.map((ms) => Math.round(ms / 1000))).toEqual([24, 36]);
  });

  test('is not proven before the first look is over', () => {
    const watch = watchCapture({
      look: () => new Promise(() => undefined),
      onChange: () => undefined,
      wait: async () => undefined,
    });
    expect(watch.state.problem).toBe('the sidecar has not looked at its capture yet');
  });
});
