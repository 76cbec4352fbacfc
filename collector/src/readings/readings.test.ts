import {
  decodeLeaf,
  EvidenceLedger,
  noteSigner,
  openReading,
  SessionDetail,
  signerFromSeed,
  verifyOrderLeaf,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Access } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aSession, readers, silent, trust } from '../evidence.fixture.ts';
import { CrashingStore } from '../log/log.test-support.ts';
import { TransparencyLog } from '../log/transparency-log.ts';
import { MAX_READS, WINDOW_MS } from './readings.ts';

const HOSTILE = "jane\r\n\0\u001b[2J\u202e=cmd|' /C calc'!A1 ../../x \ud800 \"}";
/** Whose token it is. `shopper` sees namespace shop alone. */
const PEOPLE: Readonly<Record<string, string>> = { jane: 'jane@corp', bob: 'bob@corp', evil: HOSTILE, long: 'x'.repeat(257) };
const access: Access = {
  authorise(request) {
    const token = request.header('authorization') ?? '';
    return Promise.resolve({ user: PEOPLE[token] ?? token, groups: [] });
  },
  allowed: ({ user }, verb, namespace) =>
    Promise.resolve(
      user !== 'nobody' && (user !== 'shopper' || namespace === 'shop') && (user !== 'viewer' || verb !== 'replay'),
    ),
};
const logKey = signerFromSeed(Buffer.alloc(32, 4));

async function aPlace(options: { readonly maxReadings?: number } = {}) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const store = new CrashingStore();
  const clock = { now: 1_000_000 };
  const open = async (): Promise<Collector> => {
    const opened = await createCollector({
      directory: directory.path,
      store,
      trust,
      readers,
      logKey,
      access,
      logger: silent,
      now: () => clock.now,
      ...options,
    });
    onTestFinished(() => opened.close().catch(() => undefined));
    return opened;
  };
  const collector = await open();
  const one = aSession({ segments: 1 });
  const other = aSession({ segments: 1, agent: { namespace: 'shop', serviceAccount: 'seller' } });
  for (const { sealed } of [one, other]) for (const { parcel } of sealed) await collector.ingest(parcel);
  return { store, clock, open, collector, session: one.session, other: other.session };
}

async function ask(collector: Collector, user: string, target: string, body?: unknown): Promise<Response> {
  const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const response = await collector.fetch(
    new Request(`http://collector/v1/${target}`, { headers: { authorization: user }, ...sent }),
  );
  // A file is given when it is read to its end.
  return new Response(await response.arrayBuffer(), response);
}
const to = (at: number): string => `evidence?from=0&to=${99_999_999_999_999 - at}`;
/** Who read what, the first first, as the page of the evidence says it to who sees everything. */
async function told(collector: Collector, by = 'jane'): Promise<string[]> {
  const { reads } = EvidenceLedger.parse(await (await ask(collector, by, 'ledger')).json());
  return reads.toReversed().map((each) => `${each.by} ${each.way} ${each.session ?? 'all'}`);
}
/** Entries of the log from the first reading on. */
async function entries(store: CrashingStore): Promise<Buffer[]> {
  const log = await TransparencyLog.open({ store, signer: noteSigner(trust.origin, logKey), now: Date.now });
  const found: Buffer[] = [];
  for await (const { entry } of log.entries(2)) found.push(entry);
  return found;
}

const WAYS: readonly (readonly [string, string])[] = [
  ['view', 'outline'],
  ['replay', 'records'],
  ['replay', 'stream?action=0'],
  ['replay', 'key'],
  ['verify', 'evidence'],
];

describe('that somebody reads evidence', () => {
  test.each(WAYS)('is an entry of the log: %s, by %s', async (way, of) => {
    const { collector, session } = await aPlace();
    expect((await ask(collector, 'jane', `sessions/${session}/${of}`)).status).toBe(200);
    expect(await told(collector)).toEqual([`jane@corp ${way} ${session}`]);
    const { reads } = SessionDetail.parse(await (await ask(collector, 'bob', `sessions/${session}`)).json());
    expect(reads).toEqual([{ session, way, at: 1_000_000, entry: 2, by: 'jane@corp' }]);
  });

  test('is one of a session, of a period, or of a search, and of lists and counts none', async () => {
    const { collector, session } = await aPlace();
    for (const target of ['sessions', 'facets', 'ledger', `sessions/${session}`, 'log/checkpoint', 'trust'])
      expect((await ask(collector, 'jane', target)).status, target).toBe(200);
    expect(await told(collector)).toEqual([]);
    await ask(collector, 'jane', 'sessions/search', { text: 'select' });
    await ask(collector, 'jane', `evidence?session=${session}`);
    await ask(collector, 'jane', 'evidence?from=0&to=99999999999999');
    expect(await told(collector)).toEqual(['jane@corp search all', `jane@corp export ${session}`, 'jane@corp export all']);
    const { reads } = EvidenceLedger.parse(await (await ask(collector, 'jane', 'ledger')).json());
    expect(reads[0]?.period).toEqual({ from: 0, to: 99_999_999_999_999 });
  });

  test('is one entry for a person, a session and ten minutes, and another where they are given more', async () => {
    const { collector, clock, open, session } = await aPlace();
    const read = (by: string, of: string): Promise<Response> => ask(collector, by, `sessions/${session}/${of}`);
    await Promise.all(Array.from({ length: 30 }, () => read('jane', 'outline')));
    expect(await told(collector)).toHaveLength(1);
    clock.now += WINDOW_MS - 1;
    for (const of of ['outline', 'records', 'records', 'outline']) await read('jane', of);
    clock.now += WINDOW_MS - 1;
    await read('jane', 'outline');
    expect(await told(collector)).toEqual([`jane@corp view ${session}`, `jane@corp replay ${session}`]);
    await read('bob', 'outline');
    clock.now += 1;
    await read('jane', 'outline');
    expect((await told(collector)).slice(2)).toEqual([`bob@corp view ${session}`, `jane@corp view ${session}`]);
    // A process that begins looks into the log, and another day is another entry.
    await collector.close();
    const next = await open();
    await ask(next, 'jane', `sessions/${session}/outline`);
    expect(await told(next)).toHaveLength(4);
    clock.now += WINDOW_MS;
    await ask(next, 'jane', `sessions/${session}/outline`);
    expect(await told(next)).toHaveLength(5);
  });

  test('is signed by the log’s key and names nobody there; who it was is a text that can be changed or destroyed, and no more', async () => {
    const { collector, store, session } = await aPlace();
    await ask(collector, 'evil', `sessions/${session}/records`);
    expect(await told(collector)).toEqual([`${HOSTILE} replay ${session}`]);
    const [entry = Buffer.alloc(0), ...more] = await entries(store);
    expect(more).toEqual([]);
    const leaf = decodeLeaf(entry);
    if (leaf.kind !== 'read') throw new Error('not a reading');
    expect([verifyOrderLeaf(leaf, logKey.publicKey), verifyOrderLeaf(leaf, Buffer.alloc(32, 1))]).toEqual([true, false]);
    expect(entry.toString()).not.toContain('jane');
    const [name = ''] = [...store.objects.keys()].filter((each) => each.startsWith('reads/'));
    const kept = store.objects.get(name);
    const text = kept?.bytes ?? Buffer.alloc(0);
    expect(openReading(text, leaf.statement)).toMatchObject({ by: HOSTILE, way: 'replay' });
    for (const other of [{ way: 'view' }, { at: 1 }, { session: null }, { order: 'ab'.repeat(32) }] as const)
      expect(() => openReading(text, { ...leaf.statement, ...other })).toThrow(/PayloadAltered|not the one/);
    store.objects.set(name, { bytes: Buffer.from(text.toString().replace('jane', 'june')), at: 1, version: 'x' });
    expect(await told(collector)).toEqual([`undefined replay ${session}`]);
    store.objects.delete(name);
    expect(await told(collector)).toEqual([`undefined replay ${session}`]);
  });

  test('is told to who may see the session, and of several at once to who may see all', async () => {
    const { collector, session, other } = await aPlace();
    for (const each of [session, other]) await ask(collector, 'jane', `sessions/${each}/records`);
    await ask(collector, 'bob', 'evidence?from=0&to=99999999999999');
    expect(await told(collector)).toHaveLength(3);
    expect(await told(collector, 'shopper')).toEqual([`jane@corp replay ${other}`]);
    expect(await told(collector, 'nobody')).toEqual([]);
  });

  test('is said of every reading of an exported time, or the time is refused: none hides behind others', async () => {
    const { collector, session, other } = await aPlace({ maxReadings: 2 });
    const all = 'evidence?from=0&to=99999999999999';
    for (const of of ['outline', 'records']) await ask(collector, 'evil', `sessions/${session}/${of}`);
    expect((await ask(collector, 'jane', all)).status).toBe(200);
    await ask(collector, 'bob', `sessions/${other}/records`);
    const refused = await ask(collector, 'jane', all);
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { code: 'BadRequest', message: 'evidence was read more than 2 times in the time; ask for less of it' },
    ]);
  });

  test('is not said of who may see nothing, however many of them search', async () => {
    const { collector } = await aPlace();
    const answer = await ask(collector, 'nobody', 'sessions/search', { text: 'select' });
    expect([answer.status, await answer.json()]).toMatchObject([200, { items: [] }]);
    expect(await told(collector)).toEqual([]);
  });

  test('is not said of what nobody was given', async () => {
    const { collector, session } = await aPlace();
    const asked: readonly [string, string, number][] = [
      ['viewer', `sessions/${session}/records`, 403],
      ['nobody', `sessions/${session}/records`, 404],
      ['jane', 'sessions/s-aaaaaaaaaaaaaaaa/outline', 404],
      ['jane', `sessions/${session}/records?limit=0`, 400],
      ['jane', `evidence?session=${session}&since=99`, 400],
      ['jane', 'evidence?from=1&to=2', 404],
    ];
    for (const [by, target, status] of asked) expect((await ask(collector, by, target)).status, target).toBe(status);
    expect(await told(collector)).toEqual([]);
  });
});

describe('what was recorded is not shown', () => {
  test.each([
    ['the text is to be written', 1],
    ['the log is to take the entry', 2],
  ])('where the store fails when %s, and is again when it works', async (_, left) => {
    const { collector, store, session } = await aPlace();
    Object.assign(store, { left, effect: false });
    for (const [, of] of WAYS) {
      const answer = await ask(collector, 'jane', `sessions/${session}/${of}`);
      expect([answer.status, await answer.json()]).toEqual([
        503,
        { code: 'ReadNotRecorded', message: 'the log does not take that this was read, so it is not shown' },
      ]);
    }
    expect((await ask(collector, 'jane', 'sessions')).status).toBe(200);
    store.left = Number.POSITIVE_INFINITY;
    expect((await ask(collector, 'jane', `sessions/${session}/records`)).status).toBe(200);
    expect(await told(collector)).toEqual([`jane@corp replay ${session}`]);
  });

  test('to a person whose name is longer than names are', async () => {
    const { collector, session } = await aPlace();
    expect((await ask(collector, 'long', `sessions/${session}/records`)).status).toBe(503);
  });

  test('to a person beyond their share of the log, while others read on, until the time is over', async () => {
    const { collector, clock, session } = await aPlace();
    const answers = await Promise.all(Array.from({ length: MAX_READS + 1 }, (_, at) => ask(collector, 'jane', to(at))));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(MAX_READS);
    const refused = await ask(collector, 'jane', `sessions/${session}/records`);
    expect([refused.status, await refused.json()]).toEqual([429, expect.objectContaining({ code: 'TooManyReads' })]);
    // What an entry stands for already is given.
    expect((await ask(collector, 'jane', to(0))).status).toBe(200);
    expect((await ask(collector, 'bob', `sessions/${session}/records`)).status).toBe(200);
    clock.now += WINDOW_MS;
    expect((await ask(collector, 'jane', `sessions/${session}/records`)).status).toBe(200);
  });
});
