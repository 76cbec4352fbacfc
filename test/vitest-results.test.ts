import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Report, tallyOf, verdictOf, withSecondTry } from '../scripts/vitest-results.ts';

const root = join(import.meta.dirname, '..');
const aFile = (status: string, ...tests: string[]) => ({
  name: join(root, 'x/src/a.test.ts'),
  status,
  assertionResults: tests.map((each, at) => ({ status: each, fullName: `test ${at}` })),
});

describe('what came of a run', () => {
  it.each([
    ['tests that passed', [aFile('passed', 'passed', 'passed')], { passed: 2, failed: 0, skipped: [] }],
    ['a test that failed, once', [aFile('failed', 'passed', 'failed')], { passed: 1, failed: 1, skipped: [] }],
    ['a file that could not be read', [aFile('failed')], { passed: 0, failed: 1, skipped: [] }],
    [
      'a file whose set-up failed',
      [aFile('failed', 'skipped', 'skipped')],
      { passed: 0, failed: 1, skipped: ['x/src/a.test.ts: test 0', 'x/src/a.test.ts: test 1'] },
    ],
    [
      'a test that waits to be written',
      [aFile('passed', 'todo')],
      { passed: 0, failed: 0, skipped: ['x/src/a.test.ts: test 0'] },
    ],
  ])('counts %s', (_name, testResults, tally) => {
    expect(tallyOf({ testResults })).toEqual(tally);
  });

  it('names a test that passed at its second try, and why it failed at the first', () => {
    const [file] = [aFile('passed', 'passed', 'passed')];
    const [first, second] = file.assertionResults;
    const testResults = [{ ...file, assertionResults: [{ ...first, failureMessages: ['AssertionError: 1 is not 2'] }, second] }];
    expect(tallyOf({ testResults } as Parameters<typeof tallyOf>[0])).toEqual({
      passed: 2,
      failed: 0,
      skipped: [],
      unsteady: ['x/src/a.test.ts: test 0\nAssertionError: 1 is not 2'],
    });
  });

  it.each([
    ['its tests passed then', aFile('failed', 'passed', 'failed'), aFile('passed', 'passed', 'passed'), { passed: 3, failed: 0 }],
    [
      'its set-up worked then',
      aFile('failed', 'skipped', 'skipped'),
      aFile('passed', 'passed', 'passed'),
      { passed: 3, failed: 0 },
    ],
    ['it failed again', aFile('failed', 'passed', 'failed'), aFile('failed', 'failed', 'passed'), { passed: 2, failed: 1 }],
  ])('counts a file that was run once more by what came of it then: %s', (_name, first, second, numbers) => {
    const other = { ...aFile('passed', 'passed'), name: join(root, 'x/src/b.test.ts') };
    expect(tallyOf(withSecondTry({ testResults: [first, other] }, { testResults: [second] }))).toMatchObject({
      ...numbers,
      skipped: [],
    });
  });

  it('names what failed at the first try of a file', () => {
    const passed = { testResults: [aFile('passed', 'passed', 'passed')] };
    const setUp: Report = { testResults: [{ ...aFile('failed', 'skipped', 'skipped'), message: 'no server' }] };
    expect(tallyOf(withSecondTry(setUp, passed)).unsteady).toEqual([
      'x/src/a.test.ts: test 0\nthe file failed at first: no server',
    ]);
    const [file] = [aFile('failed', 'passed', 'failed')];
    const [first, second] = file.assertionResults;
    const aTest: Report = {
      testResults: [
        {
          ...file,
          assertionResults: [
            { ...first, failureMessages: [] },
            { ...second, failureMessages: ['1 is not 2'] },
          ],
        },
      ],
    } as Report;
    expect(tallyOf(withSecondTry(aTest, passed)).unsteady).toEqual(['x/src/a.test.ts: test 1\n1 is not 2']);
  });

  it.each([
    ['nothing is amiss', { passed: 3, failed: 0, skipped: [] }, true, { line: '3 passed, 0 failed', ok: true }],
    ['a test failed', { passed: 3, failed: 1, skipped: [] }, false, { line: '3 passed, 1 failed', ok: false }],
    [
      'a test was skipped here',
      { passed: 3, failed: 0, skipped: ['a'] },
      false,
      { line: '3 passed, 0 failed, 1 skipped', ok: true },
    ],
    [
      'a test was skipped in CI',
      { passed: 3, failed: 0, skipped: ['a'] },
      true,
      { line: '3 passed, 0 failed, 1 skipped', ok: false },
    ],
  ])('says so where %s', (_name, tally, ci, verdict) => {
    expect(verdictOf(tally, ci)).toEqual(verdict);
  });
});
