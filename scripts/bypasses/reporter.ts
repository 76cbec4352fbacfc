import { existsSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';
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
    const titles = after.get(file) ?? new Map<string, Outcome>();
    for (const test of module.children.allTests()) {
      const { state, ...rest } = test.result();
      // Without a note it was left out by a filter, or by a set-up that failed.
      const ran = state === 'passed' || state === 'failed' || (state === 'skipped' && 'note' in rest && rest.note !== undefined);
      if (ran && test.fullName.split(' > ').some((part) => linesOf(part).length > 0)) titles.set(test.fullName, state);
    }
    if (titles.size > 0) after.set(file, titles);
  }
  return sortedByKey([...after].map(([file, titles]) => [file, sortedByKey([...titles])]));
}

/** So that a run which shows nothing new changes nothing. */
function sortedByKey<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
