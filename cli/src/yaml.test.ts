import { assert, jsonValue, property } from 'fast-check';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { safeYaml } from './yaml.ts';

const UNSEEN = /(?!\n)[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const SAME = { a: 1 };

test.each<[string, unknown]>([
  ['text that a terminal would obey', '\u001b[2J\u202eb\u0085c\u0007'],
  ['text of several lines', "select 'a'\nfrom b\n"],
  ['several lines with something unseen in them', 'a\n\tb\u200b\nc'],
  ['code points beyond 16 bits', 'a\u{e0001}b\u{1f600}'],
  ['half of a pair', 'a\ud83d'],
  [
    'what other readers take for something else',
    ['yes', 'no', 'off', 'null', '~', '1e3', '0x1F', '012', '1:30', '2026-01-01', ''],
  ],
  ['what YAML has signs for', ['- a', '# b', 'c: d', '&e', '*f', '!g', '%h', '@i', '| j', ' k ', "'", '"', '---', '...']],
  ['long text', 'word '.repeat(100)],
  ['keys too', { 'a\u202eb': 1, yes: 2, '': 3 }],
  ['the same object twice', Array.from({ length: 2 }, () => SAME)],
  ['nothing', { a: [], b: {}, c: null, d: true, e: 1.5, f: -0.1, g: 1e21 }],
])('%s is read as it was, and is seen whole', (_, value) => {
  const text = safeYaml(value);
  for (const version of ['1.1', '1.2'] as const) expect(parse(text, { version })).toEqual(value);
  expect(text).not.toMatch(UNSEEN);
});

test('any JSON is read as it was, and is seen whole', () => {
  assert(
    property(jsonValue({ stringUnit: 'binary' }), (value) => {
      const plain: unknown = JSON.parse(JSON.stringify(value));
      const text = safeYaml(plain);
      expect(text).not.toMatch(UNSEEN);
      expect(parse(text)).toEqual(plain);
    }),
    { seed: 7, numRuns: 200 },
  );
});
