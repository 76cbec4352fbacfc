import { expect, test } from 'vitest';
import { bounded } from './approval.ts';

type Asked = Parameters<typeof bounded>[0];
function aQuestion(mods: Partial<Asked> = {}): Asked {
  return {
    session: `s-${'a'.repeat(16)}`,
    action: 0,
    resource: { namespace: 'data', name: 'orders-db' },
    protocol: 'postgres',
    asks: [{ policy: { namespace: 'agents', name: 'p' }, rule: 'fix' }],
    sentence: 'UPDATE on public.t',
    effects: [],
    text: 'update t set a = 1',
    textBytes: 18,
    transaction: false,
    ...mods,
  };
}
const ROWS = Array.from({ length: 5 }, () => Array.from({ length: 32 }, () => '漢'.repeat(128)));
const VALUES = Array.from({ length: 64 }, () => '𝄞'.repeat(128));

test('a question that fits is asked as it is', () => {
  const question = aQuestion({ preview: { count: 1, columns: ['a'], rows: [['x']] }, parameters: ['1'] });
  expect(bounded(question)).toBe(question);
});
test('rows of many bytes are left out before values are, and both are said to be', () => {
  expect(bounded(aQuestion({ preview: { count: 9, rows: ROWS }, parameters: ['1'] }))).toMatchObject({
    preview: { count: 9, why: 'its rows are too large' },
    parameters: ['1'],
  });
  const both = bounded(aQuestion({ preview: { count: 9, rows: ROWS }, parameters: [...VALUES, ...VALUES] }));
  expect(both.parameters).toEqual(['(128 values, too large to be shown)']);
  expect(JSON.stringify(both)).not.toContain('漢');
});
test('the text of its template is left out before values are: that it may be granted stays', () => {
  const template = 'b'.repeat(64);
  const text = '漢'.repeat(8 * 1024);
  const asked = bounded(aQuestion({ text, template, templateText: text, parameters: VALUES.slice(0, 32) }));
  expect(asked).toMatchObject({ template, text });
  expect([asked.templateText, asked.parameters?.length]).toEqual([undefined, 32]);
});
