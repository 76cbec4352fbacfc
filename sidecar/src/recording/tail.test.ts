import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { decodeFrames } from './frames.ts';
import { Spool } from './spool.ts';
import { splitRecords, Tail } from './tail.ts';

const SESSION = 's-aaaaaaaaaaaaaaaa';
const HEAD = {
  nkey: 'U',
  session: SESSION,
  number: 0,
  prev: null,
  firstSeq: 0,
  policy: 'p',
  counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
  at: 1,
  mono: 1,
};

async function aTail(): Promise<{ tail: Tail; frames: () => Promise<readonly Buffer[]> }> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const spool = await Spool.open(join(directory.path, 'spool'), join(directory.path, 'run'));
  await mkdir(join(spool.directory, SESSION));
  const tail = new Tail(spool, HEAD, () => undefined);
  onTestFinished(() => tail.release(true));
  const frames = async (): Promise<readonly Buffer[]> => {
    const name = `${SESSION}/0.tail`;
    const found = decodeFrames(await readFile(join(spool.directory, name)), spool.key, name);
    expect(found.end).toBe('whole');
    return found.frames.slice(1);
  };
  return { tail, frames };
}

/** Lengths on both sides of every size that a buffer of records has. */
const LENGTHS = [0, 1, 1019, 1020, 1021, 2044, 3000, 0, 32_763, 32_764, 32_765, 100, 131_000, 7];

test.each([
  ['each in a frame of its own', 1],
  ['two in a frame', 2],
  ['five in a frame', 5],
  ['all in one frame', 1000],
])('records are the same in memory and in the file, %s', async (_, perFrame) => {
  const { tail, frames } = await aTail();
  const records = [...LENGTHS, ...LENGTHS.toReversed()].map((length, at) => Buffer.alloc(length, 97 + (at % 26)));
  for (const [at, record] of records.entries()) {
    tail.append(record);
    expect(tail.count).toBe(at + 1);
    if ((at + 1) % perFrame === 0) tail.flush();
  }
  tail.flush();
  tail.flush();
  expect(tail.records).toEqual(records);
  expect(tail.plainBytes).toBe(records.reduce((sum, { length }) => sum + 4 + length, 0));
  const written = await frames();
  expect(written).toHaveLength(Math.ceil(records.length / perFrame));
  expect(written.flatMap(splitRecords)).toEqual(records);
});

test('a record may change in the hands of its giver once it was taken', async () => {
  const { tail, frames } = await aTail();
  const record = Buffer.from('as it was');
  tail.append(record);
  record.fill(0);
  tail.flush();
  expect(tail.records.map(String)).toEqual(['as it was']);
  expect((await frames()).flatMap(splitRecords).map(String)).toEqual(['as it was']);
});
