import { defineConfig } from 'vitest/config';
import { ALONE, LongestFirst, PROGRAMS } from './scripts/test-files.ts';

const EXCLUDE = ['**/node_modules/**', '**/dist/**', 'bench/**'];
// What processes and programs of tests load is compiled once on a machine: starting takes half as long.
process.env['NODE_COMPILE_CACHE'] ??= new URL('.cache/compiled', import.meta.url).pathname;

export default defineConfig({
  test: {
    // A machine that is busy is slow, which is no fault: only what never ends waits for these.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 30_000 } },
    // Tests wait for servers, browsers and programs one fifth of their time.
    maxWorkers: 3,
    // One race of a test among 15,000 shall not hide what the others say; it is printed, and is a fault of the test or of what it tests.
    retry: process.env['CI'] === 'true' ? 1 : 0,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './scripts/bypasses/reporter.ts'],
    projects: [
      { extends: true, test: { name: 'alone', include: [...ALONE], exclude: EXCLUDE } },
      {
        extends: true,
        test: {
          name: 'programs',
          include: [...PROGRAMS],
          exclude: EXCLUDE,
          globalSetup: './scripts/program.ts',
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'together',
          include: ['*/src/**/*.test.ts', '*/test/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [...EXCLUDE, ...ALONE, ...PROGRAMS],
          // To load what is tested anew for each file takes longer than most tests do.
          isolate: false,
        },
      },
    ],
  },
});
