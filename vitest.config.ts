import { defineConfig } from 'vitest/config';

/** What the process that tests run in holds and uses is measured there, or programs are started that take longer than anything else. */
const ALONE = ['sidecar/src/postgres/**/*.test.ts', 'sidecar/src/ssh/relay/serve.test.ts', 'cli/**/*.test.ts'];
const EXCLUDE = ['**/node_modules/**', '**/dist/**', 'bench/**'];

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Tests wait for servers, browsers and programs one fifth of their time.
    maxWorkers: 3,
    reporters: ['default', './scripts/bypasses/reporter.ts'],
    // A machine that is busy shows a page late.
    expect: { poll: { timeout: 10_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'together',
          include: ['*/src/**/*.test.ts', '*/test/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [...EXCLUDE, ...ALONE],
          // To load what is tested anew for each file takes longer than most tests do.
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, exclude: EXCLUDE } },
    ],
  },
});
