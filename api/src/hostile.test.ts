import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { draw, drawn, undrawn, written } from './hostile.ts';
import { HOSTILE_TEXTS } from './hostile-corpus.test-support.ts';
import { visible } from './text.ts';

/** What no reader sees; line feeds and tabs are the layout's. */
const UNSEEN = /[^\P{C}\n\t]|[\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u;

test.each([
  ["note = 'done\u202e'", "note = 'done⟨U+202E RLO⟩'"],
  ['a\u0000b\u001b[0m', 'a⟨U+0000 NUL⟩b⟨U+001B ESC⟩[0m'],
  ['two\nlines\tand', 'two⟨U+000A LF⟩lines⟨U+0009 HT⟩and'],
  ['\ud800', '⟨U+D800 LONE-SURROGATE⟩'],
  ['\u3164\u2800', '⟨U+3164 HANGUL-FILLER⟩⟨U+2800 BLANK-BRAILLE⟩'],
  ['bank\u115fer\u3164', 'bank⟨U+115F HANGUL-FILLER⟩er⟨U+3164 HANGUL-FILLER⟩'],
  ['\u05d0\u061c\u05d1', '\u05d0⟨U+061C ALM⟩\u05d1'],
  ['a\u00a0b', 'a⟨U+00A0 NBSP⟩b'],
  ['\u{e0041}\ufe0f\ue000\u0378', '⟨U+E0041 TAG-A⟩⟨U+FE0F VS16⟩⟨U+E000 PRIVATE-USE⟩⟨U+0378 UNASSIGNED⟩'],
  ['⟨U+202E⟩', '⟨U+27E8 BRACKET⟩U+202E⟨U+27E9 BRACKET⟩'],
  [`a${' '.repeat(8)}b${' '.repeat(9)}c`, 'a        b⟨U+0020 SP ×9⟩c'],
  ['\u200b\u200b\u200b', '⟨U+200B ZWSP ×3⟩'],
  ['e\u0301\u0302\u0303\u0303', 'e\u0301\u0302⟨U+0303 MARK ×2⟩'],
  ['\u0301x', '⟨U+0301 MARK⟩x'],
  ['plain ümläuts, 漢字 and 😀', 'plain ümläuts, 漢字 and 😀'],
])('%j is drawn as %j', (text, expected) => {
  expect(drawn(text)).toBe(expected);
});

test('lines and tabs are structure where they are wanted, and many empty lines are a count', () => {
  expect(draw('a\n\tb', { lines: true })).toEqual([
    { kind: 'text', text: 'a' },
    { kind: 'line' },
    { kind: 'tab' },
    { kind: 'text', text: 'b' },
  ]);
  expect(drawn('a\n\n\n\nb', { lines: true })).toBe('a\n\n\n\nb');
  expect(drawn('a\n\n\n\n\nb', { lines: true })).toBe('a\n⟨U+000A LF ×3⟩\nb');
});

test('right-to-left words stand alone, and words of two scripts are marked', () => {
  expect(draw('x שלום עולם y')).toEqual([
    { kind: 'text', text: 'x ' },
    { kind: 'rtl', text: 'שלום' },
    { kind: 'text', text: ' ' },
    { kind: 'rtl', text: 'עולם' },
    { kind: 'text', text: ' y' },
  ]);
  expect(draw('from p\u0430y where ok')).toEqual([
    { kind: 'text', text: 'from ' },
    { kind: 'mixed', text: 'p\u0430y' },
    { kind: 'text', text: ' where ok' },
  ]);
  expect(draw('пароль').map(({ kind }) => kind)).toEqual(['text']);
  expect(draw('пароль', { names: true }).map(({ kind }) => kind)).toEqual(['mixed']);
});

describe('whatever the text', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({
      unit: fc.constantFrom('\n', '\t', ' ', 'a', '\u0301', '\u05d0', '\u202e', '⟨', '⟩', '\ud800', '\u200b', 'а'),
      maxLength: 60,
    }),
    fc.constantFrom(...Object.values(HOSTILE_TEXTS)),
    // What is unseen, among letters of every direction.
    fc.string({
      unit: fc.constantFrom('a', 'б', '\u05d0', '\u0301', '\u115f', '\u3164', '\u061c', '\u200b', '\u06dd', '\ufe0f', ' '),
    }),
    // Any sequence of code units, lone surrogates among them.
    fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  );
  test.each([{}, { lines: true }, { names: true }, { lines: true, names: true }])(
    '%j: nothing is unseen and all comes back',
    (options) => {
      fc.assert(
        fc.property(hostile, (text) => {
          const shown = drawn(text, options);
          expect(undrawn(shown)).toBe(text);
          expect(shown).not.toMatch(UNSEEN);
          if (options.lines !== true) expect(shown).not.toMatch(/[\n\t]/);
          expect(shown).not.toMatch(/ {9}|\n{5}|\p{M}{3}/u);
          for (const piece of draw(text, options)) expect(written(piece)).not.toBe('');
        }),
        { numRuns: 500 },
      );
    },
  );
});

test.each(Object.entries(HOSTILE_TEXTS))('%s is drawn so that it can be read back', (_what, text) => {
  expect(undrawn(drawn(text))).toBe(text);
  expect(undrawn(drawn(text, { lines: true }))).toBe(text);
  expect(drawn(text, { lines: true })).not.toMatch(UNSEEN);
});

test('whatever is written out in evidence is written out on a page as well', () => {
  const missed: string[] = [];
  for (let code = 0; code <= 0xe0fff; code += code === 0x2ffff ? 0xb0001 : 1) {
    const character = String.fromCodePoint(code);
    if (visible(character) !== character && drawn(character) === character) missed.push(code.toString(16));
  }
  expect(missed).toEqual([]);
});
