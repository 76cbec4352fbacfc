import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { arrivedSince, listSessions, type SessionRow, sessionOf } from './harness/sessions.ts';
import { AGENTS, SECRETS, Shop } from './harness/shop.ts';

/** What an agent and its evidence meet while a part of Chaperone is away: refusal or recovery, never a leak, never a gap. */
let shop: Shop;
let bot: Agent;
const ACTIONS = 5;
/** How long a part is away at least, and works after that: a minute in all with DRILL=1. */
const AWAY_MS = process.env['DRILL'] === undefined ? 5_000 : 20_000;
const FIVE = 'select ssn from customers where id = 1;\n'.repeat(ACTIONS);
const names = async (): Promise<ReadonlySet<string>> => new Set((await listSessions(shop.cluster)).map(({ name }) => name));

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  bot = await shop.startAgent('bot');
  await bot.serves();
});
afterAll(() => shop.close());

/** Opens a session every few seconds for `ms`, each of which is served and masked. @returns How many. */
async function worksFor(ms: number): Promise<number> {
  const end = Date.now() + ms;
  let sessions = 0;
  for (; Date.now() < end; sessions++) {
    expect(await bot.psql(FIVE)).toEqual({ status: 0, stdout: '*******6789\n'.repeat(ACTIONS), stderr: '' });
    await sleep(Math.min(8_000, Math.max(0, end - Date.now())));
  }
  return sessions;
}

/** Every session since then is there with each of its actions; the one that lived through it, and the first other, verify. */
async function nothingIsLost(since: number, sessions: number): Promise<void> {
  const rows = await arrivedSince(shop.cluster, since, sessions + 1, 120_000);
  const long = rows.filter(({ actions }) => actions > ACTIONS);
  const short = rows.filter(({ actions }) => actions === ACTIONS);
  expect([long.length, short.length]).toEqual([1, sessions]);
  for (const { name } of [...long, ...short.slice(0, 1)]) {
    const { status, stdout } = await shop.cluster.chaperone('verify', name);
    expect([name, status, stdout]).toEqual([name, 0, expect.stringContaining('complete')]);
  }
}

describe('while the operator is away', () => {
  test('open sessions go on; new ones, which nobody counts, are refused in words, and open when it is back', async () => {
    const began = Date.now();
    const refused: string[] = [];
    const seen = await bot.readingWhile('operator', async () => {
      await shop.installation.stop('deployment/chaperone-operator');
      for (let turn = 0; turn < 2; turn++) refused.push((await bot.psql(FIVE)).stderr);
      await shop.installation.start('deployment/chaperone-operator');
    });
    expect(seen).toBe('lived True\n');
    for (const said of refused) expect(said).toContain('(RecordingBlocked)');
    // Sidecars ask again at growing intervals, the longest of 30 s.
    await shop.condition('accesspolicy/support-agent', AGENTS, 'Ready', 90_000);
    await nothingIsLost(began, await worksFor(AWAY_MS));
  }, 420_000);
});

describe('while evidence cannot be delivered', () => {
  test('the collector, then the broker too, then the broker alone: the agent works on, and every record arrives', async () => {
    const before = await names();
    const began = Date.now();
    let sessions = 0;
    const seen = await bot.readingWhile('delivery', async () => {
      const { installation } = shop;
      await installation.stop('statefulset/chaperone-collector');
      sessions += await worksFor(AWAY_MS);
      await installation.stop('statefulset/chaperone-nats');
      sessions += await worksFor(2 * AWAY_MS);
      // It is ready only with its broker.
      const collector = installation.start('statefulset/chaperone-collector');
      sessions += await worksFor(AWAY_MS);
      await Promise.all([collector, installation.start('statefulset/chaperone-nats')]);
    });
    expect(seen).toBe('lived True\n');
    await nothingIsLost(began, sessions);
    // What was there before is there still.
    expect([...(await names())]).toEqual(expect.arrayContaining([...before]));
  }, 420_000);
});

describe('when something dies', () => {
  test('an agent killed in the middle of a statement leaves a session that ended', async () => {
    const tables = 'a b c d e f g h i j k l m n o'
      .split(' ')
      .map((alias) => `customers ${alias}`)
      .join(', ');
    const killed = (): Promise<unknown> =>
      bot.python(`import os, psycopg2, threading
connection = psycopg2.connect("host=orders-db dbname=orders user=bot")
threading.Timer(0.7, lambda: os.kill(os.getpid(), 9)).start()
connection.cursor().execute("select count(*) from ${tables}")
print("it was too quick")
`);
    const session = await sessionOf(shop.cluster, async () => expect(await killed()).toMatchObject({ status: 137, stdout: '' }));
    const { stdout } = await shop.cluster.chaperone('sessions', 'replay', session.name);
    expect(stdout).toContain('from customers a, customers b');
    expect(stdout).not.toMatch(SECRETS);
    expect((await bot.psql('select 1')).stdout).toBe('1\n');
  });

  test('34 a sidecar that is killed takes its sessions with it, opens no way around, and is back', async ({ skip }) => {
    if (!shop.cluster.local) skip('containers are killed from the node');
    const session = await sessionOf(shop.cluster, () => bot.psql(FIVE));
    const seen = await bot.readingWhile('killed', async () => {
      await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGKILL');
      for (let turn = 0; turn < 4; turn++) expect((await around()).status).toBe(2);
    });
    expect(seen).toMatch(/^ended /);
    await bot.serves();
    expect((await shop.cluster.chaperone('verify', session.name)).status).toBe(0);
    expect((await sessionOf(shop.cluster, () => bot.psql(FIVE))).actions).toBe(ACTIONS);
  });

  test('34 a sidecar that stands still opens no way around, and goes on', async ({ skip }) => {
    if (!shop.cluster.local) skip('containers are stopped from the node');
    await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGSTOP');
    try {
      for (let turn = 0; turn < 3; turn++) expect((await around()).status).toBe(2);
      const { ipv4 } = await shop.virtualAddress();
      expect((await bot.psql('select 1', `host=${ipv4} dbname=orders user=bot connect_timeout=2`)).status).toBe(2);
    } finally {
      await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGCONT');
    }
    await bot.serves();
  });

  test('a collector that is killed finds its evidence again', async ({ skip }) => {
    if (!shop.cluster.local) skip('containers are killed from the node');
    const before = await names();
    await shop.cluster.signal('chaperone-collector-0', SYSTEM, 'collector', 'SIGKILL');
    const again = async (): Promise<string[]> => [...(await names().catch(() => new Set<string>()))];
    await expect.poll(again, { timeout: 60_000 }).toEqual(expect.arrayContaining([...before]));
  });
});

/** Straight to the database's own address. */
async function around(): ReturnType<Agent['psql']> {
  return await bot.psql('select 1', `host=${await shop.address('service')} dbname=orders user=bot connect_timeout=2`);
}

const imageOf = (pod: string): Promise<string> => {
  const path = '{.spec.initContainers[?(@.name=="chaperone-sidecar")].image}';
  return shop.cluster.demand(['get', 'pod', pod, '-n', AGENTS, '-o', `jsonpath=${path}`]);
};

/** A field of the pod of Job `once`. */
const statusOf = (path: string): Promise<string> =>
  shop.cluster.demand(['get', 'pods', '-n', AGENTS, '-l', 'job-name=once', '-o', `jsonpath={.items[0].${path}}`]);

describe('an agent that ends by itself', () => {
  test('in a Job, takes its sidecar with it, and what it did until its last moment is there', async () => {
    const { spec } = shop.agentPod('once') as { spec: { containers: object[] } };
    const run =
      "until psql 'host=orders-db dbname=orders user=bot password=none' -X -A -t -c 'select ssn from customers where id = 1'; do sleep 1; done";
    const containers = spec.containers.map((container) => ({ ...container, command: ['sh', '-c', run] }));
    const template = { metadata: { labels: { app: 'support-agent' } }, spec: { ...spec, containers, restartPolicy: 'Never' } };
    const job = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'once', namespace: AGENTS },
      spec: { backoffLimit: 0, template },
    };
    await shop.cluster.demand(['create', '-f', '-'], job);
    await shop.condition('job/once', AGENTS, 'Complete', 120_000);
    expect(await statusOf('status.phase')).toBe('Succeeded');
    expect(await statusOf('status.initContainerStatuses[?(@.name=="chaperone-sidecar")].state.terminated.exitCode')).toBe('0');
    const pod = await statusOf('metadata.name');
    expect((await shop.cluster.kubectl(['logs', pod, '-n', AGENTS, '-c', 'bot'])).stdout).toContain('*******6789\n');
    const arrived = ({ agent, actions, state, evidence }: SessionRow): boolean =>
      agent.pod === pod && actions > 0 && state === 'ended' && evidence === 'received';
    const session = async (): Promise<SessionRow | undefined> => (await listSessions(shop.cluster)).find(arrived);
    const { name } = await eventually('its session to arrive', session, 60_000);
    const { status, stdout } = await shop.cluster.chaperone('verify', name);
    expect([status, stdout]).toEqual([0, expect.stringContaining('complete')]);
  });
});

describe('an upgrade of the chart with another sidecar', () => {
  test('keeps sessions, evidence and older pods as they are; new pods get the new one', async () => {
    const before = await names();
    const image = shop.installation.image('sidecar');
    const next = image.replace(/:[^:]*$/, ':next');
    await shop.cluster.tagImage(image, next);
    const seen = await bot.readingWhile('upgrade', () =>
      shop.installation.upgrade({ values: ['operator.validForMinutes=20'], sidecarTag: 'next' }),
    );
    expect(seen).toBe('lived True\n');
    expect([...(await names())]).toEqual(expect.arrayContaining([...before]));
    await shop.condition('protectedresource/orders-db', 'data', 'Ready', 60_000);
    const young = await shop.startAgent('young');
    await Promise.all([young.serves(), bot.serves()]);
    expect([await imageOf('bot'), await imageOf('young')]).toEqual([image, next]);
    // Both are known to the operator that came with the upgrade, and run what it says.
    const programmed = ['get', 'accesspolicy', 'support-agent', '-n', AGENTS, '--no-headers'];
    await expect
      .poll(() => shop.cluster.demand(programmed), { timeout: 90_000, interval: 1_000 })
      .toMatch(/ 2 +2\/2 +Enforce +True /);
  }, 300_000);
});
