import { defineConfig } from 'vitest/config';

// One cluster, so one file after the other.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.e2e.ts'],
    fileParallelism: false,
    // What fails is broken: a test that a loaded host makes late waits for longer, where it waits.
    retry: 0,
    testTimeout: 120_000,
    hookTimeout: 600_000,
  },
});
