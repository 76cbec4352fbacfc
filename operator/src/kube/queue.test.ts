import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { ApiError } from '@chaperone/kube';
import { WorkQueue } from './queue.ts';

test('a key that is added twice while it waits is worked on once', async () => {
  const worked: string[] = [];
  const queue = new WorkQueue({ name: 'q', work: (key) => Promise.resolve(void worked.push(key)) });
  queue.add('a');
  queue.add('a');
  queue.add('b');
  await eventually(() => expect(worked.toSorted()).toEqual(['a', 'b']));
  await queue.stop();
});

test('a key that is added while it is worked on is worked on again, never twice at once', async () => {
  let running = 0;
  let most = 0;
  let visits = 0;
  const queue = new WorkQueue({
    name: 'q',
    workers: 4,
    work: async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(10);
      running -= 1;
      visits += 1;
    },
  });
  queue.add('a');
  await sleep(2);
  queue.add('a');
  queue.add('a');
  await eventually(() => expect(visits).toBe(2));
  expect(most).toBe(1);
  await queue.stop();
});

test('what an API server sends away is not tried again before the time that it says', async () => {
  const tried: number[] = [];
  const queue = new WorkQueue({
    name: 'q',
    minBackoffMs: 1,
    work: () => {
      tried.push(performance.now());
      if (tried.length > 1) return Promise.resolve(undefined);
      throw new ApiError(429, 'TooManyRequests', 'later', { retryAfterMs: 300 });
    },
  });
  queue.add('a');
  await eventually(() => expect(tried).toHaveLength(2));
  expect((tried[1] ?? 0) - (tried[0] ?? 0)).toBeGreaterThanOrEqual(299);
  await queue.stop();
});

test('works on as many keys at once as it has workers', async () => {
  let running = 0;
  let most = 0;
  const queue = new WorkQueue({
    name: 'q',
    workers: 3,
    work: async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(5);
      running -= 1;
    },
  });
  for (let index = 0; index < 12; index += 1) queue.add(String(index));
  await eventually(() => expect(queue.depth + running).toBe(0));
  expect(most).toBe(3);
  await queue.stop();
});

test('failures back off per key and end with success', async () => {
  const at: number[] = [];
  const queue = new WorkQueue({
    name: 'q',
    minBackoffMs: 20,
    work: () => {
      at.push(performance.now());
      return at.length < 4 ? Promise.reject(new Error('no')) : Promise.resolve(undefined);
    },
  });
  queue.add('a');
  await eventually(() => expect(at).toHaveLength(4));
  const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  expect(gaps[0]).toBeGreaterThanOrEqual(19);
  expect(gaps[1]).toBeGreaterThanOrEqual(39);
  expect(gaps[2]).toBeGreaterThanOrEqual(79);
  await queue.stop();
});

test('comes back after the time that the work asked for', async () => {
  let visits = 0;
  const queue = new WorkQueue({
    name: 'q',
    work: () => {
      visits += 1;
      return Promise.resolve(visits === 1 ? 15 : undefined);
    },
  });
  queue.add('a');
  await eventually(() => expect(visits).toBe(2));
  await queue.stop();
});

test('stop aborts what runs, waits for it and drops the rest', async () => {
  const ended: string[] = [];
  const queue = new WorkQueue({
    name: 'q',
    workers: 1,
    work: async (key, signal) => {
      await sleep(10_000, undefined, { signal }).catch(() => undefined);
      ended.push(key);
    },
  });
  queue.add('a');
  queue.add('b');
  await sleep(5);
  await queue.stop();
  expect(ended).toEqual(['a']);
  queue.add('c');
  expect(queue.depth).toBe(0);
});
