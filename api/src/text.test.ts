import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { legible, nearest, visible } from './text.ts';

describe('visible', () => {
  test.each([
    ['plain text with ümlauts and 漢字', 'plain text with ümlauts and 漢字'],
    ['two\nlines\tand\rmore', 'two\\nlines\\tand\\rmore'],
    ['\u001b[31mred', '\\u{1b}[31mred'],
    ['a\u0000b\u007f\u0085', 'a\\u{0}b\\u{7f}\\u{85}'],
    ['abc\u202edcba\u2066', 'abc\\u{202e}dcba\\u{2066}'],
    ['zero\u200bwidth\u200d\ufeff\u00ad', 'zero\\u{200b}width\\u{200d}\\u{feff}\\u{ad}'],
    ['\u2028\u2029', '\\u{2028}\\u{2029}'],
    ['tag \u{e0041}', 'tag \\u{e0041}'],
    ['lone \ud800 surrogate', 'lone \\u{d800} surrogate'],
    ['hangul filler \u3164', 'hangul filler \\u{3164}'],
  ])('shows %j as %j', (text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  test('leaves nothing that a reader would not see, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(visible(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u);
      }),
    );
  });

  test('never exceeds the length that was asked for', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), fc.integer({ min: 1, max: 20 }), (text, max) => {
        expect(visible(text, max).length).toBeLessThanOrEqual(max);
      }),
    );
    expect(visible('abcdef', 4)).toBe('abc…');
    expect(visible('abcd', 4)).toBe('abcd');
  });
});

describe('legible', () => {
  test.each([
    ['rm a b', 'rm a b'],
    ['rm a\u00a0b', 'rm a\\u{a0}b'],
    ['rm\u3000a\u2003b\u2800c', 'rm\\u{3000}a\\u{2003}b\\u{2800}c'],
    ['rm a ', 'rm a\\u{20}'],
    ['rm a   ', 'rm a\\u{20}×3'],
    [`ls${' '.repeat(8)}x`, `ls${' '.repeat(8)}x`],
    [`ls${' '.repeat(300)}; rm x`, 'ls\\u{20}×300; rm x'],
    ['\t', '\\t'],
  ])('shows %j as %j', (text, shown) => {
    expect(legible(text)).toBe(shown);
  });

  test('shows a text that is shown already as it is, and never exceeds the length that was asked for', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(' ', '\u00a0', 'a', '\n'), maxLength: 50 }), fc.nat(20), (text, max) => {
        expect(legible(legible(text))).toBe(legible(text));
        expect(legible(text, max + 1).length).toBeLessThanOrEqual(max + 1);
      }),
    );
  });

  test('takes time by the length alone', () => {
    expect(legible(`${' '.repeat(300_000)}x`.repeat(2))).toBe('\\u{20}×300000x\\u{20}×300000x');
    expect(legible('       x'.repeat(50_000)).length).toBe(400_000);
  });
});

describe('nearest', () => {
  const fields = ['statements', 'relations', 'columns', 'functions'];
  test.each([
    ['statement', 'statements'],
    ['statments', 'statements'],
    ['Relations', 'relations'],
    ['colums', 'columns'],
    ['fucntions', 'functions'],
  ])('takes %s for %s', (word, meant) => {
    expect(nearest(word, fields)).toBe(meant);
  });

  test.each(['', 'x', 'tables', 'a'.repeat(65)])('takes %j for none of them', (word) => {
    expect(nearest(word, fields)).toBeUndefined();
  });
});
