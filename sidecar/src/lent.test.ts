import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signerOf } from './ssh/wire/keys.ts';
import { free, kept } from './lent.ts';

describe('memory of bytes', () => {
  it('is given back at once where it is their own, and left to others where it is not', () => {
    const own = Buffer.allocUnsafeSlow(3);
    const part = Buffer.from('abc').subarray(0, 2);
    free(own);
    free(part);
    expect([own.length, part.toString()]).toEqual([0, 'ab']);
  });

  it('is their own where they are kept, whatever becomes of what they were copied from', () => {
    const from = Buffer.from('abc');
    const copy = kept(from);
    from.fill('x');
    expect([copy.toString(), copy.buffer.byteLength]).toEqual(['abc', 3]);
  });

  it('is their own for the keys of a session', () => {
    const { blob } = signerOf(generateKeyPairSync('ed25519').privateKey);
    expect(blob.buffer.byteLength).toBe(blob.length);
  });
});
