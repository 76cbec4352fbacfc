import { type Detector, DETECTORS } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detect, detectorBits, firstPlace } from './detectors.ts';

const ALL: ReadonlySet<Detector> = new Set(DETECTORS);
/** Tokens are put together here, so that no scanner of repositories takes the tests for a leak. */
const of = (...parts: readonly string[]): string => parts.join('');
const AWS = of('AKIA', 'IOSFODNN7EXAMPLE');
const GITHUB = of('ghp_', 'a1B2'.repeat(9));
const GITHUB_FINE = of('github_pat_', 'a1B2c3D4e5F6g7H8i9J0k1_', 'x'.repeat(59));
const GOOGLE = of('AIza', 'SyD-1234_abc'.repeat(3).slice(0, 35));
const SLACK = of('xoxb-', '123456789012-1234567890123-AbCdEfGh');
const OPENAI = of('sk-', 'proj-Abc1_2'.repeat(4));
const STRIPE = of('sk_live_', '4eC39HqLyjWDarjtT1zdp7dc');
const JWT = of('eyJ', 'hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.', 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk');
const PEM = of('-----BEGIN RSA ', 'PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA ', 'PRIVATE KEY-----');
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
    [`id ${AWS}.`, `aws-access-key: ${AWS}`],
    [`ASIA${AWS.slice(4)}`, `aws-access-key: ASIA${AWS.slice(4)}`],
    [`ABIA${AWS.slice(4)},`, `aws-access-key: ABIA${AWS.slice(4)}`],
    [`"${GITHUB}"`, `github-token: ${GITHUB}`],
    ...['gho', 'ghu', 'ghs', 'ghr'].map((kind): [string, string] => [
      `${kind}${GITHUB.slice(3)}`,
      `github-token: ${kind}${GITHUB.slice(3)}`,
    ]),
    [GITHUB_FINE, `github-token: ${GITHUB_FINE}`],
    [`https://x:${GITHUB}@github.example/a`, `github-token: ${GITHUB}`],
    [`key=${GOOGLE}&v=1`, `google-api-key: ${GOOGLE}`],
    [`(${SLACK})`, `slack-token: ${SLACK}`],
    [`xoxp${SLACK.slice(4)}`, `slack-token: xoxp${SLACK.slice(4)}`],
    [`xapp-1-${SLACK.slice(5)}`, `slack-token: xapp-1-${SLACK.slice(5)}`],
    [`x-${OPENAI}`, `api-key: ${OPENAI}`],
    [`sk-ant-api03-${'abcDEF123_-'.repeat(3)}!`, `api-key: sk-ant-api03-${'abcDEF123_-'.repeat(3)}`],
    [STRIPE, `api-key: ${STRIPE}`],
    [`rk_test_${STRIPE.slice(8)}`, `api-key: rk_test_${STRIPE.slice(8)}`],
    [`whsec_${STRIPE.slice(8)}`, `api-key: whsec_${STRIPE.slice(8)}`],
    [`Bearer ${JWT}`, `jwt: ${JWT}`],
    [`a-${JWT};`, `jwt: ${JWT}`],
    ['eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn', 'jwt: eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn'],
    [`x\n${PEM}\ny`, `private-key: ${PEM}`],
    [PEM.slice(0, 50), `private-key: ${PEM.slice(0, 50)}`],
    [`${PEM.slice(0, -5)} and more`, `private-key: ${PEM.split('RSA PRIVATE KEY').slice(0, 2).join('RSA PRIVATE KEY')}`],
    [PEM.replaceAll('RSA ', ''), `private-key: ${PEM.replaceAll('RSA ', '')}`],
    [
      PEM.replaceAll('KEY', 'KEY BLOCK').replaceAll('RSA', 'PGP'),
      `private-key: ${PEM.replaceAll('KEY', 'KEY BLOCK').replaceAll('RSA', 'PGP')}`,
    ],
  ])('%s', (text, expected) => expect(found(text)).toEqual([expected]));

  it('several in one text, in order', () => {
    expect(found('a@b.org 123-45-6789 4111111111111111')).toEqual([
      'email: a@b.org',
      'ssn: 123-45-6789',
      'credit-card: 4111111111111111',
    ]);
  });
  it('only what is wanted', () => expect(found('a@b.org 123-45-6789', new Set(['ssn']))).toEqual(['ssn: 123-45-6789']));
  it.each(DETECTORS)('%s alone finds what it finds among all', (detector) => {
    const text = [
      AWS,
      GITHUB,
      GOOGLE,
      SLACK,
      OPENAI,
      JWT,
      PEM,
      'a@b.org',
      '123-45-6789',
      '4111111111111111',
      '+14155550123',
      'GB82WEST12345698765432',
    ];
    const bytes = Buffer.from(text.join(' '));
    const all = detect(bytes, ALL).filter((span) => span.detector === detector);
    expect(all).toHaveLength(1);
    expect(detect(bytes, new Set([detector]))).toEqual(all);
    expect(detect(bytes, detectorBits([detector]))).toEqual(all);
    expect(detect(bytes, new Set(DETECTORS.filter((other) => other !== detector)))).toHaveLength(DETECTORS.length - 1);
  });
  it('a key that follows an address directly', () =>
    expect(found(`a@b.org${PEM}`)).toEqual(['email: a@b.org', `private-key: ${PEM}`]));
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
    ['a key id that is too long', `${AWS}A`],
    ['a key id in a word', `x${AWS}`],
    ['a key id in lower case', AWS.toLowerCase().replace('akia', 'AKIA')],
    ['a short GitHub token', GITHUB.slice(0, 39)],
    ['a GitHub token in a word', `x${GITHUB}`],
    ['a short Google key', GOOGLE.slice(0, 38)],
    ['a short Slack token', SLACK.slice(0, 14)],
    ['words with dashes', 'sk-the-quick-brown-fox-jumps-over-the-lazy-dog'],
    ['a short key', 'sk-A1b2C3d4E5f6G7h8I9'],
    ['a key in a word', `task-${OPENAI.slice(3)}`],
    ['a publishable key', `pk_live_${STRIPE.slice(8)}`],
    ['a key of no mode', `sk_prod_${STRIPE.slice(8)}`],
    ['a token of one dot', JWT.split('.').slice(0, 2).join('.')],
    ['a token in a word', `x${JWT}`],
    ['a public key', PEM.replaceAll('PRIVATE', 'PUBLIC')],
    ['a certificate', PEM.replaceAll('RSA PRIVATE KEY', 'CERTIFICATE')],
    ['four dashes', PEM.slice(1)],
    ['J and I at the start', 'JI'],
  ])('%s', (_, text) => expect(found(text)).toEqual([]));
});

/** A Buffer that counts how many bytes are read of it, in whichever way. */
function counted(bytes: Buffer): { bytes: Buffer; reads: () => number } {
  let reads = 0;
  const methods: Readonly<Record<string, (...args: never[]) => unknown>> = {
    indexOf: (value: Buffer, from = 0) => {
      const place = bytes.indexOf(value, from);
      reads += (place < 0 ? bytes.length : place + value.length) - from;
      return place;
    },
    toString: (encoding: BufferEncoding, from = 0, to = bytes.length) => {
      reads += Math.max(0, Math.min(to, bytes.length) - from);
      return bytes.toString(encoding, from, to);
    },
  };
  const proxy = new Proxy(bytes, {
    get: (target, key) => {
      if (key === 'length') return target.length;
      const method = typeof key === 'string' ? methods[key] : undefined;
      if (method !== undefined) return method;
      if (typeof key !== 'string' || !/^-?\d+$/.test(key)) throw new Error(`${String(key)} is not counted`);
      reads++;
      return target[Number(key)];
    },
  });
  return { bytes: proxy, reads: () => reads };
}

function readsOf(length: number, unit: string): number {
  const { bytes, reads } = counted(Buffer.alloc(length, unit));
  detect(bytes, ALL);
  return reads();
}

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
      'eyJ',
      'ghp_',
      'sk-',
      'xoxb-',
      'I',
      'J',
      '_',
      '-----BEGIN PRIVATE KEY-----',
      PEM,
      JWT,
      GITHUB,
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
  const hostile = [
    'a',
    '@',
    'a@',
    '1',
    '1 ',
    '1-',
    'a.',
    '+1',
    '(',
    '(415) ',
    'GB82',
    'GB82 ',
    'a@a.',
    '123-45-',
    '4111 ',
    '4111-1',
    '+1 2',
    '-',
    '_',
    'I',
    'J',
    'eyJ',
    '-eyJ',
    'eyJ.',
    '.eyJ',
    'eyJ.eyJ ',
    'AKIA',
    'AKIAA ',
    'AIza',
    'AIza ',
    'ghp_',
    'github_pat_',
    'sk-',
    'sk-a',
    'sk_live_',
    'xoxb-',
    'xoxb- ',
    '-----BEGIN ',
    '-----BEGIN PRIVATE KEY',
    '-----BEGIN PRIVATE KEY----- ',
    '-----END ',
  ];
  it.each(hostile)('work is linear in the length of %s repeated', (unit) => {
    // Longer than all that a recogniser may look around one place; quadratic work would be 64 times as much.
    expect(readsOf(16_000, unit)).toBeLessThan(9 * readsOf(2_000, unit));
  });
  it('work that is not linear would be seen', () => {
    const { bytes, reads } = counted(Buffer.alloc(100));
    for (let at = 0; at < bytes.length; at++) bytes.indexOf(Buffer.from('x'), at);
    expect(reads()).toBe(5050);
  });
  it('a look at where to begin passes over nothing, wherever the value lies', () => {
    const parts = [
      ...hostile,
      PEM,
      JWT,
      GITHUB,
      AWS,
      GOOGLE,
      SLACK,
      OPENAI,
      STRIPE,
      '123-45-6789',
      '4111111111111111',
      'a@b.org',
    ];
    const text = fc.array(fc.constantFrom(...parts, 'DE89370400440532013000', '(415) 555-0123', ' ', 'x', '7'), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(
        text,
        fc.constantFrom(...parts, ''),
        fc.constantFrom(...parts, ''),
        fc.subarray([...DETECTORS]),
        (pieces, before, after, some) => {
          const value = Buffer.from(pieces.join(''));
          const start = Buffer.byteLength(before);
          const all = Buffer.concat([Buffer.from(before), value, Buffer.from(after)]);
          const bits = detectorBits(some);
          const first = firstPlace(all, start, start + value.length, bits);
          expect(first < 0 ? [] : detect(value, bits, undefined, first - start)).toEqual(detect(value, bits));
        },
      ),
      { numRuns: 2000 },
    );
  });
});
