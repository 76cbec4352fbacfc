import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { listSessions, sessionOf } from './harness/sessions.ts';
import { Shop } from './harness/shop.ts';
import { trustOf } from './harness/trust.ts';

/** The drill of docs/guides/backup.md: an installation is lost whole but for its backup, and its log goes on. */
let shop: Shop;
let bot: Agent;
let directory: string;
/** What the guide keeps. */
const KEPT = [
  'secret/chaperone-ca',
  'secret/chaperone-evidence-keys',
  'secret/chaperone-evidence-reader',
  'secret/chaperone-log-key',
  'secret/chaperone-masking-keys',
  'configmap/chaperone-trust',
] as const;
const COLLECTOR = 'statefulset/chaperone-collector';

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  directory = await mkdtemp(join(tmpdir(), 'chaperone-e2e-'));
  bot = await shop.startAgent('bot');
  await bot.serves();
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
  await shop.close();
});

/** What an object has of the cluster that it was in. */
const OF_ITS_CLUSTER = new Set(['uid', 'resourceVersion', 'creationTimestamp', 'ownerReferences']);
const bare = (metadata: object): object =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => !OF_ITS_CLUSTER.has(key)));
/** Those objects as they can be created elsewhere. */
async function kept(...names: readonly string[]): Promise<object> {
  const list = JSON.parse(await shop.cluster.demand(['get', '-n', SYSTEM, ...names, '-o', 'json'])) as {
    items: { metadata: object }[];
  };
  return { ...list, items: list.items.map((each) => ({ ...each, metadata: bare(each.metadata) })) };
}
const file = (name: string): string => join(directory, name);
async function chaperone(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await shop.cluster.chaperone(...args);
  expect([args, status, stderr]).toEqual([args, 0, expect.any(String)]);
  return stdout;
}
const session = (): Promise<string> =>
  sessionOf(shop.cluster, async () => {
    expect(await bot.psql('select ssn from customers where id = 1')).toMatchObject({ status: 0, stdout: '*******6789\n' });
  }).then(({ name }) => name);

test('an installation that was lost goes on from its backup, with agents that ran all the time; an older volume is refused', async () => {
  const { installation, cluster } = shop;
  const from = new Date().toISOString();
  await installation.stop(COLLECTOR);
  await installation.snapshot('older');
  await installation.start(COLLECTOR);
  const before = await session();
  const backup = await kept(...KEPT);
  await writeFile(file('checkpoint'), await chaperone('log', 'checkpoint'));
  const trust = await trustOf(cluster, directory);
  await installation.stop(COLLECTOR);
  await installation.snapshot('newest');

  await installation.lose();
  await installation.prepare('newest');
  await cluster.apply(backup);
  await installation.upgrade({ files: [`collector.log.since=${file('checkpoint')}`] });
  expect(await chaperone('log', 'verify', '--since', file('checkpoint'))).toContain('goes on from the');
  expect((await listSessions(cluster)).map(({ name }) => name)).toContain(before);
  await bot.serves();
  const after = await session();
  await chaperone('export', '-A', '--from', from, '--since', file('checkpoint'), '-o', file('all.evidence'));
  const verified = await chaperone('verify', file('all.evidence'), ...trust, '--since', file('checkpoint'));
  for (const each of [before, after]) expect(verified).toMatch(new RegExp(`${each}.*complete`));
  expect(verified).toContain('append-only since');

  await installation.stop(COLLECTOR);
  await installation.snapshot('newest');
  await installation.rollBack('older');
  await cluster.demand(['scale', COLLECTOR, '-n', SYSTEM, '--replicas=1']);
  const said = async (): Promise<string> => {
    const now = await cluster.kubectl(['logs', 'chaperone-collector-0', '-n', SYSTEM]);
    return now.stdout + (await cluster.kubectl(['logs', 'chaperone-collector-0', '-n', SYSTEM, '--previous'])).stdout;
  };
  await expect.poll(said, { timeout: 60_000, interval: 1_000 }).toContain('LogBehind');
  await installation.stop(COLLECTOR);
  await installation.rollBack('newest');
  await installation.start(COLLECTOR);
  expect(await chaperone('log', 'verify', '--since', file('checkpoint'))).toContain('goes on from the');
}, 600_000);
