import {
  auditTiles,
  leafHash,
  merkleRoot,
  openNote,
  parseCheckpoint,
  type Tile,
  tilePath,
  tilesSince,
  verifierOf,
  verifyConsistency,
  verifyInclusion,
} from '@chaperone/evidence';
import { seededRandom, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DirectoryStore } from '../objects/index.ts';
import { aLogSigner, CrashingStore } from './log.test-support.ts';
import { TransparencyLog } from './transparency-log.ts';

const signer = aLogSigner();
const open = (store: CrashingStore | DirectoryStore): Promise<TransparencyLog> =>
  TransparencyLog.open({ store, signer, now: () => 0 });
const entry = (number: number): Buffer => Buffer.from(`entry ${number} ${'x'.repeat(number % 40)}`);
const entries = (from: number, count: number): Buffer[] => Array.from({ length: count }, (_, at) => entry(from + at));
async function contents(log: TransparencyLog): Promise<string[]> {
  const found: string[] = [];
  for await (const { entry: bytes } of log.entries(0)) found.push(bytes.toString());
  return found;
}
/** Every tile that a reader of this log may ask for. */
async function tilesOf(log: TransparencyLog): Promise<Map<string, Buffer>> {
  const tiles = new Map<string, Buffer>();
  for (const tile of tilesSince(0, log.head.size)) tiles.set(tilePath(tile), (await log.tile(tile)) ?? Buffer.from('missing'));
  return tiles;
}

describe('a log in a store', () => {
  it('grows by any steps to the tree of its entries, with tiles that its checkpoint proves, and opens again as it was', async () => {
    const random = seededRandom(8);
    const store = new CrashingStore();
    let log = await open(store);
    expect(log.head).toEqual({ size: 0, root: merkleRoot([]) });
    const all: Buffer[] = [];
    while (all.length < 1_400) {
      const added = entries(all.length, 1 + Math.floor(random() * (random() < 0.1 ? 700 : 40)));
      expect(await log.append(added)).toBe(all.length);
      all.push(...added);
      if (random() < 0.3) log = await open(store);
      expect(log.head).toEqual({ size: all.length, root: merkleRoot(all.map(leafHash)) });
      const tiles = await tilesOf(log);
      expect(auditTiles(log.head, (tile: Tile) => tiles.get(tilePath(tile)))).toEqual([]);
      const signed = parseCheckpoint(openNote(log.checkpoint, [verifierOf(signer.key)]).text);
      expect(signed).toMatchObject({ origin: signer.key.name, size: all.length, root: log.head.root });
    }
    expect(await contents(log)).toEqual(all.map(String));
    // Full tiles and the state, and nothing that has to be removed one day.
    expect([...store.objects.keys()].filter((name) => name.includes('.p/'))).toEqual([]);
  });

  it('is opened to go on from what somebody has seen of it, and nothing is written where it does not', async () => {
    const store = new CrashingStore();
    const log = await open(store);
    await log.append(entries(0, 3));
    const early = log.checkpoint;
    const copy = new Map(store.objects);
    await log.append(entries(3, 300));
    const late = log.checkpoint;
    const since = (note: Buffer | string, of = store): Promise<TransparencyLog> =>
      TransparencyLog.open({ store: of, signer, now: () => 0, since: Buffer.from(note) });
    for (const note of [early, late]) expect((await since(note)).head.size).toBe(303);
    const older = new CrashingStore();
    for (const [name, object] of copy) older.objects.set(name, object);
    const another = new CrashingStore();
    await (await open(another)).append(entries(1, 400));
    for (const [of, note, words] of [
      [older, late, 'the log has 3 entries, and the checkpoint that it has to go on from is of 303'],
      [new CrashingStore(), early, 'there is no log'],
      [another, late, 'it went another way'],
      [store, late.toString().replace('303', '302'), 'no checkpoint that its key signed'],
      [store, '', 'no checkpoint that its key signed'],
    ] as const) {
      const before = new Map(of.objects);
      await expect(since(note, of)).rejects.toMatchObject({
        code: 'LogBehind',
        message: expect.stringContaining(words) as string,
      });
      expect(of.objects).toEqual(before);
    }
  });

  it('proves each entry, and each older tree, to whoever has a checkpoint', async () => {
    const log = await open(new CrashingStore());
    const heads = [log.head];
    for (const count of [1, 254, 1, 1, 255, 300]) {
      await log.append(entries(log.head.size, count));
      heads.push(log.head);
    }
    for (const head of heads) {
      for (const index of [0, 1, 255, 256, 511, 600, head.size - 1].filter((each) => each >= 0 && each < head.size))
        expect(verifyInclusion(leafHash(entry(index)), index, head, await log.inclusion(index, head))).toBe(true);
      for (const older of heads.filter(({ size }) => size <= head.size))
        expect(verifyConsistency(older, head, await log.consistency(older.size, head))).toBe(true);
    }
    await expect(log.inclusion(log.head.size)).rejects.toThrow(RangeError);
  });

  it('shows tiles as narrow as they were, and none that it has not', async () => {
    const log = await open(new CrashingStore());
    await log.append(entries(0, 300));
    expect(await log.tile({ level: 0, index: 1, width: 10 })).toEqual(Buffer.concat(entries(256, 10).map(leafHash)));
    expect((await log.tile({ level: 'entries', index: 0, width: 1 }))?.subarray(2)).toEqual(entry(0));
    for (const tile of [
      { level: 0, index: 1, width: 45 },
      { level: 0, index: 2, width: 1 },
      { level: 2, index: 0, width: 1 },
    ] as const)
      expect(await log.tile(tile)).toBeUndefined();
  });

  it('on a disk is the same', async () => {
    const directory = await temporaryDirectory();
    onTestFinished(() => directory[Symbol.asyncDispose]());
    const store = new DirectoryStore(directory.path);
    const log = await open(store);
    await log.append(entries(0, 600));
    const again = await open(store);
    expect([again.head, await contents(again)]).toEqual([log.head, await contents(log)]);
  });
});

describe('a crash at any write', () => {
  const STEPS = [3, 300, 1, 250, 40, 256];
  it.each([true, false])(
    'loses nothing that was said to be in, and leaves a log that goes on (the write itself took place: %s)',
    async (effect) => {
      for (let at = 1; ; at++) {
        const store = new CrashingStore();
        store.effect = effect;
        store.left = at;
        let [acknowledged, given] = [0, 0];
        const crashed = await (async () => {
          const log = await open(store);
          for (const count of STEPS) {
            given += count;
            await log.append(entries(acknowledged, count));
            acknowledged = given;
          }
        })().then(
          () => false,
          () => true,
        );
        store.left = Number.POSITIVE_INFINITY;
        const log = await open(store);
        const { size } = log.head;
        // All of a step or nothing of it.
        expect([acknowledged, given]).toContain(size);
        // What comes again may be other entries, in other steps.
        await log.append([Buffer.from('other'), ...entries(size, 400)]);
        expect(await contents(log)).toEqual([...entries(0, size).map(String), 'other', ...entries(size, 400).map(String)]);
        const tiles = await tilesOf(log);
        expect(auditTiles(log.head, (tile) => tiles.get(tilePath(tile)))).toEqual([]);
        if (!crashed) break;
      }
    },
  );
});

describe('two who append', () => {
  it('cannot both: the one who read before the other wrote is refused, and has changed nothing', async () => {
    const store = new CrashingStore();
    const [one, two] = [await open(store), await open(store)];
    await one.append(entries(0, 300));
    await expect(two.append([Buffer.from('lost')])).rejects.toMatchObject({ code: 'LogTaken' });
    expect(await contents(await open(store))).toEqual(entries(0, 300).map(String));
  });

  it('are not taken for two where only the answer was lost', async () => {
    const store = new CrashingStore();
    const log = await open(store);
    const replace = store.replace.bind(store);
    store.replace = async (...args) => {
      await replace(...args);
      return 'changed';
    };
    expect(await log.append(entries(0, 2))).toBe(0);
    expect(await log.append(entries(2, 2))).toBe(2);
  });
});

async function filled(): Promise<CrashingStore> {
  const store = new CrashingStore();
  const log = await open(store);
  for (const count of [256, 100, 300]) await log.append(entries(log.head.size, count));
  return store;
}

describe('a log that somebody changed', () => {
  it('is not opened, whatever byte of its state it is', async () => {
    const store = await filled();
    const state = store.objects.get('log/state');
    if (state === undefined) throw new Error('a log has a state');
    for (let at = 0; at < state.bytes.length; at += 7) {
      const bytes = Buffer.from(state.bytes);
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      store.objects.set('log/state', { ...state, bytes });
      await expect(open(store), `byte ${at}`).rejects.toMatchObject({ code: 'LogAltered' });
    }
  });

  it('is not begun anew where its state is gone', async () => {
    const store = await filled();
    store.objects.delete('log/state');
    await expect(open(store)).rejects.toMatchObject({ code: 'LogAltered' });
  });

  it('is not opened with another key', async () => {
    const store = await filled();
    await expect(TransparencyLog.open({ store, signer: aLogSigner(), now: () => 0 })).rejects.toMatchObject({
      code: 'LogAltered',
    });
  });

  it('says which bundle is missing', async () => {
    const store = await filled();
    store.objects.delete('log/tile/entries/000');
    await expect(contents(await open(store))).rejects.toThrow('log/tile/entries/000 is missing');
  });

  it('does not take a full tile that is another one for its own', async () => {
    const store = await filled();
    store.objects.set('log/tile/0/002', { bytes: Buffer.alloc(8192), at: 0, version: 'x' });
    const log = await open(store);
    await expect(log.append(entries(656, 200))).rejects.toMatchObject({ code: 'LogAltered' });
  });
});
