/** `make test`: every check and every test, with one clear last line. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Results {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numFailedTestSuites: number;
}

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
const folder = mkdtempSync(join(tmpdir(), 'chaperone-results-'));
const file = join(folder, 'results.json');
const run = spawnSync(
  join(root, 'node_modules/.bin/vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } },
);
try {
  const results = JSON.parse(readFileSync(file, 'utf8')) as Results;
  passed += results.numPassedTests;
  failed += Math.max(results.numFailedTests, results.numFailedTestSuites, run.status === 0 ? 0 : 1);
} catch {
  failed++;
}
rmSync(folder, { recursive: true, force: true });
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
