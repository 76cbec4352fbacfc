import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeLeaf,
  decodeParcel,
  encodeParcel,
  EvidenceLedger,
  noteSigner,
  type GivenOrder,
  parseRecipient,
  SessionDetail,
  SessionList,
  signerFromSeed,
  verifyOrderLeaf,
  wrapKey,
  x25519Holder,
  DataKey,
  trustIn,
  verifyEvidence,
  type FileSessionVerdict,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess } from '../access.ts';
import { type Collector, type CollectorOptions, createCollector } from '../collector.ts';
import { ENGINES, type OpenIndex } from '../evidence-index/engines.test-support.ts';
import { aSession, readers, silent, trust } from '../evidence.fixture.ts';
import { DirectoryStore } from '../objects/index.ts';
import { sha256 } from '../objects/content.ts';
import { TransparencyLog } from '../log/transparency-log.ts';
import { lifeOf } from './retention.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WORD = 'zebrafish';
const logKey = signerFromSeed(Buffer.alloc(32, 4));

async function aStore(openIndex: OpenIndex = () => Promise.resolve(undefined)) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const { path } = directory;
  const clock = { now: Date.now() };
  const open = async (more: Partial<CollectorOptions> = {}): Promise<Collector> => {
    const index = await openIndex();
    const collector = await createCollector({
      directory: path,
      trust,
      readers,
      logKey,
      access: createTokenAccess('t'),
      logger: silent,
      now: () => clock.now,
      ...(index === undefined ? {} : { index }),
      ...more,
    });
    onTestFinished(() => collector.close());
    return collector;
  };
  return { path, clock, open, collector: await open() };
}

async function ask(collector: Collector, path: string, body?: unknown): Promise<Response> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const target = text === undefined ? path : `${path}?body=${sha256(Buffer.from(text))}`;
  return collector.fetch(
    new Request(`http://collector${target}`, {
      headers: { authorization: 'Bearer t' },
      ...(text === undefined ? {} : { method: 'POST', body: text }),
    }),
  );
}
const order = (collector: Collector, session: string, kind: GivenOrder['kind'], reason = 'asked for'): Promise<Response> =>
  ask(collector, `/v1/sessions/${session}/orders`, { kind, reason });
const shown = async (collector: Collector, session: string): Promise<SessionDetail> =>
  SessionDetail.parse(await (await ask(collector, `/v1/sessions/${session}`)).json());
const found = async (collector: Collector, text: string): Promise<string[]> => {
  const answer = await collector.fetch(
    new Request('http://collector/v1/sessions/search', {
      method: 'POST',
      headers: { authorization: 'Bearer t' },
      body: JSON.stringify({ text }),
    }),
  );
  return ((await answer.json()) as { items: { name: string }[] }).items.map(({ name }) => name);
};
/** What the evidence file of a session says of it to whoever trusts the log's key. */
async function verified(collector: Collector, session: string): Promise<FileSessionVerdict | undefined> {
  const { body } = await ask(collector, `/v1/sessions/${session}/evidence`);
  const policy = trustIn(noteSigner(trust.origin, logKey).key);
  return (await verifyEvidence(body ?? [], { ...trust, policy })).sessions[0];
}
const records = (collector: Collector, session: string): Promise<Response> => ask(collector, `/v1/sessions/${session}/records`);

/** Every file below a directory that has this text in it. */
function filesWith(directory: string, text: string): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name)).filter((path) => readFileSync(path).includes(text));
}

const PERSON = { issuer: 'https://login.test', user: 'alice@shop.test', groups: [] };

/** A store of two sessions that are alike, of which one is to be erased. */
async function filled(openIndex?: OpenIndex) {
  const store = await aStore(openIndex);
  const [one, other] = [
    aSession({ text: `select ${WORD} from onlyhere`, onBehalfOf: PERSON }),
    aSession({ text: `select ${WORD}` }),
  ];
  for (const { parcel } of [...one.sealed, ...other.sealed]) await store.collector.ingest(parcel);
  return { ...store, one, other };
}

describe.each(ENGINES)('an erasure, with the index in $engine,', ({ engine, use }) => {
  const newIndex = use();

  test('leaves nothing by which what was recorded can be read, and nothing of another session is lost', async () => {
    const { collector, path, one, other } = await filled(await newIndex());
    expect((await found(collector, WORD)).toSorted()).toEqual([one.session, other.session].toSorted());
    const traces = (): number => filesWith(path, 'alice@shop.test').length + filesWith(path, 'onlyhere').length;
    expect(traces() > 0).toBe(engine === 'a file');
    expect(await (await order(collector, one.session, 'erasure', 'request 4711')).json()).toMatchObject({
      kind: 'erasure',
      by: 'local',
      reason: 'request 4711',
    });
    expect(await found(collector, WORD)).toEqual([other.session]);
    for (const of of ['records', 'outline', 'stream?action=0', 'key']) {
      const answer = await ask(collector, `/v1/sessions/${one.session}/${of}`);
      expect([answer.status, await answer.json()]).toEqual([410, expect.objectContaining({ code: 'EvidenceErased' })]);
    }
    expect((await records(collector, other.session)).status).toBe(200);
    expect(readdirSync(join(path, 'objects', 'keys'))).toEqual([other.session]);
    const { sessions, commands } = (await collector.dump()) as { sessions: object[]; commands: { session: string }[] };
    expect(JSON.stringify(sessions)).not.toContain('alice');
    expect(new Set(commands.map(({ session }) => session))).toEqual(new Set([other.session]));
    expect(traces()).toBe(0);
  });

  test('is listed beside holds and gaps, the newest first, with the checkpoint that has them', async () => {
    const { collector, one, other } = await filled(await newIndex());
    const nothing = EvidenceLedger.parse(await (await ask(collector, '/v1/ledger')).json());
    expect(nothing).toMatchObject({ checkpoint: { size: 6, signers: ['test'] }, orders: [], gaps: [], truncated: false });
    const gapped = aSession({ segments: 4 });
    for (const at of [0, 3]) await collector.ingest(gapped.sealed[at]?.parcel ?? Buffer.alloc(0));
    await order(collector, other.session, 'hold', 'case 23');
    await order(collector, one.session, 'erasure', 'request 4711');
    const ledger = EvidenceLedger.parse(await (await ask(collector, '/v1/ledger')).json());
    expect(ledger.checkpoint?.size).toBe(10);
    expect(ledger.orders).toMatchObject([
      { session: one.session, kind: 'erasure', entry: 9, by: 'local', reason: 'request 4711' },
      { session: other.session, kind: 'hold', entry: 8, reason: 'case 23' },
    ]);
    expect(ledger.gaps.map(({ name, evidence }) => [name, evidence])).toEqual([[gapped.session, 'incomplete']]);
    expect([await shown(collector, gapped.session), await shown(collector, one.session)].map(({ logged }) => logged)).toEqual([
      0, 2,
    ]);
  });

  test('is in the export of its time, as every order is: no entry of the log lies between two times that meet', async () => {
    const { collector, one, other, clock } = await filled(await newIndex());
    // Segments came when their objects were made.
    const began = clock.now - HOUR;
    clock.now = began + DAY;
    await order(collector, other.session, 'hold', 'case 23');
    await order(collector, one.session, 'erasure', 'request 4711');
    // That it was exported is of another day.
    clock.now += DAY;
    const policy = trustIn(noteSigner(trust.origin, logKey).key);
    const exported = async (from: number, to: number) => {
      const { body } = await ask(collector, `/v1/evidence?from=${from}&to=${to}`);
      return verifyEvidence(body ?? [], { ...trust, policy });
    };
    const days = [0, 1].map((day) => exported(began + day * DAY, began + (day + 1) * DAY));
    const files = await Promise.all(days);
    expect(files.map(({ log }) => log?.range)).toMatchObject([
      { from: 0, to: 6 },
      { from: 6, to: 8 },
    ]);
    const told = new Map(files[1]?.sessions.map(({ session, verdict, erasure }) => [session, [verdict, erasure?.reason]]));
    expect(told).toEqual(
      new Map([
        [one.session, ['complete', 'request 4711']],
        [other.session, ['complete', undefined]],
      ]),
    );
  });

  test('says who, when and why, and leaves counts and proofs', async () => {
    const { collector, one, clock } = await filled(await newIndex());
    const before = await shown(collector, one.session);
    await order(collector, one.session, 'erasure', 'request 4711');
    const { orders, ...after } = await shown(collector, one.session);
    expect(orders).toEqual([{ kind: 'erasure', by: 'local', reason: 'request 4711', at: clock.now, entry: 6 }]);
    expect(after).toMatchObject({
      erased: true,
      evidence: 'received',
      state: 'ended',
      actions: before.actions,
      denied: before.denied,
    });
    expect(after).not.toHaveProperty('purpose');
    expect(after).not.toHaveProperty('onBehalfOf');
    expect(await verified(collector, one.session)).toMatchObject({
      verdict: 'complete',
      segments: 3,
      contents: 'sealed',
      erasure: { kind: 'erasure', by: 'local', reason: 'request 4711', at: clock.now, entry: 6 },
    });
    const list = SessionList.parse(await (await ask(collector, '/v1/sessions')).json());
    expect(list.items.filter(({ erased }) => erased).map(({ name }) => name)).toEqual([one.session]);
  });

  test('is not undone by building the index again, by segments that come again, or by those that come late', async () => {
    const { collector, path, one, other } = await filled(await newIndex());
    const late = aSession({ text: `select ${WORD}`, segments: 4 });
    for (const { parcel } of late.sealed.slice(0, 2)) await collector.ingest(parcel);
    await order(collector, one.session, 'erasure');
    await order(collector, late.session, 'erasure');
    for (const { parcel } of [...one.sealed, ...late.sealed]) await collector.ingest(parcel);
    expect(await shown(collector, late.session)).toMatchObject({ segments: 4, records: 10, erased: true });
    const before = await collector.dump();
    await collector.reindex();
    expect(await collector.dump()).toEqual(before);
    expect(await found(collector, WORD)).toEqual([other.session]);
    expect((await records(collector, late.session)).status).toBe(410);
    expect(readdirSync(join(path, 'objects', 'keys'))).toEqual([other.session]);
  });

  test('by time comes when a session has been kept for as long as its class says, and never while it is on hold', async () => {
    const { open, clock, collector: first } = await aStore(await newIndex());
    await first.close();
    const collector = await open({ retention: { default: 10 * DAY, legal: 100 * DAY, minimum: 2 * DAY } });
    const classes = ['default', undefined, 'legal', '5d', '1h', 'unheard-of', '5d'];
    const sessions = classes.map((retention) => aSession({ segments: 1, ...(retention === undefined ? {} : { retention }) }));
    for (const { sealed } of sessions) for (const { parcel } of sealed) await collector.ingest(parcel);
    const began = clock.now;
    await order(collector, sessions[6]?.session ?? '', 'hold');
    const erased = async (): Promise<boolean[]> =>
      Promise.all(sessions.map(async ({ session }) => (await shown(collector, session)).erased));
    const steps: [number, boolean[]][] = [
      [1, [false, false, false, false, false, false, false]],
      [3, [false, false, false, false, true, false, false]],
      [6, [false, false, false, true, true, false, false]],
      [11, [true, true, false, true, true, false, false]],
      [101, [true, true, true, true, true, false, false]],
      [9_999, [true, true, true, true, true, false, false]],
    ];
    for (const [days, expected] of steps) {
      clock.now = began + days * DAY;
      await collector.expire();
      expect(await erased(), `after ${days} days`).toEqual(expected);
    }
    expect((await shown(collector, sessions[3]?.session ?? '')).orders).toMatchObject([
      { kind: 'erasure', by: 'chaperone:retention', reason: 'retention class 5d: kept for 120 hours' },
    ]);
    await order(collector, sessions[6]?.session ?? '', 'release');
    expect(await collector.expire()).toBe(1);
  });
});

describe('an erasure', () => {
  test('that a crash cut short anywhere is finished at the next start', async () => {
    for (const undone of ['all', 'index'] as const) {
      const { collector, path, open, one, other } = await filled();
      const kept = readFileSync(join(path, 'objects', 'keys', one.session));
      const state = join(path, 'objects', 'keys', one.session);
      await order(collector, one.session, 'erasure');
      await collector.close();
      // As a process leaves it that dies once the order is in the log: the index is as it was.
      rmSync(join(path, 'index.sqlite'));
      if (undone === 'all') writeFileSync(state, kept);
      const next = await open();
      expect(await found(next, WORD), undone).toEqual([other.session]);
      expect((await records(next, one.session)).status).toBe(410);
      expect(readdirSync(join(path, 'objects', 'keys'))).toEqual([other.session]);
    }
  });

  test('is an entry of the log that its key signed, which names nobody and no reason', async () => {
    const { collector, path, one } = await filled();
    await order(collector, one.session, 'erasure', 'request 4711');
    await collector.close();
    const log = await TransparencyLog.open({
      store: new DirectoryStore(join(path, 'objects')),
      signer: noteSigner(trust.origin, logKey),
      now: Date.now,
    });
    const entries: Buffer[] = [];
    for await (const { entry } of log.entries(6)) entries.push(entry);
    const [entry = Buffer.alloc(0)] = entries;
    const leaf = decodeLeaf(entry);
    expect(entries).toHaveLength(1);
    expect(leaf).toMatchObject({ kind: 'erasure', statement: { session: one.session } });
    expect(verifyOrderLeaf(leaf, logKey.publicKey)).toBe(true);
    expect(verifyOrderLeaf(leaf, Buffer.alloc(32, 1))).toBe(false);
    expect(entry.toString()).not.toMatch(/4711|local/);
    expect(filesWith(join(path, 'objects', 'orders'), 'request 4711')).toHaveLength(1);
  });

  test('is refused of a session that is on hold or was erased, as every order is that contradicts what stands', async () => {
    const { collector, one } = await filled();
    const steps: [GivenOrder['kind'], number][] = [
      ['release', 409],
      ['hold', 200],
      ['hold', 409],
      ['erasure', 409],
      ['release', 200],
      ['release', 409],
      ['hold', 200],
      ['release', 200],
      ['erasure', 200],
      ['erasure', 409],
      ['hold', 409],
    ];
    for (const [kind, status] of steps) expect((await order(collector, one.session, kind)).status, kind).toBe(status);
    expect((await shown(collector, one.session)).orders.map(({ kind }) => kind)).toEqual([
      'hold',
      'release',
      'hold',
      'release',
      'erasure',
    ]);
  });

  test('is not taken where its address names another body, or it gives no reason', async () => {
    const { collector, one } = await filled();
    const body = JSON.stringify({ kind: 'erasure', reason: 'x' });
    const post = (target: string, text: string): Response | Promise<Response> =>
      collector.fetch(
        new Request(`http://collector${target}`, { method: 'POST', headers: { authorization: 'Bearer t' }, body: text }),
      );
    const path = `/v1/sessions/${one.session}/orders`;
    for (const target of [path, `${path}?body=${sha256(Buffer.from('{}'))}`]) expect((await post(target, body)).status).toBe(400);
    for (const reason of ['', ' ', 'x'.repeat(501)])
      expect((await ask(collector, path, { kind: 'erasure', reason })).status).toBe(400);
    expect((await shown(collector, one.session)).orders).toEqual([]);
  });

  test.each([
    ['erasure', 'hold'],
    ['hold', 'erase'],
    ['release', 'erase'],
  ] as const)('%s is not for who may only %s', async (kind, verb) => {
    const { collector: first, open, one } = await filled();
    await first.close();
    const access = createTokenAccess('t');
    const collector = await open({
      access: { ...access, allowed: (_, asked) => Promise.resolve(['get', 'list', verb].includes(asked)) },
    });
    expect((await order(collector, one.session, kind)).status).toBe(403);
    expect((await shown(collector, one.session)).orders).toEqual([]);
  });

  test('leaves what it says of itself where the text of the order was forgotten too, or changed', async () => {
    const { collector, path, one } = await filled();
    await order(collector, one.session, 'erasure', 'request 4711');
    const [file = ''] = filesWith(join(path, 'objects', 'orders'), 'request 4711');
    writeFileSync(file, readFileSync(file, 'utf8').replace('4711', '4712'));
    expect((await shown(collector, one.session)).orders).toMatchObject([{ kind: 'erasure', entry: 6 }]);
    expect((await shown(collector, one.session)).orders[0]).not.toHaveProperty('reason');
    rmSync(file);
    expect((await shown(collector, one.session)).orders[0]).not.toHaveProperty('by');
  });
});

describe('a segment', () => {
  const stranger = parseRecipient(x25519Holder(Buffer.alloc(32, 5)).name);

  test.each([
    ['whose key nobody here unwraps', (key: DataKey) => wrapKey(key, [stranger])],
    ['that comes with the key of another session', () => wrapKey(aSession().key, [parseRecipient(readers[0]?.name ?? '')])],
    [
      'that comes with another key',
      (key: DataKey) => wrapKey(DataKey.random(key.session), [parseRecipient(readers[0]?.name ?? '')]),
    ],
  ])('%s gets no receipt, and nothing is kept', async (_, wrap) => {
    const { collector, path } = await aStore();
    const { key, sealed } = aSession({ segments: 1 });
    const segment = sealed[0]?.bytes ?? Buffer.alloc(0);
    expect(await collector.ingest(encodeParcel({ key: wrap(key), segment }))).toEqual({ kind: 'refused', code: 'KeyUnusable' });
    expect(readdirSync(join(path, 'objects'))).not.toContain('seg');
    expect(readdirSync(join(path, 'objects'))).not.toContain('keys');
    expect(await collector.ingest(sealed[0]?.parcel ?? Buffer.alloc(0))).toMatchObject({ kind: 'stored' });
  });

  test('of a session that was erased is refused where the key beside it is of another, in whose turn it would come', async () => {
    const { collector, one, other } = await filled();
    await order(collector, one.session, 'erasure');
    const [segment, parcel] = [one.sealed[0]?.bytes ?? Buffer.alloc(0), other.sealed[0]?.parcel ?? Buffer.alloc(0)];
    const outcome = await collector.ingest(encodeParcel({ key: decodeParcel(parcel).key, segment }));
    expect(outcome).toEqual({ kind: 'refused', code: 'KeyUnusable' });
    expect(await collector.ingest(one.sealed[0]?.parcel ?? Buffer.alloc(0))).toMatchObject({ kind: 'duplicate' });
  });

  test('is read by a collector whose reader has a newer key beside the old one', async () => {
    const { collector: first, open, one } = await filled();
    await first.close();
    const collector = await open({ readers: [x25519Holder(Buffer.alloc(32, 6)), ...readers] });
    expect((await records(collector, one.session)).status).toBe(200);
    expect(collector.recipients).toEqual([x25519Holder(Buffer.alloc(32, 6)).name]);
  });

  test('whose key somebody overwrote is not readable, and heals when it comes again', async () => {
    const { collector: first, path, open, one } = await filled();
    await first.close();
    writeFileSync(join(path, 'objects', 'keys', one.session), '{}');
    const collector = await open();
    expect((await records(collector, one.session)).status).toBe(409);
    await collector.ingest(one.sealed[0]?.parcel ?? Buffer.alloc(0));
    expect((await records(collector, one.session)).status).toBe(200);
  });
});

test.each([
  ['default', {}, undefined],
  ['default', { default: 5 }, 5],
  ['30d', {}, 30 * DAY],
  ['30d', { '30d': 7 }, 7],
  ['1h', { minimum: DAY }, DAY],
  ['legal', { minimum: DAY }, undefined],
  ['constructor', {}, undefined],
] as const)('the class %s of %o is kept for %s ms', (name, classes, life) => {
  expect(lifeOf(name, classes)).toBe(life);
});
