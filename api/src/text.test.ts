import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nearest, visible } from './text.ts';

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
