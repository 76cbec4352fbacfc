import { expect, test } from 'vitest';
import { parseDuration, parseQuantity, UnitError } from './units.ts';

test.each([
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['250ms', 250],
  ['90d', 7_776_000_000],
  ['1d1h1m1s1ms', 90_061_001],
  ['0h1s', 1000],
  ['999999d', 86_399_913_600_000],
])('the duration %s is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '5', '0s', '0m0s', '1m1h', '5m5m', '1 h', '-5m', '1.5h', '1000000s', '5M', 'm', '５m'])(
  'the duration %j is refused',
  (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ name: 'UnitError', code: 'DurationInvalid' }));
  },
);

test.each([
  ['1', 1],
  ['65536', 65_536],
  ['1k', 1000],
  ['1Ki', 1024],
  ['1Mi', 1_048_576],
  ['10G', 10_000_000_000],
  ['999999Gi', 1_073_740_750_258_176],
])('the quantity %s is %d bytes, exactly', (text, bytes) => {
  expect(parseQuantity(text)).toBe(bytes);
  expect(Number.isSafeInteger(bytes)).toBe(true);
});

test.each(['', '0', '01', '1MB', '1.5Mi', '-1', '1 Mi', '1000000Gi', '1e3', 'Mi', '1Ti'])(
  'the quantity %j is refused',
  (text) => {
    expect(() => parseQuantity(text)).toThrow(UnitError);
  },
);
