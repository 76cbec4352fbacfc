import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('whatever operation of the spool is the last before the process or the power goes, or fails, what was promised arrives, and nothing is sent with two contents', () => {
  // It says what it found, and how much it tried. `make soak ONLY=crashes` tries more.
  const args = ['--seed', '7', '--states', '12', '--faults', '6'];
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'crashes.ts'), ...args], { encoding: 'utf8' });
  expect(output).toBe('{"tried":19}\n');
});
