import { describe, expect, it } from 'vitest';
import { canonicalJson } from './canonical.ts';
import { byteCount, durationMs } from './units.ts';

describe('units', () => {
  it('are those of the API, with the refusal of this package', () => {
    expect([durationMs('1h30m'), byteCount('64Ki')]).toEqual([5_400_000, 65_536]);
    for (const read of [durationMs, byteCount])
      for (const text of ['', '0', 'soon', '-1'])
        expect(() => read(text)).toThrow(expect.objectContaining({ code: 'PolicyInvalid' }));
  });

  it('writes equal values alike, whatever the order of their keys', () => {
    expect(canonicalJson({ b: [1, { d: null, c: undefined }], a: 'x' })).toBe('{"a":"x","b":[1,{"d":null}]}');
    expect(canonicalJson({ a: 'x', b: [1, { d: null }] })).toBe(canonicalJson({ b: [1, { d: null }], a: 'x' }));
  });
});
