import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeLogs } from './node-logs.ts';

const AT = '2026-12-01T09:00:00.123456789Z';
const line = (text: string, whole = true): string => `${AT} stdout ${whole ? 'F' : 'P'} ${text}\n`;
let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let logs: NodeLogs;

beforeEach(async () => {
  folder = await temporaryDirectory();
  logs = new NodeLogs(['agents'], folder.path);
});
afterEach(async () => {
  logs[Symbol.dispose]();
  await folder[Symbol.asyncDispose]();
});

/** The file of one run of a container. */
function file(pod: string, run = 0, namespace = 'agents'): string {
  const path = join(folder.path, `${namespace}_${pod}_uid/bot/${run}.log`);
  mkdirSync(dirname(path), { recursive: true });
  return path;
}
const read = (): string[] => logs.read().map(({ pod, text }) => `${pod} ${text}`);

test('lines are read once, when they are whole, with who printed them when', () => {
  const path = file('one');
  writeFileSync(path, `${line('first')}${line('é', false)}${line('nd')}${line('third').slice(0, -4)}`);
  expect(logs.read()[0]).toEqual({ namespace: 'agents', pod: 'one', container: 'bot', at: Date.parse(AT), text: 'first' });
  appendFileSync(path, line('third').slice(-4));
  expect(read()).toEqual(['one third']);
  expect(read()).toEqual([]);
});

test('parts become a line', () => {
  writeFileSync(file('one'), `${line('é', false)}${line('nd', false)}${line('')}`);
  expect(read()).toEqual(['one énd']);
});

test('what was printed until the end is read of a pod whose folder is gone, and of each run of a container', () => {
  writeFileSync(file('one'), line('first'));
  expect(read()).toEqual(['one first']);
  appendFileSync(file('one'), line('last'));
  writeFileSync(file('one', 1), line('again'));
  expect(read().toSorted()).toEqual(['one again', 'one last']);
  appendFileSync(file('one', 1), line('at last'));
  rmSync(folder.path, { recursive: true });
  expect(read()).toEqual(['one at last']);
  expect(read()).toEqual([]);
});

test('a file that took the name of another is read too, and other namespaces are not', () => {
  writeFileSync(file('one'), line('first'));
  writeFileSync(file('two', 0, 'others'), line('not ours'));
  expect(read()).toEqual(['one first']);
  rmSync(file('one'));
  writeFileSync(file('one'), line('another'));
  expect(read()).toEqual(['one another']);
});
