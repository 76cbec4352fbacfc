import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Counter, type HeldSession, newSessionId } from '@chaperone/evidence';
import { testAuthority } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Comparison, missingOf, type Shortfall, sentenceOf } from './comparison.ts';
import type { KeptCounter } from './counters.ts';
import { askCollector } from './held.ts';

const [A, B] = ['s-aaaaaaaaaaaaaaaa', 's-bbbbbbbbbbbbbbbb'];

function aCounter(pending: Counter['pending'], mods: Partial<KeptCounter> = {}): KeptCounter {
  const signed = { body: '{}', signature: '' };
  return {
    podUid: 'uid-1',
    agent: { namespace: 'agents', serviceAccount: 'bot', pod: 'bot-1', podUid: 'uid-1' },
    counter: {
      origin: 'test',
      nkey: 'U',
      number: 1,
      opened: 2,
      newest: null,
      sealed: 1,
      last: null,
      pending,
      more: 0,
      clock: { wall: 1, mono: 1 },
    },
    epoch: 1,
    statement: { registration: signed, certificate: signed, counter: signed },
    receivedAt: 0,
    goneAt: 1_000,
    policies: ['support'],
    ...mods,
  };
}
const ended = (segments: number): HeldSession => ({ segments, ended: true });
const open = (segments: number): HeldSession => ({ segments, ended: false });

test.each<[string, KeptCounter, [string, HeldSession][], string[]]>([
  ['all that it counted', aCounter([[A, 2]]), [[A, ended(2)]], []],
  ['more than it counted', aCounter([[A, 2]]), [[A, ended(5)]], []],
  ['nothing pending', aCounter([]), [], []],
  ['no segment of one that sealed none', aCounter([[A, 0]]), [], [`session ${A}`]],
  ['the first of some', aCounter([[A, 3]]), [[A, open(1)]], [`segments 1 to 2 of ${A}`]],
  ['all but one', aCounter([[A, 3]]), [[A, ended(2)]], [`segment 2 of ${A}`]],
  ['all but the end', aCounter([[A, 3]]), [[A, open(4)]], [`the end of ${A}`]],
  [
    'none of one, all of another',
    aCounter([
      [A, 3],
      [B, 1],
    ]),
    [[B, ended(1)]],
    [`session ${A}`],
  ],
  ['all of one that is silent, and no end', aCounter([[A, 3]], { goneAt: undefined }), [[A, open(3)]], []],
  ['not all of one that is silent', aCounter([[A, 3]], { goneAt: undefined }), [[A, open(2)]], [`segment 2 of ${A}`]],
  [
    'all that it named, and it had more',
    aCounter([[A, 2]], { counter: { ...aCounter([[A, 2]]).counter, more: 3 } }),
    [[A, ended(2)]],
    ['perhaps some of 3 sessions that it did not name'],
  ],
])('of a pod the collector has %s', (_, kept, held, missing) => {
  expect(missingOf(kept, new Map(held))).toEqual(missing);
});

test('the sentence names three of what is missing and counts the rest', () => {
  const kept = aCounter([], { goneAt: undefined, counter: { ...aCounter([]).counter, more: 2 } });
  expect(sentenceOf({ kept, missing: ['a', 'b', 'c', 'd'] })).toBe(
    'pod bot-1, which says nothing any more, counted evidence that has not arrived: a, b, c and of 3 more; the collector has all but that',
  );
  expect(sentenceOf({ kept: aCounter([]), missing: ['a'] })).toContain('which is gone');
});

test('what is missing shows within a minute, is said once, and goes when the collector says that it came, whose word leaves its counter as it is', async () => {
  let now = 0;
  let list = [aCounter([[A, 1]], { goneAt: undefined, receivedAt: 0 })];
  const held = new Map<string, HeldSession>();
  const news: (Shortfall | undefined)[] = [];
  const errors: unknown[] = [];
  const asked: (readonly string[])[] = [];
  const settled: string[] = [];
  let answers = true;
  const comparison = new Comparison({
    counters: {
      list: () => list,
      forget: (podUid) => void (list = list.filter((kept) => kept.podUid !== podUid)),
      settle: (podUid) => void settled.push(podUid),
    },
    ask: async (sessions) => {
      asked.push(sessions);
      if (!answers) throw new Error('away');
      return held;
    },
    now: () => now,
    onChange: (_, shortfall) => void news.push(shortfall),
    onError: (error) => void errors.push(error),
  });
  const after = async (ms: number): Promise<void> => {
    now += ms;
    await comparison.look();
  };
  await after(40_000);
  expect(asked).toEqual([]);
  await after(5_000);
  expect(comparison.shortfalls().map(({ missing }) => missing)).toEqual([[`session ${A}`]]);
  list = [aCounter([[A, 1]], { goneAt: undefined, receivedAt: now })];
  await after(1_000);
  expect([comparison.shortfalls(), news.length]).toEqual([[], 2]);

  list = [aCounter([[A, 1]], { goneAt: now })];
  await after(14_000);
  expect(asked).toHaveLength(1);
  answers = false;
  await after(1_000);
  await after(30_000);
  expect([comparison.unansweredSeconds, errors.length, comparison.shortfalls()]).toEqual([30, 2, []]);
  answers = true;
  await after(0);
  expect([comparison.unansweredSeconds, news.length]).toEqual([0, 3]);
  await after(59_000);
  expect([asked.length, settled]).toEqual([4, []]);
  await after(1_000);
  expect([asked.length, news.length]).toEqual([5, 3]);
  held.set(A, ended(1));
  await after(60_000);
  expect([comparison.shortfalls(), news.at(-1), list.length, settled]).toEqual([[], undefined, 1, ['uid-1']]);
  const before = asked.length;
  await after(600_000);
  expect(asked.length, 'that is not asked again').toBe(before);
  list = [aCounter([], { goneAt: now, podUid: 'uid-2' })];
  await after(60_000);
  expect(list, 'one that named nothing is of no use').toEqual([]);
});

const named = (pod: number): string =>
  `s-${String.fromCharCode(97 + (pod % 26)).repeat(15)}${String.fromCharCode(97 + Math.trunc(pod / 26))}`;

test('pods of which nothing is missing, or of which the collector does not answer, keep nobody waiting', async () => {
  let answers = true;
  const asked: string[] = [];
  const comparison = new Comparison({
    counters: {
      list: () =>
        Array.from({ length: 40 }, (_, pod) => aCounter([[named(pod), 1]], { podUid: `uid-${pod}`, goneAt: undefined })),
      forget: () => undefined,
      settle: () => undefined,
    },
    ask: async ([session = '']) => {
      asked.push(session);
      if (!answers) throw new Error('not of this one');
      return new Map(session === named(39) ? [] : [[session, open(1)]]);
    },
    now: () => 60_000,
    onChange: () => undefined,
    onError: () => undefined,
  });
  await comparison.look();
  await comparison.look();
  expect(comparison.shortfalls().map(({ kept }) => kept.podUid)).toEqual(['uid-39']);
  answers = false;
  asked.length = 0;
  await comparison.look();
  await comparison.look();
  expect(new Set(asked).size).toBe(2);
});

test('the collector is asked by TLS of our authority alone, and what is no answer is none', async () => {
  const authority = await testAuthority('ours');
  const session = newSessionId();
  let [status, body] = [200, JSON.stringify({ sessions: { [session]: ended(3) } })];
  const seen: (string | undefined)[] = [];
  const { certificate: cert, key } = await authority.issue(['localhost']);
  const server = createServer({ cert, key }, (request, response) => {
    seen.push(request.url);
    response.writeHead(status).end(body);
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const ask = askCollector(url, () => authority.ca);
  expect(await ask([session])).toEqual(new Map([[session, ended(3)]]));
  expect(seen).toEqual([`/v1/held?session=${session}`]);
  const other = await testAuthority('another');
  await expect(askCollector(url, () => other.ca)([session])).rejects.toThrow(/certificate|signature/);
  for (const [wrongStatus, wrong] of [
    [503, body],
    [200, '{}'],
    [200, '{'],
    [200, JSON.stringify({ sessions: { [session]: { segments: -1, ended: true } } })],
    [200, ' '.repeat(65 * 1024)],
  ] as const) {
    [status, body] = [wrongStatus, wrong];
    await expect(ask([session])).rejects.toThrow();
  }
});
