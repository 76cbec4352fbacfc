import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filterError, planResult, type Analysis, type MaskPlan, type OutputColumn, maskRows } from './index.ts';
import { anAccess, dataRow } from './testbed.test-support.ts';

const SSN = { relation: 100, attnum: 3, labels: new Set(['pii.ssn']) };
const EMAIL = { relation: 100, attnum: 4, labels: new Set(['pii.email']) };
const column = (mods: Partial<OutputColumn> = {}): OutputColumn => ({ name: 'c', sources: [], exact: true, ...mods });
const anAnalysis = (columns: readonly OutputColumn[]): Analysis => ({
  command: 'select',
  columns,
  effects: [],
  references: [],
  assigns: [],
  targets: [],
  refused: undefined,
  touchesLabelled: true,
  impliesCode: false,
  firesOwnersCode: false,
  ownersCode: false,
  readsSession: false,
  setConfigs: 0,
  unknownObjects: false,
  labelled: new Map([[100, new Map([[3, new Set(['pii.ssn'])]])]]),
});
const field = (typeOid = 25, origin: readonly [number, number] = [0, 0]) => ({
  name: 'c',
  tableOid: origin[0],
  attributeNumber: origin[1],
  typeOid,
});
const KEY = Buffer.alloc(32, 7).toString('base64');
const OTHER_KEY = Buffer.alloc(32, 8).toString('base64');

function planOf(columns: readonly OutputColumn[], types: readonly number[], mods: Parameters<typeof anAccess>[0] = {}): MaskPlan {
  const plan = planResult({
    analysis: anAnalysis(columns),
    fields: types.map((type) => field(type)),
    access: anAccess({ hashKeys: { 'pii.ssn': KEY, 'pii.email': OTHER_KEY }, ...mods }),
  });
  if (plan.kind === 'refuse') throw new Error(plan.reason);
  return plan;
}
const textOf = (row: Buffer): string | null => (row.readInt32BE(7) === -1 ? null : row.toString('utf8', 11));
const mask = (value: string | Buffer | null, plan: MaskPlan, formats: readonly number[] = []): string | null =>
  textOf(maskRows(dataRow([value]), plan, formats).bytes);

describe('one value is masked as its type allows', () => {
  const exact = [column({ sources: [SSN] })];
  const partial = { masking: { 'pii.ssn': { partial: { last: 4 } } } };
  const cases: Record<string, [type: number, mods: Parameters<typeof anAccess>[0], value: string | null, shown: string | null]> =
    {
      'text is redacted': [25, {}, '271-82-8459', '*****'],
      'varchar is redacted': [1043, {}, '271-82-8459', '*****'],
      'text is shown in part': [25, partial, '123-45-6789', '*******6789'],
      'text as NULL': [25, { masking: { 'pii.ssn': { null: {} } } }, 'x', null],
      'NULL of an exact column stays NULL': [25, {}, null, null],
      'a number becomes NULL': [23, partial, '5', null],
      'a date becomes NULL': [1082, {}, '2020-01-01', null],
      'bytea becomes NULL': [17, {}, '\\x00', null],
      'an array becomes NULL': [1009, partial, '{a}', null],
      'a composite value becomes NULL': [2249, {}, '(a)', null],
      'an unknown type becomes NULL': [99999, {}, 'x', null],
      'json becomes a JSON string': [114, partial, '{"a":1}', '"*****"'],
      'jsonb becomes a JSON string': [3802, {}, '{"a":1}', '"*****"'],
      'a revealed label is shown': [25, { reveal: ['pii.ssn'] }, 'x', 'x'],
    };
  for (const [name, [type, mods, value, shown]] of Object.entries(cases)) {
    it(name, () => expect(mask(value, planOf(exact, [type], mods))).toBe(shown));
  }
  it('binary jsonb keeps its version byte', () => {
    expect(mask(Buffer.from('\u0001{}'), planOf(exact, [3802]), [1])).toBe('\u0001"*****"');
  });
  it('a derived value is hidden whole, its NULL too, whatever the strategy', () => {
    const plan = planOf([column({ sources: [SSN], exact: false })], [25], partial);
    expect([mask('271-82-8459', plan), mask(null, plan)]).toEqual(['*****', '*****']);
  });
  it('what may hold anything is hidden whole while any label is hidden', () => {
    expect(mask('x', planOf([column({ top: 'a function' })], [25]))).toBe('*****');
    expect(mask('x', planOf([column({ top: 'a function' })], [25], { reveal: ['pii.ssn', 'pii.email', 'own.view'] }))).toBe('x');
  });
  it('of two labels the stricter strategy holds', () => {
    const both = [column({ sources: [SSN, EMAIL] })];
    const masking = { 'pii.ssn': { partial: { last: 4 } }, 'pii.email': { null: {} } };
    expect(mask('123-45-6789', planOf(both, [25], { masking }))).toBe(null);
    expect(mask('123-45-6789', planOf(both, [25], { masking, reveal: ['pii.email'] }))).toBe('*******6789');
  });
  describe('by hash', () => {
    const masking = { 'pii.ssn': { hash: {} }, 'pii.email': { hash: {} } };
    const ssn = [column({ sources: [SSN], pure: true })];
    const both = { ...SSN, labels: new Set(['pii.ssn', 'pii.email']) };
    const shown = (columns: readonly OutputColumn[], value: string, mods: Parameters<typeof anAccess>[0] = {}) =>
      mask(value, planOf(columns, [25], { masking, ...mods }));
    it('equal values look equal, others do not', () => {
      expect(shown(ssn, 'a')).toBe('h:xhq343p42ivdga3s');
      expect(shown(ssn, 'a')).toBe(shown(ssn, 'a'));
      expect(shown(ssn, 'a')).not.toBe(shown(ssn, 'b'));
    });
    it('equal values of two labels do not', () =>
      expect(shown(ssn, 'a')).not.toBe(shown([column({ sources: [EMAIL], pure: true })], 'a')));
    it.each<[string, readonly OutputColumn[], Parameters<typeof anAccess>[0]]>([
      ['a value beside which others may stand', [column({ sources: [SSN] })], {}],
      ['a derived value', [column({ sources: [SSN], pure: true, exact: false })], {}],
      ['values of two labels, each by its own key', [column({ sources: [SSN, EMAIL], pure: true })], {}],
      ['a value of both labels', [column({ sources: [both], pure: true })], {}],
      [
        'a value beside one of a label that is revealed',
        [column({ sources: [SSN, EMAIL], pure: true })],
        { reveal: ['pii.email'] },
      ],
      [
        'a value beside one of a label that is shown in part',
        [column({ sources: [SSN, EMAIL], pure: true })],
        { masking: { ...masking, 'pii.email': { partial: { last: 4 } } } },
      ],
      ['a label without a key', ssn, { hashKeys: {} }],
      ['a label whose key is too short', ssn, { hashKeys: { 'pii.ssn': 'AAAA' } }],
    ])('%s is redacted', (_, columns, mods) => expect(shown(columns, 'secret-value', mods)).toBe('*****'));
    it('blanks at the end of character(n) are no part of the value', () => {
      const padded = planOf(ssn, [1042], { masking });
      expect(mask('a  ', padded)).toBe(mask('a', padded));
      expect(mask('a  ', padded)).toBe(shown(ssn, 'a'));
      expect(shown(ssn, 'a  ')).not.toBe(shown(ssn, 'a'));
    });
    it('a UUID becomes another, the same in text and binary', () => {
      const plan = planOf(ssn, [2950], { masking });
      const value = '0e37df36-f698-11e6-8dd4-cb9ced3df976';
      const text = mask(value, plan) ?? '';
      expect(text).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const bytes = Buffer.from(value.replaceAll('-', ''), 'hex');
      expect(
        maskRows(dataRow([bytes]), plan, [1])
          .bytes.subarray(11)
          .toString('hex'),
      ).toBe(text.replaceAll('-', ''));
      expect([mask('no UUID', plan), mask(Buffer.alloc(15), plan, [1])]).toEqual([null, null]);
      expect(plan.notes[0]?.strategy).toBe('hash');
      expect(mask(value, planOf([column({ sources: [SSN] })], [2950], { masking }))).toBe(null);
    });
    it('what detectors find is redacted: it may be a guess of the agent', () => {
      const sensitive = [{ label: 'pii.ssn', columns: [], detector: 'ssn' as const }];
      expect(shown([column()], 'x 123-45-6789', { sensitive })).toBe('x *****');
    });
  });
  it('says what it did to each column', () => {
    const plan = planOf([column(), column({ sources: [SSN] }), column({ sources: [SSN] })], [25, 25, 23], partial);
    expect(plan.notes).toEqual([
      { column: 1, name: 'c', labels: ['pii.ssn'], strategy: 'partial' },
      { column: 2, name: 'c', labels: ['pii.ssn'], strategy: 'null' },
    ]);
  });
});

describe('detectors look through what lineage shows', () => {
  const plain = [column()];
  it.each([
    ['text', 25, 'write to a@b.org!', 'write to *****!'],
    ['an array of text', 1009, '{a@b.org,x}', '{*****,x}'],
    ['a composite value', 2249, '(a@b.org,1)', '(*****,1)'],
    ['json', 114, '{"m":"a@b.org"}', '{"m":"*****"}'],
    ['a number, which is left alone', 1700, '4111111111111111', '4111111111111111'],
  ])('in %s', (_, type, value, shown) => expect(mask(value, planOf(plain, [type]))).toBe(shown));
  it('in JSON, where a number is found, the whole is hidden', () => {
    const sensitive = [{ label: 'pci.card', columns: [], detector: 'credit-card' as const }];
    expect(mask('{"pan":4111111111111111}', planOf(plain, [114], { sensitive }))).toBe('"*****"');
    expect(mask(Buffer.from('\u0001{"pan":4111111111111111}'), planOf(plain, [3802], { sensitive }), [1])).toBe('\u0001"*****"');
    expect(mask('4111111111111111', planOf(plain, [25], { sensitive, masking: { 'pci.card': { partial: { last: 4 } } } }))).toBe(
      '************1111',
    );
  });
  it('in a binary array by hiding the whole', () => expect(mask('\u0000a@b.org', planOf(plain, [1009]), [1])).toBe(null));
  it('not when the label is revealed', () =>
    expect(mask('a@b.org', planOf(plain, [25], { reveal: ['pii.email'] }))).toBe('a@b.org'));
});

describe('a row', () => {
  it('that does not change is the same Buffer', () => {
    const row = dataRow(['a', null, 'b']);
    expect(maskRows(row, planOf([column(), column(), column()], [25, 25, 23]), [])).toEqual({ bytes: row, values: 0 });
    expect(maskRows(row, planOf([column(), column(), column()], [25, 25, 23]), []).bytes).toBe(row);
  });
  it('keeps every other value, and its length is right, also among others', () => {
    const cell = fc.record({
      value: fc.option(fc.oneof(fc.string(), fc.string({ minLength: 500, maxLength: 3000 }))),
      masked: fc.boolean(),
    });
    const rows = fc
      .array(fc.boolean(), { maxLength: 6 })
      .chain((masks) =>
        fc.tuple(fc.constant(masks), fc.array(fc.tuple(...masks.map(() => cell)), { minLength: 1, maxLength: 8 })),
      );
    fc.assert(
      fc.property(rows, ([masks, table]) => {
        const plan = planOf(
          masks.map((masked) => column(masked ? { sources: [SSN] } : {})),
          masks.map(() => 25),
          { sensitive: [{ label: 'pii.ssn', columns: [] }] },
        );
        const { bytes, values } = maskRows(
          Buffer.concat(table.map((cells) => dataRow(cells.map(({ value }) => value)))),
          plan,
          [],
        );
        const hidden = (value: string | null, at: number): boolean => masks[at] === true && value !== null;
        const expected = table.map((cells) => dataRow(cells.map(({ value }, at) => (hidden(value, at) ? '*****' : value))));
        expect(bytes).toEqual(Buffer.concat(expected));
        expect(values).toBe(table.flatMap((cells) => cells.filter(({ value }, at) => hidden(value, at))).length);
      }),
    );
  });
  it('is masked alike wherever its read ended', () => {
    const plan = planOf([column(), column({ sources: [SSN] }), column({ sources: [SSN] })], [25, 25, 23], {
      masking: { 'pii.ssn': { partial: { last: 4 } } },
    });
    const texts = ['', 'a', '123-45-6789', 'write to a@b.org', 'ö'.repeat(9), 'x'.repeat(200), null];
    const rows = texts.flatMap((a) => texts.map((b) => dataRow([a, b, b === null ? null : '5'])));
    const whole = maskRows(Buffer.concat(rows), plan, []);
    expect(whole.values).toBeGreaterThan(rows.length);
    for (let split = 0; split <= rows.length; split++) {
      const parts = [rows.slice(0, split), rows.slice(split)].map((part) => maskRows(Buffer.concat(part), plan, []));
      expect(Buffer.concat(parts.map(({ bytes }) => bytes))).toEqual(whole.bytes);
      expect(parts.reduce((sum, { values }) => sum + values, 0)).toBe(whole.values);
    }
  });
  const malformed: Record<string, Buffer> = {
    'with another number of columns': dataRow(['a', 'b']),
    'cut short': dataRow(['abc']).subarray(0, -1),
    'with bytes behind it': Buffer.concat([dataRow(['a']), Buffer.of(0)]),
    'of another type': Buffer.from(dataRow(['a'])).fill('C', 0, 1),
    'whose column is longer than it': (() => {
      const row = dataRow(['a']);
      row.writeInt32BE(100, 7);
      return row;
    })(),
    'whose column has a negative length': (() => {
      const row = dataRow(['a']);
      row.writeInt32BE(-2, 7);
      return row;
    })(),
    'cut within its header': dataRow(['a']).subarray(0, 4),
  };
  for (const [name, row] of Object.entries(malformed)) {
    it(`${name} is refused`, () => {
      expect(() => maskRows(row, planOf([column({ sources: [SSN] })], [25]), [])).toThrow(
        'a row does not hold the columns that were described',
      );
    });
  }
});

describe('a plan is refused', () => {
  it('when the server describes other columns than were analysed', () => {
    expect(planResult({ analysis: anAnalysis([column()]), fields: [field(), field()], access: anAccess() }).kind).toBe('refuse');
  });
  it('when the server names a labelled column that lineage did not find', () => {
    const input = { analysis: anAnalysis([column()]), fields: [field(25, [100, 3])] };
    expect(planResult({ ...input, access: anAccess() })).toMatchObject({ kind: 'refuse', code: 'NotAnalysable' });
    expect(planResult({ ...input, access: anAccess({ reveal: ['pii.ssn'] }) }).kind).toBe('plan');
  });
});

describe('an error', () => {
  const fields = {
    S: 'ERROR',
    V: 'ERROR',
    C: '23505',
    M: 'secret',
    D: 'secret',
    H: 'secret',
    W: 'secret',
    q: 'secret',
    p: '3',
    P: '7',
    n: 'key',
    t: 'customers',
  };
  it('that may hold labelled values keeps names and numbers alone', () => {
    expect(filterError(fields, { touchesLabelled: true })).toEqual({
      S: 'ERROR',
      V: 'ERROR',
      C: '23505',
      P: '7',
      n: 'key',
      t: 'customers',
      M: 'a unique constraint is violated',
    });
  });
  it.each(['22P99', '99999', ''])('of the unknown code %s has a text that says nothing', (C) => {
    expect(JSON.stringify(filterError({ ...fields, C }, { touchesLabelled: true }))).not.toContain('secret');
  });
  it('that holds none is left as it is, but for what detectors find', () => {
    expect(filterError(fields, { touchesLabelled: false })).toEqual(fields);
    const shown = filterError({ M: 'no a@b.org', C: 'X' }, { touchesLabelled: false, detectors: new Set(['email'] as const) });
    expect(shown).toEqual({ M: 'no *****', C: 'X' });
  });
});
