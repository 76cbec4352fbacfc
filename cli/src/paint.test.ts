import { expect, test } from 'vitest';
import { colourWhen, type ColourWhen, painter, plain, wantsColour } from './paint.ts';

test.each<[string, ColourWhen, Record<string, string>, boolean, boolean]>([
  ['auto on a terminal has colour', 'auto', { TERM: 'xterm' }, true, true],
  ['auto elsewhere has none', 'auto', { TERM: 'xterm' }, false, false],
  ['NO_COLOR switches auto off', 'auto', { NO_COLOR: '1' }, true, false],
  ['an empty NO_COLOR says nothing', 'auto', { NO_COLOR: '' }, true, true],
  ['a dumb terminal has none', 'auto', { TERM: 'dumb' }, true, false],
  ['always means always', 'always', { NO_COLOR: '1', TERM: 'dumb' }, false, true],
  ['never means never', 'never', {}, true, false],
])('%s', (_, when, env, isTerminal, expected) => {
  expect(wantsColour(when, env, isTerminal)).toBe(expected);
});

test('paint surrounds text, and is nothing without colour or style', () => {
  expect(painter(true)('bad', 'altered')).toBe('\u001b[31maltered\u001b[0m');
  expect([painter(true)(undefined, 'a'), painter(false)('bad', 'a'), plain('good', 'a')]).toEqual(['a', 'a', 'a']);
});

test.each<[string, ColourWhen]>([
  ['sessions ls', 'auto'],
  ['--color never sessions ls', 'never'],
  ['sessions ls --color=always --nonsense', 'always'],
  ['--color always sessions ls --color never', 'never'],
  ['sessions ls --color red', 'auto'],
  ['sessions ls --color', 'auto'],
  ['explain -- --color=always', 'auto'],
])('%j asks for %s', (line, expected) => {
  expect(colourWhen(line.split(' '))).toBe(expected);
});
