import { connect, type Socket } from 'node:net';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeCancelRequest, encodeStartup } from '../wire/index.ts';
import { CREDENTIAL, type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table wide as select g as n, repeat('x', 200) as pad from generate_series(1, 300000) g;
create table sink (n int);
grant select on wide to agent_role;
grant select, insert on sink to agent_role;`;
const POLICY = {
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'insert'], relations: ['public.*'] },
    },
  ],
};
const { query, parse, bind, execute, sync } = say;
const STARTUP = encodeStartup(
  new Map([
    ['user', 'bot'],
    ['database', 'orders'],
  ]),
);

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
});

async function allGone(): Promise<void> {
  await eventually('every session to end', () => (governed.sessions.open === 0 ? true : undefined));
  const owner = await governed.direct();
  await eventually('every connection to the database to end', async () => {
    const { rows } = await owner.query("select count(*)::int as n from pg_stat_activity where usename = 'agent_role'");
    return rows[0].n === 0 ? true : undefined;
  });
  await owner.end();
}

function connection(): Socket {
  return connect({ port: governed.port, host: '127.0.0.1' }).on('error', () => undefined);
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

describe('sessions that end', () => {
  it('leave nothing behind, two hundred of them', async () => {
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warned);
    for (let round = 0; round < 10; round++) {
      const agents = await Promise.all(Array.from({ length: 20 }, () => RawClient.open(governed.port)));
      await Promise.all(agents.map((agent) => agent.ask(query('select 1'))));
      await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
    }
    await allGone();
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });

  it.each([
    ['in the middle of a result', (agent: RawClient) => agent.send(query('select * from wide'))],
    ['while the database works', (agent: RawClient) => agent.send(query('select pg_sleep(20)'))],
    ['within a pipeline', (agent: RawClient) => agent.send(parse('select * from wide'), bind(), execute('', 5))],
    ['within a copy', (agent: RawClient) => agent.send(query('copy sink from stdin'))],
    ['within a message', (agent: RawClient) => agent.send(query('select 1').subarray(0, 7))],
    ['within a transaction', (agent: RawClient) => agent.send(query('begin; insert into sink values (1)'))],
  ])('since the agent was killed %s leave nothing behind', async (_, act) => {
    const agent = await RawClient.open(governed.port);
    act(agent);
    await new Promise((resolve) => setTimeout(resolve, 30));
    agent.socket.resetAndDestroy();
    await allGone();
    const owner = await governed.direct();
    expect((await owner.query('select count(*)::int as n from sink')).rows).toEqual([{ n: 0 }]);
    await owner.end();
  });

  it('leave nothing behind when the agent is gone before the database answers', async () => {
    for (let at = 0; at < 20; at++) {
      const socket = connection();
      socket.write(STARTUP);
      await new Promise((resolve) => setTimeout(resolve, at * 3));
      socket.resetAndDestroy();
    }
    await allGone();
  });

  it('let an agent go that does not read how it ended', async () => {
    const agent = await RawClient.open(governed.port);
    agent.socket.pause();
    agent.send(query('select * from wide'));
    await new Promise((resolve) => setTimeout(resolve, 500));
    governed.setPolicy({ ...POLICY, limits: { sessionDuration: '1s' } });
    try {
      await allGone();
      // The proxy's end is closed although nothing was read: reading on finds the end before the whole result.
      await new Promise((resolve) => setTimeout(resolve, 6000));
      await closed(agent.socket);
      expect(agent.heard.some(([type]) => type === 'C')).toBe(false);
    } finally {
      governed.setPolicy(POLICY);
    }
  });
});

describe('an agent that reads slowly', () => {
  it('makes the database wait, not the memory grow', async () => {
    const agent = await RawClient.open(governed.port);
    agent.socket.pause();
    const before = process.memoryUsage().rss;
    agent.send(query('select * from wide'));
    await new Promise((resolve) => setTimeout(resolve, 3000));
    // The result has 65 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1024 * 1024);
    agent.socket.resetAndDestroy();
    await allGone();
  });

  it('is not read from either while it does not take its answers', async () => {
    const agent = await RawClient.open(governed.port);
    agent.socket.pause();
    const before = process.memoryUsage().rss;
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => query('drop table wide')));
    for (let at = 0; at < 500; at++) agent.socket.write(flood);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(agent.socket.writableLength).toBeGreaterThan(0);
    expect(process.memoryUsage().rss - before).toBeLessThan(96 * 1024 * 1024);
    agent.socket.resetAndDestroy();
    await allGone();
  });
});

describe('a credential that is replaced', () => {
  it('ends what was opened with the old one as soon as nothing runs there, and is used from then on', async () => {
    await using other = await governed.anew();
    await using idle = await RawClient.open(other.port);
    await using busy = await RawClient.open(other.port);
    busy.send(query('select count(*) from wide a, (select n from wide limit 60) b'));
    const owner = await governed.direct();
    await owner.query(`alter role ${CREDENTIAL.username} password 'rotated'`);
    try {
      other.setCredentials({ ...CREDENTIAL, password: 'rotated' });
      expect(await idle.until(() => idle.closed)).toEqual([['E', '57P01', expect.stringContaining('credential')]]);
      await using next = await RawClient.open(other.port);
      expect((await next.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
      await eventually('the end of the busy one', () => (busy.closed ? true : undefined), 120_000);
      expect(busy.heard.map(([type]) => type).join('')).toBe('TDCZE');
    } finally {
      await owner.query(`alter role ${CREDENTIAL.username} password '${CREDENTIAL.password}'`);
      await owner.end();
    }
  });

  it('ends nothing while it is gone, and what was opened with the old one once there is another', async () => {
    await using other = await governed.anew();
    await using ends = await governed.anew();
    await using silent = await RawClient.open(other.port);
    await using ended = await RawClient.open(ends.port);
    const owner = await governed.direct();
    await owner.query(`alter role ${CREDENTIAL.username} password 'rotated'`);
    try {
      other.setCredentials(undefined);
      ends.setCredentials({ ...CREDENTIAL, password: 'rotated' });
      // By then the one of a proxy beside it, open for less long, has ended.
      await ended.until(() => ended.closed);
      expect((await silent.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
      const changed = performance.now();
      other.setCredentials({ ...CREDENTIAL, password: 'rotated' });
      expect(await silent.until(() => silent.closed)).toEqual([['E', '57P01', expect.stringContaining('credential')]]);
      expect(performance.now() - changed).toBeLessThan(25_000);
      await using next = await RawClient.open(other.port);
      expect((await next.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
    } finally {
      await owner.query(`alter role ${CREDENTIAL.username} password '${CREDENTIAL.password}'`);
      await owner.end();
    }
  });

  it('leaves what was opened with the old one alone where the resource says keep, and is used from then on', async () => {
    const credentials = { secretRef: { name: 'orders-db-agent' }, onRotation: 'keep' };
    await using other = await governed.anew({ resource: { credentials } });
    await using ends = await governed.anew();
    await using old = await RawClient.open(other.port);
    await using ended = await RawClient.open(ends.port);
    const owner = await governed.direct();
    await owner.query(`alter role ${CREDENTIAL.username} password 'rotated'`);
    try {
      for (const each of [other, ends]) each.setCredentials({ ...CREDENTIAL, password: 'rotated' });
      // By then the one of a proxy beside it, open for less long, has ended.
      await ended.until(() => ended.closed);
      expect((await old.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
      await using next = await RawClient.open(other.port);
      expect((await next.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
      expect(old.closed).toBe(false);
    } finally {
      await owner.query(`alter role ${CREDENTIAL.username} password '${CREDENTIAL.password}'`);
      await owner.end();
    }
  });
});

describe('connections that never become sessions', () => {
  it('do not hold up others, a hundred of them', async () => {
    const sockets = Array.from({ length: 100 }, (_, at) => {
      const socket = connection();
      if (at % 2 === 0) socket.write(STARTUP.subarray(0, 6));
      return socket;
    });
    await using agent = await RawClient.open(governed.port);
    expect((await agent.ask(query('select 1'))).at(-1)).toEqual(['Z', 'I']);
    for (const socket of sockets) socket.destroy();
  });

  it('are closed when they cancel with a key that nobody has, and told in the log', async () => {
    governed.logged.length = 0;
    const keys = Array.from({ length: 50 }, (_, at) => ({ processId: at + 1, secret: Buffer.alloc(4, at) }));
    await Promise.all(
      keys.map(async (key) => {
        const socket = connection();
        socket.write(encodeCancelRequest(key));
        await closed(socket);
      }),
    );
    expect(governed.logged.filter((line) => line.includes('unknown key'))).toHaveLength(50);
  });
});

describe('a proxy that has no room left', () => {
  it('says so to those who come, and lets those who are there cancel', async () => {
    await using other = await governed.anew();
    await using agent = await RawClient.open(other.port);
    const { key } = agent;
    if (key === undefined) throw new Error('the session has no key');
    other.fill();
    const late = RawClient.begin(other.port);
    expect(await late.until(() => late.closed)).toEqual([['E', '53300', expect.stringContaining('(TooManyConnections)')]]);
    agent.send(query('select count(*) from wide a, wide b'));
    const owner = await governed.direct();
    await eventually('the statement to run', async () => {
      const active = await owner.query("select from pg_stat_activity where usename = 'agent_role' and state = 'active'");
      return (active.rowCount ?? 0) > 0 ? true : undefined;
    });
    await owner.end();
    for (const secret of [Buffer.alloc(4), key.secret]) {
      const canceller = connect(other.port, '127.0.0.1');
      canceller.write(encodeCancelRequest({ ...key, secret }));
      await closed(canceller);
    }
    expect(await agent.ready()).toContainEqual(['E', '57014', expect.any(String)]);
    expect(other.logged.filter((line) => line.includes('unknown key'))).toHaveLength(1);
  });
});

describe('a record that cannot be written', () => {
  it.each([
    ['before the first statement', []],
    ['within a transaction', [query('begin'), query('insert into sink values (7)')]],
    ['while a portal is suspended', [query('begin'), parse('select n from wide'), bind(), execute('', 1), sync()]],
  ])('ends the session %s, and nothing more runs', async (_, messages) => {
    await using other = await governed.anew();
    const agent = await RawClient.open(other.port);
    for (const message of messages) agent.send(message);
    if (messages.length > 0)
      await agent.ready(messages.filter((message) => 'QS'.includes(String.fromCharCode(message[0] ?? 0))).length);
    other.failRecording();
    agent.send(query('insert into sink values (8)'));
    const heard = await agent.until(() => agent.closed);
    expect(heard).toEqual([['E', expect.anything(), expect.stringContaining('(RecordingBlocked)')]]);
    const owner = await governed.direct();
    expect((await owner.query('select n from sink')).rows).toEqual([]);
    await owner.end();
    await eventually('the session to end', () => (other.sessions.open === 0 ? true : undefined));
  });

  it('lets no session begin', async () => {
    await using other = await governed.anew();
    other.failRecording();
    await expect(other.connect()).rejects.toThrow('RecordingBlocked');
  });

  it.each([
    ['strict', false],
    ['durable', false],
    ['bestEffort', true],
  ] as const)('that nobody counts opens in mode %s: %s', async (mode, opens) => {
    await using other = await governed.anew({ policy: { ...POLICY, recording: { mode } } });
    other.failCounting();
    if (opens) {
      const client = await other.connect();
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      return;
    }
    await expect(other.connect()).rejects.toThrow('RecordingBlocked');
    expect(other.records.map(({ record }) => record.type)).toEqual(['session.open', 'session.close']);
    expect(other.records.at(-1)?.record).toMatchObject({ code: 'RecordingBlocked' });
  });
});
