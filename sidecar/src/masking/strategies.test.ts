import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  containsSentinel,
  maskBytes,
  maskOf,
  maskText,
  REDACTED,
  strictest,
  type Mask,
  WRITE_SLACK,
  writeMasked,
} from './strategies.ts';

const KEY = Buffer.alloc(32, 1);

describe('a partial mask', () => {
  it.each([
    ['123-45-6789', 0, 4, '*******6789'],
    ['123-45-6789', 2, 2, '12*******89'],
    ['123456', 0, 3, '***456'],
    ['1234', 0, 4, REDACTED],
    ['1234567', 0, 4, REDACTED],
    ['12', 0, 1, '***2'],
    ['', 0, 4, REDACTED],
    ['abc', 0, 0, REDACTED],
    ['\u{1f600}\u{1f601}\u{1f602}\u{1f603}', 1, 1, '\u{1f600}***\u{1f603}'],
  ])('of %s showing %i and %i is %s', (value, first, last, shown) =>
    expect(maskText(value, { kind: 'partial', first, last })).toBe(shown),
  );

  it('never shows more than half of a value, and can be recognised', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', '\u{1f600}', '1') }),
        fc.nat(20),
        fc.nat(20),
        (value, first, last) => {
          const shown = maskText(value, { kind: 'partial', first, last }) ?? '';
          const visible = Array.from(shown).filter((character) => character !== '*').length;
          expect(visible).toBeLessThanOrEqual(Array.from(value).length / 2);
          expect(containsSentinel(shown)).toBe(true);
          expect(shown.length).toBeLessThanOrEqual(32 + 2 * (first + last));
        },
      ),
    );
  });
});

it.each<[Parameters<typeof maskOf>[0], string]>([
  [undefined, 'redact'],
  [{}, 'redact'],
  [{ redact: {} }, 'redact'],
  [{ null: {} }, 'null'],
  [{ hash: {} }, 'hash'],
  [{ partial: { last: 4 } }, 'partial'],
  [{ partial: { last: -1 } }, 'redact'],
  [{ partial: { last: 1.5 } }, 'redact'],
  [{ partial: { last: 4 }, null: {} }, 'redact'],
])('the strategy %j is %s', (strategy, kind) => expect(maskOf(strategy, KEY).kind).toBe(kind));

it('a hash needs a key of 128 bits', () => {
  expect(maskOf({ hash: {} }, undefined).kind).toBe('redact');
  expect(maskOf({ hash: {} }, Buffer.alloc(15)).kind).toBe('redact');
  expect(maskText('a', maskOf({ hash: {} }, KEY))).not.toBe(maskText('a', maskOf({ hash: {} }, Buffer.alloc(32, 2))));
});

it('the stricter of several holds: redact, null, hash, partial', () => {
  const partial: Mask = { kind: 'partial', first: 0, last: 4 };
  const hash: Mask = { kind: 'hash', key: KEY };
  expect(strictest([partial, hash]).kind).toBe('hash');
  expect(strictest([hash, { kind: 'null' }, partial]).kind).toBe('null');
  expect(strictest([{ kind: 'null' }, { kind: 'redact' }]).kind).toBe('redact');
  expect(strictest([partial, { kind: 'partial', first: 2, last: 1 }])).toEqual({ kind: 'partial', first: 0, last: 1 });
  expect(strictest([hash, hash])).toEqual(hash);
  expect(strictest([hash, { kind: 'hash', key: Buffer.alloc(32, 2) }]).kind).toBe('redact');
  expect(strictest([]).kind).toBe('redact');
});

it('bytes are masked as their text is', () => {
  const masks: fc.Arbitrary<Mask> = fc.oneof(
    fc.record({ kind: fc.constant('partial' as const), first: fc.nat(6), last: fc.nat(6) }),
    fc.constantFrom<Mask>({ kind: 'redact' }, { kind: 'null' }, { kind: 'hash', key: Buffer.alloc(16) }),
  );
  const values = fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.string({ minLength: 4090, maxLength: 4100 }));
  fc.assert(
    fc.property(values, masks, (value, mask) => {
      expect(maskBytes(Buffer.from(value), mask)?.toString() ?? null).toBe(maskText(value, mask));
    }),
  );
});

const written = (value: string, mask: Mask): { shown: string | undefined; around: string } => {
  const bytes = Buffer.from(value);
  const source = Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')]);
  const out = Buffer.alloc(3 + bytes.length + WRITE_SLACK + 3, '|');
  const end = writeMasked(source, 2, 2 + bytes.length, mask, out, 3);
  const around = out.toString('latin1', 0, 3) + out.toString('latin1', out.length - 3);
  return { shown: end < 0 ? undefined : out.toString('utf8', 3, end), around };
};

describe('a mask written where it is to stand', () => {
  const masks = fc.oneof(
    fc.constantFrom<Mask>({ kind: 'redact' }, { kind: 'null' }, { kind: 'hash', key: KEY }),
    fc.record({ kind: fc.constant('partial' as const), first: fc.nat(6), last: fc.nat(6) }),
  );
  const values = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constant('a'.repeat(5000)),
  );
  it('is what a string of it would be, and stays in its room', () => {
    fc.assert(
      fc.property(values, masks, (value, mask) => {
        const { shown, around } = written(value, mask);
        expect(around).toBe('||||||');
        if (shown !== undefined) expect(shown).toBe(maskText(value, mask));
        else expect(mask.kind).not.toBe('redact');
      }),
    );
  });
  it('is written for the values that it is meant for', () => {
    expect(written('123-45-6789', { kind: 'partial', first: 0, last: 4 }).shown).toBe('*******6789');
    expect(written('x', { kind: 'redact' }).shown).toBe(REDACTED);
  });
});
