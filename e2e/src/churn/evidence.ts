import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { Auditor } from '../harness/audit.ts';
import { SYSTEM } from '../harness/installation.ts';
import { listSessions, type SessionRow } from '../harness/sessions.ts';
import { AGENTS, DATA } from '../harness/shop.ts';
import type { World } from './world.ts';

/** Until all that was recorded is with the collector. */
const ARRIVES_MS = 120_000;
/** What a pod counted is in a file once nothing was heard of it for a minute. */
const COUNTED_MS = 65_000;

export interface Verified {
  readonly sessions: number;
  readonly actions: number;
  /** By verdict: how many. */
  readonly verdicts: ReadonlyMap<string, number>;
}

/**
 * Exports everything since then, verifies the file as an auditor does, and notes every session that is not complete, and every pod of
 * which less is recorded than it was answered.
 */
export async function verifyAll(world: World, since: number): Promise<Verified> {
  const rows = await arrived(world, since);
  compare(world, rows, since);
  await using folder = await temporaryDirectory('chaperone-churn-');
  const auditor = new Auditor(world.shop.cluster, folder.path);
  if (!(await auditor.receive(since))) world.note('evidence', '', 'the file has no counters');
  const { file, sessions } = await auditor.verify();
  if (file !== 'sound') world.note('evidence', '', `the file is ${file ?? 'empty'}`);
  const verdicts = new Map<string, number>();
  const started = new Map(rows.map(({ name, startedAt }) => [name, startedAt]));
  for (const { verdict, session, agent } of sessions) {
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    if (verdict !== 'complete')
      world.note('evidence', agent?.pod ?? '', `${verdict} ${session}`, started.get(session) ?? since, Date.now());
  }
  const inFile = new Set(sessions.map(({ session }) => session));
  for (const { name, agent } of rows) if (!inFile.has(name)) world.note('evidence', agent.pod, `not in the file: ${name}`);
  return { sessions: sessions.length, actions: rows.reduce((all, each) => all + each.actions, 0), verdicts };
}

const isThere = ({ state, evidence }: SessionRow): boolean => state !== 'open' && evidence === 'received';

/** The sessions since then, once all of their evidence is there and what pods counted too. */
async function arrived(world: World, since: number): Promise<readonly SessionRow[]> {
  const list = async (): Promise<SessionRow[]> =>
    (await listSessions(world.shop.cluster)).filter(({ startedAt }) => startedAt >= since);
  const all = async (): Promise<true | undefined> => ((await list()).every(isThere) ? true : undefined);
  await eventually('all evidence to arrive', all, ARRIVES_MS).catch((error: unknown) =>
    world.note('step', 'evidence', String(error)),
  );
  await sleep(COUNTED_MS);
  return await list();
}

function compare(world: World, rows: readonly SessionRow[], since: number): void {
  const actions = new Map<string, number>();
  for (const { agent, actions: count } of rows) actions.set(agent.pod, (actions.get(agent.pod) ?? 0) + count);
  for (const [pod, answered] of world.answered) {
    const recorded = actions.get(pod) ?? 0;
    if (recorded < answered)
      world.note('evidence', pod, `${recorded} actions are recorded, ${answered} were answered`, since, Date.now());
  }
}

interface ClusterEvent {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly firstTimestamp: string | null;
  readonly lastTimestamp: string | null;
  readonly eventTime: string | null;
  readonly metadata: { readonly creationTimestamp: string };
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

/** Notes every warning that the cluster has of our namespaces, but of single probes. */
export async function lookAtEvents(world: World, since: number): Promise<void> {
  for (const namespace of [SYSTEM, AGENTS, DATA]) {
    const { items } = await world.json<{ items: ClusterEvent[] }>('events', '-n', namespace, '--field-selector=type=Warning');
    for (const { reason, message, involvedObject: of, ...each } of items) {
      const first = Date.parse(each.firstTimestamp ?? each.eventTime ?? each.metadata.creationTimestamp);
      const last = Date.parse(each.lastTimestamp ?? each.eventTime ?? each.metadata.creationTimestamp);
      // A probe that fails for good is told by a container that ended, or by a step that does not end.
      if (last < since || reason === 'Unhealthy') continue;
      // Said again for a week, of what was before too; of this time the verifier says it.
      if (reason === 'EvidenceMissing') continue;
      // Told in whole seconds.
      world.note('event', of.name, `${reason}: ${message}`, first, last + 1_000);
    }
  }
}

/** What `chaperone doctor` finds that is not in order. */
export async function doctor(world: World): Promise<string[]> {
  const { stdout } = await world.shop.cluster.chaperone('doctor');
  return stdout.split('\n').filter((line) => /^(warn|FAIL) /.test(line));
}
