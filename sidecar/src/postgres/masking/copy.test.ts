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

const scanned = (value: string | null): string | null => value?.replaceAll('a@b.org', '*****') ?? null;

describe('rows that come at once', () => {
  type Row = readonly [string | null, string | null, string | null];
  const PARTIAL: MaskPlan = {
    ...PLAN,
    masks: [undefined, { ...REDACT, mask: { kind: 'partial', first: 0, last: 2 } }, undefined],
    scan: [{ label: 'x', detector: 'email', mask: { kind: 'redact' } }],
    detectors: detectorBits(['email']),
  };
  /** As PARTIAL says, for the values below. */
  const shown = ([a, b, c]: Row): Row => {
    const ends =
      b === null ? null : b.length < 4 ? '*****' : `${'*'.repeat(Math.min(32, Math.max(3, b.length - 2)))}${b.slice(-2)}`;
    return [scanned(a), ends, scanned(c)];
  };
  const SPECIAL: Readonly<Record<string, string>> = { '\t': String.raw`\t`, '\n': String.raw`\n`, '\\': '\\\\' };
  const text = (row: Row): string =>
    `${row.map((value) => value?.replace(/[\t\n\\]/g, (found) => SPECIAL[found] ?? '') ?? String.raw`\N`).join('\t')}\n`;
  /** Quotes where they are needed, or all: a masked value always has them. */
  const csv = (row: Row, quoted: (column: number) => boolean = () => false): string =>
    `${row.map((value, at) => (value === null ? '' : quoted(at) || value === '' || /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(',')}\n`;
  const binary = (row: Row): Buffer => Buffer.concat([int16(3), ...row.map(field)]);
  const ways: Record<string, [Record<string, string>, (row: Row) => string | Buffer, (row: Row, was: Row) => string | Buffer]> = {
    text: [{}, text, text],
    csv: [{ format: 'csv' }, (row) => csv(row), (row, was) => csv(row, (at) => row[at] !== was[at])],
    binary: [{ format: 'binary' }, binary, binary],
  };
  const value = fc.option(
    fc.constantFrom(
      '',
      'a',
      'abcd',
      '123-45-6789',
      'a@b.org',
      'to a@b.org, or',
      'tab\tline\nback\\',
      'say "so", say',
      String.raw`12\345678\9`,
      'x'.repeat(150),
    ),
  );
  const rows = fc.array(fc.tuple(value, value, value), { minLength: 1, maxLength: 5 });

  it.each(Object.entries(ways))('are masked as each would be, wherever a read ended: %s', (_, [options, written, masked]) => {
    const format = copyFormatOf(options);
    if (format === undefined) throw new Error('no such format');
    fc.assert(
      fc.property(rows, (table) => {
        const start = format.kind === 'binary' ? [message(START)] : [];
        const messages = [...start, ...table.map((row) => message(written(row)))];
        const expected = Buffer.concat([...start, ...table.map((row) => message(masked(shown(row), row)))]);
        for (let split = 0; split <= messages.length; split++) {
          const copy = new CopyMasker(PARTIAL, format);
          const parts = [messages.slice(0, split), messages.slice(split)].map((part) => copy.mask(Buffer.concat(part)));
          expect(Buffer.concat(parts.map(({ bytes }) => bytes)).toString('latin1')).toBe(expected.toString('latin1'));
          const changed = table.flatMap((row) => shown(row).filter((each, at) => each !== row[at])).length;
          expect(parts.reduce((sum, { values }) => sum + values, 0)).toBe(changed);
        }
      }),
    );
  });

  it('that do not change are the same Buffer', () => {
    const bytes = Buffer.concat([message('a\t\\N\tc\n'), message('\t\\N\t\n')]);
    expect(masker().mask(bytes)).toEqual({ bytes, values: 0 });
    expect(masker().mask(bytes).bytes).toBe(bytes);
  });

  it.each([
    ['a message that is cut', message('a\tb\tc\n').subarray(0, -1)],
    ['bytes behind the last', Buffer.concat([message('a\tb\tc\n'), Buffer.of(0x64)])],
    ['a message of another type', Buffer.from(message('a\tb\tc\n')).fill('D', 0, 1)],
    ['a row with too few fields behind a good one', Buffer.concat([message('a\tb\tc\n'), message('a\tb\n')])],
  ])('end the session: %s', (_, bytes) => expect(() => masker().mask(bytes)).toThrow(MaskError));
});
