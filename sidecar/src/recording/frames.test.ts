import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeFrames, FrameEncoder } from './frames.ts';

const key = randomBytes(32);
const NAME = '0.journal';
const texts = ['head', '', 'a record', 'x'.repeat(5000)].map((text) => Buffer.from(text));

function aFile(): Buffer {
  const encoder = new FrameEncoder(key, NAME, randomBytes(16));
  return Buffer.concat([encoder.preamble, ...texts.flatMap((text) => encoder.encode(text))]);
}

describe('the frames of a spool file', () => {
  test('come back as they went in and show nothing of it on disk', () => {
    const file = aFile();
    expect(decodeFrames(file, key, NAME)).toEqual({ frames: texts, end: 'whole' });
    expect(file.includes('a record')).toBe(false);
    expect(file.includes('xxxxxxxx')).toBe(false);
  });

  test('cut anywhere are every frame before the cut, and torn unless the cut is between frames', () => {
    const file = aFile();
    for (let end = 0; end < 200; end++) {
      const found = decodeFrames(file.subarray(0, end), key, NAME);
      const whole = found.frames.reduce((bytes, frame) => bytes + 24 + (frame?.length ?? 0), 24);
      expect(found.frames).toEqual(texts.slice(0, found.frames.length));
      expect(found.end).toBe(end === whole ? 'whole' : 'torn');
    }
  });

  test('with any bit changed never give another record, and all others while lengths lead to them', () => {
    const file = aFile();
    for (let at = 24; at < 140; at++) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ 4;
      const { frames, end } = decodeFrames(changed, key, NAME);
      const bad = frames.findIndex((frame, index) => frame?.equals(texts[index] ?? key) !== true);
      expect(bad >= 0 || end === 'torn', `byte ${at}`).toBe(true);
      if (end !== 'whole') continue;
      expect(frames).toHaveLength(texts.length);
      expect(frames[bad]).toBe(undefined);
      expect(frames.toSpliced(bad, 1)).toEqual(texts.toSpliced(bad, 1));
    }
  });

  test.each([
    ['another key', () => decodeFrames(aFile(), randomBytes(32), NAME)],
    ['another name', () => decodeFrames(aFile(), key, '1.journal')],
  ])('cannot be read under %s', (_, decode) => {
    expect(decode()).toEqual({ end: 'whole', frames: texts.map(() => undefined) });
  });

  test('are not looked for in what is no spool file', () => {
    expect(decodeFrames(randomBytes(200), key, NAME)).toEqual({ end: 'foreign', frames: [] });
  });
});
