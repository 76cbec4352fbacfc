import { processorTime } from '@chaperone/testing';
import { assert, array, constantFrom, integer, oneof, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Harmless } from './harmless.ts';

const pass = (...texts: string[]): string => {
  const harmless = new Harmless();
  return texts.map((text) => harmless.pass(text)).join('');
};

/** What is shown of a text, and what was left out. */
const TEXTS: Record<string, { text: string; shown?: string; left?: Record<string, number> }> = {
  'text and line ends': { text: 'é漢🙂 a\tb\r\n\b' },
  'colours, also of 24 bits and with colons': { text: '\u001b[1;38;2;10;20;30mx\u001b[38:5:200my\u001b[m' },
  'moves, erasing, scrolling': { text: '\u001b[2J\u001b[H\u001b[5;10H\u001b[K\u001b[3S\u001b[2;5r\u001b[4X' },
  'modes and the other screen': { text: '\u001b[?1049h\u001b[?25l\u001b[4h\u001b[?1049l' },
  'character sets, save and restore, keypads': { text: '\u001b(0\u001b)B\u001b7\u001b8\u001b=\u001b>\u000e\u000f\u001bM\u001bc' },
  'soft reset': { text: '\u001b[!p' },
  'controls in eight bits': { text: '\u009b31mx\u0084', shown: '\u001b[31mx\u0084' },
  'a control within a sequence, which acts at once': { text: '\u001b[3\n1m', shown: '\n\u001b[31m' },
  'the bell, and other controls': { text: 'a\u0007b\u0000c\u007f', shown: 'abc' },
  'a write to the clipboard': { text: 'a\u001b]52;c;eA==\u0007b', shown: 'ab', left: { clipboard: 1 } },
  'the same in eight bits': { text: 'a\u009d52;c;eA==\u009cb', shown: 'ab', left: { clipboard: 1 } },
  'a link': { text: '\u001b]8;;http://x\u001b\\y\u001b]8;;\u001b\\', shown: 'y', left: { link: 2 } },
  'a title': { text: '\u001b]2;x\u0007\u001b]0;y\u0007', shown: '', left: { title: 2 } },
  'colours that a program sets for the terminal': {
    text: '\u001b]4;1;#fff\u0007\u001b]11;?\u0007',
    shown: '',
    left: { other: 2 },
  },
  'what a terminal answers': { text: '\u001b[c\u001b[>0c\u001b[6n\u001b[?15n\u001bZ\u009a\u0005', shown: '', left: { query: 7 } },
  'windows, printing, drawing to files': { text: '\u001b[8;99;99t\u001b[5i\u001b[?5i', shown: '', left: { query: 1, other: 2 } },
  'device control, and images': { text: '\u001bPq#0\u001b\\\u001b_Ga=T;AA\u001b\\', shown: '', left: { query: 1, other: 1 } },
  'a string that a new sequence ends': { text: '\u001b]0;x\u001b[31my', shown: '\u001b[31my', left: { title: 1 } },
  'a string that is cancelled': { text: '\u001b]0;x\u0018y', shown: 'y' },
  'a string that never ends': { text: `\u001b]0;${'x'.repeat(100_000)}`, shown: '' },
  'a title that is kept and put back': { text: '\u001b[22;0;0t\u001b[23t', shown: '' },
  'keyboard modes that a program asks for': { text: '\u001b[>4;2m\u001b[>1u\u001b[<u', shown: '' },
  'counts beyond the screen': {
    text: '\u001b[99999999S\u001b[99999999b\u001b[1;99999999H',
    shown: '\u001b[24S\u001b[80b\u001b[1;9999H',
  },
  'more parameters than any sequence has': { text: `\u001b[${'1;'.repeat(40)}1m`, shown: '', left: { other: 1 } },
  'a sequence without end': { text: `\u001b[${'1'.repeat(10_000)}m`, shown: '', left: { other: 1 } },
  'parameters that no sequence has': { text: '\u001b[1?2h\u001b[?1$p', shown: '', left: { other: 1, query: 1 } },
  'marks without end': { text: `a${'\u0301'.repeat(10)}b`, shown: `a${'\u0301'.repeat(8)}b`, left: { other: 2 } },
};

describe('what a program wrote', () => {
  test.each(Object.entries(TEXTS))('%s', (_, { text, shown = text, left = {} }) => {
    const harmless = new Harmless();
    expect(harmless.pass(text)).toBe(shown);
    expect(Object.fromEntries(harmless.leftOut)).toEqual(left);
  });

  test.each(Object.entries(TEXTS))('is the same cut anywhere: %s', (_, { text, shown = text }) => {
    const characters = Array.from(text.slice(0, 200));
    const whole = pass(characters.join(''));
    if (text.length <= 200) expect(whole).toBe(shown);
    for (let at = 0; at <= characters.length; at++)
      expect(pass(characters.slice(0, at).join(''), characters.slice(at).join(''))).toBe(whole);
    expect(pass(...characters)).toBe(whole);
  });

  test('holds no sequence but those that draw, whatever it was', () => {
    const parts = oneof(
      constantFrom('\u001b', '[', ']', 'P', '_', '?', '>', ';', ':', '$', '!', ' ', '\u0007', '\\', '\u009b', '\u009d', '\u009c'),
      constantFrom('\u0018', '\u0005', 'c', 'n', 't', 'm', 'h', 'q', 'x', '52', '8;;'),
      integer({ min: 0, max: 2 ** 31 }).map(String),
      string({ unit: 'grapheme' }),
    );
    // Text, controls that move, and the sequences that are on the list, each with its numbers bounded.
    const harmless = new RegExp(
      String.raw`^(?:[^\u0000-\u001f\u007f-\u009f]|[\b\t\n\v\f\r\u000e\u000f\u0084\u0085\u0088\u008d]|\u001b(?:[78=>DEHMcNOno|}~]|[()*+\-./#%][ -~]|\[!p|\[\??(?:\d{1,4}[;:]?|[;:])*[@A-MPSTXZ\x60a-bd-hlmrsu]))*$`,
      'u',
    );
    assert(
      property(array(parts, { maxLength: 40 }), (texts) => {
        expect(pass(...texts)).toMatch(harmless);
      }),
      { numRuns: 2_000 },
    );
  });

  test('goes by fast: 8 MB of text and colours in less than four seconds', () => {
    const text = '\u001b[31mline of output that goes on and on\u001b[0m\r\n'.repeat(180_000);
    const took = processorTime();
    new Harmless().pass(text);
    expect(took()).toBeLessThan(4_000);
  });
});
