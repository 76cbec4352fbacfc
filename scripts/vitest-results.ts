/** Runs vitest and says what came of it, for `make test` and `make e2e`. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/** What vitest's JSON reporter writes, as far as it is read here. */
export interface Report {
  readonly testResults: readonly ReportedFile[];
}
interface ReportedFile {
  readonly name: string;
  readonly status: string;
  /** Why the file failed, where that was none of its tests. */
  readonly message?: string;
  readonly assertionResults: readonly {
    readonly status: string;
    readonly fullName: string;
    readonly failureMessages?: readonly string[];
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

type Env = Readonly<Record<string, string | undefined>>;

const root = join(import.meta.dirname, '..');
/** Writes down what came of every way around the proxy that was tried. */
const BYPASSES = join(root, 'scripts/bypasses/reporter.ts');
/** Files that failed are run once more unless they are more than this: then it was no loaded machine. */
const MOST_AGAIN = 4;

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

const filesThatFailed = (report: Report): string[] =>
  report.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);

/** The first run's report, where a file that was run `again` has what came of it then; what failed before is kept with its tests. */
export function withSecondTry(first: Report, again: Report): Report {
  const later = new Map(again.testResults.map((file) => [file.name, file]));
  const testResults = first.testResults.map((file) => {
    const second = later.get(file.name);
    if (second === undefined) return file;
    const before = new Map(file.assertionResults.map(({ fullName, failureMessages = [] }) => [fullName, failureMessages]));
    const failed = file.assertionResults.some(({ status }) => status === 'failed');
    const assertionResults = second.assertionResults.map((test, at) => ({
      ...test,
      failureMessages: [
        ...(!failed && at === 0 ? [`the file failed at first: ${file.message ?? ''}`] : []),
        ...(before.get(test.fullName) ?? []),
        ...(test.failureMessages ?? []),
      ],
    }));
    return { ...second, assertionResults };
  });
  return { testResults };
}

/** The last line of a run, and what decides it: a test that does not run proves nothing, so with CI=true a skip fails. */
export function verdictOf({ passed, failed, skipped }: Tally, ci: boolean): { readonly line: string; readonly ok: boolean } {
  const skips = skipped.length === 0 ? '' : `, ${skipped.length} skipped`;
  return { line: `${passed} passed, ${failed} failed${skips}`, ok: failed === 0 && !(ci && skipped.length > 0) };
}

/** Runs vitest with `args`; its output is this process's. @returns Undefined where the run broke off. */
function reportOf(args: readonly string[], env: Env): { readonly report: Report; readonly status: number | null } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-results-'));
  const file = join(folder, 'results.json');
  try {
    const { status, signal } = spawnSync(
      join(root, 'node_modules/.bin/vitest'),
      ['run', ...args, `--reporter=${BYPASSES}`, '--reporter=json', `--outputFile.json=${file}`],
      { cwd: root, stdio: 'inherit', env: { ...env } },
    );
    if (!existsSync(file)) process.stdout.write(`\nvitest broke off: ${signal ?? `status ${status}`}\n`);
    return { report: JSON.parse(readFileSync(file, 'utf8')) as Report, status };
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs vitest with `args`, and a few files that failed once more where CI=true. A run that breaks off counts as a failure. */
export function runVitest(args: readonly string[], env: Env = process.env): Tally {
  let run = reportOf(args, env);
  if (run === undefined) return { passed: 0, failed: 1, skipped: [] };
  const files = filesThatFailed(run.report);
  if (env['CI'] === 'true' && files.length > 0 && files.length <= MOST_AGAIN) {
    process.stdout.write(`\nonce more: ${files.map((file) => relative(root, file)).join(' ')}\n`);
    const again = reportOf([...args, ...files], env);
    if (again !== undefined) run = { report: withSecondTry(run.report, again.report), status: again.status };
  }
  const tally = tallyOf(run.report);
  return { ...tally, failed: run.status === 0 ? tally.failed : Math.max(1, tally.failed) };
}

/** Prints what did not run, what passed at its second try alone, and the last line, and sets the exit code. */
export function conclude(tally: Tally): void {
  for (const name of tally.unsteady ?? []) process.stdout.write(`passed at the second try, to be mended: ${name}\n`);
  for (const name of tally.skipped) process.stdout.write(`skipped: ${name}\n`);
  const { line, ok } = verdictOf(tally, process.env['CI'] === 'true');
  process.stdout.write(`\n${line}\n`);
  process.exitCode = ok ? 0 : 1;
}
