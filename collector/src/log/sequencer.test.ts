import {
  decodeLeaf,
  parseVerifierKey,
  openNote,
  parseCheckpoint,
  verifierOf,
  tileOf,
  tilesSince,
  tilePath,
  auditTiles,
} from '@chaperone/evidence';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Access } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aSession, silent, readers, trust } from '../evidence.fixture.ts';
import { readLogKey } from './key.ts';
import { CrashingStore } from './log.test-support.ts';

const access: Access = {
  authorise: (request) => Promise.resolve({ user: request.header('authorization') ?? '', groups: [] }),
  allowed: ({ user }) => Promise.resolve(user === 'auditor'),
};

async function aPlace() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const store = new CrashingStore();
  const open = async (): Promise<Collector> => {
    const collector = await createCollector({ directory: directory.path, trust, readers, access, logger: silent, store });
    onTestFinished(() => collector.close().catch(() => undefined));
    return collector;
  };
  return { path: directory.path, store, open };
}

const get = async (collector: Collector, target: string, user = 'auditor'): Promise<Response> =>
  collector.fetch(new Request(`http://collector/v1/log/${target}`, { headers: { authorization: user } }));

/** The log as whoever has its key reads it, over HTTP alone: every tile is proved. */
async function audited(collector: Collector): Promise<string[]> {
  const key = parseVerifierKey((await (await get(collector, 'key')).text()).trim());
  const note = Buffer.from(await (await get(collector, 'checkpoint')).arrayBuffer());
  const head = parseCheckpoint(openNote(note, [verifierOf(key)]).text);
  expect([head.origin, key.name]).toEqual([trust.origin, trust.origin]);
  const tiles = new Map<string, Buffer>();
  for (const tile of tilesSince(0, head.size))
    tiles.set(tilePath(tile), Buffer.from(await (await get(collector, tilePath(tile))).arrayBuffer()));
  expect(auditTiles(head, (tile) => tiles.get(tilePath(tile)))).toEqual([]);
  const found: string[] = [];
  for (let index = 0; index * 256 < head.size; index++) {
    let bytes = tiles.get(tilePath(tileOf('entries', index, head.size))) ?? Buffer.alloc(0);
    for (; bytes.length > 0; bytes = bytes.subarray(2 + bytes.readUInt16BE())) {
      const { kind, statement } = decodeLeaf(bytes.subarray(2, 2 + bytes.readUInt16BE()));
      found.push(kind === 'segment' ? `${statement.session}/${statement.number}` : kind);
    }
  }
  return found;
}

const names = (...sessions: ReturnType<typeof aSession>[]): string[] =>
  sessions.flatMap(({ session, sealed }) => sealed.map((_, number) => `${session}/${number}`));

describe('every stored segment', () => {
  test('is one entry of the log, however often it comes, in the order of arrival', async () => {
    const { open } = await aPlace();
    const collector = await open();
    const [one, two] = [aSession({ segments: 3 }), aSession({ segments: 2 })];
    for (const { parcel } of [...one.sealed, ...two.sealed, ...one.sealed]) await collector.ingest(parcel);
    expect(await audited(collector)).toEqual(names(one, two));
  });

  test('is one entry where many arrive at once', async () => {
    const { open, store } = await aPlace();
    const collector = await open();
    const sessions = Array.from({ length: 60 }, () => aSession({ segments: 5 }));
    const segments = sessions.flatMap(({ sealed }) => sealed);
    let states = 0;
    const replace = store.replace.bind(store);
    store.replace = async (...args) => {
      states++;
      // As long as a disk takes.
      await new Promise((next) => setTimeout(next, 10));
      return replace(...args);
    };
    const outcomes = await Promise.all([...segments, ...segments].map(({ parcel }) => collector.ingest(parcel)));
    expect(outcomes.filter(({ kind }) => kind === 'stored')).toHaveLength(300);
    expect((await audited(collector)).toSorted()).toEqual(names(...sessions).toSorted());
    // One signed state for what waited together.
    expect(states).toBeLessThan(150);
  });

  test('is in the log before it counts as taken', async () => {
    const { open, store } = await aPlace();
    const collector = await open();
    const { session, sealed } = aSession({ segments: 3 });
    const [first, second, third] = sealed;
    if (first === undefined || second === undefined || third === undefined) throw new Error('a session of three');
    await collector.ingest(first.parcel);
    const replace = store.replace.bind(store);
    store.replace = () => Promise.reject(new Error('the log cannot be written'));
    await expect(collector.ingest(second.parcel)).rejects.toThrow('the log cannot be written');
    store.replace = replace;
    expect(await collector.ingest(third.parcel)).toMatchObject({ kind: 'stored', entry: 1 });
    expect(await collector.ingest(second.parcel)).toMatchObject({ kind: 'duplicate', entry: 2 });
    expect(await audited(collector)).toEqual([`${session}/0`, `${session}/2`, `${session}/1`]);
  });

  test('of a collector that had no log, or lost its index, is taken up at the start, and what was is not changed', async () => {
    const { open, path, store } = await aPlace();
    const collector = await open();
    const before = [aSession({ segments: 4 }), aSession({ segments: 4 })];
    for (const { parcel } of before.flatMap(({ sealed }) => sealed)) await collector.ingest(parcel);
    const entries = await audited(collector);
    const dump = await collector.dump();
    expect(await collector.reindex()).toMatchObject({ segments: 8, damaged: [] });
    expect(await collector.dump()).toEqual(dump);
    await collector.close();
    for (const rest of ['', '-wal', '-shm']) rmSync(join(path, `index.sqlite${rest}`), { force: true });
    const again = await open();
    expect([await audited(again), await again.dump()]).toEqual([entries, dump]);
    await again.close();
    for (const name of [...store.objects.keys()].filter((each) => each.startsWith('log/'))) store.objects.delete(name);
    for (const rest of ['', '-wal', '-shm']) rmSync(join(path, `index.sqlite${rest}`), { force: true });
    expect((await audited(await open())).toSorted()).toEqual(entries.toSorted());
  });
});

describe('a collector that dies at any write', () => {
  test.each([true, false])(
    'has every segment that it took as the entry that it said, and each segment once (the write itself took place: %s)',
    async (effect) => {
      const { session, sealed } = aSession({ segments: 4 });
      for (let at = 1; ; at++) {
        const { open, store } = await aPlace();
        store.effect = effect;
        store.left = at;
        const promised: number[] = [];
        const crashed = await (async () => {
          const collector = await open();
          try {
            for (const { parcel } of sealed) {
              const outcome = await collector.ingest(parcel);
              if (outcome.kind !== 'refused') promised.push(outcome.entry);
            }
          } finally {
            await collector.close();
          }
        })().then(
          () => false,
          () => true,
        );
        store.left = Number.POSITIVE_INFINITY;
        const collector = await open();
        const entries: number[] = [];
        for (const { parcel } of sealed) {
          const outcome = await collector.ingest(parcel);
          if (outcome.kind !== 'refused') entries.push(outcome.entry);
        }
        expect(entries.slice(0, promised.length)).toEqual(promised);
        expect((await audited(collector)).toSorted()).toEqual(sealed.map((_, number) => `${session}/${number}`));
        await collector.close();
        if (!crashed) break;
      }
    },
  );
});

describe('the key of the log', () => {
  test('is made once, for its owner alone, and may be kept elsewhere', async () => {
    const { open, path } = await aPlace();
    const collector = await open();
    for (const { parcel } of aSession().sealed) await collector.ingest(parcel);
    const key = await (await get(collector, 'key')).text();
    await collector.close();
    expect(statSync(join(path, 'log.seed')).mode & 0o777).toBe(0o600);
    const file = join(path, 'key');
    writeFileSync(file, `${readFileSync(join(path, 'log.seed')).toString('base64')}\n`);
    expect(readLogKey(file).publicKey).toEqual(parseVerifierKey(key.trim()).key);
    writeFileSync(file, 'c2hvcnQ=');
    expect(() => readLogKey(file)).toThrow('has not 32 bytes (LogAltered)');
    writeFileSync(join(path, 'log.seed'), 'short');
    await expect(open()).rejects.toMatchObject({ code: 'LogAltered' });
  });
});

describe('the log over HTTP', () => {
  test('is for those who may list sessions of some namespace', async () => {
    const { open } = await aPlace();
    const collector = await open();
    for (const { parcel } of aSession().sealed) await collector.ingest(parcel);
    for (const target of ['key', 'checkpoint', 'tile/0/000.p/3']) {
      expect((await get(collector, target)).status).toBe(200);
      expect((await get(collector, target, 'stranger')).status).toBe(403);
    }
  });

  test.each([
    'tile/0/001',
    'tile/0/000',
    'tile/9/000',
    'tile/0/000.p/0',
    'tile/0/000.p/300',
    'tile/0/0',
    'tile/entries/000.p/4',
    'tile/x',
    'tile/0/..%2f..%2fstate',
  ])('has no %s', async (target) => {
    const { open } = await aPlace();
    const collector = await open();
    for (const { parcel } of aSession().sealed) await collector.ingest(parcel);
    expect((await get(collector, target)).status).toBe(404);
  });
});
