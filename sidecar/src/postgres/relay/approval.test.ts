import { expect, test } from 'vitest';
import { MAX_WHOLE_TEXT_BYTES } from '@chaperone/policy';
import { wholeText } from '../../session/whole-text.ts';
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

test.each<[string, string, string | undefined]>([
  ['that a request has whole is not told again', 'x'.repeat(8192), undefined],
  ['that a request has not whole is told whole', 'x'.repeat(8193), 'x'.repeat(8193)],
  ['that nobody would see is written out', `${'x'.repeat(8192)}\u202e\n`, `${'x'.repeat(8192)}\\u{202e}\\n`],
  ['is told as far as there is room', 'x'.repeat(300_000), `${'x'.repeat(262_141)}…`],
  ['ends with a whole character', `a${'漢'.repeat(100_000)}`, `a${'漢'.repeat(87_380)}…`],
])('a text %s', (_, text, wanted) => {
  const { text: told } = wholeText(text);
  expect(told).toBe(wanted);
  expect(Buffer.byteLength(told ?? '')).toBeLessThanOrEqual(MAX_WHOLE_TEXT_BYTES);
});
test('the text of its template is left out before values are: that it may be granted stays', () => {
  const template = 'b'.repeat(64);
  const text = '漢'.repeat(8 * 1024);
  const asked = bounded(aQuestion({ text, template, templateText: text, parameters: VALUES.slice(0, 32) }));
  expect(asked).toMatchObject({ template, text });
  expect([asked.templateText, asked.parameters?.length]).toEqual([undefined, 32]);
});
