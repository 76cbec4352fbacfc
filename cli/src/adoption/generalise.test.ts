import { expect, test } from 'vitest';
import { commandPatterns, namePatterns, pathPatterns, patternOf } from './generalise.ts';

test.each<[string, string[], string | undefined]>([
  ['the part that differs', ['web-1', 'web-2', 'web-7'], 'web-*'],
  ['between what begins and ends alike', ['app-1.log', 'app-2.log', 'app-x.log'], 'app-*.log'],
  ['two are too few', ['web-1', 'web-2'], undefined],
  ['the same twice is one', ['web-1', 'web-2', 'web-2'], undefined],
  ['the rest of a word is no part', ['web', 'worker', 'wiki'], undefined],
  ['nothing in common', ['nginx', 'redis', 'postgres'], undefined],
  ['an option', ['--lines=1', '--lines=2', '--lines=3'], undefined],
  ['a path', ['/srv/a-1', '/srv/a-2', '/srv/a-3'], undefined],
  ['the whole of a value', ['if=a', 'if=b', 'if=c'], undefined],
  ['the whole of a place', ['host:a', 'host:b', 'host:c'], undefined],
  ['a part of a value', ['app=web-1', 'app=web-2', 'app=web-3'], 'app=web-*'],
  ['only a separator', ['-1', '-2', '-3'], undefined],
  ['what has a star', ['web-1', 'web-2', 'web-*'], undefined],
  ['one that has nothing there', ['web-', 'web-1', 'web-2'], undefined],
  ['one that is all of the end', ['a-.x', 'a-1.x', 'a-2.x'], undefined],
])('%s: %j is %j', (_, words, pattern) => {
  expect(patternOf(words)).toBe(pattern);
});

test.each<[string, string[], string[]]>([
  ['a word behind the program', ['cat web-1', 'cat web-2', 'cat web-3'], ['cat web-*']],
  ['never the program', ['run-1 x', 'run-2 x', 'run-3 x'], ['run-1 x', 'run-2 x', 'run-3 x']],
  ['never two words', ['cp a-1 b-1', 'cp a-2 b-2', 'cp a-3 b-3'], ['cp a-1 b-1', 'cp a-2 b-2', 'cp a-3 b-3']],
  ['never another length', ['cat a-1', 'cat a-2', 'cat a-3 a-4'], ['cat a-1', 'cat a-2', 'cat a-3 a-4']],
  ['once for each rest', ['get pod a-1', 'get pod a-2', 'get pod a-3', 'get job a-1'], ['get job a-1', 'get pod a-*']],
])('commands: %s', (_, commands, patterns) => {
  const words = commands.map((command) => command.split(' '));
  expect(commandPatterns(words, false)).toEqual(patterns);
  expect(commandPatterns(words, true)).toEqual(commands.toSorted());
});

test('a directory stands for three of its files, and never for those of the root', () => {
  const paths = ['/a', '/b', '/c', '/srv/a', '/srv/b', '/srv/c', '/etc/x'];
  expect(pathPatterns(paths, false)).toEqual(['/a', '/b', '/c', '/etc/x', '/srv/*']);
  expect(pathPatterns(paths, true)).toEqual(paths.toSorted());
  expect(namePatterns(['web-1', 'web-2', 'web-3'], false)).toEqual(['web-*']);
  expect(namePatterns(['web-1', 'web-2', 'web-3'], true)).toEqual(['web-1', 'web-2', 'web-3']);
});
