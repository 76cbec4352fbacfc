/**
 * `make soak`: what takes longer than a run of the tests. Compares generated queries with what PostgreSQL really returns, per major
 * version, and adds a line to docs/testing/soak.md; then runs real clients on the versions that `make test` leaves out. QUERIES and SEED
 * may be given in the environment.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import { noCounts, openOracle } from '../sidecar/src/postgres/masking/oracle.test-support.ts';

/** Queries after which progress is said. */
const STEP = 1000;
const LONGEST_LIST = 20;
/** `make test` runs clients on this one. */
const CLIENTS_TESTED_WITH = 18;

const root = join(import.meta.dirname, '..');
const queries = Number(process.env['QUERIES'] || 20_000);
const seed = Number(process.env['SEED'] || randomInt(2 ** 31));
const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
const commit = `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' with changes'}`;

let failed = false;
for (const { major, package: name } of POSTGRES_SERVERS) {
  const counts = noCounts();
  const started = performance.now();
  await using oracle = await openOracle({ package: name });
  for (let at = 0; at < queries; at++) {
    await oracle.check(seed + at, counts);
    if ((at + 1) % STEP === 0) process.stdout.write(`PostgreSQL ${major}: ${at + 1} queries, ${counts.missed.length} missed\n`);
  }
  for (const line of [...counts.missed, ...counts.invalid].slice(0, LONGEST_LIST)) process.stdout.write(`${line}\n`);
  failed ||= counts.missed.length + counts.invalid.length > 0;
  const { showing, columns, holding, overMasked, refused, tooMuch, missed, invalid } = counts;
  const cells = [
    new Date().toISOString().slice(0, 10),
    commit,
    major,
    seed,
    queries,
    showing,
    `${holding} of ${columns}`,
    missed.length,
    overMasked,
    refused,
    tooMuch,
    invalid.length,
    `${Math.round((performance.now() - started) / 1e3)} s`,
  ];
  appendFileSync(join(root, 'docs/testing/soak.md'), `| ${cells.join(' | ')} |\n`);
}
process.stdout.write(failed ? 'columns were missed\n' : 'no column was missed\n');
for (const { major } of POSTGRES_SERVERS) {
  if (major === CLIENTS_TESTED_WITH) continue;
  process.stdout.write(`\n== clients on PostgreSQL ${major}\n`);
  const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', 'sidecar/test/clients/clients.test.ts'], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, POSTGRES_MAJOR: String(major) },
  });
  failed ||= status !== 0;
}
process.stdout.write(failed ? 'FAILED\n' : 'passed\n');
process.exitCode = failed ? 1 : 0;
