import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { Outbox } from './outbox.ts';

function aSocket(): { socket: Writable; writes: Buffer[] } {
  const writes: Buffer[] = [];
  const socket = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      writes.push(chunk);
      done();
    },
  });
  return { socket, writes };
}

/** Each in memory of its own, so that none is the neighbour of another. */
function pieces(count: number, bytes: number): Buffer[] {
  return Array.from({ length: count }, (_, at) => Buffer.allocUnsafeSlow(bytes).fill(at));
}

test.each([
  ['one small piece, in one write', 1, 10, 1],
  ['a short answer, in one write', 5, 100, 1],
  ['more pieces than places are kept, in one write', 40, 100, 1],
  ['large pieces, each in its own write', 3, 16 * 1024, 3],
])('hands over %s, the second time as the first', (_what, count, bytes, writesEach) => {
  const { socket, writes } = aSocket();
  const outbox = new Outbox(socket, () => undefined);
  for (const round of [1, 2]) {
    const given = pieces(count, bytes);
    for (const piece of given) outbox.push(piece);
    expect(outbox.empty).toBe(false);
    outbox.flush();
    expect(outbox.empty).toBe(true);
    expect(writes).toHaveLength(writesEach);
    expect(Buffer.concat(writes.splice(0)).equals(Buffer.concat(given))).toBe(true);
    expect(outbox.bytes).toBe(round * count * bytes);
  }
});

test('neighbours within one buffer go out as the one slice that they are', () => {
  const { socket, writes } = aSocket();
  const outbox = new Outbox(socket, () => undefined);
  const read = Buffer.allocUnsafeSlow(30).fill('r');
  for (const at of [0, 10, 20]) outbox.push(read.subarray(at, at + 10));
  outbox.flush();
  expect(writes).toEqual([read]);
  expect(writes[0]?.buffer).toBe(read.buffer);
});

test('nothing is written twice, nor where nothing was pushed', () => {
  const { socket, writes } = aSocket();
  const outbox = new Outbox(socket, () => undefined);
  outbox.flush();
  for (const piece of pieces(3, 4)) outbox.push(piece);
  outbox.flush();
  outbox.flush();
  expect(writes).toHaveLength(1);
});
