/** Where test files run, and in which order. */
import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What the process that tests run in holds and uses is measured there. */
export const ALONE: readonly string[] = [
  'sidecar/src/postgres/relay/held-memory.test.ts',
  'sidecar/src/postgres/relay/large.test.ts',
  'sidecar/src/postgres/relay/pipeline.test.ts',
  'sidecar/src/postgres/relay/sessions.test.ts',
  'sidecar/src/ssh/relay/serve.test.ts',
];

/** The command line is started there as one program. */
export const PROGRAMS: readonly string[] = ['cli/**/*.test.ts'];

/** Those that take longest on two cores: those with a process of their own, which run first, and the others, each the longest first. */
export const LONG: readonly string[] = [
  'sidecar/src/postgres/relay/held-memory.test.ts',
  'console/test/requests-page.test.ts',
  'console/test/console.test.ts',
  'console/test/player.test.ts',
  'console/test/requests.test.ts',
  'console/test/policies.test.ts',
  'console/test/grants.test.ts',
  'cli/src/up/up.test.ts',
  'sidecar/src/postgres/relay/attacks.test.ts',
  'cli/src/requests/embedded.test.ts',
  'cli/src/up/ssh.test.ts',
  'sidecar/src/postgres/masking/decisions.test.ts',
  'sidecar/src/postgres/relay/approvals.test.ts',
  'sidecar/src/kubernetes/relay/exec.test.ts',
  'operator/src/decide/carrier.test.ts',
  'console/test/oidc.test.ts',
  'sidecar/src/ssh/wire/openssh.test.ts',
  'collector/src/objects/store.test.ts',
  'sidecar/src/postgres/relay/session-state.test.ts',
];

/** Begins with the files that take longest, so that none of them is left for one process at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.indexOf(relative(this.ctx.config.root, moduleId));
      return at === -1 ? LONG.length : at;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array's, and gives a new one
    const sorted = await super.sort(files);
    // A process goes on to another file of its project alone.
    return sorted.toSorted((a, b) => a.project.name.localeCompare(b.project.name) || rank(a) - rank(b));
  }
}
