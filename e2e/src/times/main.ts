/**
 * `make bench CLUSTER=1`: on a real cluster, how soon people see that an agent waits for them, and how soon the agent has its result once
 * they approved. Prints a table and adds its lines to docs/testing/approvals.md. ROUNDS and OTHERS (a list) may be given in the environment.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../harness/agent.ts';
import { ROOT } from '../harness/cluster.ts';
import { Installation } from '../harness/installation.ts';
import { decisionOn, heldPolicy } from '../harness/requests.ts';
import { AGENTS, Shop } from '../harness/shop.ts';
import { gather, waiting } from './crowd.ts';
import { OpenPsql } from './open-psql.ts';
import { Person } from './person.ts';
import { HEAD, type Measured, type Round, row } from './report.ts';
import { RequestWatch } from './request-watch.ts';

const ROUNDS = Number(process.env['ROUNDS'] || 120);
/** One measurement for each: requests that wait beside. */
const OTHERS = (process.env['OTHERS'] || '0 1000').split(' ').map(Number);
/** A pod may ask people ten times within a minute; these take turns. */
const PODS = ['bot-1', 'bot-2', 'bot-3', 'bot-4'];
const PACE_MS = 6_200;
/** Nobody approves in the moment of seeing. */
const THOUGHT_MS = 250;
const DECISIONS = `/apis/chaperone.dev/v1alpha1/namespaces/${AGENTS}/approvaldecisions`;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const git = (...args: string[]): string => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();

interface Asker {
  readonly pod: string;
  readonly psql: OpenPsql;
  /** Not before this it asks again. */
  next: number;
}
interface World {
  readonly shop: Shop;
  readonly jane: Person;
  readonly askers: readonly Asker[];
  asked: number;
}

async function round(world: World, watch: RequestWatch, asker: Asker): Promise<Round> {
  await sleep(Math.max(0, asker.next - Date.now()));
  asker.next = Date.now() + PACE_MS;
  world.asked += 1;
  const seen = watch.next(asker.pod);
  // Another text each time: an answer is for one action.
  const ran = asker.psql.run(`update tickets set status = 'round ${world.asked}' where id = 1`);
  const { name, uid, digest, at } = await seen;
  await sleep(THOUGHT_MS);
  const decision = decisionOn({ metadata: { name, uid }, spec: { digest, agent: {} } }, `${name}-1`);
  const sentAt = Date.now();
  await world.jane.post(DECISIONS, decision);
  const storedAt = Date.now();
  const statement = await ran;
  if (statement.said !== 'UPDATE 1') throw new Error(`psql said ${statement.said}`);
  const { answeredAt } = statement;
  return { visible: at - statement.sentAt, answered: answeredAt - sentAt, answeredOnceStored: answeredAt - storedAt };
}

async function measure(world: World, others: number): Promise<Measured> {
  using watch = new RequestWatch(world.shop.cluster);
  // The first of each session is judged anew and compiles code.
  for (const asker of world.askers) await round(world, watch, asker);
  const rounds: Round[] = [];
  const loads: number[] = [];
  while (rounds.length < ROUNDS) {
    const asker = world.askers[rounds.length % world.askers.length];
    if (asker === undefined) break;
    rounds.push(await round(world, watch, asker));
    loads.push(loadavg()[0] ?? Number.NaN);
    if (rounds.length % 20 === 0) say(`${rounds.length} rounds, ${others} others`);
  }
  return { others, rounds, loads };
}

async function startAgents(shop: Shop, names: readonly string[]): Promise<Agent[]> {
  const agents = await Promise.all(names.map((name) => shop.startAgent(name)));
  for (const agent of agents) await agent.serves();
  return agents;
}

const shop = new Shop(await Installation.create());
await shop.open();
await shop.cluster.apply(heldPolicy());
await shop.cluster.demand(['create', 'rolebinding', '-n', AGENTS, '--clusterrole=chaperone-approver', 'dba', '--group=dba']);
const agents = await startAgents(shop, PODS);
await shop.condition('accesspolicy/support-agent', AGENTS, 'Programmed', 60_000);
{
  using open = new DisposableStack();
  const world: World = {
    shop,
    jane: open.use(await Person.at(shop.cluster, '--as=jane@corp', '--as-group=dba')),
    askers: agents.map((agent) => ({ pod: agent.name, psql: open.use(new OpenPsql(agent)), next: 0 })),
    asked: 0,
  };
  const date = new Date().toISOString().slice(0, 10);
  const commit = `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' with changes'}`;
  const note = (measured: Measured): void => {
    const line = `| ${row(measured, date, commit).join(' | ')} |\n`;
    process.stdout.write(`| ${HEAD.join(' | ')} |\n${line}`);
    appendFileSync(join(ROOT, 'docs/testing/approvals.md'), line);
  };
  for (const others of OTHERS) {
    for (const crowd of others > 0 ? await startAgents(shop, [`crowd-${others}`]) : []) await gather(shop, crowd, others);
    const measured = await measure(world, await waiting(shop));
    // Those that did not last were not there all the time.
    note({ ...measured, others: Math.min(measured.others, await waiting(shop)) });
  }
}
await shop.close();
