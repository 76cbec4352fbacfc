import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Leaves evidence that is missing, which owners of later policies for the same agents are told of. */
const LAST = 'completeness.e2e.ts';

const rank = ({ moduleId }: TestSpecification): string => (moduleId.endsWith(LAST) ? '~' : moduleId);

/** By name, so that each run meets what the one before met. */
class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve(files.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1)));
  }
}

// One cluster, so one file after the other.
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['src/**/*.e2e.ts'],
    // It takes the whole installation away, so it runs by itself: DRILL=1.
    exclude: process.env['DRILL'] === undefined ? ['src/restore.e2e.ts'] : [],
    fileParallelism: false,
    sequence: { sequencer: ByName },
    reporters: ['default', '../scripts/bypasses/reporter.ts'],
    // A loaded host may be late once; what fails twice is broken.
    retry: 1,
    testTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    hookTimeout: 600_000,
  },
});
