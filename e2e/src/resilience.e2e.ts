import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Installation, SYSTEM } from './harness/installation.ts';
import { arrived, listSessions, sessionOf } from './harness/sessions.ts';
import { type Agent, AGENTS, SECRETS, Shop } from './harness/shop.ts';

/** What an agent and its evidence meet while a part of Chaperone is away: refusal or recovery, never a leak, never a gap. */
let shop: Shop;
let bot: Agent;
const FIVE = 'select ssn from customers where id = 1;\n'.repeat(5);
const names = async (): Promise<ReadonlySet<string>> => new Set((await listSessions(shop.cluster)).map(({ name }) => name));

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  bot = await shop.startAgent('bot');
  await bot.serves();
});
afterAll(() => shop.close());

/** Reads while `during` happens. @returns What the agent printed, once `during` is over. */
async function readingWhile(mark: string, during: () => Promise<unknown>): Promise<string> {
  const live = bot.python(`import os, psycopg2, time
connection = psycopg2.connect("host=orders-db dbname=orders user=bot")
connection.autocommit = True
cursor = connection.cursor()
open("/tmp/${mark}", "w").close()
turns = 0
while not os.path.exists("/tmp/${mark}.stop"):
    try:
        cursor.execute("select ssn from customers where id = 1")
        assert cursor.fetchone()[0] == "*******6789"
        turns += 1
    except psycopg2.Error as error:
        print("ended", str(error).splitlines()[0]); raise SystemExit
    time.sleep(0.1)
print("lived", turns > 0)
`);
  await expect.poll(async () => (await bot.run('test', '-e', `/tmp/${mark}`)).status, { timeout: 20_000 }).toBe(0);
  await during();
  await bot.run('touch', `/tmp/${mark}.stop`);
  const { stdout, stderr } = await live;
  return stdout + stderr;
}

describe('while the operator is away', () => {
  test('open sessions go on and new ones open, within the validity of the policy; their evidence arrives', async () => {
    const before = await names();
    const seen = await readingWhile('operator', async () => {
      await shop.installation.scale('deployment/chaperone-operator', 0);
      expect((await bot.psql(FIVE)).stdout).toBe('*******6789\n'.repeat(5));
      await shop.installation.scale('deployment/chaperone-operator', 2);
    });
    expect(seen).toBe('lived True\n');
    // Sidecars ask again at growing intervals, the longest of 30 s.
    await shop.condition('accesspolicy/support-agent', AGENTS, 'Ready', 90_000);
    expect((await arrived(shop.cluster, before)).evidence).toBe('received');
  });
});

describe('while evidence cannot be delivered', () => {
  test.each<'statefulset/chaperone-nats' | 'statefulset/chaperone-collector'>([
    'statefulset/chaperone-nats',
    'statefulset/chaperone-collector',
  ])('%s away: the agent works on, and every record arrives afterwards', async (part) => {
    const before = await names();
    await shop.installation.scale(part, 0);
    expect((await bot.psql(FIVE)).stdout).toBe('*******6789\n'.repeat(5));
    await shop.installation.scale(part, 1);
    const session = await arrived(shop.cluster, before, 90_000);
    expect(session).toMatchObject({ actions: 5, denied: 0, evidence: 'received' });
    expect((await shop.cluster.chaperone('verify', session.name)).status).toBe(0);
    // What was there before is there still.
    expect([...(await names())]).toEqual(expect.arrayContaining([...before]));
  });
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
    const address = await shop.address('service');
    const around = (): ReturnType<Agent['psql']> =>
      bot.psql('select 1', `host=${address} dbname=orders user=bot connect_timeout=2`);
    const seen = await readingWhile('killed', async () => {
      await shop.cluster.killContainer('bot', AGENTS, 'chaperone-sidecar');
      for (let turn = 0; turn < 4; turn++) expect((await around()).status).toBe(2);
    });
    expect(seen).toMatch(/^ended /);
    await bot.serves();
    expect((await shop.cluster.chaperone('verify', session.name)).status).toBe(0);
    expect((await sessionOf(shop.cluster, () => bot.psql(FIVE))).actions).toBe(5);
  });

  test('a collector that is killed finds its evidence again', async ({ skip }) => {
    if (!shop.cluster.local) skip('containers are killed from the node');
    const before = await names();
    await shop.cluster.killContainer('chaperone-collector-0', SYSTEM, 'collector');
    await expect.poll(async () => [...(await names().catch(() => new Set()))], { timeout: 60_000 }).toEqual([...before]);
  });
});

describe('an upgrade of the chart', () => {
  test('keeps sessions, evidence and resources as they are', async () => {
    const before = await names();
    const seen = await readingWhile('upgrade', () => shop.installation.upgrade('operator.validForMinutes=20'));
    expect(seen).toBe('lived True\n');
    expect([...(await names())]).toEqual(expect.arrayContaining([...before]));
    await shop.condition('protectedresource/orders-db', 'data', 'Ready', 60_000);
    expect((await bot.psql('select 1')).stdout).toBe('1\n');
  });
});
