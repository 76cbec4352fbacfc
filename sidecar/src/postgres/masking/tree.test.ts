import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isNode, MAX_TREE_DEPTH, MAX_TREE_LENGTH, parseTree, TreeError, treeKey } from './tree.ts';

const query = (fields: string): string => `({QUERY :commandType 1 ${fields}})`;
const nested = (depth: number): string => query(`:a ${'( '.repeat(depth)}${') '.repeat(depth)}`);
const escape = (name: string): string => name.replace(/[\s(){}\\]/g, '\\$&').replace(/^[<"]/, '\\$&');
const key = (fields: string): string => treeKey(query(fields));
const fieldsOf = (text: string, major = 18) => parseTree(text, major)[0]?.fields;

const tagOf = (major: number): unknown => {
  const value = fieldsOf(query(':a {RTE :x 1}'), major)?.['a'];
  return isNode(value) ? value.tag : undefined;
};

describe('a tree is read as the server prints it', () => {
  const cases: Record<string, [text: string, value: unknown]> = {
    'an absent field is null': [':a <>', null],
    'a token is its text': [':a t', 't'],
    'an escaped character is itself': [':a \\<>', '<>'],
    'an escaped space stays in its token': [':a x\\ y', 'x y'],
    'a folded escaped space is a line end': [':a x\\\ny', 'x\ny'],
    'quotes around a token are left out': [':a ("x" "y")', ['x', 'y']],
    'a quote inside a token is a character': [':a x"y', 'x"y'],
    'a lone quote is a character': [':a "', '"'],
    'a bracket that is not escaped as a name is a token': [':a [', '['],
    'a value may look like a field name': [':a :b', ':b'],
    'a list keeps its order': [':a (b 8 9)', ['b', '8', '9']],
    'a constant keeps no value': [':constvalue 5 [ 20 0 0 0 -97 ]', 'constant'],
    'a NULL constant is absent': [':constvalue <>', null],
  };
  for (const [name, [text, value]] of Object.entries(cases)) {
    it(name, () => expect(Object.values(fieldsOf(query(text)) ?? {}).at(-1)).toEqual(value));
  }

  it('reads a field named like a member of Object as a field and nothing else', () => {
    const fields = fieldsOf(query(':__proto__ x :constructor y'));
    expect(Object.getPrototypeOf(fields)).toBe(null);
    expect(fields?.['hasOwnProperty']).toBe(undefined);
    expect(fields?.['constructor']).toBe('y');
  });

  it('gives the tags of PostgreSQL 14 their later names', () => {
    expect(tagOf(14)).toBe('RANGETBLENTRY');
    expect(tagOf(15)).toBe('RTE');
  });

  it('reads nothing of a utility statement, whatever it quotes', () => {
    const [tree] = parseTree('({QUERY :commandType 6 :canSetTag true :utilityStmt {A_CONST NULL )} } :commandType 1', 18);
    expect(tree?.fields).toEqual(
      Object.assign(Object.create(null) as object, { commandType: '6', canSetTag: 'true', utilityStmt: 'utility' }),
    );
  });
});

describe('what an identifier may have moved is refused', () => {
  const refused: Record<string, string> = {
    'a field twice': query(':expr x :expr y'),
    'a value where a field name belongs': query(':a b c'),
    'a field name with odd characters': query(':a! b'),
    'a field name that is only a colon': query(': b'),
    'an open node': '({QUERY :a b',
    'an open list': query(':a (b'),
    'a closing bracket too many': `${query(':a b')})`,
    'a closing bracket in place of a value': query(':a }'),
    'a list closed as a node': query(':a (b}'),
    'an escape at the end': '({QUERY :a b\\',
    'a tag that is none': query(':a {query :b c}'),
    'text in place of a tree': 'QUERY',
    'an absent tree': '<>',
    'an empty text, through its missing query': '({})',
    'another node at the top': '({VAR :a b})',
    'a constant without its bytes': query(':constvalue 4 x'),
    'a constant with text among its bytes': query(':constvalue 4 [ 1 x ]'),
    'a constant that does not end': query(':constvalue 4 [ 1 2'),
    'a length that is no number': query(':constvalue x [ 1 ]'),
    'a utility statement below the top': query(':a {QUERY :utilityStmt {X}}'),
    'a utility statement below the top that ends there': query(':a {QUERY :utilityStmt }'),
    'a token that may have been cut': query(`:a ${'x'.repeat(76)}`),
    'a token of escapes that may have been cut': query(`:a ${'\\ '.repeat(38)}`),
    'a token whose bytes may have been cut': query(`:a ${'\u20ac'.repeat(26)}`),
    'a run of brackets and a token that may have been cut': query(`:a ((((${'x'.repeat(72)}`),
    'a token that was not UTF-8': query(':a x\uFFFD'),
  };
  for (const [name, text] of Object.entries(refused)) {
    it(name, () => {
      expect(() => parseTree(text, 18)).toThrow(TreeError);
    });
  }

  it('a token of 75 bytes is read, one more is not', () => {
    expect(fieldsOf(query(`:a ${'x'.repeat(75)} :b c`))?.['b']).toBe('c');
    expect(() => parseTree(query(`:a ${'x'.repeat(76)} :b c`), 18)).toThrow(TreeError);
  });

  it('nesting is bounded, and so is length', () => {
    expect(() => parseTree(nested(MAX_TREE_DEPTH - 5), 18)).not.toThrow();
    expect(() => parseTree(nested(MAX_TREE_DEPTH + 5), 18)).toThrow(TreeError);
    expect(() => treeKey(nested(MAX_TREE_DEPTH + 5))).toThrow(TreeError);
    expect(() => parseTree(' '.repeat(MAX_TREE_LENGTH + 1), 18)).toThrow(TreeError);
  });

  it('no text makes the reader do anything but answer or throw TreeError', () => {
    const piece = fc.constantFrom(
      '(',
      ')',
      '{',
      '}',
      '{QUERY',
      ':a',
      ':constvalue',
      ':utilityStmt',
      '[',
      ']',
      '"',
      '\\',
      '<>',
      ' ',
      '\n',
      '4',
      'x',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        for (const read of [() => parseTree(pieces.join(''), 18), () => treeKey(pieces.join(' '))]) {
          try {
            read();
          } catch (error) {
            expect(error).toBeInstanceOf(TreeError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('any name survives the server’s escaping, as one token', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }), (name) => {
        fc.pre(!/^[\s]/.test(name) || name.length < 20);
        expect(fieldsOf(query(`:a ${escape(name)} :b end`))).toMatchObject({ a: name, b: 'end' });
      }),
    );
  });
});

describe('the key of a tree', () => {
  it('does not depend on positions, constants or folding', () => {
    expect(key(':location 5 :constvalue 4 [ 1 0 ] :x y')).toBe(key(':location -1\n:constvalue 4 [ 2 0 ]  :x\ny'));
  });
  it.each([
    ['another column', ':varattno 1', ':varattno 2'],
    ['a constant against NULL', ':constvalue 4 [ 1 ]', ':constvalue <>'],
    ['a long constant from a short one', ':constvalue 4 [ 1 ]', `:constvalue 4 [${' 1'.repeat(4097)} ]`],
    ['a name that looks like a position', ':resname :location :relid 5', ':resname :location :relid 6'],
    ['a name that looks like a constant', ':resname :constvalue :relid 5', ':resname :constvalue :relid 6'],
    ['another nesting', ':a (b) :c (d)', ':a (b :c (d))'],
    ['an escaped bracket', ':a \\( :b c', ':a ( :b c)'],
  ])('tells %s apart', (_, a, b) => expect(key(a)).not.toBe(key(b)));
  it('is not given for a utility statement or an open tree', () => {
    expect(() => key(':utilityStmt {X}')).toThrow(TreeError);
    expect(() => treeKey('({QUERY :a b')).toThrow(TreeError);
  });
});
