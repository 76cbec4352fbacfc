import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { type Entry, readEntries } from './entries.ts';
import { decodeFrames } from './frames.ts';
import { Journal, type JournalOptions } from './journal.ts';
import type { RecordingError } from './recorder.ts';
import { readJournal } from './recovery.ts';
import { Spool } from './spool.ts';

const [A, B] = ['s-aaaaaaaaaaaaaaaa', 's-bbbbbbbbbbbbbbbb'];
const record = (session: string, text: string, number = 0): Entry => ({
  kind: 'record',
  session,
  number,
  body: Buffer.from(text),
});

class User {
  error: RecordingError | undefined;
  fail(error: RecordingError): void {
    this.error ??= error;
  }
}

async function aJournal(options: Partial<JournalOptions> = {}) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const spool = await Spool.open(join(directory.path, 'spool'), join(directory.path, 'run'));
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const journal = new Journal({ spool, maxFileBytes: 1024 * 1024, delayMs: 5, found: [], onError, ...options });
  onTestFinished(() => journal.stop());
  const frames = (number = 0): Entry[][] => {
    const { frames: found, end } = decodeFrames(readFileSync(spool.journalPath(number)), spool.key, `${number}.journal`);
    expect(end).toBe('whole');
    return found.map((frame) => readEntries(frame ?? Buffer.of(0)));
  };
  return { spool, journal, frames, errors };
}

test('who writes alone has a frame at once; what several add in a turn is one frame, in order', async () => {
  const { journal, frames } = await aJournal();
  const [a, b] = [new User(), new User()];
  for (const text of ['one', 'two']) {
    journal.add(record(A, text), a);
    const written = journal.written();
    expect(frames().at(-1)).toEqual([record(A, text)]);
    await written;
  }
  journal.add(record(B, 'three'), b);
  await journal.durable('now');
  for (let turn = 0; turn < 2; turn++) {
    journal.add(record(A, 'four'), a);
    const written = journal.written();
    expect(frames()).toHaveLength(3 + turn);
    journal.add(record(B, 'five'), b);
    await Promise.all([written, journal.written()]);
    expect(frames().at(-1)).toEqual([record(A, 'four'), record(B, 'five')]);
  }
  journal.add(record(A, 'six'), a);
  await journal.durable('now');
  journal.add(record(A, 'seven'), a);
  await journal.durable('now');
  journal.add(record(A, 'eight'), a);
  await journal.written();
  expect(frames().at(-1)).toEqual([record(A, 'eight')]);
  expect([a.error, b.error]).toEqual([undefined, undefined]);
});

test('a turn that is written early leaves nothing behind that ends the next one', async () => {
  const { journal, frames } = await aJournal();
  const [a, b] = [new User(), new User()];
  for (const user of [a, b]) journal.add(record(A, 'first'), user);
  await journal.durable('now');
  journal.add(record(A, 'one'), a);
  const early = journal.written();
  journal.flush();
  await early;
  setImmediate(() => journal.add(record(B, 'three'), b));
  journal.add(record(A, 'two'), a);
  await journal.written();
  expect(frames().at(-1)).toEqual([record(A, 'two'), record(B, 'three')]);
});

test('entries that are larger than a batch, and those around them, keep their order', async () => {
  const { journal, frames } = await aJournal({ maxFileBytes: 64 * 1024 * 1024 });
  const entries = [1, 100_000, 50_000, 890_000, 3, 0, 200_000].map((length, at) => record(A, String(at).repeat(length)));
  for (const entry of entries) journal.add(entry, new User());
  await journal.durable('now');
  expect(frames().flat()).toEqual(entries);
});

test('a file that is full is followed by another; both stay while somebody holds the first, and go oldest first', async () => {
  const { journal, spool, errors } = await aJournal({ maxFileBytes: 100 });
  const user = new User();
  const held = [journal.hold(), journal.hold(0)];
  for (let at = 0; at < 3; at++) {
    journal.add(record(A, 'x'.repeat(100)), user);
    await journal.durable('now');
  }
  const last = journal.hold();
  const files = (): string[] => readdirSync(spool.directory).toSorted();
  expect(files()).toEqual(['0.journal', '1.journal', '2.journal']);
  journal.release(held[0] ?? 0);
  await journal.durable('now');
  expect(files()).toHaveLength(3);
  journal.release(held[1] ?? 0);
  await eventually('all to go', () => (files().length === 0 ? true : undefined));
  expect(spool.usedBytes).toBe(0);
  journal.release(last);
  expect(errors).toEqual([]);
});

test('segments of many sessions are stored two at a time, so that the journal finds a thread; one that fails holds up no other', async () => {
  const { spool } = await aJournal();
  const sessions = Array.from('abcdefgh', (letter) => `s-${letter.repeat(16)}`);
  mkdirSync(`${spool.segmentPath(A, 0)}.tmp/there`, { recursive: true });
  const storing = sessions.map((session) => spool.store(session, 0, Buffer.from(session)));
  const settled = Promise.allSettled(storing);
  const begun = readdirSync(spool.directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  // Of the first two one could not even be opened.
  expect(begun.map(({ name }) => name)).toEqual([`${B}.0.seg.tmp`]);
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', ...Array.from({ length: 7 }, () => 'fulfilled')]);
  for (const session of sessions.slice(1)) expect((await spool.load(session, 0)).toString()).toBe(session);
});

test('a segment that was received keeps its name until the files are gone that may hold its records', async () => {
  const { journal, spool } = await aJournal();
  const held = journal.hold();
  journal.add(record(A, 'x'), new User());
  await journal.durable('now');
  await spool.store(A, 0, Buffer.from('segment'));
  journal.freed(await spool.empty(A, 0));
  journal.rest(false);
  await journal.durable('now');
  expect(readFileSync(spool.segmentPath(A, 0))).toHaveLength(0);
  journal.release(held);
  journal.rest(false);
  await eventually('both to go', () => (readdirSync(spool.directory).length === 0 ? true : undefined));
});

test('where segments wait for it a file ends in time, though somebody holds it', async () => {
  const { journal, spool } = await aJournal();
  const held = journal.hold();
  journal.add(record(A, 'x'), new User());
  await journal.durable('now');
  expect(journal.isOld(held)).toBe(false);
  journal.rest(true);
  expect(journal.isOld(held)).toBe(false);
  await spool.store(A, 0, Buffer.from('segment'));
  journal.freed(await spool.empty(A, 0));
  journal.rest(true);
  expect(journal.isOld(held)).toBe(true);
});

test('a write that fails is told to those whose entries it had, and to nobody else; the next goes into another file', async () => {
  const { journal, spool, frames } = await aJournal({ maxFileBytes: 1 });
  const [before, during, after] = [new User(), new User(), new User()];
  journal.add(record(A, 'before'), before);
  await journal.durable('now');
  renameSync(spool.directory, `${spool.directory}-away`);
  journal.add(record(A, 'during'), during);
  await journal.written();
  expect(during.error).toMatchObject({ code: 'RecordingFailed' });
  await journal.durable('now');
  renameSync(`${spool.directory}-away`, spool.directory);
  journal.hold();
  journal.add(record(B, 'after'), after);
  await journal.durable('now');
  expect([before.error, after.error]).toEqual([undefined, undefined]);
  expect(frames(2)).toEqual([[record(B, 'after')]]);
});

test('a name that cannot be made durable fails those who have entries in its file', async () => {
  const { journal, spool } = await aJournal();
  const user = new User();
  journal.add(record(A, 'x'), user);
  journal.flush();
  renameSync(spool.directory, `${spool.directory}-away`);
  await journal.durable('now');
  expect(user.error).toMatchObject({ code: 'RecordingFailed' });
  renameSync(`${spool.directory}-away`, spool.directory);
});

test('a file that cannot be removed is said, and does not stop the rest', async () => {
  const { journal, spool, errors } = await aJournal({ found: [3] });
  mkdirSync(spool.journalPath(3));
  journal.rest(false);
  await eventually('an error', () => (errors.length > 0 ? true : undefined));
  rmSync(spool.journalPath(3), { recursive: true });
  const user = new User();
  journal.add(record(A, 'x'), user);
  await journal.durable('now');
  expect(existsSync(spool.journalPath(4))).toBe(true);
  expect(user.error).toBe(undefined);
});

const head = (session: string, number: number) => ({
  kind: 'begin' as const,
  session,
  number,
  body: Buffer.from(
    JSON.stringify({
      nkey: 'U',
      session,
      number,
      prev: null,
      firstSeq: 0,
      policy: 'p',
      counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
      at: 1,
      mono: 1,
    }),
  ),
});

test('cut at any byte it gives what was written whole before, of each session in order, and nothing else', async () => {
  const { journal, spool } = await aJournal();
  const user = new User();
  const turns = [[head(A, 0), record(A, 'a0')], [head(B, 0), record(B, 'b0'), record(A, 'a1')], [record(B, 'b1')], [head(A, 1)]];
  const ends: number[] = [];
  for (const turn of turns) {
    for (const entry of turn) journal.add(entry, user);
    journal.flush();
    ends.push(readFileSync(spool.journalPath(0)).length);
  }
  const whole = readFileSync(spool.journalPath(0));
  const said: string[] = [];
  const logger = { info: () => undefined, warn: () => undefined, error: (text: string) => void said.push(text) };
  for (let end = 0; end <= whole.length; end++) {
    writeFileSync(spool.journalPath(0), whole.subarray(0, end));
    const contents = await readJournal([0], () => true, { spool, journal, outbox: { unreadable: 0 } as never }, logger);
    const expected = turns.filter((_, at) => (ends[at] ?? 0) <= end).flat();
    for (const session of [A, B]) {
      const own = expected.filter((entry) => entry.session === session);
      const [found] = [contents.get(session)];
      expect([...(found?.keys() ?? [])], `cut at ${end}`).toEqual([...new Set(own.map(({ number }) => number))]);
      const texts = own.filter(({ kind }) => kind === 'record').map(({ body }) => body);
      expect(found?.get(0)?.texts ?? []).toEqual(texts);
      expect(found?.get(0)?.isCut ?? false).toBe(false);
    }
  }
  expect(said).toEqual([]);
});
