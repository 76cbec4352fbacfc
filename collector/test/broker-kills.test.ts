import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('at whatever step the broker is killed, and whatever its disk keeps, each promised record is in the log once, and the spool frees nothing before', () => {
  // It says what it found, and how often it killed. `make soak ONLY=broker` does so more often.
  const args = ['--seed', '7', '--paths', '4'];
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'broker-kills.ts'), ...args], { encoding: 'utf8' });
  expect(output).toBe('{"tried":17}\n');
});
