import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detectorBits } from '../../masking/detectors.ts';
import { copyFormatOf, CopyMasker, MaskError, type MaskPlan } from './index.ts';

const REDACT = { labels: ['x'], family: 'text', mask: { kind: 'redact' }, hidesNull: false } as const;
/** The second of three columns is masked. */
const PLAN: MaskPlan = {
  kind: 'plan',
  masks: [undefined, REDACT, undefined],
  families: ['text', 'text', 'text'],
  scan: [],
  detectors: detectorBits([]),
  notes: [],
};

function message(body: string | Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.of(0x64, 0, 0, 0, 0), Buffer.from(body)]);
  bytes.writeUInt32BE(bytes.length - 1, 1);
  return bytes;
}
function masker(options: Readonly<Record<string, string>> = {}): CopyMasker {
  const format = copyFormatOf(options);
  if (format === undefined) throw new Error('no such format');
  return new CopyMasker(PLAN, format);
}
const bodyOf = (bytes: Buffer): string => bytes.toString('latin1', 5);
const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const field = (value: string | null): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(value === null ? -1 : value.length);
  return Buffer.concat([length, Buffer.from(value ?? '')]);
};
const START = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

describe('the options of COPY TO', () => {
  it.each<[Record<string, string>, string | undefined]>([
    [{}, 'text'],
    [{ format: 'CSV' }, 'csv'],
    [{ format: 'binary' }, 'binary'],
    [{ format: 'json' }, undefined],
    [{ encoding: 'latin1' }, undefined],
    [{ force_array: '' }, undefined],
    [{ delimiter: '||' }, undefined],
    [{ delimiter: 'ä' }, undefined],
    [{ format: 'csv', quote: '' }, undefined],
    [{ format: 'csv', escape: 'ab' }, undefined],
  ])('%j are read as %s', (options, kind) => {
    expect(copyFormatOf(options)?.kind).toBe(kind);
  });
});

describe('a row that is not what was described', () => {
  it.each<[string, Record<string, string>, string | Buffer]>([
    ['too few fields', {}, 'a\tb\n'],
    ['too many fields', {}, 'a\tb\tc\td\n'],
    ['no end of line', {}, 'a\tb\tc'],
    ['nothing at all', {}, ''],
    ['half an escape', {}, 'a\tb\tc\\\n'],
    ['an escape that takes a delimiter with it', {}, 'a\\\tb\tc\n'],
    ['a quote that is not closed', { format: 'csv' }, 'a,"b,c\n'],
    ['a quote within a field', { format: 'csv' }, 'a,"b"x,c\n'],
    ['no signature', { format: 'binary' }, Buffer.concat([int16(3), field('a'), field('b'), field('c')])],
    ['too few columns', { format: 'binary' }, Buffer.concat([START, int16(2), field('a'), field('b')])],
    [
      'a field that is cut',
      { format: 'binary' },
      Buffer.concat([START, int16(3), field('a'), field('b'), field('c').subarray(0, 4)]),
    ],
    ['a length below -1', { format: 'binary' }, Buffer.concat([START, int16(3), Buffer.from('fffffff0', 'hex')])],
    ['half a count', { format: 'binary' }, Buffer.concat([START, Buffer.of(0)])],
    ['an extension beyond the end', { format: 'binary' }, Buffer.concat([START.subarray(0, 15), Buffer.from('00ffffff', 'hex')])],
  ])('ends the session: %s', (_, options, body) => {
    expect(() => masker(options).mask(message(body))).toThrow(MaskError);
  });

  it('shows nothing of the masked column, whatever a message holds', () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
    const options = fc.constantFrom(
      {},
      { format: 'csv' },
      { format: 'csv', escape: '\\', quote: "'" },
      { delimiter: '|', null: '' },
    );
    fc.assert(
      fc.property(bytes, options, (body, chosen) => {
        try {
          const shown = masker(chosen).mask(message(Buffer.concat([body, Buffer.from('\n')])));
          expect(shown.bytes.readUInt32BE(1)).toBe(shown.bytes.length - 1);
          expect(shown.values).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toBeInstanceOf(MaskError);
        }
      }),
    );
  });
});

describe('what is not masked', () => {
  it('is copied byte for byte', () => {
    expect(bodyOf(masker().mask(message('\\N\tx\ta\\tb\\\\\n')).bytes)).toBe('\\N\t*****\ta\\tb\\\\\n');
    expect(bodyOf(masker({ format: 'csv' }).mask(message('"a ""b""",x,\n')).bytes)).toBe('"a ""b""","*****",\n');
  });

  it('is the header, the first binary bytes and the trailer', () => {
    const csv = masker({ format: 'csv', header: '' });
    expect(bodyOf(csv.mask(message('a,b,c\n')).bytes)).toBe('a,b,c\n');
    expect(bodyOf(csv.mask(message('1,2,3\n')).bytes)).toBe('1,"*****",3\n');
    const binary = masker({ format: 'binary' });
    const tuple = Buffer.concat([int16(3), field('a'), field('b'), field(null)]);
    const shown = Buffer.concat([int16(3), field('a'), field('*****'), field(null)]);
    expect(binary.mask(message(Buffer.concat([START, tuple]))).bytes).toEqual(message(Buffer.concat([START, shown])));
    expect(binary.mask(message(tuple)).bytes).toEqual(message(shown));
    expect(binary.mask(message(int16(-1))).bytes).toEqual(message(int16(-1)));
  });
});
