/**
 * `make soak ONLY=churn`: for MINUTES (30) everything that may happen to an installation on a real cluster happens to it, by a plan that
 * SEED repeats, while agents work and every answer is looked at. What no step explains fails the run. Prints what was done and seen, and
 * adds a line to docs/testing/churn.md.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../harness/cluster.ts';
import { Installation } from '../harness/installation.ts';
import { CREDENTIAL, SECRETS, Shop } from '../harness/shop.ts';
import * as agents from './agents.ts';
import { doctor, lookAtEvents, verifyAll } from './evidence.ts';
import { judge } from './judge.ts';
import { type Kind, LANES, type Lane } from './model.ts';
import * as parts from './parts.ts';
import { plan, type Step } from './plan.ts';
import { describe, HEAD, type Run, row } from './report.ts';
import * as rules from './rules.ts';
import { ANSWERS } from './traffic.ts';
import { type Used, World } from './world.ts';

const MINUTES = Number(process.env['MINUTES'] || 30);
const SEED = Number(process.env['SEED'] || randomInt(2 ** 31));
const PAGE = join(ROOT, 'docs/testing/churn.md');
/** Everything that was seen, for who asks what came before. */
const KEPT = join(ROOT, '.cache/churn.json');
/** After the last step: what goes on is over. */
const SETTLE_MS = 40_000;

const ACTS: Readonly<Record<Kind, (world: World, subject: string) => Promise<unknown>>> = {
  'pod-made': agents.makePod,
  'deployment-made': agents.makeDeployment,
  'job-run': agents.runJob,
  'agent-ended': agents.end,
  'sidecar-killed': agents.killSidecar,
  'mask-changed': rules.changeMask,
  'rule-narrowed': rules.narrow,
  'policy-deleted': rules.deletePolicy,
  'policy-refused': rules.refusePolicies,
  'resource-added': rules.addResource,
  'resource-deleted': rules.deleteResource,
  'secret-rotated': rules.rotateSecret,
  'leader-deleted': parts.deleteLeader,
  'leader-killed': parts.killLeader,
  'follower-deleted': parts.deleteFollower,
  'follower-killed': parts.killFollower,
  'collector-deleted': parts.deleteCollector,
  'collector-killed': parts.killCollector,
  'broker-deleted': parts.deleteBroker,
  'broker-killed': parts.killBroker,
  'database-deleted': parts.deleteDatabase,
  'database-killed': parts.killDatabase,
  'node-agent-deleted': parts.deleteNodeAgent,
  'ca-rotated': parts.rotateCa,
  'certificate-renewed': parts.renewCertificate,
  'api-server-killed': parts.killApiServer,
};

const git = (...args: string[]): string => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();

/** Does what is planned of one lane, until the time is over. */
async function go(world: World, steps: readonly Step[], began: number): Promise<void> {
  for (const step of steps) {
    if (Date.now() - began >= MINUTES * 60_000) return;
    await sleep(Math.max(0, began + step.atMs - Date.now()));
    await world.do(step, () => ACTS[step.kind](world, step.subject));
  }
}

/** What the largest of a container's pods uses; of sidecars that of the agent that is there all the time. */
const largest = (used: readonly Used[], container: string): number =>
  Math.max(
    ...used
      .filter((each) => each.container === container && (container !== 'chaperone-sidecar' || each.pod === rules.ELDER))
      .map(({ mib }) => mib),
  );

function memory(before: readonly Used[], after: readonly Used[]): Run['mib'] {
  const names = [...new Set(before.map(({ container }) => container))].filter((name) => name !== 'bot');
  return names.map((container) => ({ container, before: largest(before, container), after: largest(after, container) }));
}

const installation = await Installation.create();
if (!installation.cluster.local) throw new Error('processes are killed on the node: that needs the cluster of e2e/cluster');
const shop = new Shop(installation);
await shop.open();
using world = new World(shop, CREDENTIAL.password);
const commit = `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' with changes'}`;
const began = Date.now();
world.follow();
await agents.makePod(world, rules.ELDER);
const [before, found] = [await world.used(), await doctor(world)];
const load = loadavg()[1] ?? 0;
const steps = plan(SEED, MINUTES);
const start = Date.now();
await Promise.all(LANES.map((lane: Lane) => go(world, steps[lane], start)));
await sleep(SETTLE_MS);
const after = await world.used();
for (const each of await doctor(world)) if (!found.includes(each)) world.note('step', 'doctor', each);
const workloads = new Set([rules.ELDER, ...steps.agents.map(({ subject }) => subject)]);
const done = new Set(world.windows.map(({ subject }) => subject));
for (const subject of workloads)
  if (subject === rules.ELDER || done.has(subject))
    await world.do({ atMs: 0, kind: 'agent-ended', subject }, () => agents.end(world, subject));
const evidence = await verifyAll(world, began);
await lookAtEvents(world, began);

const { seen, windows, phases, warned } = world;
mkdirSync(join(ROOT, '.cache'), { recursive: true });
writeFileSync(
  KEPT,
  JSON.stringify({ seen: seen.filter(({ source, what }) => source !== 'agent' || !what.includes(' = ')), windows, phases }),
);
const run: Run = {
  date: new Date().toISOString().slice(0, 10),
  commit,
  seed: SEED,
  minutes: MINUTES,
  steps: windows.filter((each): each is typeof each & { kind: Kind } => each.kind !== 'begun'),
  judgement: judge({ seen, windows, phases, answers: ANSWERS, secrets: SECRETS }),
  evidence,
  mib: memory(before, after),
  warned,
  loads: [load, loadavg()[1] ?? 0],
};
process.stdout.write(`\n${describe(run)}\n\n| ${HEAD.join(' | ')} |\n| ${row(run).join(' | ')} |\n`);
if (process.env['NOTE'] !== '0') {
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const table = lines.findIndex((each) => each.startsWith(`| ${HEAD.slice(0, 3).join(' | ')}`));
  const last = lines.findIndex((each, at) => at > table && !each.startsWith('|'));
  writeFileSync(PAGE, lines.toSpliced(last, 0, `| ${row(run).join(' | ')} |`).join('\n'));
}
await shop.close();
process.exitCode = run.judgement.unexplained.length === 0 ? 0 : 1;
