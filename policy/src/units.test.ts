import { describe, expect, it } from 'vitest';
import { canonicalJson } from './canonical.ts';
import { byteCount, durationMs } from './units.ts';

describe('units', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['30d', 2_592_000_000],
  ])('the duration %s is %i ms', (text, expected) => expect(durationMs(text)).toBe(expected));

  it.each(['', '5', '0s', '-1s', '1w', '5 m', '1h30', 'h', '1.5h', '9999999999d'])('refuses the duration %j', (text) => {
    expect(() => durationMs(text)).toThrow(expect.objectContaining({ code: 'PolicyInvalid' }));
  });

  it.each([
    ['4096', 4096],
    ['64Ki', 65_536],
    ['1Mi', 1_048_576],
    ['2G', 2_000_000_000],
  ])('the byte count %s is %i', (text, expected) => expect(byteCount(text)).toBe(expected));

  it.each(['', '0', '-1', '1MB', '1 Mi', 'Mi', '1.5Gi', '999999999999Gi'])('refuses the byte count %j', (text) => {
    expect(() => byteCount(text)).toThrow(expect.objectContaining({ code: 'PolicyInvalid' }));
  });

  it('writes equal values alike, whatever the order of their keys', () => {
    expect(canonicalJson({ b: [1, { d: null, c: undefined }], a: 'x' })).toBe('{"a":"x","b":[1,{"d":null}]}');
    expect(canonicalJson({ a: 'x', b: [1, { d: null }] })).toBe(canonicalJson({ b: [1, { d: null }], a: 'x' }));
  });
});
