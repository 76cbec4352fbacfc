import { describe, expect, it } from 'vitest';
import { confirms } from './confirm.ts';

const EXPECTED = { relations: new Set([16400, 16410]), mayCall: (oid: number) => oid === 870 };
/** What matters of a tree of `select name from t`, column 2 of relation 16400. */
const TREE = '({QUERY :rtable ({RTE :relid 16400 :rellockmode 1}) :targetList ({TARGETENTRY :vartype 25})})';
const CONFIRMED: Readonly<Record<string, string>> = {
  'as it was foretold': TREE,
  'a table that is not read after all': '({QUERY :rtable <>})',
  'lines that are folded before numbers': TREE.replace(':relid 16400', ':relid\n16400'),
  'a sub-query, which has no relation': TREE.replace(':relid 16400', ':relid 0'),
  'a modifier as large as an object’s number': TREE.replace(':vartype 25', ':vartypmod 655366'),
  'a constant, byte by byte': TREE.replace(':vartype 25', ':constvalue 8 [ 99 120 0 0 -1 5 6 7 ]'),
  'functions that it may call, and an operator whose function is not told': TREE.replace(
    ':vartype 25',
    ':funcid 870 :aggfnoid\n870 :opfuncid 0 :vartype 25',
  ),
  'a name that ends in a number': TREE.replace(':vartype 25', ':resname c163999'),
};
const REFUSED: Readonly<Record<string, string>> = {
  'another relation': TREE.replace('16400', '16401'),
  'another relation, on the next line': TREE.replace(':relid 16400', ':relid\n16401'),
  'a relation of the server’s': TREE.replace('16400', '1259'),
  'a relation that is no number': TREE.replace('16400', '<>'),
  'a function of the owner’s': TREE.replace(':vartype 25', ':funcid 16500 :vartype 25'),
  'a function of the server’s that it may not call': TREE.replace(':vartype 25', ':funcid 3689 :vartype 25'),
  'such an aggregate, on the next line': TREE.replace(':vartype 25', ':aggfnoid\n3689 :vartype 25'),
  'such a window’s': TREE.replace(':vartype 25', ':winfnoid 3689 :vartype 25'),
  'such an operator’s': TREE.replace(':vartype 25', ':opfuncid 3689 :vartype 25'),
  'a function that is no number': TREE.replace(':vartype 25', ':funcid <> :vartype 25'),
  'one behind a modifier': TREE.replace(':vartype 25', ':vartypmod 655366 16500'),
  'objects in a list': TREE.replace(':vartype 25', ':funccolids (o 100 16500)'),
  'the least number that is not the server’s': TREE.replace(':vartype 25', ':vartype 16384'),
  'a position as large as that': TREE.replace(':vartype 25', ':location 20000'),
  'a name that looks like a relation': TREE.replace('25}', '25 :resname :relid x}'),
  'an escape': TREE.replace('25}', '25 :resname a\\ b}'),
  'another character than ASCII’s': TREE.replace('25}', '25 :resname \u00e4}'),
  'a lone surrogate': TREE.replace('25}', '25 :resname \ud800}'),
  'a NUL': TREE.replace('25}', '25 :resname a\0}'),
  'a run that may have been cut': TREE.replace('25}', `25 :resname ${'x'.repeat(76)}}`),
};

describe('a tree that is looked through', () => {
  it.each(Object.entries(CONFIRMED))('confirms what was foretold: %s', (_, tree) => expect(confirms(tree, EXPECTED)).toBe(true));
  it.each(Object.entries(REFUSED))('has to be read: %s', (_, tree) => expect(confirms(tree, EXPECTED)).toBe(false));
});
