/** `make e2e`: a real cluster, the images and the chart of this checkout, and every test in e2e/, with one clear last line. */
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
const began = Date.now();
const elapsed = (): string => `${((Date.now() - began) / 1000).toFixed(0)} s`;

/** Each may be run again: what is there already is kept. */
const preparations: readonly (readonly [string, string])[] =
  process.env['E2E_KUBECONFIG'] === undefined
    ? [
        ['programs of the cluster (about 8 minutes the first time)', 'e2e/cluster/build'],
        ['cluster', 'e2e/cluster/up'],
        ['images', 'images/build'],
      ]
    : [];

let passed = 0;
let failed = 0;
for (const [name, script] of preparations) {
  process.stdout.write(`\n== ${name}\n`);
  const { status } = spawnSync(join(root, script), { cwd: root, stdio: 'inherit' });
  process.stdout.write(`${status === 0 ? 'done' : 'FAILED'}, ${elapsed()}\n`);
  if (status !== 0) {
    failed++;
    break;
  }
}
if (failed === 0) {
  process.stdout.write('\n== tests\n');
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-results-'));
  const file = join(folder, 'results.json');
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${file}`];
  const run = spawnSync(
    join(root, 'node_modules/.bin/vitest'),
    ['run', '--config', join(root, 'e2e/vitest.config.ts'), ...reporters, ...process.argv.slice(2)],
    { cwd: root, stdio: 'inherit' },
  );
  try {
    const results = JSON.parse(readFileSync(file, 'utf8')) as Results;
    passed += results.numPassedTests;
    failed += Math.max(results.numFailedTests, results.numFailedTestSuites, run.status === 0 ? 0 : 1);
  } catch {
    failed++;
  }
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\n${elapsed()}\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
