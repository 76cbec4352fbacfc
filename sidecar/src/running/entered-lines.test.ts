import { expect, it } from 'vitest';
import { EnteredLines } from './entered-lines.ts';

/** What was typed (`<`) and shown (`>`), in order. */
type Talk = readonly `${'<' | '>'}${string}`[];

function linesOf(talk: Talk, cut = false): string[] {
  const lines: string[] = [];
  const entered = new EnteredLines((text) => lines.push(text));
  for (const [way, ...rest] of talk) {
    const bytes = Buffer.from(rest.join(''));
    const parts = cut ? Array.from(bytes, (byte) => Buffer.of(byte)) : [bytes];
    for (const part of parts) entered[way === '<' ? 'typed' : 'shown'](part);
  }
  return lines;
}

const ESC = '\u001b';
const TALKS: Record<string, [Talk, string[]]> = {
  'what was echoed, with its prompt': [['>$ ', '<ls', '>ls', '<\r', '>\r\na b\r\n$ '], ['$ ls']],
  'nothing that a program printed by itself': [['>one\r\ntwo\r\n'], []],
  'no password': [['>Password: ', '<hunter2', '<\r', '>\r\n$ '], ['Password:']],
  'what was rubbed out and written anew': [['>$ rn', '<\u007fm', `>\b${ESC}[Km`, '<\r', '>\r\n'], ['$ rm']],
  'an edit in the middle': [['>$ ls /tm', '<x', `>${ESC}[3D${ESC}[1@x`, '<\r', '>\r\n'], ['$ ls x/tm']],
  'a line from the history': [['>$ a', '<\u001b[A', `>\r${ESC}[K$ systemctl status`, '<\r', '>\r\n'], ['$ systemctl status']],
  'colours, titles and links left out': [
    [`>${ESC}]0;evil\u0007${ESC}[1;32m$ ${ESC}[0m${ESC}]8;;http://x${ESC}\\ls`, '<\r', '>\r\n'],
    ['$ ls'],
  ],
  'several lines that came at once': [
    ['<a\rb\r', '>$ a\r\n$ b\r\n'],
    ['$ a', '$ b'],
  ],
  'nothing that is printed before what was sent ahead is shown': [
    ['<ls\rexit\r', '>ls\r\nexit\r\n', '>Welcome\r\nto Debian\r\n', '>$ ls\r\na b\r\n$ exit\r\nlogout\r\n'],
    ['ls', 'exit'],
  ],
  'nothing that is printed once something was typed unseen': [
    ['<hunter2', '<\r', '>\r\ngot it\r\n', '>$ ', '<ls\r', '>ls\r\n'],
    ['$ ls'],
  ],
  'what a key of its own wrote': [['>$ ', '<q', '>rm -rf x', '<\r', '>\r\n'], ['$ rm -rf x']],
  'a line that was looked for': [['>$ ', '<\u0012rm\r', `>\r(reverse-i-search)\`rm': rm x\r${ESC}[K$ rm x`, '>\r\n'], ['$ rm x']],
  'nothing of a line that was given up': [['>$ ', '<rm', '>rm', '<\u0003', '>^C\r\n$ ', '<ls\r', '>ls\r\n'], ['$ ls']],
  'nothing of a program that has the whole screen': [
    [`>${ESC}[?1049h`, '<:wq\r', `>text\r\n${ESC}[?1049l$ `, '>ls', '<\r', '>\r\n'],
    ['$ ls'],
  ],
  'letters that a cut went through': [['>$ é漢🙂', '<\r', '>\r\n'], ['$ é漢🙂']],
};

it.each(Object.entries(TALKS))('tells %s', (_, [talk, lines]) => {
  expect(linesOf(talk)).toEqual(lines);
  expect(linesOf(talk, true)).toEqual(lines);
});

it('holds one bounded line, whatever comes', () => {
  const hostile =
    `>${ESC}[99999999C${'x'.repeat(100_000)}${ESC}[99999999@${ESC}]${'y'.repeat(100_000)}\u0007${ESC}[99999999P` as const;
  const lines = linesOf([hostile, '<\r', '>\r\n', '>z', '<\r', '>\n']);
  expect(lines.every((line) => line.length <= 1_024)).toBe(true);
  expect(lines.at(-1)).toBe('z');
  expect(linesOf(Array.from({ length: 20_010 }, (_, at) => (at % 2 === 0 ? '<x\r' : '>x\n')))).toHaveLength(10_000);
});
