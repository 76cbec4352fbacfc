/** `make e2e`: a real cluster, the images and the chart of this checkout, and every test in e2e/, with one clear last line. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { conclude, runVitest, type Tally } from './vitest-results.ts';

const root = join(import.meta.dirname, '..');
const began = Date.now();
const elapsed = (): string => `${((Date.now() - began) / 1000).toFixed(0)} s`;

const IMAGES = 'images/build';
/** Each may be run again: what is there already is kept. */
const preparations: readonly (readonly [string, string])[] =
  process.env['E2E_KUBECONFIG'] === undefined
    ? [
        ['programs of the cluster (about 8 minutes the first time)', 'e2e/cluster/build'],
        ['cluster', 'e2e/cluster/up'],
        ['images', IMAGES],
        ['clients of the Kubernetes API (once)', 'scripts/kubernetes-peers'],
      ]
    : [['clients of the Kubernetes API (once)', 'scripts/kubernetes-peers']];

let tally: Tally = { passed: 0, failed: 0, skipped: [] };
for (const [name, script] of preparations) {
  process.stdout.write(`\n== ${name}\n`);
  const { status, stdout } = spawnSync(join(root, script), {
    cwd: root,
    stdio: ['inherit', script === IMAGES ? 'pipe' : 'inherit', 'inherit'],
  });
  // So that not every file of tests looks again what changed.
  if (script === IMAGES && status === 0) process.env['E2E_IMAGES'] = stdout.toString();
  process.stdout.write(`${status === 0 ? 'done' : 'FAILED'}, ${elapsed()}\n`);
  if (status !== 0) {
    tally = { ...tally, failed: 1 };
    break;
  }
}
if (tally.failed === 0) {
  process.stdout.write('\n== tests\n');
  tally = runVitest(['--config', join(root, 'e2e/vitest.config.ts'), '--reporter=verbose', ...process.argv.slice(2)]);
}
if (preparations.length > 0) process.stdout.write('\nThe cluster goes on for the next run; e2e/cluster/down stops it.\n');
process.stdout.write(`\n${elapsed()}\n`);
conclude(tally);
