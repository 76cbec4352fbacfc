import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type FileVerdict, type KeyHolder, parsePolicy, surveyEvidence, verifyEvidence, x25519Holder } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Access } from './access.ts';
import { type Collector, createCollector } from './collector.ts';
import { aSession, readers, type SessionOptions, silent, trust } from './evidence.fixture.ts';
import { CrashingStore } from './log/log.test-support.ts';

/** Verbs and namespaces in the place of a name. */
const access: Access = {
  authorise: (request) => Promise.resolve({ user: request.header('authorization') ?? '', groups: [] }),
  allowed: ({ user }, verb, namespace) => Promise.resolve(user.split(',').includes(`${verb} ${namespace}`)),
};
const AUDITOR = ['list', 'get', 'replay', 'export'].map((verb) => `${verb} agents`).join(',');
const shop = { namespace: 'shop', serviceAccount: 'seller' };

interface Place {
  readonly path: string;
  /** Objects by their names, which a test may change. */
  readonly store: CrashingStore;
  readonly collector: Collector;
  readonly open: () => Promise<Collector>;
  readonly take: (options?: SessionOptions) => Promise<ReturnType<typeof aSession>>;
}

async function aPlace(): Promise<Place> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const store = new CrashingStore();
  const open = async (): Promise<Collector> => {
    const opened = await createCollector({ directory: directory.path, store, trust, readers, access, logger: silent });
    onTestFinished(() => opened.close().catch(() => undefined));
    return opened;
  };
  const collector = await open();
  return {
    path: directory.path,
    store,
    collector,
    open,
    async take(options) {
      const made = aSession(options);
      const taken = await Promise.all(made.sealed.map(({ parcel }) => collector.ingest(parcel)));
      expect(taken.every(({ kind }) => kind === 'stored')).toBe(true);
      return made;
    },
  };
}

async function ask(collector: Collector, target: string, user = AUDITOR): Promise<Response> {
  return collector.fetch(new Request(`http://collector/v1/${target}`, { headers: { authorization: user } }));
}
const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
const ALL = 'evidence?from=0&to=99999999999999';

/** By the key of the log, which an auditor has. */
async function verified(collector: Collector, target: string, since?: Buffer): Promise<FileVerdict> {
  const key = await (await ask(collector, 'log/key')).text();
  const policy = parsePolicy(Buffer.from(`log ${key}quorum none\n`));
  const file = await bytesOf(await ask(collector, target));
  return verifyEvidence([file], { ...trust, policy, ...(since === undefined ? {} : { since }) });
}
const words = ({ sessions }: FileVerdict): Record<string, string> =>
  Object.fromEntries(sessions.map(({ session, verdict }) => [session, verdict]));

describe('an exported session', () => {
  test('has each segment with its proof, also of a log that has grown since', async () => {
    const { collector, take } = await aPlace();
    const { session } = await take({ segments: 5 });
    await take();
    // That somebody read it is in the log when the second one is made.
    for (const [target, size] of [
      [`evidence?session=${session.slice(0, 12)}`, 8],
      [`sessions/${session}/evidence`, 9],
    ] as const)
      expect(await verified(collector, target)).toMatchObject({
        verdict: 'sound',
        log: { size, quorum: 'met' },
        sessions: [{ session, verdict: 'complete', segments: 5 }],
      });
  });

  test('goes on from a checkpoint that was kept, and from none of a log that is longer', async () => {
    const { collector, take } = await aPlace();
    await take();
    const kept = await bytesOf(await ask(collector, 'log/checkpoint'));
    const { session } = await take();
    const found = await verified(collector, `evidence?session=${session}&since=3`, kept);
    expect(found.log?.since).toEqual({ size: 3, verdict: 'append-only' });
    const refused = await ask(collector, `evidence?session=${session}&since=8`);
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { code: 'BadRequest', message: 'the checkpoint is of 8 entries, and the log has 7' },
    ]);
  });
});

const wrappedOf = (session: string): string => `evidence?session=${session}&wrapped=true`;
describe('an export of wrapped keys', () => {
  test('goes to who may export and not replay, for whom the keys say whether they read it', async () => {
    const { collector, take } = await aPlace();
    const { session } = await take();
    const exporter = ['get', 'list', 'export'].map((verb) => `${verb} agents`).join(',');
    const file = await bytesOf(await ask(collector, wrappedOf(session), exporter));
    expect(await surveyEvidence([file])).toMatchObject({ keys: 0, wrapped: 1 });
    const policy = parsePolicy(Buffer.from(`log ${await (await ask(collector, 'log/key')).text()}quorum none\n`));
    const contents = async (holders: readonly KeyHolder[]): Promise<string | undefined> =>
      (await verifyEvidence([file], { ...trust, policy, holders })).sessions[0]?.contents;
    expect(await contents(readers)).toBe('verified');
    expect(await contents([x25519Holder(Buffer.alloc(32, 1))])).toBe('sealed');
    // Whoever wraps to a public key of RSA wraps what they like: one session's key is not to be what ends the verification of all.
    for (const length of [32, 31, 0]) {
      const liar = { name: readers[0]?.name ?? '', unwrap: () => Promise.resolve(Buffer.alloc(length)) };
      expect((await verifyEvidence([file], { ...trust, policy, holders: [liar] })).sessions[0]).toMatchObject({
        verdict: 'altered',
        break: { code: 'KeyUnusable' },
      });
    }
    expect(await surveyEvidence([await bytesOf(await ask(collector, `${ALL}&wrapped=true`, exporter))])).toMatchObject({
      keys: 0,
      wrapped: 1,
    });
    expect((await ask(collector, wrappedOf(session), 'get agents')).status).toBe(403);
    expect((await ask(collector, `${ALL}&wrapped=maybe`)).status).toBe(400);
  });

  test('has none where the key is not there any more, or another thing stands in its place', async () => {
    const { collector, store, take } = await aPlace();
    const { session } = await take();
    const name = `keys/${session}`;
    const found = store.objects.get(name);
    if (found === undefined) throw new Error('no key');
    for (const text of ['{', '{}', found.bytes.toString().replace(session, 's-aaaaaaaaaaaaaaaa')]) {
      store.objects.set(name, { ...found, bytes: Buffer.from(text) });
      expect(await surveyEvidence([await bytesOf(await ask(collector, wrappedOf(session)))])).toMatchObject({
        wrapped: 0,
        segments: 3,
      });
    }
  });
});

describe('an exported period', () => {
  test('has every entry of the log in it, and the sessions of these that may be exported', async () => {
    const { collector, take } = await aPlace();
    const mine = await take({ segments: 70 });
    const theirs = await take({ agent: shop });
    const found = await verified(collector, ALL);
    expect(words(found)).toEqual({ [mine.session]: 'complete', [theirs.session]: 'not exported' });
    expect(found.log?.range).toMatchObject({ from: 0, to: 73 });
  });

  test('begins and ends with what came in it', async () => {
    const { collector, path, store, open, take } = await aPlace();
    const sessions = [await take(), await take(), await take()];
    await collector.close();
    // Came at 10, 20 and 30 seconds.
    for (const [at, { sealed }] of sessions.entries())
      for (const { digest } of sealed) {
        const name = `seg/${digest.slice(0, 2)}/${digest}`;
        const found = store.objects.get(name);
        if (found !== undefined) store.objects.set(name, { ...found, at: (at + 1) * 10_000 });
      }
    rmSync(join(path, 'index.sqlite'));
    const again = await open();
    const found = await verified(again, 'evidence?from=20000&to=20001');
    expect(found.log?.range).toMatchObject({ from: 3, to: 6 });
    expect(words(found)).toEqual({ [sessions[1]?.session ?? '']: 'complete' });
    const none = await ask(again, 'evidence?from=20001&to=30000');
    expect([none.status, await none.json()]).toEqual([404, { code: 'NotFound', message: 'nothing was stored in this time' }]);
  });

  test('is streamed: what is read of it can be left', async () => {
    const { collector, take } = await aPlace();
    await take({ segments: 3, text: 'x'.repeat(100_000) });
    const { body } = await ask(collector, ALL);
    const reader = body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await reader?.cancel();
    expect(await surveyEvidence([await bytesOf(await ask(collector, ALL))])).toMatchObject({ sessions: 1, segments: 3 });
  });

  test.each([
    ['nobody', '', ALL, 403],
    ['who may only replay', 'list agents,get agents,replay agents', ALL, 403],
    ['who may export elsewhere', 'list shop,export shop', 'evidence?session=s-', 400],
    ['a time that is none', AUDITOR, 'evidence?from=x&to=1', 400],
    ['a time that ends before it begins', AUDITOR, 'evidence?from=2&to=1', 400],
    ['session and time at once', AUDITOR, 'evidence?from=1&to=2&session=s-a', 400],
    ['nothing', AUDITOR, 'evidence', 400],
    ['a checkpoint of no size', AUDITOR, 'evidence?from=1&to=2&since=-1', 400],
  ])('is refused to %s', async (_, user, target, status) => {
    const { collector, take } = await aPlace();
    await take();
    expect((await ask(collector, target, user)).status).toBe(status);
  });

  test('of a session that somebody may replay and not export is refused', async () => {
    const { collector, take } = await aPlace();
    const { session } = await take();
    const refused = await ask(collector, `evidence?session=${session}`, 'list agents,get agents,replay agents');
    expect(refused.status).toBe(403);
  });
});

/** What stands there instead; undefined where nothing does. */
type Change = (bytes: Buffer) => Buffer | undefined;
const flip: Change = (bytes) => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(copy.length - 9) ^ 4, copy.length - 9);
  return copy;
};
const cut: Change = (bytes) => bytes.subarray(0, -7);
const remove: Change = () => undefined;
const foreign = aSession().sealed[1]?.bytes ?? Buffer.alloc(0);
function change({ objects }: CrashingStore, name: string, by: Change): void {
  const found = objects.get(name);
  expect(found).toBeDefined();
  const bytes = found === undefined ? undefined : by(found.bytes);
  if (found === undefined || bytes === undefined) objects.delete(name);
  else objects.set(name, { ...found, bytes, version: 'another' });
}
const nameOf = (digest = ''): string => `seg/${digest.slice(0, 2)}/${digest}`;

/** A log with a full tile, and a session in it. */
async function aLongLog(): Promise<Place & { readonly session: string }> {
  const place = await aPlace();
  const { session } = await place.take({ segments: 90 });
  await place.take({ segments: 90 });
  await place.take({ segments: 90 });
  return { ...place, session };
}

test('an export holds the data keys of sessions that who asks may replay too, and of no other', async () => {
  const { collector, take } = await aPlace();
  const { session } = await take();
  const keysOf = async (target: string, user: string): Promise<number> =>
    (await surveyEvidence([await bytesOf(await ask(collector, target, user))])).keys;
  for (const target of [ALL, `evidence?session=${session}`]) {
    expect(await keysOf(target, 'list agents,get agents,export agents')).toBe(0);
    expect(await keysOf(target, AUDITOR)).toBe(1);
  }
});

describe('a store in which somebody', () => {
  test.each<[string, Change, string]>([
    ['flips a bit of a segment', flip, 'altered'],
    ['cuts a segment', cut, 'altered'],
    ['deletes a segment', remove, 'incomplete'],
    ['replaces a segment by another session’s', () => foreign, 'altered'],
    ['replaces a segment by an empty one', () => Buffer.alloc(0), 'incomplete'],
    ['replaces a segment by what is too long for one', () => Buffer.alloc(2_000_000), 'altered'],
  ])('%s is told by every export, which names the segment and its session alone', async (_, by, verdict) => {
    const { collector, store, take } = await aPlace();
    const { session, sealed } = await take();
    const other = await take();
    change(store, nameOf(sealed[1]?.digest), by);
    for (const target of [ALL, `evidence?session=${session}`]) {
      const found = await verified(collector, target);
      expect(found.verdict).toBe('sound');
      expect(found.sessions.find((each) => each.session === session)).toMatchObject({ verdict, break: { segment: 1 } });
      expect(words(found)[other.session]).toBe(target === ALL ? 'complete' : undefined);
    }
  });

  test('swaps two segments is told so', async () => {
    const { collector, store, take } = await aPlace();
    const [first, second] = (await take()).sealed;
    change(store, nameOf(first?.digest), () => second?.bytes);
    change(store, nameOf(second?.digest), () => first?.bytes);
    const { sessions } = await verified(collector, ALL);
    expect(sessions).toMatchObject([{ verdict: 'incomplete', break: { segment: 0, code: 'SegmentMissing' } }]);
  });

  test.each<[string, Change]>([
    ['flips a bit of', flip],
    ['cuts', cut],
    ['deletes', remove],
  ])('%s a bundle of entries gets out no period with it, and sessions as before', async (_, by) => {
    const { collector, store, open, session } = await aLongLog();
    await collector.close();
    change(store, 'log/tile/entries/000', by);
    const again = await open();
    // What the collector itself sees is damaged it does not send to its end.
    expect((await verified(again, ALL).catch(() => ({ verdict: 'altered' }))).verdict).toBe('altered');
    expect(words(await verified(again, `evidence?session=${session}`))).toEqual({ [session]: 'complete' });
  });

  test.each<[string, Change]>([
    ['flips a bit of', flip],
    ['cuts', cut],
    ['deletes', remove],
  ])('%s a tile of hashes gets out no proof with it, and periods that need none', async (_, by) => {
    const { collector, store, open, session } = await aLongLog();
    await collector.close();
    change(store, 'log/tile/0/000', by);
    const again = await open();
    const found = await verified(again, `evidence?session=${session}`).catch(() => undefined);
    expect([undefined, 'not in the log']).toContain(
      found === undefined || found.verdict === 'altered' ? undefined : words(found)[session],
    );
    expect(words(await verified(again, ALL))[session]).toBe('complete');
  });

  test.each<[string, Change]>([
    ['flips a bit of', flip],
    ['cuts', cut],
    ['deletes', remove],
  ])('%s the state of the log keeps the collector from starting', async (what, by) => {
    const { collector, store, open, take } = await (what === 'deletes' ? aLongLog() : aPlace());
    await take();
    await collector.close();
    change(store, 'log/state', by);
    await expect(open()).rejects.toMatchObject({ code: 'LogAltered' });
  });

  test('brings an older state of the log back keeps the collector from starting, for as long as the index knows more', async () => {
    const { collector, path, store, open, take } = await aPlace();
    await take();
    const older = store.objects.get('log/state')?.bytes;
    const { session } = await take();
    await collector.close();
    change(store, 'log/state', () => older);
    await expect(open()).rejects.toMatchObject({ code: 'LogAltered' });
    rmSync(join(path, 'index.sqlite'));
    const found = await verified(await open(), `evidence?session=${session}`);
    expect(found).toMatchObject({ log: { size: 6 }, sessions: [{ verdict: 'complete' }] });
  });

  test('changes what contradicted evidence, or adds what is none, is told when the index is built again', async () => {
    const { collector, store, take } = await aPlace();
    const { session } = await take();
    await collector.ingest(aSession({ session }).sealed[0]?.parcel ?? Buffer.alloc(0));
    const name = [...store.objects.keys()].find((each) => each.startsWith('conflict/')) ?? '';
    change(store, name, flip);
    const digest = 'ab'.repeat(32);
    store.objects.set(`seg/ab/${digest}`, { bytes: Buffer.from('none'), at: 1, version: 'x' });
    expect((await collector.reindex()).damaged).toEqual([
      { digest, code: 'PayloadAltered' },
      { digest: name.slice(-64), code: 'PayloadAltered' },
    ]);
  });
});

test('an index that is deleted is built again, and every answer is the one that it was', async () => {
  const { collector, path, open, take } = await aPlace();
  const made = [await take({ segments: 4 }), await take({ agent: shop }), await take({ close: false })];
  // A contradiction is kept, and found again.
  const [first] = made;
  const forged = aSession({ session: first?.session ?? '' }).sealed[0]?.parcel ?? Buffer.alloc(0);
  expect(await collector.ingest(forged)).toMatchObject({ kind: 'refused', code: 'ForeignSession' });
  const user = `${AUDITOR},list shop,get shop,replay shop,export shop`;
  const answers = async (from: Collector): Promise<unknown> => {
    const said: unknown[] = [];
    for (const target of [
      'sessions',
      'facets',
      'log/checkpoint',
      'log/tile/entries/000.p/10',
      ...made.flatMap(({ session }) => [`sessions/${session}`, `sessions/${session}/records`, `sessions/${session}/outline`]),
    ])
      said.push([target, await (await ask(from, target, user)).text()]);
    const search = new Request('http://collector/v1/sessions/search', {
      method: 'POST',
      headers: { authorization: user, 'content-type': 'application/json' },
      body: '{"text":"select"}',
    });
    said.push(await (await from.fetch(search)).text());
    said.push(
      createHash('sha256')
        .update(await bytesOf(await ask(from, ALL, user)))
        .digest('hex'),
      await from.dump(),
    );
    return said;
  };
  // That all of it was read is in the log from here on.
  await answers(collector);
  const before = await answers(collector);
  await collector.reindex();
  expect(await answers(collector)).toEqual(before);
  await collector.close();
  for (const name of ['index.sqlite', 'index.sqlite-wal', 'index.sqlite-shm']) rmSync(join(path, name), { force: true });
  expect(await answers(await open())).toEqual(before);
});
