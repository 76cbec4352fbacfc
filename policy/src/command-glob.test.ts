import { processorTime } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchCommand, mayMatchCommand, parseCommandGlob } from './command-glob.ts';
import { MAX_GLOB_LENGTH } from './glob.ts';

const match = (pattern: string, words: readonly string[]): [surely: boolean, maybe: boolean] => {
  const glob = parseCommandGlob(pattern);
  if (!glob) throw new Error(`${pattern} is no pattern`);
  return [matchCommand(glob, words), mayMatchCommand(glob, words)];
};

describe('patterns of commands', () => {
  it.each<[string, string[], [boolean, boolean]]>([
    ['cat /var/log/*', ['cat', '/var/log/a/b'], [true, true]],
    ['cat /var/log/*', ['cat', '/var/log'], [false, false]],
    ['cat *', ['cat', ''], [true, true]],
    ['git *', ['git', 'log', '-p'], [false, false]],
    ['git * -- **', ['git', 'log', '--'], [true, true]],
    ['/usr/bin/* status', ['/usr/bin/git', 'status'], [true, true]],
    ['*', ['/bin/rm'], [true, true]],
    ['r* **', ['/bin/rm', 'x'], [false, true]],
    ['**', [], [false, false]],
    ['git.log', ['git.log'], [true, true]],
    ['a?c', ['abc'], [false, false]],
  ])('%s on %j is %j', (pattern, words, expected) => {
    expect(match(pattern, words)).toEqual(expected);
  });

  it.each(['', ' ', 'a  b', ' a', 'a ', '** a', 'a ** b', 'a b**', 'x'.repeat(MAX_GLOB_LENGTH + 1)])('%j is none', (pattern) => {
    expect(parseCommandGlob(pattern)).toBeUndefined();
  });

  it('match as a slow and obvious matcher does; what surely matches may match', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '/'), minLength: 1, maxLength: 4 });
    const part = fc
      .string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 4 })
      .filter((text) => !text.includes('**'));
    const pattern = fc.tuple(fc.array(part, { minLength: 1, maxLength: 3 }), fc.boolean());
    const isOf = (text: string, name: string): boolean => {
      if (text === '') return name === '';
      if (text[0] === '*') return isOf(text.slice(1), name) || (name !== '' && isOf(text, name.slice(1)));
      return text[0] === name[0] && isOf(text.slice(1), name.slice(1));
    };
    fc.assert(
      fc.property(pattern, fc.array(word, { minLength: 1, maxLength: 4 }), ([parts, open], words) => {
        const [surely, maybe] = match([...parts, ...(open ? ['**'] : [])].join(' '), words);
        const long = open ? words.length >= parts.length : words.length === parts.length;
        expect(surely).toBe(long && parts.every((text, index) => isOf(text, words[index] ?? '')));
        if (surely) expect(maybe).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each<[string, string, string[]]>([
    ['stars', `${'*a'.repeat(290)}*b`, ['a'.repeat(100_000)]],
    ['words', `${'* '.repeat(290)}b **`, Array.from({ length: 100_000 }, () => 'a')],
  ])('take linear time on many %s', (_, pattern, words) => {
    const took = processorTime();
    match(pattern, words);
    expect(took()).toBeLessThan(500);
  });
});
