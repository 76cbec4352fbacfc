import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Auditor } from './harness/audit.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { demand } from './harness/run.ts';
import { listSessions } from './harness/sessions.ts';
import { AGENTS, Shop } from './harness/shop.ts';

/** Every part of the pipeline is killed while agents work. What arrived is complete, what did not is named, and nothing else is said. */
let shop: Shop;
let bot: Agent;
let directory: string;
const PROBE_PORT = 15_021;

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

/** Short sessions one after another, and one that stays open as long as it may; whatever fails is begun again. */
const TRAFFIC = `import os, psycopg2, threading, time
stop = lambda: os.path.exists("/tmp/traffic.stop")
ended = lambda error: not isinstance(error, AssertionError)
done = {"short": 0, "long": 0, "wrong": 0}
def work(kind, turns):
    while not stop():
        try:
            connection = psycopg2.connect("host=orders-db dbname=orders user=bot connect_timeout=30")
            connection.autocommit = True
            cursor = connection.cursor()
            for turn in range(turns):
                cursor.execute("select ssn from customers where id = 1")
                if cursor.fetchone()[0] != "*******6789": done["wrong"] += 1
                if stop(): break
                time.sleep(0.05)
            connection.close()
            done[kind] += 1
        except psycopg2.Error:
            time.sleep(0.2)
both = [threading.Thread(target=work, args=args) for args in [("short", 5), ("long", 1 << 30)]]
for each in both: each.start()
open("/tmp/traffic", "w").close()
for each in both: each.join()
print(done["short"] > 5, done["wrong"])
`;

const killed = (...pod: readonly string[]): Promise<string> =>
  shop.cluster.demand(['delete', 'pod', ...pod, '-n', SYSTEM, '--force', '--grace-period=0']);
const rolledOut = (part: string): Promise<string> =>
  shop.cluster.demand(['rollout', 'status', part, '-n', SYSTEM, '--timeout=120s']);

/** Whatever is said in condition EvidenceMissing of the agents' policy; empty where it is not there. */
const missing = (): Promise<string> => {
  const path = `jsonpath={.items[0].status.conditions[?(@.type=="EvidenceMissing")].message}`;
  return shop.cluster.demand(['get', 'accesspolicies', '-n', AGENTS, '-o', path]);
};

/** Entries of the log in the newest checkpoint that the sidecar of a pod has verified, as Prometheus would read it from the node. */
async function logSizeOf(pod: string): Promise<number> {
  const address = await shop.cluster.demand(['get', 'pod', pod, '-n', AGENTS, '-o', 'jsonpath={.status.podIP}']);
  const metrics = await demand('curl', ['-sS', '--max-time', '5', `http://${address}:${PROBE_PORT}/metrics`]);
  return Number(/^chaperone_evidence_log_size (\d+)$/m.exec(metrics)?.[1] ?? -1);
}

test('each part is killed in turn during traffic: every session that has its receipts verifies, and each that is missing is named', async ({
  skip,
}) => {
  if (!shop.cluster.local) skip('containers are killed from the node');
  const began = Date.now();
  const sizeBefore = await logSizeOf('bot');
  // A name that no earlier run had: what such a pod left missing is shown for a week.
  const victim = `doomed-${began.toString(36)}`;
  const doomed = await shop.startAgent(victim);
  await doomed.serves();
  await bot.run('rm', '-f', '/tmp/traffic', '/tmp/traffic.stop');
  const traffic = bot.python(TRAFFIC);
  await expect.poll(async () => (await bot.run('test', '-e', '/tmp/traffic')).status).toBe(0);

  await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGKILL');
  await killed('chaperone-nats-0');
  await rolledOut('statefulset/chaperone-nats');
  await killed('chaperone-collector-0');
  await rolledOut('statefulset/chaperone-collector');
  await killed('-l', 'app.kubernetes.io/component=operator');
  await rolledOut('deployment/chaperone-operator');

  // A pod whose node dies: it brings nothing out any more.
  const lost = doomed.startPsql();
  let said = '';
  lost.stdout.on('data', (text: Buffer) => (said += text.toString()));
  lost.stdin.write("select 'is open';\n");
  await expect.poll(() => said, { timeout: 60_000 }).toContain('is open');
  await shop.cluster.signal(victim, AGENTS, 'chaperone-sidecar', 'SIGSTOP');
  await shop.cluster.demand(['delete', 'pod', victim, '-n', AGENTS, '--force', '--grace-period=0']);
  const deletedAt = Date.now();
  const told = ['get', 'events', '-n', AGENTS, '--field-selector', `reason=EvidenceMissing,involvedObject.name=${victim}`];
  const note = (): Promise<string> => shop.cluster.demand([...told, '-o', 'jsonpath={.items[*].message}']);
  await expect.poll(note, { timeout: 90_000, interval: 1_000 }).toContain(`pod ${victim}, which is gone, counted evidence`);
  expect(Date.now() - deletedAt).toBeLessThan(60_000);
  const [name = 'none'] = /s-[a-z2-7]{16}/.exec(await note()) ?? [];
  lost.kill();
  await expect.poll(missing, { interval: 1_000 }).toContain('counted evidence that has not arrived');

  await bot.run('touch', '/tmp/traffic.stop');
  expect((await traffic).stdout).toBe('True 0\n');
  const ended = async (): Promise<boolean> =>
    (await listSessions(shop.cluster)).every(
      ({ startedAt, state, name: each }) => startedAt < began || each === name || state !== 'open',
    );
  await expect.poll(ended, { timeout: 60_000, interval: 1_000 }).toBe(true);
  expect(await logSizeOf('bot')).toBeGreaterThan(sizeBefore);

  const auditor = new Auditor(shop.cluster, directory);
  // What a pod counted is in a file once nothing has been heard of it for a minute.
  await expect.poll(() => auditor.receive(began), { timeout: 90_000, interval: 5_000 }).toBe(true);
  const { file, sessions } = await auditor.verify();
  expect(file).toBe('sound');
  expect(sessions.find(({ session }) => session === name)?.verdict).toMatch(/^(missing|incomplete|open)$/);
  const others = sessions.filter(({ session, verdict }) => session !== name && verdict !== 'complete');
  // The two that were open when their sidecar was killed: they say it themselves.
  expect(others.filter(({ verdict }) => verdict !== 'interrupted')).toEqual([]);
  expect(others.length).toBeLessThanOrEqual(2);
  expect(sessions.length).toBeGreaterThan(5);
}, 300_000);
