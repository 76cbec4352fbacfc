import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_GLOB_LENGTH, matchGlob, parseGlob, qualifiedName } from './glob.ts';

const match = (pattern: string, name: string): boolean => {
  const glob = parseGlob(pattern);
  if (!glob) throw new Error(`${pattern} is no glob`);
  return matchGlob(glob, name);
};

describe('globs', () => {
  it.each<[string, string, boolean]>([
    ['public.tickets', 'public.tickets', true],
    ['public.tickets', 'public.ticket', false],
    ['public.tickets', 'public.Tickets', false],
    ['public.tickets', 'tickets', false],
    ['tickets', 'public.tickets', false],
    ['public.*', 'public.tickets', true],
    ['public.*', 'public.tickets.id', false],
    ['public.*', 'publics.tickets', false],
    ['*', 'tickets', true],
    ['*', 'public.tickets', false],
    ['*.*', 'public.tickets', true],
    ['public.t*s', 'public.tickets', true],
    ['public.t*s', 'public.ts', true],
    ['public.t*s', 'public.t', false],
    ['public.*ick*', 'public.tickets', true],
    ['public.a*a', 'public.a', false],
    ['public.ab*ba', 'public.aba', false],
    ['public.*aab*', 'public.aaaab', true],
    ['public.*abab*c', 'public.abaababc', true],
    ['**', 'public.tickets.id', true],
    ['**', 'x', true],
    ['public.**', 'public', true],
    ['public.**', 'public.tickets.id', true],
    ['**.ssn', 'public.customers.ssn', true],
    ['**.ssn', 'ssn', true],
    ['**.ssn', 'public.customers.ssn2', false],
    ['public.**.ssn', 'public.ssn', true],
    ['public.**.ssn', 'public', false],
    ['a.**.a', 'a', false],
    ['public.*', 'public."a.b"', true],
    ['public."a.b"', 'public."a.b"', true],
    ['public.a.b', 'public."a.b"', false],
    ['"a.*".b', '"a.c".b', true],
    ['public.t?', 'public.ti', false],
    ['public.[t]', 'public.t', false],
    ['public.é*', 'public.état', true],
  ])('%s on %s is %s', (pattern, name, expected) => {
    expect(match(pattern, name)).toBe(expected);
  });

  it.each(['', '.', 'a.', '.a', 'a..b', '**.**', 'a.**.b.**', 'a**', '**a', '***', 'x'.repeat(MAX_GLOB_LENGTH + 1)])(
    'refuses the pattern %j',
    (pattern) => {
      expect(parseGlob(pattern)).toBeUndefined();
    },
  );

  it('takes a pattern of the greatest length', () => {
    expect(parseGlob('x'.repeat(MAX_GLOB_LENGTH))).toBeDefined();
  });

  it('writes no two names alike', () => {
    const part = fc.string({ unit: fc.constantFrom('a', '.', '"', '*'), minLength: 1, maxLength: 4 });
    const name = fc.array(part, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(qualifiedName(...a) === qualifiedName(...b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it('matches as a slow and obvious matcher does', () => {
    const segment = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 6 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 9 });
    const obvious = (pattern: string, text: string): boolean => {
      if (pattern === '') return text === '';
      if (pattern[0] !== '*') return text !== '' && pattern[0] === text[0] && obvious(pattern.slice(1), text.slice(1));
      return obvious(pattern.slice(1), text) || (text !== '' && obvious(pattern, text.slice(1)));
    };
    fc.assert(
      fc.property(
        segment.filter((text) => !text.includes('**')),
        name,
        (pattern, text) => {
          expect(match(pattern, text)).toBe(obvious(pattern, text));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each<[string, (n: number) => string, (n: number) => string]>([
    ['many stars', (n) => `${'*a'.repeat(n)}*b`, (n) => 'a'.repeat(n)],
    ['a piece that nearly fits everywhere', (n) => `*${'a'.repeat(n)}b*c`, (n) => `${'a'.repeat(n * 4)}c`],
    ['many segments', (n) => `**${'.*a'.repeat(n)}`, (n) => 'b.'.repeat(n * 4)],
    ['a repeating piece', (n) => `*${'ab'.repeat(n)}c*`, (n) => 'ab'.repeat(n * 4)],
  ])('takes linear steps on %s', (_, patternOf, nameOf) => {
    const stepsPerCharacter = (n: number): number => {
      let steps = 0;
      class Counted extends String {
        override charCodeAt(at: number): number {
          steps++;
          return super.charCodeAt(at);
        }
      }
      const glob = parseGlob(patternOf(n));
      if (!glob) throw new Error('no glob');
      const name = nameOf(n);
      matchGlob(glob, new Counted(name) as string);
      return steps / name.length;
    };
    expect(stepsPerCharacter(25)).toBeLessThan(8);
    expect(stepsPerCharacter(100)).toBeLessThan(8);
  });
});
