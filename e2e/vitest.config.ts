import { defineConfig } from 'vitest/config';

// One cluster, so one file after the other.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.e2e.ts'],
    // It takes the whole installation away, so it runs by itself: DRILL=1.
    exclude: process.env['DRILL'] === undefined ? ['src/restore.e2e.ts'] : [],
    fileParallelism: false,
    reporters: ['default', '../scripts/bypasses/reporter.ts'],
    // A loaded host may be late once; what fails twice is broken.
    retry: 1,
    testTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    hookTimeout: 600_000,
  },
});
