import { expect, test } from 'vitest';
import { Tail } from './tail.ts';

const HEAD = {
  nkey: 'U',
  session: 's-aaaaaaaaaaaaaaaa',
  number: 0,
  prev: null,
  firstSeq: 0,
  policy: 'p',
  counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
  at: 1,
  mono: 1,
  key: { secret: '', wrapped: { session: 's-aaaaaaaaaaaaaaaa', id: '', to: [] } },
};

/** Lengths on both sides of every size that a buffer of records has. */
const LENGTHS = [0, 1, 1023, 1024, 1025, 2048, 3000, 0, 33_000, 135_167, 135_168, 135_169, 100, 131_000, 7, 0];

test('records come back as they went in', () => {
  const tail = new Tail(HEAD);
  const records = [...LENGTHS, ...LENGTHS.toReversed()].map((length, at) => Buffer.alloc(length, 97 + (at % 26)));
  for (const [at, record] of records.entries()) {
    const cut = Math.floor(record.length / 3);
    const end = tail.append(record.length, record.toString('utf8', 0, cut), record.subarray(cut));
    expect(tail.chunk.subarray(end - record.length, end)).toEqual(record);
    expect(tail.count).toBe(at + 1);
  }
  expect(tail.records).toEqual(records);
  expect(tail.plainBytes).toBe(records.reduce((sum, { length }) => sum + 4 + length, 0));
});

test('bytes may change in the hands of their giver once they were taken', () => {
  const tail = new Tail(HEAD);
  const data = Buffer.from('as it was');
  tail.append(2 + data.length, 'é', data);
  data.fill(0);
  expect(tail.records.map(String)).toEqual(['éas it was']);
});
