import { existsSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { FILES, linesOf } from './catalogue.ts';
import { type Outcome, PAGE, page, RESULTS, type Results, readResults } from './page.ts';

const root = join(import.meta.dirname, '../..');

/** Writes down what came of the catalogue's tests, and the page of it. What did not run stays as it was. */
export default class BypassReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const before = existsSync(RESULTS) ? readResults() : {};
    const after = merge(before, modules);
    const text = `${JSON.stringify(after, null, 2)}\n`;
    if (text === `${JSON.stringify(before, null, 2)}\n`) return;
    writeFileSync(RESULTS, text);
    writeFileSync(join(root, PAGE), page(after));
  }
}

function merge(before: Results, modules: readonly TestModule[]): Results {
  const after = new Map(Object.entries(before).map(([file, titles]) => [file, new Map(Object.entries(titles))]));
  for (const module of modules) {
    const file = relative(root, module.moduleId);
    if (!FILES.some((known) => known === file)) continue;
    const tests = [...module.children.allTests()].map((test) => ({ title: test.fullName, outcome: outcomeOf(test) }));
    const ran = tests.filter(({ outcome }) => outcome !== undefined);
    // A run of the whole file forgets tests that are gone.
    const titles = ran.length === tests.length ? new Map<string, Outcome>() : (after.get(file) ?? new Map<string, Outcome>());
    for (const { title, outcome } of ran)
      if (outcome !== undefined && title.split(' > ').some((part) => linesOf(part).length > 0)) titles.set(title, outcome);
    if (titles.size > 0) after.set(file, titles);
  }
  return sortedByKey([...after].map(([file, titles]) => [file, sortedByKey([...titles])]));
}

/** Absent where a filter left it out, or a set-up failed: a test that skips itself says why, as does one that had nothing to try. */
function outcomeOf(test: TestCase): Outcome | undefined {
  const result = test.result();
  if (result.state === 'passed' && 'notTried' in test.meta()) return 'skipped';
  if (result.state === 'passed' || result.state === 'failed') return result.state;
  return result.state === 'skipped' && result.note !== undefined ? 'skipped' : undefined;
}

/** So that a run which shows nothing new changes nothing. */
function sortedByKey<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
