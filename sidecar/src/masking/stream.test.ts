import { DETECTORS, type Detector } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detect } from './detectors.ts';
import { type Mask, maskBytes } from './strategies.ts';
import { StreamMask } from './stream.ts';

const REDACT: Mask = { kind: 'redact' };
const ALL = new Map<Detector, Mask>(
  DETECTORS.map((detector) => [detector, detector === 'credit-card' ? { kind: 'partial', first: 0, last: 4 } : REDACT]),
);
const KEY = '-----BEGIN RSA PRIVATE KEY-----\nMIIEow: [IBAAKCAQEA, 4111111111111111]\n-----END RSA PRIVATE KEY-----';
const VALUES = [
  '4111 1111 1111 1111',
  '4111111111111111',
  'GB82 WEST 1234 5698 7654 32',
  '123-45-6789',
  '(415) 555-2671',
  '+1 415 555 2671',
  'mira.o@mail.example.com',
  'ghp_0123456789abcdefghijABCDEFGHIJ0123456789',
  'xoxb-0123456789-abcdefghij',
  'AKIAIOSFODNN7EXAMPLE',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
  'sk-proj-A1b2C3d4E5f6G7h8I9j0',
  KEY,
];

/** What it is as one text, which the detectors' own tests speak of. */
function whole(text: string, masks = ALL): string {
  const bytes = Buffer.from(text);
  const parts: Buffer[] = [];
  let from = 0;
  for (const { detector, start, end } of detect(bytes, new Set(masks.keys()))) {
    const mask = detector === 'private-key' ? REDACT : (masks.get(detector) ?? REDACT);
    parts.push(bytes.subarray(from, start), maskBytes(bytes.subarray(start, end), mask) ?? Buffer.alloc(0));
    from = end;
  }
  return Buffer.concat([...parts, bytes.subarray(from)]).toString();
}

function streamed(chunks: readonly Buffer[], masks = ALL): string {
  const stream = new StreamMask(masks);
  const given = chunks.map((chunk) => {
    const lent = Buffer.from(chunk);
    const out = Buffer.from(stream.push(lent));
    // Whoever lent it uses it for something else.
    lent.fill('1');
    return out;
  });
  return Buffer.concat([...given, stream.end()]).toString();
}

/** Cuts after these shares of the text. */
function cut(text: string, at: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const places = at.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, [...places, bytes.length][index]));
}

describe('a stream of text', () => {
  it.each(VALUES)('hides %j at every split', (value) => {
    for (const text of [`a ${value} b\n`, value, `${value}\n${value}`]) {
      const expected = whole(text);
      expect(expected).not.toContain(value);
      for (let at = 0; at <= text.length; at++)
        expect(streamed([Buffer.from(text.slice(0, at)), Buffer.from(text.slice(at))])).toBe(expected);
      expect(streamed([...Buffer.from(text)].map((byte) => Buffer.from([byte])))).toBe(expected);
    }
  });

  it('is masked as the whole text would be, however it is cut', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ...VALUES,
        '\n',
        ' ',
        '"',
        ', ',
        ': ',
        'user',
        '-----',
        '-----BEGIN ',
        '-----END ',
        '(',
        '+1 ',
        '4111 ',
        'é',
        '@',
        '.',
      ),
      fc.string({ maxLength: 12 }),
      fc.stringMatching(/^[0-9 -]{0,24}$/),
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 30 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
        (pieces, at) => {
          const text = pieces.join('');
          expect(streamed(cut(text, at))).toBe(whole(text));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it.each<[string, string, string]>([
    ['words', 'Enter your name ', 'Enter your name '],
    ['a question', 'Continue? [y/N]', 'Continue? [y/N]'],
    ['a prompt', 'password:', 'password:'],
    ['a line', 'total 4111 11\n', 'total 4111 11\n'],
    ['what may go on', 'card 4111 ', 'card '],
    ['an address that may go on', 'from mira@mail.example.com', 'from '],
    ['a blank far from any number', `4111 ${'x'.repeat(128)} `, `4111 ${'x'.repeat(128)} `],
  ])('lets go of %s at once', (_, text, told) => {
    expect(new StreamMask(ALL).push(Buffer.from(text)).toString()).toBe(told);
  });

  it('keeps nothing of a chunk that is its sender’s again', () => {
    const addresses = 'mira.o@mail.example.com '.repeat(40);
    for (const long of ['x'.repeat(300_000), addresses.repeat(300), `${addresses}${'x'.repeat(60_000)}`]) {
      const text = `${long}${addresses}${long}\n`;
      const chunks = Array.from({ length: Math.ceil(text.length / 32_768) }, (_, at) =>
        Buffer.from(text.slice(at * 32_768, (at + 1) * 32_768)),
      );
      const masked = streamed(chunks);
      expect(masked).not.toMatch(/1{5}|mira/);
      expect(streamed(chunks.flatMap((chunk) => [chunk.subarray(0, 1_000), chunk.subarray(1_000)]))).toBe(masked);
    }
  });

  it('is passed as it is where nothing is looked for', () => {
    const chunk = Buffer.from(VALUES.join('\n'));
    expect(new StreamMask(new Map()).push(chunk)).toBe(chunk);
  });

  it('holds little back, and hides what goes on and on', () => {
    const token = `ghp_${'a'.repeat(200_000)}`;
    const stream = new StreamMask(ALL);
    const out = [
      stream.push(Buffer.from(`x ${token.slice(0, 100_000)}`)),
      stream.push(Buffer.from(`${token.slice(100_000)} y\n`)),
      stream.end(),
    ];
    expect(Buffer.concat(out).toString()).toBe('x ***** y\n');
    expect(stream.masked).toBe(1);
    const long = new StreamMask(ALL);
    for (let count = 0; count < 100; count++) {
      long.push(Buffer.from('abcd'.repeat(1_000)));
      expect(long.held).toBeLessThanOrEqual(16 * 1024 + 4_000);
    }
  });

  it('hides an address in a line without end', () => {
    const text = `${'a/'.repeat(20_000)} mira@mail.example.com ${'b/'.repeat(20_000)}`;
    expect(streamed(cut(text, [0.1, 0.5, 0.51]))).toBe(whole(text));
  });

  it('ends within a private key, of which nothing is told', () => {
    const stream = new StreamMask(ALL);
    const out = Buffer.concat([
      stream.push(Buffer.from(`a\n${KEY.slice(0, 60)}`)),
      stream.push(Buffer.from('-----EN')),
      stream.end(),
    ]);
    expect(out.toString()).toBe('a\n*****');
  });

  it('takes time in proportion, byte by byte', () => {
    const stream = new StreamMask(ALL);
    let steps = 0;
    const byte = Buffer.from('a');
    for (let count = 0; count < 2_000_000; count++) steps += stream.push(byte).length;
    expect(steps + stream.held).toBe(2_000_000);
  });
});
