/** Runs vitest and says what came of it, for `make test` and `make e2e`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** What vitest's JSON reporter writes, as far as it is read here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** `FILE: TEST`, each test that did not run. */
  readonly skipped: readonly string[];
  /** `FILE: TEST`, and why the first try failed, of each test that passed at the second. */
  readonly unsteady?: readonly string[];
}

const root = join(import.meta.dirname, '..');
/** Writes down what came of every way around the proxy that was tried. */
const BYPASSES = join(root, 'scripts/bypasses/reporter.ts');

/** Passed, failed and skipped tests. A file that failed before or after its tests counts as one failure more. */
export function tallyOf(report: Report): Tally {
  const tests = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ status, fullName, failureMessages = [] }) => ({
      status,
      label: `${relative(root, name)}: ${fullName}`,
      failureMessages,
    })),
  );
  const count = (wanted: string): number => tests.filter(({ status }) => status === wanted).length;
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.every((each) => each.status !== 'failed'),
  ).length;
  const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed').map(({ label }) => label);
  const unsteady = tests
    .filter(({ status, failureMessages }) => status === 'passed' && failureMessages.length > 0)
    .map(({ label, failureMessages }) => `${label}\n${failureMessages.join('\n')}`);
  return { passed: count('passed'), failed: count('failed') + broken, skipped, ...(unsteady.length > 0 && { unsteady }) };
}

/** The last line of a run, and what decides it: a test that does not run proves nothing, so with CI=true a skip fails. */
export function verdictOf({ passed, failed, skipped }: Tally, ci: boolean): { readonly line: string; readonly ok: boolean } {
  const skips = skipped.length === 0 ? '' : `, ${skipped.length} skipped`;
  return { line: `${passed} passed, ${failed} failed${skips}`, ok: failed === 0 && !(ci && skipped.length > 0) };
}

/** Runs vitest with `args`; its output is this process's. A run that breaks off counts as a failure. */
export function runVitest(args: readonly string[], env: Readonly<Record<string, string | undefined>> = process.env): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-results-'));
  const file = join(folder, 'results.json');
  try {
    const { status, signal } = spawnSync(
      join(root, 'node_modules/.bin/vitest'),
      ['run', ...args, `--reporter=${BYPASSES}`, '--reporter=json', `--outputFile.json=${file}`],
      { cwd: root, stdio: 'inherit', env: { ...env } },
    );
    if (!existsSync(file)) process.stdout.write(`\nvitest broke off: ${signal ?? `status ${status}`}\n`);
    const tally = tallyOf(JSON.parse(readFileSync(file, 'utf8')) as Report);
    return { ...tally, failed: status === 0 ? tally.failed : Math.max(1, tally.failed) };
  } catch {
    return { passed: 0, failed: 1, skipped: [] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Prints what did not run, what passed at its second try alone, and the last line, and sets the exit code. */
export function conclude(tally: Tally): void {
  for (const name of tally.unsteady ?? []) process.stdout.write(`passed at the second try, to be mended: ${name}\n`);
  for (const name of tally.skipped) process.stdout.write(`skipped: ${name}\n`);
  const { line, ok } = verdictOf(tally, process.env['CI'] === 'true');
  process.stdout.write(`\n${line}\n`);
  process.exitCode = ok ? 0 : 1;
}
