import { expect, it } from 'vitest';
import { TypedKeys } from './typed-keys.ts';

it.each<[string, string, string]>([
  ['letters and blanks', 'ls -la', '••••••'],
  ['what is longer than a byte', 'é漢🙂', '•••'],
  ['Enter, Ctrl-C, Ctrl-D and the key that rubs out', 'a\r\u0003\u0004\u007f', '•\r\u0003\u0004\u007f'],
  ['arrows and keys with numbers', '\u001b[A\u001b[1;5Cx\u001b[3~y\u001bOPz', '\u001b[A\u001b[1;5C•\u001b[3~•\u001bOP•'],
  ['text that is pasted', '\u001b[200~secret\u001b[201~', '\u001b[200~••••••\u001b[201~'],
  ['letters with Alt', '\u001bsecret', '\u001b••••••'],
  ['a sequence that something else ends', '\u001b[1\rsecret', '\u001b[1\r••••••'],
])('shows of %s when they came and no letter, wherever they are cut', (_, typed, shown) => {
  const bytes = Buffer.from(typed);
  expect(new TypedKeys().hidden(bytes).toString()).toBe(shown);
  const keys = new TypedKeys();
  const parts = Array.from(bytes, (byte) => keys.hidden(Buffer.of(byte)));
  expect(Buffer.concat(parts).toString()).toBe(shown);
});
