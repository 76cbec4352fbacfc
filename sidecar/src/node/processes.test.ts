import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { findSandboxes } from './processes.ts';

const uidOf = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-000000000000`;
const [ONE, OTHER, OUTER, OURS] = [uidOf('1'), uidOf('2'), uidOf('3'), uidOf('4')];
const UIDS = new Set([ONE, OTHER]);

/** Whose process it is, by its cgroup and by that of who looks. */
async function podOf(cgroup: string, own: string): Promise<string | undefined> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const write = (pid: string, name: string, text: string): void => {
    mkdirSync(join(directory.path, pid, 'ns'), { recursive: true });
    writeFileSync(join(directory.path, pid, name), text);
  };
  write('self', 'cgroup', own);
  write('10', 'cgroup', cgroup);
  write('10', 'stat', `10 (x) S ${Array.from({ length: 30 }, () => '7').join(' ')}`);
  symlinkSync('net:[4026532281]', join(directory.path, '10/ns/net'));
  return [...findSandboxes(UIDS, directory.path).keys()][0];
}

const ALONE = '0::/\n';
const IN_OURS = `0::/kubepods/pod${OURS}/f00d\n`;
const INSIDE = `0::/kubepods/pod${OUTER}/x/kubepods/pod${OURS}/f00d\n`;
test.each<[string, string, string, string | undefined]>([
  ['the one that its cgroup is of', `0::/../../pod${ONE}/f\n`, ALONE, ONE],
  ['the same, seen from a pod', `0::/kubepods/pod${ONE}/f\n`, IN_OURS, ONE],
  ['not the one that a cgroup below is named after', `0::/../../pod${ONE}/f/pod${OTHER}\n`, ALONE, ONE],
  ['not that either where nobody asks for its own pod', `0::/kubepods/pod${OUTER}/f/pod${OTHER}\n`, IN_OURS, undefined],
  ['of a node that is itself a pod, the one inside', `0::/kubepods/pod${OUTER}/x/kubepods/pod${ONE}/f\n`, INSIDE, ONE],
  ['of such a node, none below that', `0::/kubepods/pod${OUTER}/x/kubepods/pod${ONE}/f/pod${OTHER}\n`, INSIDE, ONE],
  ['the one of all hierarchies that name one', `9:cpu:/pod${ONE}/f\n8:pids:/pod${ONE}/f\n0::/\n`, ALONE, ONE],
  ['none where hierarchies differ', `9:cpu:/pod${ONE}/f\n8:pids:/pod${OTHER}/f\n`, ALONE, undefined],
])('a process is of a pod: %s', async (_what, cgroup, own, uid) => {
  expect(await podOf(cgroup, own)).toBe(uid);
});
