import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { generateSigner, newSessionId } from '@chaperone/evidence';
import { seededRandom, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess } from './access.ts';
import { type Collector, createCollector } from './collector.ts';
import { ENGINES, type OpenIndex } from './evidence-index/engines.test-support.ts';
import { aPod, aSession, silent, readers, trust } from './evidence.fixture.ts';

const logged: unknown[] = [];
const noting = { ...silent, warn: (_: string, fields: Record<string, unknown> = {}) => void logged.push(fields['code']) };
async function aStore(openIndex: OpenIndex = () => Promise.resolve(undefined)) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const path = directory.path;
  const open = async (): Promise<Collector> => {
    const index = await openIndex();
    const options = { directory: path, trust, readers, access: createTokenAccess('t'), logger: noting };
    const collector = await createCollector({ ...options, ...(index === undefined ? {} : { index }) });
    onTestFinished(() => collector.close());
    return collector;
  };
  return { path, open, collector: await open() };
}
const objectPath = (path: string, digest: string, kind = 'seg'): string =>
  join(path, 'objects', kind, digest.slice(0, 2), digest);

async function filled(openIndex?: OpenIndex) {
  const store = await aStore(openIndex);
  const [session, pod] = [newSessionId(), aPod()];
  for (const each of [
    aSession({ session, pod }),
    aSession({ segments: 9 }),
    aSession({ close: false }),
    aSession({ session, pod, text: 'x' }),
  ])
    for (const { parcel } of each.sealed.toReversed()) await store.collector.ingest(parcel);
  for (const { parcel } of aSession({ segments: 5 }).sealed.toSpliced(2, 1)) await store.collector.ingest(parcel);
  return store;
}

describe.each(ENGINES)('the store with its index in $engine', ({ use }) => {
  const newIndex = use();

  test('gives each segment one entry of the log, the same again for the same bytes, and keeps one object', async () => {
    const { collector, path } = await aStore(await newIndex());
    const { session, nkey, sealed } = aSession();
    for (const [number, { parcel, bytes, digest }] of sealed.entries()) {
      const place = { session, nkey, number, entry: number };
      expect(await collector.ingest(parcel)).toEqual({ kind: 'stored', ...place });
      expect(await collector.ingest(parcel)).toEqual({ kind: 'duplicate', ...place });
      expect(readFileSync(objectPath(path, digest))).toEqual(bytes);
    }
    expect(
      readdirSync(join(path, 'objects', 'seg'), { recursive: true, withFileTypes: true }).filter((e) => e.isFile()),
    ).toHaveLength(3);
  });

  test('in any order of arrival ends the same', async () => {
    const random = seededRandom(3);
    const stores: unknown[] = [];
    const { sealed } = aSession({ segments: 6 });
    for (let round = 0; round < 4; round++) {
      const { collector } = await aStore(await newIndex());
      const order = sealed.map((segment, number) => ({ segment, at: round === 0 ? number : random() }));
      for (const { segment } of order.toSorted((a, b) => a.at - b.at))
        expect(await collector.ingest(segment.parcel)).toMatchObject({ kind: 'stored' });
      stores.push(
        JSON.parse(
          JSON.stringify(await collector.dump(), (key, value: unknown) => (['received_at', 'leaves'].includes(key) ? 0 : value)),
        ),
      );
    }
    for (const dump of stores) expect(dump).toEqual(stores[0]);
  });

  test.each([
    [
      'another segment at the same place',
      'SegmentConflict',
      (s: string, pod: ReturnType<typeof aPod>) => aSession({ session: s, pod, text: 'other' }).sealed[1],
    ],
    ['a session that another pod began', 'ForeignSession', (s: string) => aSession({ session: s }).sealed[1]],
    [
      'a segment that does not follow',
      'ChainBroken',
      (s: string, pod: ReturnType<typeof aPod>) => aSession({ session: s, pod, text: 'other', segments: 4 }).sealed[3],
    ],
  ])('does not take %s, keeps it beside, and says so (%s)', async (_, code, make) => {
    const { collector, path } = await aStore(await newIndex());
    const [session, pod] = [newSessionId(), aPod()];
    const { sealed } = aSession({ session, pod, close: false });
    for (const { parcel } of sealed) await collector.ingest(parcel);
    const before = readFileSync(objectPath(path, sealed[1]?.digest ?? ''));
    const other = make(session, pod);
    expect(await collector.ingest(other?.parcel ?? Buffer.alloc(0))).toEqual({ kind: 'refused', code });
    expect(readFileSync(objectPath(path, sealed[1]?.digest ?? ''))).toEqual(before);
    expect(readFileSync(objectPath(path, other?.digest ?? '', 'conflict'))).toEqual(other?.bytes);
    expect(await collector.dump()).toMatchObject({
      findings: [{ session, code, digest: other?.digest }],
      sessions: [{ segments: 3 }],
    });
  });

  test('keeps no more than sixteen contradictions of one session', async () => {
    const { collector } = await aStore(await newIndex());
    const [session, pod] = [newSessionId(), aPod()];
    for (let round = 0; round < 20; round++)
      await collector.ingest(aSession({ session, pod, text: `text ${round}`, segments: 1 }).sealed[0]?.parcel ?? Buffer.alloc(0));
    expect((await collector.dump()) as { findings: unknown[] }).toMatchObject({ findings: { length: 16 } });
  });

  test('refuses what nobody trusted signed, what is damaged, and what came under another name', async () => {
    const { collector } = await aStore(await newIndex());
    const stranger = aSession({ pod: aPod(undefined, generateSigner()) }).sealed[0]?.parcel ?? Buffer.alloc(0);
    expect(await collector.ingest(stranger)).toEqual({ kind: 'refused', code: 'RegistrationUntrusted' });
    for (const sealedAt of [0, 3_600_002])
      expect(await collector.ingest(aSession({ sealedAt }).sealed[0]?.parcel ?? Buffer.alloc(0))).toEqual({
        kind: 'refused',
        code: 'EpochExceeded',
      });
    const { sealed, nkey, session } = aSession();
    const bytes = sealed[0]?.parcel ?? Buffer.alloc(0);
    expect(await collector.ingest(bytes.subarray(0, 99))).toMatchObject({ kind: 'refused' });
    expect(await collector.ingest(bytes, { nkey, session: newSessionId() })).toEqual({
      kind: 'refused',
      code: 'SubjectMismatch',
    });
    expect(await collector.ingest(bytes, { nkey: aSession().nkey, session })).toEqual({
      kind: 'refused',
      code: 'SubjectMismatch',
    });
    expect(await collector.dump()).toEqual({ sessions: [], segments: [], findings: [], commands: [], leaves: [] });
    expect(await collector.ingest(bytes, { nkey, session })).toMatchObject({ kind: 'stored' });
  });

  test('heals an object that was lost or damaged when the same segment comes again', async () => {
    const { collector, path } = await aStore(await newIndex());
    const { sealed } = aSession();
    for (const { parcel } of sealed) await collector.ingest(parcel);
    const [a, b] = sealed;
    rmSync(objectPath(path, a?.digest ?? ''));
    writeFileSync(objectPath(path, b?.digest ?? ''), 'damaged');
    for (const { parcel } of sealed) expect(await collector.ingest(parcel)).toMatchObject({ kind: 'duplicate' });
    for (const { bytes, digest } of sealed) expect(readFileSync(objectPath(path, digest))).toEqual(bytes);
  });

  test('built again from the objects is the same, also in place, and with what no database takes as it is', async () => {
    const { collector, open } = await filled(await newIndex());
    for (const { parcel } of aSession({ text: "select '\0 \ud800 \u202e'", segments: 2 }).sealed) await collector.ingest(parcel);
    const before = await collector.dump();
    expect(before).toMatchObject({ sessions: { length: 5 }, findings: { length: 3 } });
    expect(await collector.reindex()).toEqual({ segments: 21, conflicts: 3, damaged: [] });
    expect(await collector.dump()).toEqual(before);
    await collector.close();
    expect(await (await open()).dump()).toEqual(before);
  });

  test('answers alike in every engine', async () => {
    const { collector } = await filled(await newIndex());
    const { sessions } = (await collector.dump()) as { sessions: Record<string, unknown>[] };
    for (const session of sessions)
      expect(
        Object.entries(session).filter(([, value]) => !['string', 'number'].includes(typeof value) && value !== null),
      ).toEqual([]);
  });
});

describe('the index in a file', () => {
  test('belongs to one process at a time', async () => {
    const { path, collector } = await aStore();
    await collector.ingest(aSession().sealed[0]?.parcel ?? Buffer.alloc(0));
    await expect(
      createCollector({ directory: path, trust, readers, access: createTokenAccess('t'), logger: silent }),
    ).rejects.toThrow(/locked/);
  });

  test('built again from the objects is the same, in place and after its file is deleted', async () => {
    const { collector, path, open } = await filled();
    const before = await collector.dump();
    expect(before).toMatchObject({ sessions: { length: 4 }, findings: { length: 3 } });
    expect(await collector.reindex()).toEqual({ segments: 19, conflicts: 3, damaged: [] });
    expect(await collector.dump()).toEqual(before);
    await collector.close();
    for (const name of readdirSync(path)) if (name.startsWith('index.sqlite')) rmSync(join(path, name));
    const again = await open();
    expect(await again.dump()).toEqual(before);
  });

  test('of another version, or left half built by a crash, is built again at start', async () => {
    const { collector, path, open } = await filled();
    const before = await collector.dump();
    await collector.close();
    const database = new DatabaseSync(join(path, 'index.sqlite'));
    database.exec("PRAGMA user_version = 0; DELETE FROM segments WHERE number = 1; UPDATE sessions SET nkey = 'x'");
    database.close();
    expect(await (await open()).dump()).toEqual(before);
  });

  test.each<[string, (whole: Buffer) => Buffer]>([
    ['garbage', () => Buffer.from('garbage '.repeat(1_000))],
    ['cut short', (whole) => whole.subarray(0, 5_000)],
    ['garbage behind its head', (whole) => Buffer.concat([whole.subarray(0, 4_096), Buffer.alloc(whole.length - 4_096, 0x5a)])],
  ])('that is %s is put aside, said, and built again at start', async (_what, damage) => {
    const { collector, path, open } = await filled();
    const before = await collector.dump();
    await collector.close();
    const file = join(path, 'index.sqlite');
    const damaged = damage(readFileSync(file));
    writeFileSync(file, damaged);
    logged.length = 0;
    expect(await (await open()).dump()).toEqual(before);
    expect(readFileSync(`${file}.damaged`)).toEqual(damaged);
    expect(logged).toEqual(['IndexDamaged']);
  });

  test('that can be neither opened nor made anew is said with its path', async () => {
    const { collector, path, open } = await aStore();
    await expect(open()).rejects.toMatchObject({
      code: 'IndexUnreadable',
      message: expect.stringMatching(/index\.sqlite cannot be opened: .*locked/) as string,
    });
    await collector.close();
    for (const name of readdirSync(path)) if (name.startsWith('index.sqlite')) rmSync(join(path, name));
    mkdirSync(join(path, 'index.sqlite'));
    await expect(open()).rejects.toMatchObject({
      code: 'IndexUnreadable',
      message: expect.stringContaining(join(path, 'index.sqlite')) as string,
    });
  });

  test('leaves a damaged object out, names it, and takes all others in', async () => {
    const { collector, path } = await filled();
    const { segments } = (await collector.dump()) as { segments: { digest: string }[] };
    const digest = segments[4]?.digest ?? '';
    const bytes = readFileSync(objectPath(path, digest));
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    writeFileSync(objectPath(path, digest), bytes);
    expect(await collector.reindex()).toMatchObject({ segments: 18, damaged: [{ digest, code: 'PayloadAltered' }] });
  });
});
