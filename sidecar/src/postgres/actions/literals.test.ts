import { loadModule, scanSync } from 'libpg-query';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { blankLiterals, hasMaskSentinel, literals } from './literals.ts';

beforeAll(loadModule);

/** The text with every character of a range crossed out. */
function covered(sql: string, ranges: [number, number][]): string {
  return ranges.reduce((text, [start, end]) => text.slice(0, start) + '#'.repeat(end - start) + text.slice(end), sql);
}

/** The scanner's printer knows no name for the tokens of B'', X'' and U&''. */
function isString(name: string, text: string): boolean {
  return name === 'SCONST' || (name === 'UNKNOWN' && /^(?:[bx]|u&)'/i.test(text));
}

describe('blankLiterals', () => {
  it.each([
    ["select 'a', 1, $1", 'select ?, ?, $1'],
    ["select 'it''s', E'a\\'b', e'\\\\', 'a\\'", 'select ?, ?, ?, ?'],
    ["select U&'\\0041', n'x', b'01', X'ff'", 'select ?, ?, ?, ?'],
    ["select $$a'b$$, $t$a$$b$t$, $1", 'select ?, ?, $1'],
    ['select "a\'b", "x""y" from "t--u"', 'select "a\'b", "x""y" from "t--u"'],
    ['select U&"\\0041", u&d', 'select U&"\\0041", u&d'],
    ['select 1.5, .5, 1e-7, 0x1F, 1_000, 1..2', 'select ?, ?, ?, ?, ?, ?..?'],
    ['select a1, t2.c3, x$1y', 'select a1, t2.c3, x$1y'],
    ["select 1 -- it's 42\n, 2", 'select ?  \n, ?'],
    ["select /* a /* 'b' */ c */ 1", 'select   ?'],
    ["select -1 - -2, a-1, 5-'x'", 'select -? - -?, a-?, ?-?'],
    ["select 'open", 'select ?'],
    ['select $a$open', 'select ?'],
    ['select /* open', 'select  '],
    ["select 'é', '日本' as é", 'select ?, ? as é'],
    ["select E'a'\n 'b\\'c', 1", 'select ?, ?'],
    ["select 'a' -- x\n -- y\n'b', 'c' 'd'", 'select ?, ? ?'],
    ['', ''],
  ])('%s', (sql, expected) => {
    expect(blankLiterals(sql)).toBe(expected);
  });

  it('finds the tokens that the server’s own lexer finds', () => {
    // The scanner ends a string at a line comment where the server lets it go on, so none follows a string here, nor do two
    // hyphens ever meet.
    const part = fc.constantFrom(
      "'a'",
      "'it''s'",
      "E'\\''",
      "U&'x'",
      "B'1'",
      "x'f'",
      '$$a$$',
      '$t$ $$ $t$',
      '$1',
      '"q"',
      '"q""r"',
      'U&"n"',
      '12',
      '1.5',
      '.5',
      '1e5',
      '0x1f',
      '1_0',
      'name',
      'e',
      'u',
      '_x$1',
      '(',
      ')',
      ',',
      '+',
      '- ',
      '*',
      '.',
      ';',
      '::',
      '=',
      '/* c */',
      '/* /* */ */',
      ',-- c\n',
      ' ',
      '\n',
      'é',
    );
    const numbers = new Set(['ICONST', 'FCONST']);
    let compared = 0;
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const sql = parts.join('');
        const expected: [number, number][] = [];
        const buffer = Buffer.from(sql);
        try {
          for (const { start, end, tokenName } of scanSync(sql === '' ? ' ' : sql).tokens)
            if (numbers.has(tokenName) || isString(tokenName, buffer.toString('utf8', start, end)))
              expected.push([buffer.toString('utf8', 0, start).length, buffer.toString('utf8', 0, end).length]);
        } catch {
          return;
        }
        compared++;
        const found = literals(sql).filter(({ kind }) => kind !== 'comment');
        expect(
          covered(
            sql,
            found.map(({ start, end }) => [start, end]),
          ),
        ).toBe(covered(sql, expected));
      }),
      { numRuns: 5_000 },
    );
    expect(compared).toBeGreaterThan(1_000);
  });

  it('covers any text without a gap, in order', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("'", '"', '$', '\\', 'a', 'E', '1', '.', '-', '/', '*', '\n', '&', 'U') }),
        (sql) => {
          let at = 0;
          for (const { start, end } of literals(sql)) {
            expect(start).toBeGreaterThanOrEqual(at);
            expect(end).toBeGreaterThan(start);
            at = end;
          }
          expect(at).toBeLessThanOrEqual(sql.length);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('hasMaskSentinel', () => {
  it.each([
    ["update t set a = '***-**-6789'", true],
    ['insert into t values ($$x***$$)', true],
    ["select '**', '**'", false],
    ["select a *** b -- '***'", false],
    ['select "***"', false],
  ])('%s is %s', (sql, expected) => {
    expect(hasMaskSentinel(sql)).toBe(expected);
  });
});
