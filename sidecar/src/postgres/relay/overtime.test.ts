import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CANCEL_GRACE_MS, Overtime } from './overtime.ts';
import type { Step } from './steps.ts';

let told: string[];
let overtime: Overtime;
const now = (): number => performance.now();
const step = (kind: 'prepare' | 'bind' | 'execute' | 'sync'): Step => ({ kind }) as unknown as Step;
/** A statement that the server answers after so long. */
async function run(ms: number): Promise<void> {
  overtime.turn(step('bind'));
  overtime.turn(step('execute'));
  await vi.advanceTimersByTimeAsync(ms);
  overtime.turn(step('sync'));
  overtime.turn(undefined);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  told = [];
  const at = (what: string) => (): void => void told.push(`${what} ${now()}`);
  overtime = new Overtime({ monotonic: now, cancel: at('cancel'), giveUp: at('give up') });
});
afterEach(() => {
  // Before the clock: a spy of it that is left would bring the one of these tests back for the files that run here afterwards.
  vi.restoreAllMocks();
  vi.useRealTimers();
});

it('cancels at the limit to the millisecond, whatever ran before, and gives up after the grace', async () => {
  overtime.limit(1_000);
  for (let at = 0; at < 7; at++) await run(130);
  const begun = now();
  overtime.turn(step('bind'));
  await vi.advanceTimersByTimeAsync(999);
  expect([told, overtime.cancelled]).toEqual([[], false]);
  await vi.advanceTimersByTimeAsync(1);
  expect([told, overtime.cancelled]).toEqual([[`cancel ${begun + 1_000}`], true]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([`cancel ${begun + 1_000}`, `give up ${begun + 1_000 + CANCEL_GRACE_MS}`]);
});

it('begins anew with the next statement, also where the one before was cancelled', async () => {
  overtime.limit(1_000);
  await run(1_001);
  const begun = now();
  overtime.turn(step('prepare'));
  expect(overtime.cancelled).toBe(false);
  await vi.advanceTimersByTimeAsync(900);
  overtime.turn(step('bind'));
  await vi.advanceTimersByTimeAsync(999);
  expect(told).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(told[1]).toBe(`cancel ${begun + 1_900}`);
});

it('counts binding, running and committing as one', async () => {
  overtime.limit(1_000);
  for (const kind of ['bind', 'execute', 'sync'] as const) {
    overtime.turn(step(kind));
    await vi.advanceTimersByTimeAsync(400);
  }
  expect(told).toHaveLength(1);
});

it('sets no timer without a limit, and one a limit’s length for however many statements', async () => {
  const timers = vi.spyOn(globalThis, 'setTimeout');
  for (let at = 0; at < 1_000; at++) await run(1);
  expect(timers).not.toHaveBeenCalled();
  overtime.limit(500);
  for (let at = 0; at < 10_000; at++) await run(1);
  expect(timers.mock.calls.length).toBeLessThanOrEqual(10_000 / 500 + 1);
  overtime.limit(undefined);
  expect(vi.getTimerCount()).toBe(0);
  expect(told).toEqual([]);
});

it('holds what runs to a limit that changes', async () => {
  overtime.limit(60_000);
  const begun = now();
  overtime.turn(step('execute'));
  await vi.advanceTimersByTimeAsync(2_000);
  overtime.limit(3_000);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(told).toEqual([`cancel ${begun + 3_000}`]);
});

it('waits for longer than a timer can', async () => {
  overtime.limit(100 * 86_400_000);
  overtime.turn(step('execute'));
  await vi.advanceTimersByTimeAsync(99 * 86_400_000);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(86_400_000);
  expect(told).toHaveLength(1);
});
