import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeFrames, FrameEncoder } from './frames.ts';

const key = randomBytes(32);
const NAME = 's-aaaaaaaaaaaaaaaa/0.tail';
const texts = ['head', '', 'a record', 'x'.repeat(5000)].map((text) => Buffer.from(text));

function aFile(): Buffer {
  const encoder = new FrameEncoder(key, NAME, randomBytes(16));
  return Buffer.concat([encoder.preamble, ...texts.map((text) => encoder.encode(text))]);
}

describe('the frames of a spool file', () => {
  test('come back as they went in and show nothing of it on disk', () => {
    const file = aFile();
    expect(decodeFrames(file, key, NAME)).toEqual({ frames: texts, end: 'whole', lost: 0 });
    expect(file.includes('a record')).toBe(false);
    expect(file.includes('xxxxxxxx')).toBe(false);
  });

  test('cut anywhere are every frame before the cut, and torn unless the cut is between frames', () => {
    const file = aFile();
    for (let end = 0; end < 200; end++) {
      const found = decodeFrames(file.subarray(0, end), key, NAME);
      const whole = found.frames.reduce((bytes, frame) => bytes + 24 + frame.length, 24);
      expect(found.frames).toEqual(texts.slice(0, found.frames.length));
      expect(found.end).toBe(end === whole ? 'whole' : 'torn');
      expect(found.lost).toBe(0);
    }
  });

  test('with any bit changed never give another record, and say how many are lost', () => {
    const file = aFile();
    for (let at = 24; at < 140; at++) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ 4;
      const found = decodeFrames(changed, key, NAME);
      expect(found.frames).toEqual(texts.slice(0, found.frames.length));
      expect(found.end, `byte ${at}`).not.toBe('whole');
      if (found.end === 'corrupt') expect(found.lost + found.frames.length).toBeLessThanOrEqual(texts.length);
    }
    const middle = Buffer.from(file);
    middle[24 + 24 + 4 + 10] = (middle[24 + 24 + 4 + 10] ?? 0) ^ 1;
    expect(decodeFrames(middle, key, NAME)).toMatchObject({ end: 'corrupt', lost: 3 });
  });

  test.each([
    ['another key', () => decodeFrames(aFile(), randomBytes(32), NAME)],
    ['another name', () => decodeFrames(aFile(), key, 's-bbbbbbbbbbbbbbbb/0.tail')],
    ['bytes that are no spool file', () => decodeFrames(randomBytes(200), key, NAME)],
  ])('are foreign under %s', (_, decode) => {
    expect(decode()).toMatchObject({ end: 'foreign', frames: [] });
  });
});
