import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { connect as dial, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { eventually, freePort, testAuthority } from '@chaperone/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AGENT, connect, type Ended, Program, psql, run, type Shop, startShop, Up } from '../program.test-support.ts';

let shop: Shop;
let good: string;
beforeAll(async () => {
  shop = await startShop();
  good = await shop.manifests();
});
afterAll(() => shop[Symbol.asyncDispose]());

const addressOf = (up: { ready: { resources: readonly { address: string }[] } }): string => up.ready.resources[0]?.address ?? '';

function refused(manifests: string, ...more: readonly string[]): Promise<Ended> {
  return run(['up', '--manifests', manifests, '--data', shop.path('data'), ...AGENT, ...more]);
}

describe('connections', () => {
  let up: Awaited<ReturnType<typeof Up.start>>;
  const sockets: Socket[] = [];
  beforeAll(async () => {
    up = await Up.start(good, shop.path('data'));
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  afterAll(() => up[Symbol.asyncDispose]());
  const open = (begun: Buffer | undefined): Socket => {
    const [host = '', port = ''] = addressOf(up).split(':');
    const socket = dial(Number(port), host).on('error', () => undefined);
    if (begun !== undefined) socket.write(begun);
    sockets.push(socket);
    return socket;
  };
  /** Open, or let go again as the oldest that has said nothing. */
  const opened = (begun: Buffer | undefined): Promise<void> =>
    new Promise(
      (resolve) =>
        void open(begun)
          .once('connect', resolve)
          .once('close', () => resolve()),
    );

  test('are asked for no password', async () => {
    expect(await psql(addressOf(up), 'select 1 from customers where id = 1', 'none')).toMatchObject({ code: 0, out: '1\n' });
  });

  test.each<[string, Buffer | undefined]>([
    ['say nothing', undefined],
    ['stop in the middle of their first message', Buffer.of(0, 0, 0, 40, 0, 3)],
  ])('keep nobody out, a hundred of them that %s', async (_what, begun) => {
    await Promise.all(Array.from({ length: 100 }, () => opened(begun)));
    expect(await psql(addressOf(up), 'select 1 from customers where id = 1')).toMatchObject({ code: 0, out: '1\n', err: '' });
  });

  test('beyond what one agent may have open are told so', async () => {
    for (let batch = 0; batch < 16; batch++) {
      await Promise.all(Array.from({ length: 16 }, () => opened(Buffer.of(0, 0, 0, 40, 0, 3))));
      // Answered after all that those have said was read.
      expect((await psql(addressOf(up), 'select 1')).code).toBe(batch < 15 ? 0 : 2);
    }
    const { code, err } = await psql(addressOf(up), 'select 1');
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('FATAL:  chaperone: too many connections of this agent are open (TooManyConnections)'),
    ]);
  });
});

describe('a start', () => {
  test('with --output json says one line of the exact shape, and what it names answers', async () => {
    await using up = await Up.start(good, shop.path('data'));
    const { ready } = up;
    expect(ready).toEqual({
      ready: true,
      resources: [
        { resource: 'data/orders-db', protocol: 'postgres', address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string },
      ],
      collector: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) as string,
      console: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/l\/[\w-]{43}$/) as string,
    });
    expect((await fetch(ready.console)).status).toBe(200);
    expect((await fetch(`${ready.collector}/readyz`)).status).toBe(200);
    expect((await fetch(`${ready.collector}/v1/sessions`)).status, 'without its token').toBe(401);
    expect((await psql(addressOf(up), 'select name, ssn from customers where id = 1')).out).toBe('Ada Lovelace|*******6789\n');
    const { code, out, err } = await up.signal('SIGTERM');
    expect([code, out.trimEnd().split('\n').length, err]).toEqual([0, 1, '']);
  });

  test('signs a browser in by the link it says, and chaperone console makes another', async () => {
    const data = shop.path('data');
    await using up = await Up.start(good, data);
    const signIn = (link: string): Promise<Response> =>
      fetch(`${up.ready.collector}/auth/sign-in`, {
        method: 'POST',
        headers: { origin: up.ready.collector, 'x-chaperone-console': '1', 'content-type': 'application/json' },
        body: JSON.stringify({ proof: link.slice(link.lastIndexOf('/') + 1) }),
      });
    const first = await signIn(up.ready.console);
    expect([first.status, await first.json()]).toEqual([200, { path: '/requests' }]);
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
    expect((await fetch(`${up.ready.collector}/v1/sessions`, { headers: { cookie } })).status).toBe(200);
    expect((await signIn(up.ready.console)).status, 'used up').toBe(410);

    const { code, out } = await run(['console', '--data', data]);
    expect([code, out]).toEqual([0, expect.stringMatching(new RegExp(`^${up.ready.collector}/l/[\\w-]{43}\n$`))]);
    expect(await (await signIn(out.trim())).json()).toEqual({ path: '/requests' });
    const json = JSON.parse((await run(['console', '--data', data, '-o', 'json'])).out) as { url: string; expiresAt: string };
    expect(Date.parse(json.expiresAt)).toBeGreaterThan(Date.now());
    await up.signal('SIGTERM');
    expect(await run(['console', '--data', data])).toMatchObject({
      code: 7,
      err: expect.stringContaining('no chaperone up runs'),
    });
  });

  test('in text says how to connect', async () => {
    const port = await freePort();
    const data = shop.path('data');
    const listen = `data/orders-db=127.0.0.1:${port}`;
    await using up = new Program(['up', '--manifests', good, ...AGENT, '--data', data, '--listen', listen]);
    await up.firstLine();
    const { code, out } = await up.signal('SIGINT');
    expect(
      out.replace(/(console http:\/\/127\.0\.0\.1:)\d+\/l\/[\w-]{43}/, '$1PORT/l/TOKEN').replaceAll(String(port), 'LISTEN'),
    ).toBe(
      [
        'ready   data/orders-db   postgres   127.0.0.1:LISTEN   psql "host=127.0.0.1 port=LISTEN dbname=orders"',
        `console http://127.0.0.1:PORT/l/TOKEN   works once, for 10 minutes; another: chaperone console --data ${data}`,
        'rules, masking and evidence here are the real ones, but nothing forces a program to use this port; a cluster does',
        '',
      ].join('\n'),
    );
    expect(code).toBe(0);
  });

  test('warns where other machines can reach what it serves, and nowhere else', async () => {
    await using open = await Up.start(good, shop.path('data'), '--listen', 'data/orders-db=0.0.0.0:0');
    const said = await eventually('the warning', () => /^.+(?=\n)/.exec(open.err)?.[0]);
    expect(JSON.parse(said) as object).toMatchObject({ level: 'warn', code: 'ReachableByOthers', resource: 'data/orders-db' });
    await using own = await Up.start(good, shop.path('data'), '--listen', 'data/orders-db=127.0.0.1:0');
    expect(own.err).toBe('');
  });

  test('fails on a port in use, says whose it is, and ends', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await eventually('the other program', () => server.address() ?? undefined);
    const { port } = server.address() as { port: number };
    for (const where of [
      ['--listen', `data/orders-db=127.0.0.1:${port}`],
      ['--console', `127.0.0.1:${port}`],
    ]) {
      const { code, out, err } = await refused(good, ...where);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(
        new RegExp(`^error: 127\\.0\\.0\\.1:${port} is in use by process ${process.pid} \\(.+\\) \\(PortInUse\\)\n`),
      );
    }
    server.close();
  });

  test.each<[string, readonly string[], number, RegExp]>([
    [
      'a listen address without a port',
      ['--listen', 'data/orders-db=127.0.0.1'],
      2,
      /^error: --listen is written HOST:PORT; "127\.0\.0\.1" is not \(Usage\)/,
    ],
    [
      'a listen address without a resource',
      ['--listen', '127.0.0.1:5432'],
      2,
      /^error: --listen is written NAMESPACE\/NAME=HOST:PORT/,
    ],
    ['a port that does not exist', ['--listen', 'data/orders-db=127.0.0.1:70000'], 2, /HOST:PORT/],
    [
      'one resource twice',
      ['--listen', 'data/orders-db=127.0.0.1:0', '--listen', 'data/orders-db=127.0.0.1:0'],
      2,
      /names data\/orders-db twice/,
    ],
    [
      'an address of another machine',
      ['--listen', 'data/orders-db=192.0.2.1:5432'],
      2,
      /192\.0\.2\.1:5432 cannot be listened on: this machine has no such address/,
    ],
    [
      'a resource that is not granted',
      ['--listen', 'data/order-db=127.0.0.1:0'],
      1,
      /not granted; nearest: data\/orders-db \(NotGranted\)/,
    ],
    ['an agent without a slash', ['--agent', 'support-agent'], 2, /--agent is written NAMESPACE\/NAME; "support-agent" is not/],
    ['labels without a value', ['--labels', 'app'], 2, /--labels is written k=v,k=v; "app" is not/],
    [
      'an agent with a typing error',
      ['--agent', 'agents/suport-agent'],
      1,
      /^error: no policy in shop\/ selects agents\/suport-agent; nearest: agents\/support-agent \(AgentNotSelected\)\n/,
    ],
    ['an agent without its labels', ['--labels', 'app=other'], 1, /its policies also want labels: --labels \(AgentNotSelected\)/],
  ])('fails with %s', async (_what, flags, exit, text) => {
    const { code, out, err } = await refused(good, ...flags);
    expect([code, out]).toEqual([exit, '']);
    expect(err).toMatch(text);
  });

  test('fails with the same error as JSON where JSON is asked for', async () => {
    const { code, err } = await refused(good, '--agent', 'agents/suport-agent', '--output', 'json');
    expect(code).toBe(1);
    expect(JSON.parse(err)).toEqual({
      error: {
        code: 'AgentNotSelected',
        message: 'no policy in shop/ selects agents/suport-agent; nearest: agents/support-agent',
        why: expect.any(String) as string,
        fix: [expect.any(String)],
        docs: 'docs/reference/codes.md#agentnotselected',
        retry: 'do-not-retry',
      },
    });
  });
});

describe('the data directory', () => {
  test('serves one process at a time', async () => {
    const data = shop.path('data');
    await using up = await Up.start(good, data);
    const { code, err } = await run(['up', '--manifests', good, ...AGENT, '--data', data]);
    expect(code).toBe(1);
    expect(err).toContain(`error: ${data} is in use by process ${up.child.pid} (DataInUse)\n`);
    expect((await up.signal('SIGTERM')).code).toBe(0);
  });

  test('keeps trust and sessions over a restart, and is private', async () => {
    const data = shop.path('data');
    const trusts: string[] = [];
    for (const sql of ['select 1 from customers', 'select 2 from customers']) {
      await using up = await Up.start(good, data);
      await psql(addressOf(up), sql);
      expect((await up.signal('SIGTERM')).code).toBe(0);
      trusts.push(await readFile(join(data, 'trust.json'), 'utf8'));
    }
    expect(trusts[1]).toBe(trusts[0]);
    const { out } = await run(['sessions', 'ls', '--data', data, '-o', 'name']);
    const names = out.trimEnd().split('\n');
    expect(names).toHaveLength(2);
    for (const name of names) expect((await run(['verify', name, '--data', data])).out).toMatch(/ {2}complete: /);
    for (const path of ['', 'keys/enrolment.seed', 'ca.key']) expect((await stat(join(data, path))).mode & 0o077, path).toBe(0);
  });

  test('delivers at the next start what a kill -9 left in the spool', async () => {
    // A machine that halts for half a second lets it deliver before the kill, which proves nothing: then once more.
    const data = await eventually('a session that was not delivered yet', async () => {
      const place = shop.path('data');
      {
        await using up = await Up.start(good, place);
        const agent = await connect(up.ready);
        await agent.query('select 42 as answer from customers where id = 1');
        expect((await up.signal('SIGKILL')).code).toBeNull();
      }
      const { out } = await run(['sessions', 'ls', '--data', place, '-o', 'name']);
      return out === '' ? place : undefined;
    });
    const other = ['--agent', 'agents/other-agent', '--labels', 'app=other'];
    {
      const manifests = await shop.manifests({
        'policy.yaml': (text) => text.replaceAll('support-agent', 'other-agent').replace('{app: other-agent}', '{app: other}'),
        'resource.yaml': (text) => text.replace('[support-agent]', '[other-agent]'),
      });
      await using up = await Up.start(manifests, data, ...other);
      expect((await up.signal('SIGTERM')).err, 'another agent leaves it alone').toBe('');
    }
    await using up = await Up.start(good, data);
    const name = await eventually('the session of the earlier run', async () => {
      const { out } = await run(['sessions', 'ls', '--data', data, '-o', 'name']);
      return out.trim() === '' ? undefined : out.trim();
    });
    expect((await run(['sessions', 'replay', name, '--data', data])).out).toContain('select 42 as answer from customers');
    expect((await run(['verify', name, '--data', data])).out).toMatch(/ {2}interrupted: \d+ records/);
    expect((await up.signal('SIGTERM')).code).toBe(0);
  });

  test('cannot be where the system makes no directory', async () => {
    const { code, err } = await run(['up', '--manifests', good, ...AGENT, '--data', '/proc/none/data']);
    expect(code).toBe(1);
    expect(err).toMatch(/the data directory \/proc\/none\/data cannot be used: .* \(DataUnreadable\)/);
  });

  test.each([
    ['keys/enrolment.seed', 'abc', /damaged: it has 3 bytes in place of 32 \(DataUnreadable\)/],
    ['ca.key', 'not a key', /the data directory .* cannot be used: .* \(DataUnreadable\)/],
  ])('is not begun anew where %s is damaged', async (file, text, said) => {
    const data = shop.path('data');
    {
      await using up = await Up.start(good, data);
      await up.signal('SIGTERM');
    }
    await writeFile(join(data, file), text);
    const { code, err } = await run(['up', '--manifests', good, ...AGENT, '--data', data]);
    expect(code).toBe(1);
    expect(err).toMatch(said);
    expect(await readFile(join(data, file), 'utf8')).toBe(text);
  });
});

describe('an end', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s stores the evidence of open sessions under load, and exits 0',
    async (signal) => {
      const data = shop.path('data');
      await using up = await Up.start(good, data);
      let asked = 0;
      const agents = await Promise.all([1, 2, 3, 4].map(() => connect(up.ready)));
      const load = agents.map(async (agent) => {
        for (;;) {
          await agent.query('select id, ssn from customers');
          asked++;
        }
      });
      const over = Promise.allSettled(load);
      await eventually('some load', () => (asked > 40 ? true : undefined));
      const { code, err } = await up.signal(signal);
      expect([code, err]).toEqual([0, '']);
      await over;
      const { items } = JSON.parse((await run(['sessions', 'ls', '--data', data, '-o', 'json'])).out) as {
        items: { name: string; state: string; evidence: string; actions: number }[];
      };
      expect(items.map(({ state, evidence }) => `${state} ${evidence}`)).toEqual(
        Array.from({ length: 4 }, () => 'ended received'),
      );
      expect(items.reduce((sum, { actions }) => sum + actions, 0)).toBeGreaterThanOrEqual(asked);
      for (const { name } of items) expect((await run(['verify', name, '--data', data])).code).toBe(0);
    },
  );

  test('asked for while it starts comes when the start is done', async () => {
    const data = shop.path('data');
    await using up = new Program(['up', '--manifests', good, ...AGENT, '--data', data]);
    await eventually('the start to begin', () => (existsSync(join(data, 'lock')) ? true : undefined));
    expect(await up.signal('SIGTERM')).toMatchObject({ code: 0, err: '' });
  });

  test('is not brought about by a reader who goes away', async () => {
    await using up = await Up.start(good, shop.path('data'));
    up.child.stdout?.destroy();
    up.child.stderr?.destroy();
    expect((await psql(addressOf(up), 'select 1 from customers where id = 1')).out).toBe('1\n');
    await writeFile(join(good, 'extra.yaml'), 'kind: [');
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await writeFile(join(good, 'extra.yaml'), '');
    expect((await psql(addressOf(up), 'select 1 from customers where id = 1')).out).toBe('1\n');
  });
});

async function otherCa(): Promise<string> {
  return (await testAuthority('other CA')).ca.trimEnd().replaceAll('\n', '\n    ');
}

type Changes = Parameters<Shop['manifests']>[0];

describe('manifests with a mistake', () => {
  test.each<[string, Changes, RegExp]>([
    ['YAML that is none', { 'policy.yaml': () => 'kind: [' }, /^error: shop\/policy\.yaml:\d+:\d+ .* \(ManifestInvalid\)\n/],
    [
      'an unknown field',
      { 'policy.yaml': (text) => text.replace('statements: [select]', 'statement: [select]') },
      /^error: shop\/policy\.yaml:18:\d+ .*rules\[0\]\.sql\.statement is unknown; did you mean "statements"\? \(ManifestInvalid\)\n/,
    ],
    [
      'a wrong value',
      { 'resource.yaml': (text) => text.replace('port: 5432', 'port: 543210') },
      /shop\/resource\.yaml:\d+:\d+ .*port.* \(ManifestInvalid\)\n/,
    ],
    [
      'a resource that does not exist',
      { 'policy.yaml': (text) => text.replaceAll('name: orders-db', 'name: order-db') },
      /^error: data\/order-db does not exist; nearest: data\/orders-db \(ResourceNotFound\)\n {2}why {2}Those rules can cover nothing/,
    ],
    [
      'a resource that is not granted',
      { 'resource.yaml': (text) => text.replace('- namespace: agents', '- namespace: others') },
      /^error: the owner of data\/orders-db grants nothing to agents\/support-agent \(NotGranted\)\n/,
    ],
    [
      'no manifest at all',
      { 'policy.yaml': () => undefined, 'resource.yaml': () => undefined, 'secret.yaml': () => undefined },
      /holds no YAML file/,
    ],
  ])('do not start: %s', async (_what, changes, text) => {
    const { code, out, err } = await refused(await shop.manifests(changes));
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(text);
  });

  test('in two places are said in two lines, each alone enough', async () => {
    const { err } = await refused(
      await shop.manifests({
        'policy.yaml': (text) => text.replace('purpose:', 'porpoise:'),
        'resource.yaml': (text) => text.replace('hosts:', 'host:'),
      }),
    );
    expect(err.match(/^error: shop\/\S+:\d+:\d+ .* \(ManifestInvalid\)$/gm)?.length).toBeGreaterThanOrEqual(2);
  });

  test('is not called ready where no session can open', async () => {
    const manifests = await shop.manifests({ 'secret.yaml': (text) => text.slice(text.indexOf('---')) });
    await using up = new Program(['up', '--manifests', manifests, ...AGENT, '--data', shop.path('data')]);
    expect(await up.firstLine()).toMatch(/^waiting data\/orders-db {3}postgres {3}127\.0\.0\.1:\d+ .* CredentialsNotFound$/);
  });

  test.each<[string, () => Promise<Changes>, string, RegExp | undefined]>([
    [
      'a missing Secret',
      async () => ({ 'secret.yaml': (text) => text.slice(text.indexOf('---')) }),
      'CredentialsNotFound',
      /^warn: data\/orders-db is not ready: Secret data\/orders-db-agent does not exist; create it with keys username and password \(CredentialsNotFound\)\n/,
    ],
    [
      'a wrong CA',
      async () => ({ 'secret.yaml': (text) => text.replace(/ca\.crt: \|[\s\S]*/, 'ca.crt: nonsense\n') }),
      'CANotFound',
      /^warn: data\/orders-db is not ready: Secret data\/orders-ca key "ca\.crt" holds no PEM certificate/,
    ],
    [
      'another authority than the upstream’s',
      async () => {
        const ca = await otherCa();
        return { 'secret.yaml': (text) => text.replace(/ca\.crt: \|[\s\S]*/, `ca.crt: |\n    ${ca}\n`) };
      },
      'TLSUntrusted',
      undefined,
    ],
    [
      'a wrong password',
      async () => ({ 'secret.yaml': (text) => text.replace('CANARY-credential', 'CANARY-wrong') }),
      'CredentialsRejected',
      undefined,
    ],
    [
      'an upstream that does not answer',
      async () => {
        const port = await freePort();
        const move = (text: string): string => text.replaceAll(`127.0.0.1:${shop.postgres.port}`, `127.0.0.1:${port}`);
        return { 'resource.yaml': move, 'secret.yaml': move };
      },
      'UpstreamRefused',
      undefined,
    ],
  ])('start, and whoever runs them and the agent are told: %s', async (_what, changes, code, atStart) => {
    await using up = new Program([
      'up',
      '--manifests',
      await shop.manifests(await changes()),
      ...AGENT,
      '--data',
      shop.path('data'),
    ]);
    const address = /127\.0\.0\.1:\d+/.exec(await up.firstLine())?.[0] ?? '';
    if (atStart !== undefined) expect(up.err).toMatch(atStart);
    const agent = await psql(address, 'select 1');
    expect(agent.code).toBe(2);
    expect(agent.err).toMatch(/FATAL: {2}chaperone: .*\(ResourceNotReady\)/);
    const { code: exit, err } = await up.signal('SIGTERM');
    expect(exit).toBe(0);
    expect(err).toMatch(new RegExp(`^warn: .*\\(${code}\\)$`, 'm'));
    for (const text of [err, agent.err]) expect(text).not.toContain('CANARY');
  });
});

describe('manifests that change while it runs', () => {
  test('take effect on live sessions within 2 s; mistakes leave the last good version in force and are said', async () => {
    const manifests = await shop.manifests();
    const policy = await readFile(join(manifests, 'policy.yaml'), 'utf8');
    await using up = new Program(['up', '--manifests', manifests, ...AGENT, '--data', shop.path('data')]);
    const address = /127\.0\.0\.1:\d+/.exec(await up.firstLine())?.[0] ?? '';
    const agent = await connect({
      ready: true,
      resources: [{ resource: '', protocol: '', address }],
      collector: '',
      console: '',
    });
    let asked = 0;
    // Each another text: the answer to one that is refused again and again is held back.
    const asks = (sql: string): Promise<string> =>
      agent.query(`${sql} /* ${asked++} */`).then(
        () => 'answered',
        (error: Error) => error.message,
      );
    expect(await asks('select id from orders')).toBe('answered');

    await writeFile(join(manifests, 'policy.yaml'), policy.replace('public.tickets, public.orders]', 'public.tickets]'));
    await eventually(
      'the withdrawal',
      async () => ((await asks('select id from orders')).includes('NoRuleAllows') ? true : undefined),
      2_000,
    );
    expect(await asks('select id from tickets'), 'the session lives on').toBe('answered');

    await writeFile(join(manifests, 'policy.yaml'), policy.replace('statements: [select]', 'statement: [select]'));
    const said = await eventually('the mistake to be said', () => /^.*ManifestInvalid.*$/m.exec(up.err)?.[0]);
    expect(said).toMatch(
      /^error: shop\/policy\.yaml:18:\d+ .*rules\[0\]\.sql\.statement is unknown; did you mean "statements"\? Still running the last good version\. \(ManifestInvalid\)$/,
    );
    expect(await asks('select id from tickets')).toBe('answered');
    expect(await asks('select id from orders')).toContain('NoRuleAllows');

    await writeFile(join(manifests, 'policy.yaml'), policy);
    await eventually(
      'the mended version',
      async () => ((await asks('select id from orders')) === 'answered' ? true : undefined),
      2_000,
    );
    expect(up.err).toContain('the manifests have no mistakes any more, and are in force\n');
    await agent.end();
  });

  test('a resource granted later is served and said', async () => {
    const manifests = await shop.manifests();
    await using up = await Up.start(manifests, shop.path('data'));
    const more = async (name: string): Promise<void> => {
      const text = await readFile(join(manifests, name), 'utf8');
      await writeFile(
        join(manifests, `more-${name}`),
        text.replaceAll('orders-db', 'second-db').replace('name: support-agent', 'name: second'),
      );
    };
    await more('resource.yaml');
    await more('policy.yaml');
    await writeFile(
      join(manifests, 'more-secret.yaml'),
      (await readFile(join(manifests, 'secret.yaml'), 'utf8')).split('---')[0]?.replaceAll('orders-db', 'second-db') ?? '',
    );
    const line = await eventually('the second resource', () => /^\{"event":"ready".*\}$/m.exec(up.err)?.[0]);
    const { resource, address } = JSON.parse(line) as { resource: string; address: string };
    expect(resource).toBe('data/second-db');
    expect((await psql(address, 'select name from customers where id = 1')).out).toBe('Ada Lovelace\n');
    expect((await up.signal('SIGTERM')).out.trimEnd().split('\n'), 'still one line').toHaveLength(1);
  });

  test('a resource that nobody may use any more is said', async () => {
    const manifests = await shop.manifests();
    const policy = await readFile(join(manifests, 'policy.yaml'), 'utf8');
    await using up = new Program(['up', '--manifests', manifests, ...AGENT, '--data', shop.path('data')]);
    await up.firstLine();
    await writeFile(
      join(manifests, 'policy.yaml'),
      policy.replace('serviceAccounts: [support-agent]', 'serviceAccounts: [nobody]'),
    );
    expect(await eventually('the word', () => /^.*\(ResourceNotNamed\)$/m.exec(up.err)?.[0])).toContain(
      'data/orders-db is served no more',
    );
  });
});
