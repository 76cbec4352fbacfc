import { eventually } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { GroupCommit } from './group-commit.ts';

class File {
  rounds = 0;
  readonly release: (() => void)[] = [];
  sync(): Promise<void> {
    this.rounds++;
    return new Promise((resolve) => this.release.push(resolve));
  }
}

test('what asks during a round shares the next one', async () => {
  const commit = new GroupCommit(5);
  const [a, b] = [new File(), new File()];
  commit.now(a);
  for (let times = 0; times < 10; times++) {
    commit.now(a);
    commit.now(b);
  }
  expect([a.rounds, b.rounds]).toEqual([1, 0]);
  a.release.shift()?.();
  await eventually('the second round', () => (b.rounds === 1 ? true : undefined));
  expect([a.rounds, b.rounds]).toEqual([2, 1]);
});

test('what may wait a little is synced without being asked again', async () => {
  const commit = new GroupCommit(5);
  const file = new File();
  const before = performance.now();
  commit.soon(file);
  commit.soon(file);
  expect(file.rounds).toBe(0);
  await eventually('a round', () => (file.rounds === 1 ? true : undefined));
  expect(performance.now() - before).toBeGreaterThanOrEqual(4);
});

test('what may wait does not join a round that runs: files are synced once in a while, not once for each write', async () => {
  const commit = new GroupCommit(50);
  const [urgent, patient] = [new File(), new File()];
  commit.now(urgent);
  commit.soon(patient);
  urgent.release.shift()?.();
  await new Promise((resolve) => {
    setTimeout(resolve, 10);
  });
  expect(patient.rounds).toBe(0);
  await eventually('its own round', () => (patient.rounds === 1 ? true : undefined));
});
