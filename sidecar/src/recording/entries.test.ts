import { expect, test } from 'vitest';
import { ENTRY_HEAD_BYTES, type Entry, entryBytes, readEntries, writeEntry } from './entries.ts';

const SESSION = 's-abcdefghijk23456';
const entries: Entry[] = [
  { kind: 'begin', session: SESSION, number: 0, body: Buffer.from('{}') },
  { kind: 'record', session: 's-zzzzzzzzzzzzzzzz', number: 0xffff_ffff, body: Buffer.alloc(70_000, 'ä') },
  { kind: 'record', session: SESSION, number: 256, body: Buffer.alloc(0) },
];

function aFrame(): Buffer {
  const frame = Buffer.alloc(entries.reduce((sum, { body }) => sum + ENTRY_HEAD_BYTES + body.length, 0));
  expect(entries.reduce((at, entry) => writeEntry(frame, at, entry), 0)).toBe(frame.length);
  return frame;
}

test('entries come back as they went in', () => {
  expect(readEntries(aFrame())).toEqual(entries);
  expect(readEntries(Buffer.alloc(0))).toEqual([]);
});

test('an entry may lie within something larger, of which no other byte is written', () => {
  const within = {
    kind: 'record',
    session: SESSION,
    number: 1,
    body: Buffer.from('before, it, behind'),
    from: 8,
    to: 10,
  } as const;
  const frame = Buffer.alloc(entryBytes(within));
  expect(writeEntry(frame, 0, within)).toBe(frame.length);
  expect(readEntries(frame)).toEqual([{ kind: 'record', session: SESSION, number: 1, body: Buffer.from('it') }]);
  expect(entryBytes({ ...within, from: 18, to: 18 })).toBe(ENTRY_HEAD_BYTES);
});

test('of a frame that ends within one nothing is believed', () => {
  const frame = aFrame();
  const borders = new Set([0, ENTRY_HEAD_BYTES + 2, frame.length - ENTRY_HEAD_BYTES]);
  for (const end of [...Array(100).keys(), ...Array.from({ length: 100 }, (_, at) => frame.length - 1 - at)])
    if (!borders.has(end)) expect(() => readEntries(frame.subarray(0, end)), `cut at ${end}`).toThrow('wrong form');
});

test.each([
  ['kind', 4],
  ['session', 5],
])('an unknown %s is not believed', (_, at) => {
  const frame = aFrame();
  frame[at] = 7;
  expect(() => readEntries(frame)).toThrow('wrong form');
});
