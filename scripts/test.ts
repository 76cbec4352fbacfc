/** `make test`: every check and every test, with one clear last line. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { conclude, runVitest } from './vitest-results.ts';

const root = join(import.meta.dirname, '..');
const checks: readonly (readonly [string, readonly string[]])[] = [
  ['types', ['tsc', '-b']],
  ['lint', ['oxlint', '--type-aware', '--deny-warnings']],
  ['format', ['biome', 'format', '.']],
];
let passed = 0;
let failed = 0;
for (const [name, [command = '', ...args]] of checks) {
  process.stdout.write(`\n== ${name}\n`);
  const { status } = spawnSync(join(root, 'node_modules/.bin', command), args, { cwd: root, stdio: 'inherit' });
  if (status === 0) passed++;
  else failed++;
}
process.stdout.write('\n== programs that tests start\n');
if (spawnSync(join(root, 'scripts/test-programs'), { stdio: 'inherit' }).status !== 0) failed++;
process.stdout.write('\n== tests\n');
const tests = runVitest(['--reporter=default', ...process.argv.slice(2)], {
  ...process.env,
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
});
conclude({ ...tests, passed: passed + tests.passed, failed: failed + tests.failed });
