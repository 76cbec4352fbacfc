import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say, typesOf } from './raw-client.test-support.ts';

const MIB = 1024 * 1024;
const { parse, bind, execute, sync, query, close } = say;
const POLICY = {
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select'], relations: ['public.*'] },
    },
  ],
};

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: 'select 1', policy: POLICY });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
});
/** What one test left behind is no part of the next. */
beforeEach(() => eventually('every session to end', () => (governed.sessions.open === 0 ? true : undefined)));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** MiB that are held once all else is collected. */
function heldMib(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / MIB;
}

/** Bytes of buffers that are held once all else is collected. */
function buffersHeld(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

/** @returns By how many MiB this process, with the proxy in it, grew at most meanwhile. */
async function growth(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().rss;
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5);
  await work().finally(() => clearInterval(watch));
  return (peak - before) / MIB;
}

const crowded: Heard = ['E', '54000', expect.stringContaining('holds too much for other sessions now; try again (LimitReached)')];
const tooMany: Heard = [
  'E',
  '54000',
  expect.stringContaining('too many prepared statements are held; close some (LimitReached)'),
];

describe('prepared statements that are never closed', () => {
  const padding = 'x'.repeat(100_000);

  it.each([
    ['a long text', (at: number) => `select 1 /* ${at} ${padding} */`, 3000, 487],
    ['a long tree, four times its text', (at: number) => `select '${at} ${padding}'`, 300, 100],
  ])('hold as much as there is room for, with %s; closing one makes room again', async (_, long, count, most) => {
    await using agent = await RawClient.open(governed.port);
    await using other = await RawClient.open(governed.port);
    let held = 0;
    const refused: Heard[] = [];
    const before = heldMib();
    for (let at = 0; at < count; at++) {
      const heard = await agent.ask(parse(long(at), `s${at}`), sync());
      if (heard[0]?.[0] === '1') held++;
      else refused.push(...heard);
    }
    // The evidence that this test itself keeps, of what was refused too.
    governed.records.length = 0;
    const mib = heldMib() - before;
    expect(held).toBeGreaterThan(most * 0.95);
    expect(held).toBeLessThan(most * 1.05);
    expect(mib).toBeLessThan(110);
    expect(refused.filter(([type]) => type === 'E')).toEqual(Array.from({ length: count - held }, () => tooMany));
    expect(await other.ask(parse(long(-1), 'mine'), sync())).toContainEqual(tooMany);
    expect(typesOf(await agent.ask(query('select 1'), bind('s0'), execute(), sync()))).toBe('TDCZ2DCZ');
    expect(typesOf(await agent.ask(close('statement', 's0'), sync(), parse(long(-2), `s${held}`), sync()))).toBe('3Z1Z');
    expect(typesOf(await agent.ask(query('deallocate all')))).toBe('CZ');
    expect(typesOf(await other.ask(parse(long(-1), 'mine'), sync()))).toBe('1Z');
  });

  it('are so many of one session at most, by Parse or by SQL', async () => {
    await using agent = await RawClient.open(governed.port);
    const all = Array.from({ length: 2000 }, (_, at) => parse('select 1', `s${at}`));
    expect(typesOf(await agent.ask(...all, sync()))).toBe(`${'1'.repeat(2000)}Z`);
    expect(await agent.ask(parse('select 1', 'more'), sync())).toEqual([tooMany, ['Z', 'I']]);
    expect(await agent.ask(query('prepare more as select 1'))).toEqual([tooMany, ['Z', 'I']]);
    expect(await agent.ask(query('execute more'))).toEqual([
      ['E', '26000', expect.any(String)],
      ['Z', 'I'],
    ]);
    expect(typesOf(await agent.ask(parse('select 1'), bind(), execute(), sync()))).toBe('12DCZ');
    expect(typesOf(await agent.ask(query('deallocate s5; prepare more as select 1; execute more')))).toBe('CCTDCZ');
    expect(await agent.ask(parse('select 1', 's5'), sync())).toEqual([tooMany, ['Z', 'I']]);
    expect(typesOf(await agent.ask(query('deallocate more'), parse('select 1', 'more'), sync()))).toBe('CZ1Z');
  });
});

describe('large messages that never end', () => {
  // Shared by all agents, so that what they hold does not count.
  const large = bind('', '', ['x'.repeat(63 * MIB - 100)]);
  const begun = large.subarray(0, 60 * MIB);
  const rest = Buffer.concat([large.subarray(60 * MIB), execute(), sync()]);

  /** Eight agents, each within a Bind of 63 MiB. */
  async function begin(): Promise<RawClient[]> {
    const agents = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(governed.port)));
    for (const agent of agents) await agent.ask(parse('select length($1::text)'), sync());
    for (const agent of agents) agent.socket.write(begun);
    await eventually('all of it to be read', () =>
      agents.every(({ socket }) => socket.writableLength === 0) ? true : undefined,
    );
    return agents;
  }

  it('hold as much as there is room for; others are refused and go on', async () => {
    await using other = await RawClient.open(governed.port);
    let agents: RawClient[] = [];
    const grown = await growth(async () => {
      agents = await begin();
    });
    expect(grown).toBeLessThan(160);
    expect(typesOf(await other.ask(query('select 1')))).toBe('TDCZ');
    const answers: Heard[][] = [];
    for (const agent of agents) {
      agent.socket.write(rest);
      answers.push(await agent.ready());
    }
    const refused = answers.filter(([first]) => first?.[0] === 'E');
    expect(refused).toEqual(Array.from({ length: 7 }, () => [crowded, ['Z', 'I']]));
    expect(answers.filter(([first]) => first?.[0] !== 'E')).toEqual([
      [['2'], ['D', String(63 * MIB - 100)], ['C', 'SELECT 1'], ['Z', 'I']],
    ]);
    for (const agent of agents) {
      expect(
        await agent.ask(parse('select length($1::text)'), bind('', '', ['x'.repeat(2 * MIB)]), execute(), sync()),
      ).toContainEqual(['D', String(2 * MIB)]);
      await agent[Symbol.asyncDispose]();
    }
  });

  it('give their room back when their connections end', async () => {
    for (let round = 0; round < 3; round++) {
      for (const agent of await begin()) agent.socket.destroy();
      await eventually('every session to end', () => (governed.sessions.open === 0 ? true : undefined));
      await using agent = await RawClient.open(governed.port);
      agent.socket.write(Buffer.concat([parse('select length($1::text)'), large, execute(), sync()]));
      expect(await agent.ready()).toContainEqual(['D', String(63 * MIB - 100)]);
    }
  });
});

it('an idle session keeps a read buffer and none of the 64 KiB that small buffers are cut from', async () => {
  const agents: RawClient[] = [];
  // What the first one leaves is of all.
  {
    await using first = await RawClient.open(governed.port);
    await first.ask(query('select 0'));
  }
  const before = buffersHeld();
  for (let at = 0; at < 24; at++) {
    const agent = await RawClient.open(governed.port);
    await agent.ask(query(`select ${at}`), parse('select 1', 's'), bind('s'), execute(), sync());
    // Whatever else goes on takes what is left of them.
    for (let other = 0; other < 32; other++) Buffer.from('x'.repeat(3000));
    agent.bytes.length = 0;
    agents.push(agent);
  }
  const each = (buffersHeld() - before) / agents.length;
  for (const agent of agents) await agent[Symbol.asyncDispose]();
  expect(each).toBeLessThan(16 * 1024);
});

it('a hundred portals are open at once, and no more until the transaction ends', async () => {
  await using agent = await RawClient.open(governed.port);
  const names = Array.from({ length: 101 }, (_, at) => `p${at}`);
  await agent.ask(query('begin'));
  const heard = await agent.ask(parse('select 1'), ...names.map((name) => bind('', name)), sync());
  expect(heard.filter(([type]) => type === '2')).toHaveLength(100);
  expect(heard).toContainEqual(['E', '54000', expect.stringContaining('more than 100 portals are open')]);
  await agent.ask(query('rollback'), query('begin'));
  expect((await agent.ask(parse('select 1'), bind('', 'p'), execute('p'), sync())).at(-1)).toEqual(['Z', 'T']);
});

it('a long bound value is cut in the evidence', async () => {
  await using agent = await RawClient.open(governed.port);
  governed.records.length = 0;
  await agent.ask(parse('select length($1::text)', 's'), bind('s', '', ['x'.repeat(100_000)]), execute(), sync());
  const shown = governed.records.flatMap(({ record }) => (record.type === 'action' ? (record.parameters ?? []) : []));
  expect(shown).toEqual([`t:${'x'.repeat(4096)}… (100000 bytes)`]);
});
