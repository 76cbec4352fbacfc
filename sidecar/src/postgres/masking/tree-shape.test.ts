import { describe, expect, it } from 'vitest';
import { treeShape } from './tree-shape.ts';
import { mayBeCut } from './tree.ts';

const entry = (name: string, expression = '{VAR :varno 1 :varattno 1 :location 7}'): string =>
  `{TARGETENTRY :expr ${expression} :resno 1 :resname ${name} :ressortgroupref 0 :resjunk false}`;
const query = (entries: string, more = ''): string =>
  `({QUERY :commandType 1 :utilityStmt <> ${more}:targetList (${entries}) :stmt_location 0 :stmt_len 30})`;
const constant = (bytes: string, length = 4): string => `{CONST :consttype 23 :location 24 :constvalue ${length} [ ${bytes} ]}`;
const window = (name: string, of: string): string =>
  `:windowClause ({WINDOWCLAUSE :name ${name} :refname ${of} :partitionClause <>}) `;
const shapeOf = (bytes: string): string | undefined => treeShape(query(entry('n', constant(bytes))), ['n']);
const ONE = treeShape(query(entry('one')), ['one']);

describe('trees of one shape', () => {
  it.each([
    ['another name of a column', query(entry('two')), 'two'],
    ['a name like a field of the tree', query(entry(':resname')), ':resname'],
    ['a name like what follows a name', query(entry(':ressortgroupref')), ':ressortgroupref'],
    ['a name like a position', query(entry(':location')), ':location'],
    [
      'other positions',
      query(entry('one').replace(':location 7', ':location -1')).replace(':stmt_len 30', ':stmt_len 31'),
      'one',
    ],
    ['lines broken elsewhere', query(entry('one')).replace(':resno 1 ', ':resno 1\n'), 'one'],
  ])('have %s', (_, tree, name) => {
    expect(treeShape(tree, [name])).toBe(ONE);
  });

  it('have other constants, short or long', () => {
    expect(shapeOf('1 0 0 0')).toBe(shapeOf('-1 2 3 4'));
    expect(shapeOf('1 '.repeat(4096).trim())).toBe(shapeOf('1 0 0 0'));
    expect(shapeOf('100 '.repeat(4096).trim())).toBe(shapeOf('1 0 0 0'));
    expect(shapeOf('1 '.repeat(4097).trim())).not.toBe(shapeOf('1 0 0 0'));
    expect(shapeOf('1 '.repeat(4097).trim())).toBe(shapeOf('-100 '.repeat(5000).trim()));
  });
});

it.each([
  ['another column', query(entry('one', '{VAR :varno 1 :varattno 2 :location 7}')), ['one']],
  ['another table under the same name of a column', query(entry('one'), ':relid 16399 '), ['one']],
  ['a null in place of a constant', query(entry('one', '{CONST :consttype 23 :constvalue <>}')), ['one']],
  ['one more column', query(`${entry('one')} ${entry('two')}`), ['one', 'two']],
])('%s makes another shape', (_, tree, names) => {
  const shape = treeShape(tree, names);
  expect(shape).toMatch(/^[0-9a-f]{64}$/);
  expect(shape).not.toBe(ONE);
});

it.each([
  ['other names than the server describes', query(entry('one')), ['two']],
  ['names in another order', query(`${entry('one')} ${entry('two')}`), ['two', 'one']],
  [
    'more names than columns, such as those of a query within it',
    query(entry('one'), `:subquery ${query(entry('one'))} `),
    ['one'],
  ],
  ['a column that is not shown', query(`${entry('one')} ${entry('<>')}`), ['one']],
  ['a window that looks like one more column', query(entry('one'), window(':resname', ':ressortgroupref')), ['one']],
  ['fewer names than columns', query(entry('one')), ['one', 'two']],
  ['an escape', query(entry(String.raw`a\ b`)), [String.raw`a\ b`]],
  ['another character than of ASCII', query(entry('é')), ['é']],
  ['a NUL', query(entry('a\0')), ['a\0']],
  ['half a surrogate pair', query(entry('a\uD800')), ['a\uD800']],
  ['a carriage return', query(entry('a\r')), ['a\r']],
  ['what may be half a token', query(entry('x'.repeat(76))), ['x'.repeat(76)]],
  ['a utility statement', query(entry('one')).replace(':utilityStmt <>', ':utilityStmt {NOTIFYSTMT}'), ['one']],
])('%s has none', (_, tree, names) => {
  expect(treeShape(tree, names)).toBeUndefined();
});

it.each([
  [75, false],
  [76, true],
])('%i characters without a blank may be cut: %s, wherever they stand', (length, cut) => {
  const run = 'x'.repeat(length);
  const parts = ['', 'a ', 'b\n', 'c'.repeat(74)];
  for (const before of parts) for (const after of parts) expect(mayBeCut(`${before} ${run}\n${after}`)).toBe(cut);
  expect(mayBeCut(run)).toBe(cut);
});
