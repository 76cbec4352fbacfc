import { expect, test } from 'vitest';
import { expectedRows } from './preview.ts';

const scan = (rows: unknown): object => ({ 'Node Type': 'Seq Scan', 'Plan Rows': rows });

test.each<[string, unknown, number | undefined]>([
  ['a scan yields its own', [{ Plan: scan(12) }], 12],
  [
    'what changes a table changes what comes to it',
    [{ Plan: { 'Node Type': 'ModifyTable', 'Plan Rows': 0, Plans: [scan(2), scan(3)] } }],
    5,
  ],
  ['what changes a table and has nothing to change', [{ Plan: { 'Node Type': 'ModifyTable', 'Plan Rows': 0 } }], 0],
  ['parts of a row are none', [{ Plan: scan(1.4) }], 1],
  ['more than can be counted is not said', [{ Plan: scan(1e300) }], undefined],
  ['less than none is not said', [{ Plan: scan(-1) }], undefined],
  ['a number that is none is not said', [{ Plan: scan('12') }], undefined],
  ['a plan of another form says nothing', [{ Plan: {} }], undefined],
  ['two plans say nothing', [{ Plan: scan(1) }, { Plan: scan(1) }], undefined],
])('%s', (_, plan, rows) => {
  expect(expectedRows(JSON.stringify(plan))).toBe(rows);
});

test('what is no JSON says nothing', () => {
  expect(expectedRows('{')).toBeUndefined();
});
