import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { GroupCommit } from './group-commit.ts';

/** Rounds that go on until they are released. */
function rounds(delayMs: number) {
  const running: (() => void)[] = [];
  const seen = { count: 0 };
  const commit = new GroupCommit(delayMs, () => {
    seen.count++;
    return new Promise((resolve) => running.push(resolve));
  });
  return { commit, seen, release: () => running.shift()?.() };
}

test('what asks during a round shares the next one', async () => {
  const { commit, seen, release } = rounds(5);
  for (let times = 0; times < 10; times++) commit.now();
  expect(seen.count).toBe(1);
  release();
  await eventually('the second round', () => (seen.count === 2 ? true : undefined));
  release();
  await commit.idle();
  expect(seen.count).toBe(2);
});

test('what may wait a little has a round without being asked again', async () => {
  const { commit, seen } = rounds(5);
  const before = performance.now();
  commit.soon();
  commit.soon();
  expect(seen.count).toBe(0);
  await eventually('a round', () => (seen.count === 1 ? true : undefined));
  expect(performance.now() - before).toBeGreaterThanOrEqual(4);
});

test('what may wait does not ask for a round at once when another ends', async () => {
  const { commit, seen, release } = rounds(50);
  commit.now();
  commit.soon();
  release();
  await sleep(10);
  expect(seen.count).toBe(1);
  await eventually('its own round', () => (seen.count === 2 ? true : undefined));
});

test('idle has what may wait done at once', async () => {
  const { commit, seen, release } = rounds(60_000);
  commit.soon();
  const idle = commit.idle();
  expect(seen.count).toBe(1);
  release();
  await idle;
});
