import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CATALOGUE, FILES, linesOf } from '../scripts/bypasses/catalogue.ts';
import { PAGE, page, readResults, seenOf, stateOf } from '../scripts/bypasses/page.ts';
import { root } from './sources.ts';

const results = readResults();

describe('the catalogue of ways around the proxy', () => {
  it('has every line once, in order', () => {
    expect(CATALOGUE.map(({ id }) => id)).toEqual(CATALOGUE.map((_, index) => index + 1));
    expect(CATALOGUE.length).toBeGreaterThanOrEqual(52);
  });

  it('has files that exist, and a line for every number that titles there name', () => {
    expect(FILES.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    const named = Object.values(results).flatMap((titles) =>
      Object.keys(titles).flatMap((title) => title.split(' > ').flatMap(linesOf)),
    );
    expect(named.filter((id) => !CATALOGUE.some((bypass) => bypass.id === id))).toEqual([]);
  });

  it.each(CATALOGUE.map((bypass) => [bypass.id, bypass] as const))(
    'line %i is closed by a test, or says what closes it',
    (id, bypass) => {
      expect(['closed', 'documented']).toContain(stateOf(bypass, results, 'pod'));
      expect(['closed', 'same']).toContain(stateOf(bypass, results, 'node'));
      if (!bypass.closedBy.includes('documented')) expect(seenOf(id, results).length).toBeGreaterThan(0);
    },
  );

  it('was written by tests that are still there', () => {
    const gone = Object.entries(results).flatMap(([file, titles]) =>
      Object.keys(titles)
        .filter((title) => !title.split(' > ').some((part) => linesOf(part).length > 0 && isThere(file, part)))
        .map((title) => `${file}: ${title}`),
    );
    expect(gone).toEqual([]);
  });

  it('is what the page was made of: npm run generate', () => {
    expect(readFileSync(join(root, PAGE), 'utf8')).toBe(page(results));
  });
});

/** Titles that several files have. */
const WAYS = 'e2e/src/harness/ways.ts';

/** Whether a title in the file, or in what several share, or a row of one's table, begins with the same numbers. */
function isThere(file: string, title: string): boolean {
  const [, numbers = ''] = /((?:\d{1,2}, )*\d{1,2}) \D/.exec(title) ?? [];
  const texts = [file, WAYS].map((each) => readFileSync(join(root, each), 'utf8'));
  return texts.some((text) => new RegExp(`['"\`]${numbers} `).test(text));
}

describe('numbers in titles', () => {
  it.each<[string, number[]]>([
    ['13 UDP', [13]],
    ['refuses 9 privileged', [9]],
    ['7, 13, 45 no protocol', [7, 13, 45]],
    ['patching twice is patching once', []],
  ])('%s', (title, lines) => expect(linesOf(title)).toEqual(lines));
});
