import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

/** Works that end when they are told to, and what began and ended so far. */
function works(turns: Turns) {
  const log: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const work = (name: string) => async (): Promise<string> => {
    log.push(`+${name}`);
    await ends.get(name)?.promise;
    log.push(`-${name}`);
    return name;
  };
  const begin = (name: string): (() => Promise<string>) => {
    ends.set(name, Promise.withResolvers());
    return work(name);
  };
  return {
    of: (key: string, name: string) => turns.of(key, begin(name)),
    alone: (name: string) => turns.alone(begin(name)),
    end: async (name: string): Promise<void> => {
      ends.get(name)?.resolve();
      await nextTurn();
    },
    fail: async (name: string): Promise<void> => {
      ends.get(name)?.reject(new Error(name));
      await nextTurn();
    },
    /** What happened since it was asked last. */
    seen: async (): Promise<string> => {
      await nextTurn();
      return log.splice(0).join(' ');
    },
  };
}

test('what is of one key is done one after another, what is of others beside it', async () => {
  const { of, end, seen } = works(new Turns(4));
  const all = [of('a', 'a1'), of('a', 'a2'), of('b', 'b1')];
  expect(await seen()).toBe('+a1 +b1');
  await end('a1');
  expect(await seen()).toBe('-a1 +a2');
  await end('b1');
  await end('a2');
  expect(await Promise.all(all)).toEqual(['a1', 'a2', 'b1']);
});

test('no more than so many are done at once, and the next is the one that waited longest', async () => {
  const { of, end, seen } = works(new Turns(2));
  for (const key of ['a', 'b', 'c', 'd']) void of(key, key);
  expect(await seen()).toBe('+a +b');
  await end('b');
  expect(await seen()).toBe('-b +c');
  await end('a');
  expect(await seen()).toBe('-a +d');
});

test('what is to be alone waits for all before it, and all after it waits for that', async () => {
  const { of, alone, end, seen } = works(new Turns(4));
  void of('a', 'a1');
  void of('b', 'b1');
  void alone('one');
  void of('a', 'a2');
  void alone('two');
  void of('c', 'c1');
  expect(await seen()).toBe('+a1 +b1');
  await end('a1');
  expect(await seen()).toBe('-a1');
  await end('b1');
  expect(await seen()).toBe('-b1 +one');
  await end('one');
  expect(await seen()).toBe('-one +a2');
  await end('a2');
  expect(await seen()).toBe('-a2 +two');
  await end('two');
  expect(await seen()).toBe('-two +c1');
});

test('what fails, fails for who asked for it and holds nobody up', async () => {
  const { of, alone, fail, seen } = works(new Turns(1));
  const [first, second] = [of('a', 'a1'), alone('one')];
  void of('a', 'a2');
  await Promise.all([expect(first).rejects.toThrow('a1'), fail('a1')]);
  expect(await seen()).toBe('+a1 +one');
  await Promise.all([expect(second).rejects.toThrow('one'), fail('one')]);
  expect(await seen()).toBe('+a2');
});
