import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation } from './harness/installation.ts';
import { listSessions, sessionOf } from './harness/sessions.ts';
import { AGENTS, CREDENTIAL, DATA, SECRETS, Shop } from './harness/shop.ts';

/** The main job, whole: a stock client in a pod that knows nothing of Chaperone, from the first byte to the verified replay. */
let shop: Shop;
let bot: Agent;

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  bot = await shop.startAgent('bot');
  await bot.serves();
});
afterAll(() => shop.close());

describe('an agent with stock psql', () => {
  test.each<[string, string, string]>([
    [
      'columns',
      'select id, name, email, ssn, card from customers order by id limit 1',
      '1|Ada Lovelace|ada@example.com|*******6789|*****',
    ],
    ['an alias', 'select ssn as note from customers where id = 1', '*******6789'],
    ['a join', 'select c.ssn from tickets t join customers c on c.id = t.customer_id where t.id = 2', '*******4320'],
    ['a subquery', 'select note from (select ssn as note from customers where id = 1) as hidden', '*******6789'],
  ])('reads %s masked', async (_name, sql, expected) => {
    expect(await bot.psql(sql)).toEqual({ status: 0, stdout: `${expected}\n`, stderr: '' });
  });

  test.each<[string, string]>([
    ['an expression', "select 'ssn is ' || ssn from customers"],
    ['a row as JSON', 'select row_to_json(c) from customers c'],
    ['an aggregate', "select string_agg(ssn || coalesce(card, ''), ',') from customers"],
    ['a copy', 'copy (select * from customers) to stdout'],
    ['an error', 'select cast(ssn as integer) from customers'],
    ['a guess', "select count(*) from customers where ssn like '123%'"],
  ])('gets no masked value out of %s', async (_name, sql) => {
    const { stdout, stderr } = await bot.psql(sql);
    expect(stdout + stderr).not.toMatch(SECRETS);
  });

  test.each(['require', 'verify-full'])('connects with sslmode=%s by the CA that was mounted', async (mode) => {
    const { stdout } = await bot.psql('select 1', `host=orders-db dbname=orders user=bot sslmode=${mode}`);
    expect(stdout).toBe('1\n');
  });

  test('does what it is there for', async () => {
    const { stdout } = await bot.psql("update tickets set status = 'closed' where id = 1 returning status");
    expect(stdout).toBe('closed\nUPDATE 1\n');
  });

  test('is refused with the words of the policy, and goes on', async () => {
    const { status, stdout, stderr } = await bot.psql('drop table tickets;\nselect count(*) from tickets;');
    expect(stderr).toContain(
      'is denied by rule "never" (DeniedByRule). Do not retry: Schema changes go through the migration pipeline.',
    );
    expect([status, stdout]).toEqual([0, '3\n']);
  });

  test('uses a driver with bound values as it does anywhere', async () => {
    const { stdout, stderr } = await bot.python(`import psycopg2
with psycopg2.connect("host=orders.data.svc dbname=orders user=bot") as connection, connection.cursor() as cursor:
    cursor.execute("select name, ssn from customers where id = %s", (2,))
    print(cursor.fetchone())
`);
    expect([stdout, stderr]).toEqual(["('Grace Hopper', '*******4320')\n", '']);
  });
});

describe('what is left behind', () => {
  test('a session lists, shows, replays and verifies, for whom RBAC lets see it', async () => {
    const { name, actions, denied, evidence } = await sessionOf(shop.cluster, () =>
      bot.psql("select ssn from customers where id = 1;\ndrop table tickets;\nupdate tickets set status = 'open' where id = 1;"),
    );
    expect({ actions, denied, evidence }).toEqual({ actions: 3, denied: 1, evidence: 'received' });
    await shop.cluster.demand([
      'create',
      'rolebinding',
      'jane',
      '-n',
      AGENTS,
      '--clusterrole=chaperone-viewer',
      '--user=jane@corp',
    ]);
    const jane = ['--as', 'jane@corp', '-n', AGENTS];
    expect((await listSessions(shop.cluster)).map((row) => row.name)).toContain(name);
    expect((await shop.cluster.chaperone('sessions', 'show', name, ...jane)).stdout).toContain(
      'agents/bot (ServiceAccount support-agent)',
    );
    const replay = (await shop.cluster.chaperone('sessions', 'replay', name, ...jane)).stdout;
    expect(replay).toContain('*******6789');
    expect(replay).toContain('deny: DROP on public.tickets is denied by rule "never"');
    expect(replay).toContain('UPDATE 1');
    expect(replay).not.toMatch(SECRETS);
    const verified = await shop.cluster.chaperone('verify', name, ...jane);
    expect([verified.status, verified.stdout]).toEqual([0, expect.stringContaining('complete')]);
  });

  test('somebody without the role sees nothing, and is told what to ask for', async () => {
    const [session] = await listSessions(shop.cluster);
    const listed = await shop.cluster.chaperone('sessions', 'ls', '--as', 'bob@corp', '-n', AGENTS);
    expect([listed.status, listed.stdout]).toEqual([4, '']);
    expect(listed.stderr).toContain('kubectl create rolebinding NAME --clusterrole chaperone-viewer');
    const replayed = await shop.cluster.chaperone('sessions', 'replay', session?.name ?? '', '--as', 'bob@corp', '-n', AGENTS);
    expect([replayed.status, replayed.stdout]).toEqual([5, '']);
  });
});

describe('what owners see', () => {
  test('resource and policy say that they are ready', async () => {
    await shop.condition('protectedresource/orders-db', DATA, 'Ready');
    await shop.condition('protectedresource/orders-db', DATA, 'Reachable');
    await shop.condition('accesspolicy/support-agent', AGENTS, 'Ready');
    const policies = (): Promise<string> => shop.cluster.demand(['get', 'accesspolicies', '-n', AGENTS]);
    await expect
      .poll(policies)
      .toMatch(/NAME +AGENTS +PROGRAMMED +MODE +READY +STATUS +AGE\nsupport-agent +1 +1\/1 +Enforce +True +Ready/);
    const resources = await shop.cluster.demand(['get', 'protectedresources', '-n', DATA]);
    expect(resources).toMatch(/NAME +PROTOCOL +HOST +READY +STATUS +AGE\norders-db +postgres +orders-db +True +Ready/);
  });

  test('a credential that the upstream refuses is the resource’s trouble, and mending it is enough', async () => {
    try {
      await shop.setSecret('wrong');
      await expect.poll(async () => (await bot.psql('select 1')).status).toBe(2);
      const path = 'jsonpath={.status.conditions[?(@.type=="CredentialsAvailable")].reason}';
      const reason = async (): Promise<string> => {
        // As an agent does, which tries again.
        await bot.psql('select 1');
        return await shop.cluster.demand(['get', 'protectedresource', 'orders-db', '-n', DATA, '-o', path]);
      };
      await expect.poll(reason).toBe('CredentialsRejected');
    } finally {
      await shop.setSecret(CREDENTIAL.password);
    }
    await expect.poll(async () => (await bot.psql('select 1')).stdout).toBe('1\n');
  });

  test('a policy for a resource that does not exist says so', async () => {
    const policy = shop.policy().replaceAll('name: orders-db', 'name: ordres-db').replace('name: support-agent', 'name: typo');
    await shop.cluster.demand(['apply', '-f', '-'], policy);
    const text = (): Promise<string> =>
      shop.cluster.demand([
        'get',
        'accesspolicy',
        'typo',
        '-n',
        AGENTS,
        '-o',
        'jsonpath={.status.conditions[?(@.type=="ResolvedRefs")]}',
      ]);
    await expect.poll(text).toContain('ordres-db');
    await shop.cluster.demand(['delete', 'accesspolicy', 'typo', '-n', AGENTS]);
  });
});

/** Reads one masked value twenty times a second and says when that ends. */
const LIVE = (mark: string): string => `import psycopg2, sys, time
connection = psycopg2.connect("host=orders-db dbname=orders user=bot")
connection.autocommit = True
cursor = connection.cursor()
seen = None
for turn in range(2400):
    try:
        cursor.execute("select ssn from customers where id = 1")
        value = cursor.fetchone()[0]
    except psycopg2.Error as error:
        print("ended", int(time.time() * 1000), str(error).splitlines()[0]); sys.exit()
    if value != seen:
        print("value", int(time.time() * 1000), value)
        seen = value
    if turn == 0: open("/tmp/${mark}", "w").close()
    time.sleep(0.05)
`;

const started = (mark: string): Promise<void> =>
  expect.poll(async () => (await bot.run('test', '-e', `/tmp/${mark}`)).status).toBe(0);

/** Two seconds, on a host where kubectl takes half of one; as much more as it takes longer here and now. */
async function promptMs(): Promise<number> {
  const began = performance.now();
  await shop.cluster.demand(['get', 'namespace', AGENTS]);
  return 2_000 * Math.max(1, (performance.now() - began) / 500);
}

describe('36 a policy that changes under a session', () => {
  afterAll(async () => {
    await shop.cluster.demand(['apply', '-f', '-'], shop.policy());
    await bot.serves();
  });

  test('36 masks differently, or ends it, within two seconds', async () => {
    const live = bot.python(LIVE('changed'));
    await started('changed');
    const limitMs = await promptMs();
    const at = Date.now();
    await shop.cluster.demand(
      ['apply', '-f', '-'],
      shop.policy().replace('strategy: {partial: {last: 4}}', 'strategy: {redact: {}}'),
    );
    await sleep(limitMs + 500);
    await shop.cluster.demand(['delete', 'accesspolicy', 'support-agent', '-n', AGENTS]);
    const { stdout } = await live;
    const [, when = '0'] = /(?:value|ended) (\d+) (?!\*{7}6789)/.exec(stdout) ?? [];
    expect([stdout, Number(when) - at < limitMs, Number(when) > 0]).toEqual([expect.not.stringMatching(SECRETS), true, true]);
  });

  test('36 ends it when the policy is deleted, and no new one opens', async () => {
    await shop.cluster.demand(['apply', '-f', '-'], shop.policy());
    await bot.serves();
    const live = bot.python(LIVE('deleted'));
    await started('deleted');
    const limitMs = await promptMs();
    const at = Date.now();
    await shop.cluster.demand(['delete', 'accesspolicy', 'support-agent', '-n', AGENTS]);
    const { stdout } = await live;
    const [, when = '0', why] = /ended (\d+) (.*)/.exec(stdout) ?? [];
    expect([Number(when) > 0, Number(when) - at < limitMs, why]).toEqual([true, true, expect.any(String)]);
    expect((await bot.psql('select 1')).status).toBe(2);
  });
});
