import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { openSealedFile, recipientOf, sealFile } from './sealed-file.ts';

const [mine, theirs, strangers] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2), Buffer.alloc(32, 3)];

async function* pieces(bytes: Buffer, size = 50_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function whole(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of source) all.push(piece);
  return Buffer.concat(all);
}
const sealed = (bytes: Buffer, to = [mine, theirs]): Promise<Buffer> => whole(sealFile(pieces(bytes), to.map(recipientOf)));
const opened = (bytes: Buffer, key = mine, size?: number): Promise<Buffer> => whole(openSealedFile(pieces(bytes, size), [key]));

test.each([0, 1, 65_535, 65_536, 65_537, 131_072, 200_001])(
  '%i bytes come back for each recipient, however they arrive',
  async (length) => {
    const plain = randomBytes(length);
    const file = await sealed(plain);
    expect((await opened(file)).equals(plain)).toBe(true);
    expect((await opened(file, theirs, 65_552)).equals(plain)).toBe(true);
    expect((await opened(file.subarray(0), mine, length > 1000 ? 9_999 : 7)).equals(plain)).toBe(true);
  },
);

test('nobody else reads it, and no two files of the same are alike', async () => {
  const plain = Buffer.alloc(100, 'secret');
  const [one, two] = [await sealed(plain), await sealed(plain)];
  await expect(opened(one, strangers)).rejects.toMatchObject({ code: 'KeyUnusable' });
  expect(one.includes('secret')).toBe(false);
  expect(one.subarray(-116).equals(two.subarray(-116))).toBe(false);
});

describe('what was changed is refused', () => {
  test('at every byte of a short file', async () => {
    const file = await sealed(Buffer.from('x'), [mine]);
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      await expect(opened(changed), `byte ${at}`).rejects.toMatchObject({ name: 'EvidenceError' });
    }
  });

  test('where chunks are cut off, moved, doubled or added', async () => {
    const file = await sealed(randomBytes(3 * 65_536 + 5));
    const start = file.length - (3 * (65_536 + 16) + 5 + 16);
    const chunk = (at: number): Buffer => file.subarray(start + at * 65_552, start + (at + 1) * 65_552);
    const [head, a, b, c, last] = [file.subarray(0, start), chunk(0), chunk(1), chunk(2), chunk(3)];
    expect(Buffer.concat([head, a, b, c, last]).equals(file)).toBe(true);
    for (const parts of [
      [head],
      [head, a, b, c],
      [head, a, b],
      [head, b, a, c, last],
      [head, a, a, b, c, last],
      [head, a, c, last],
      [file, last],
      [file, Buffer.of(0)],
    ])
      await expect(opened(Buffer.concat(parts))).rejects.toMatchObject({ code: 'PayloadAltered' });
  });

  test('where it is another file', async () => {
    const long = Buffer.concat([Buffer.from('CHSEALED'), Buffer.from('ffffffff', 'hex'), Buffer.alloc(100)]);
    for (const other of [Buffer.alloc(0), Buffer.from('CHSEALED'), Buffer.alloc(4096), long])
      await expect(opened(other)).rejects.toMatchObject({ code: 'MalformedBundle' });
  });
});

test.each([[['age1abc']], [['x25519:AAAA']], [[]], [Array.from({ length: 9 }, () => recipientOf(mine))]])(
  'is not sealed for %j',
  async (names) => {
    await expect(whole(sealFile(pieces(Buffer.of(1)), names))).rejects.toMatchObject({ code: 'MalformedKey' });
  },
);
