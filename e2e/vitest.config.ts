import { defineConfig } from 'vitest/config';

// One cluster, so one file after the other.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.e2e.ts'],
    fileParallelism: false,
    reporters: ['default', '../scripts/bypasses/reporter.ts'],
    // A loaded host may be late once; what fails twice is broken.
    retry: 1,
    testTimeout: 120_000,
    hookTimeout: 600_000,
  },
});
