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
const VALUES = Array.from({ length: 64 }, () => '𝄞'.repeat(128));

test('a question that fits is asked as it is', () => {
  const question = aQuestion({ parameters: ['1'] });
  expect(bounded(question)).toBe(question);
});
test('values of many bytes are left out, and said to be', () => {
  const question = bounded(aQuestion({ parameters: [...VALUES, ...VALUES] }));
  expect(question.parameters).toEqual(['(128 values, too large to be shown)']);
});
