import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('whatever operation of the store is the last before the process or the power goes, or fails, what was promised is the entry that was said, proved and complete', () => {
  // It says what it found, and how much it tried. `make soak ONLY=crashes` tries more.
  const args = ['--seed', '7', '--states', '4', '--faults', '1'];
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'crashes.ts'), ...args], { encoding: 'utf8' });
  expect(output).toBe('{"tried":7}\n');
});

test('objects that are stored at once where no directory is yet are there when the power goes after the promise', () => {
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'stored-at-once.ts')], { encoding: 'utf8' });
  expect(output).toBe('{"promised":14}\n');
});
