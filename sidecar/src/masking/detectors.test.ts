import type { Detector } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detect } from './detectors.ts';

const ALL = new Set<Detector>(['credit-card', 'email', 'iban', 'ssn', 'phone']);
const found = (text: string, wanted: ReadonlySet<Detector> = ALL): string[] => {
  const bytes = Buffer.from(text);
  return detect(bytes, wanted).map(({ detector, start, end }) => `${detector}: ${bytes.toString('utf8', start, end)}`);
};

describe('what is found', () => {
  it.each([
    ['4111111111111111', 'credit-card: 4111111111111111'],
    ['pan 4111 1111 1111 1111.', 'credit-card: 4111 1111 1111 1111'],
    ['x=4111-1111-1111-1111,', 'credit-card: 4111-1111-1111-1111'],
    ['378282246310005', 'credit-card: 378282246310005'],
    ['5555555555554444', 'credit-card: 5555555555554444'],
    ['30569309025904', 'credit-card: 30569309025904'],
    ['6011111111111117', 'credit-card: 6011111111111117'],
    ['{"pan":4111111111111111}', 'credit-card: 4111111111111111'],
    ['4111111111111111 12/27', 'credit-card: 4111111111111111'],
    ['ada@example.org', 'email: ada@example.org'],
    ['<ada.l+x@mail.example.co.uk>,', 'email: ada.l+x@mail.example.co.uk'],
    ['Write to ada@example.org.', 'email: ada@example.org'],
    ['j\u00f6rg@b\u00fccher.example', 'email: j\u00f6rg@b\u00fccher.example'],
    ['GB82WEST12345698765432', 'iban: GB82WEST12345698765432'],
    ['DE89 3704 0044 0532 0130 00', 'iban: DE89 3704 0044 0532 0130 00'],
    ['de89370400440532013000', 'iban: de89370400440532013000'],
    ['123-45-6789', 'ssn: 123-45-6789'],
    ['(ssn 123 45 6789)', 'ssn: 123 45 6789'],
    ['+44 20 7946 0958', 'phone: +44 20 7946 0958'],
    ['+14155550123', 'phone: +14155550123'],
    ['(415) 555-0123', 'phone: (415) 555-0123'],
    ['415-555-0123', 'phone: 415-555-0123'],
    ['415.555.0123', 'phone: 415.555.0123'],
  ])('%s', (text, expected) => expect(found(text)).toEqual([expected]));

  it('several in one text, in order', () => {
    expect(found('a@b.org 123-45-6789 4111111111111111')).toEqual([
      'email: a@b.org',
      'ssn: 123-45-6789',
      'credit-card: 4111111111111111',
    ]);
  });
  it('only what is wanted', () => expect(found('a@b.org 123-45-6789', new Set(['ssn']))).toEqual(['ssn: 123-45-6789']));
});

describe('what is not', () => {
  it.each([
    ['a number that fails Luhn', '4111111111111112'],
    ['a number of no network', '0000000000000000'],
    ['a number inside a longer one', '94111111111111111111111'],
    ['a number inside a word', 'x4111111111111111'],
    ['an order number', 'order 1234567890'],
    ['an address without a domain', 'ada@localhost'],
    ['an address without a name', '@example.org'],
    ['two dots in the domain', 'ada@example..org'],
    ['a numeric top level', 'ada@10.0.0.1'],
    ['an IBAN of a wrong checksum', 'GB82WEST12345698765433'],
    ['an IBAN of a wrong length', 'GB82WEST1234569876543'],
    ['an unknown country', 'XX82WEST12345698765432'],
    ['area 000', '000-45-6789'],
    ['area 666', '666-45-6789'],
    ['area 9xx', '900-45-6789'],
    ['group 00', '123-00-6789'],
    ['serial 0000', '123-45-0000'],
    ['mixed separators', '123-45 6789'],
    ['a longer number', '123-45-67890'],
    ['a date', '2026-11-21'],
    ['a time stamp', '2026-11-21 10:00:00.123456+00'],
    ['a UUID', '123e4567-e89b-12d3-a456-426614174000'],
    ['plain ten digits', '4155550123'],
    ['an exchange from 1', '415-155-0123'],
    ['a version', '18.4.0-beta.17'],
    ['nothing', ''],
  ])('%s', (_, text) => expect(found(text)).toEqual([]));
});

describe('for any text', () => {
  it('spans are ordered, apart and inside', () => {
    const piece = fc.constantFrom(
      '4',
      '1',
      '0',
      '-',
      ' ',
      '@',
      '.',
      '+',
      '(',
      ')',
      'a',
      'GB82',
      '123-45-6789',
      'a@b.org',
      '4111111111111111',
      '\u00e9',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const bytes = Buffer.from(pieces.join(''));
        let last = 0;
        for (const { start, end } of detect(bytes, ALL)) {
          expect(start).toBeGreaterThanOrEqual(last);
          expect(end).toBeGreaterThan(start);
          expect(end).toBeLessThanOrEqual(bytes.length);
          last = end;
        }
      }),
    );
  });
  it.each(['a', '@', 'a@', '1', '1 ', '1-', 'a.', '+1', '(', 'GB82', 'GB82 ', 'a@a.', '123-45-'])(
    'work is linear in the length of %s repeated',
    (unit) => {
      const time = (length: number): number => {
        const bytes = Buffer.from(unit.repeat(length));
        const begin = performance.now();
        let steps = 0;
        detect(bytes, ALL, (count) => (steps = count));
        expect(steps).toBeLessThanOrEqual(bytes.length);
        return performance.now() - begin;
      };
      time(2000);
      // Quadratic work over 200,000 repetitions would take minutes.
      expect(time(200_000)).toBeLessThan(5_000);
    },
  );
});
