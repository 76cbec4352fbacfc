import { assert, constantFrom, integer, nat, oneof, property, string, tuple } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { instanceOf, templateOf } from './template.ts';

describe('the template of a text', () => {
  test.each<[why: string, text: string, template: string]>([
    ['a number behind a comparison', 'select a from t where id = 5', 'select a from t where id =  $1 '],
    [
      'each class of number',
      'select 1 from t where a > 5 and b <= 3000000000 or c <> 1.5;',
      'select 1 from t where a >  $1  and b <=  $2  or c <>  $3 ;',
    ],
    ['a string with a quote in it', "select a from t where name = 'O''Neil'", 'select a from t where name =  $1 '],
    [
      'in a condition of a join and in parentheses',
      'select a from t join u on (t.a = 1) where (b = 2)',
      'select a from t join u on (t.a =  $1 ) where (b =  $2 )',
    ],
    [
      'in a sub-select',
      'select a from t where b = (select c from u where d = 4)',
      'select a from t where b = (select c from u where d =  $1 )',
    ],
    [
      'in the sub-select alone, where the query around it is in a target list',
      'select (select c from u where d = 4), 5 = 5 from t',
      'select (select c from u where d =  $1 ), 5 = 5 from t',
    ],
    ['nothing in a target list', 'select 1, a = 2 from t', 'select 1, a = 2 from t'],
    ['nothing in arguments of a function', 'select a from t where f(b = 2) and g(3)', 'select a from t where f(b = 2) and g(3)'],
    [
      'nothing in a list, a range or a pattern',
      "select a from t where b in (1, 2) and c between 1 and 2 and d like 'x%'",
      "select a from t where b in (1, 2) and c between 1 and 2 and d like 'x%'",
    ],
    [
      'a number whose dot has digits on both sides',
      'select a from t where b = 5. and c = 0.5',
      'select a from t where b = 5. and c =  $1 ',
    ],
    ['nothing with two dots', 'select a from t where b = 1.2.3', 'select a from t where b = 1.2.3'],
    ['nothing signed', 'select a from t where b = -5', 'select a from t where b = -5'],
    ['nothing typed', "select a from t where b = date '2020-01-01'", "select a from t where b = date '2020-01-01'"],
    [
      'nothing of LIMIT, ORDER BY or FETCH',
      'select a from t where b = 1 order by c = 2 limit 3',
      'select a from t where b =  $1  order by c = 2 limit 3',
    ],
    ['nothing of DISTINCT ON', 'select distinct on (a = 5) a from t', 'select distinct on (a = 5) a from t'],
    [
      'no number that is none of the three classes',
      'select a from t where b = 0x1f and c = 1e5 and d = 1_000 and e = 5. and f = 1234567890123456789',
      'select a from t where b = 0x1f and c = 1e5 and d = 1_000 and e = 5. and f = 1234567890123456789',
    ],
    [
      'nothing that a word or another literal follows at once',
      "select a from t where b = 5and c = 'x'::text",
      "select a from t where b = 5and c = 'x'::text",
    ],
  ])('takes %s', (_why, text, template) => {
    expect(templateOf(text)?.text).toBe(template);
  });

  test.each<[number: string, literal: string]>([
    ['0', 'int4'],
    ['2147483647', 'int4'],
    ['2147483648', 'int8'],
    ['999999999999999999', 'int8'],
    ['0.0', 'numeric'],
    ['12345678901234567890.5', 'numeric'],
  ])('takes %s for an %s', (number, literal) => {
    expect(templateOf(`select a from t where b = ${number}`)?.classes).toEqual([literal]);
  });

  test.each<[string]>([
    ['update t set a = 1'],
    ['with x as (select 1) select * from x'],
    ['select a from t where b = 1; select 2'],
    ['select a from t where b = 1 -- comment'],
    ['select a from t /* comment */ where b = 1'],
    ['select a from t where b = $1'],
    ["select a from t where b = E'x'"],
    ["select a from t where b = U&'x'"],
    ["select a from t where b = 'x'\n'y'"],
    ['select a from t group by b = 1'],
    ['select sum(a) over (order by b) from t where c = 1'],
    ['select current_query() from t where c = 1'],
    ['select a from t where b = \\1'],
    [`select a from t where b = '${'x'.repeat(9000)}'`],
  ])('is none of %s', (text) => {
    expect(templateOf(text)).toBeUndefined();
  });
});

describe('an instance of a template', () => {
  const template = templateOf("select a from t where id = 5 and name = 'x' and b > 1.5");
  if (template === undefined) throw new Error('it has a template');

  test('differs in the literals alone, which are its parameters', () => {
    expect(instanceOf(template, "select a from t where id = 77 and name = 'O''Neil' and b > 0.25")).toEqual([
      '77',
      "O'Neil",
      '0.25',
    ]);
  });

  test.each([
    ["select a from t where id = 3000000000 and name = 'x' and b > 1.5"],
    ["select a from t where id = '5' and name = 'x' and b > 1.5"],
    ["select a from t where id = 5 and name = 'x' and b > 1"],
    ["select a from t where id = 5 and name = 'x' or 'y' = 'y' and b > 1.5"],
    ["select a from t where id = 5 and name = 'x'' and b > 1.5"],
    ["select a from t where id = 5 and name = 'x' and b > 1.5 or true"],
    ["select a from t where id = 5e3 and name = 'x' and b > 1.5"],
    ["select a from t where id =  and name = 'x' and b > 1.5"],
    ["select a from u where id = 5 and name = 'x' and b > 1.5"],
  ])('is not %s', (text) => {
    expect(instanceOf(template, text)).toBeUndefined();
  });

  test('is what has the same template, and nothing else', () => {
    const literal = oneof(
      integer({ min: 0, max: 2 ** 40 }).map(String),
      string({ maxLength: 6 }).map((text) => `'${text.replaceAll("'", "''").replaceAll('\\', '/')}'`),
      tuple(nat(999), nat(999)).map(([a, b]) => `${a}.${b}`),
      constantFrom("''", "'''", '5x', '-1', "' or 1 = 1 or ' ", '1 or 2', '1)', '(1'),
    );
    assert(
      property(literal, literal, literal, literal, (a, b, c, d) => {
        const made = templateOf(`select x from t where (y = ${a}) and z <> ${b}`);
        const text = `select x from t where (y = ${c}) and z <> ${d}`;
        if (made === undefined) return;
        // A string may hold what makes a text no template of its own, such as a dollar.
        const other = templateOf(text);
        const same = other?.text === made.text && other.classes.join() === made.classes.join();
        expect(instanceOf(made, text) !== undefined).toBe(other === undefined ? instanceOf(made, text) !== undefined : same);
      }),
      { numRuns: 3000 },
    );
  });
});
