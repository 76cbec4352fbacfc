import type { RecordPage, SessionRecord } from '@chaperone/evidence';
import { expect, test } from 'vitest';
import { entryAt, hasRows, NOTHING, runsProgram, standingOf, stands, VIEWS, withPage } from './entries.ts';

const action = (seq: number, number: number, verdict: 'allow' | 'deny' = 'allow'): SessionRecord => ({
  type: 'action',
  seq,
  at: seq,
  mono: seq * 100,
  action: number,
  text: 'select 1',
  bytes: 8,
  verdict,
  code: 'Allowed',
  reason: 'test',
  effects: [],
});
const done = (seq: number, number: number, maskedValues = 0): SessionRecord => ({
  type: 'done',
  seq,
  at: seq,
  mono: seq * 100,
  action: number,
  rows: 1,
  bytes: 1,
  digest: '',
  truncated: false,
  maskedValues,
  durationMs: 1,
});
const pages: RecordPage[] = [
  { items: [action(1, 0), action(2, 1, 'deny')], next: 3, end: 3 },
  { items: [done(4, 0, 2)], next: 5, end: 5 },
  { items: [], next: 9, end: 9, gap: { from: 5, to: 8 } },
  { items: [action(9, 2)], end: 10 },
];

test.each<['allow' | 'deny' | 'approve', string | undefined, string, string]>([
  ['allow', undefined, 'allow', 'allowed'],
  ['deny', undefined, 'deny', 'denied'],
  ['approve', undefined, 'held', 'held'],
  ['approve', 'Pending', 'held', 'held'],
  ['approve', 'Released', 'allow', 'approved'],
  ['approve', 'Denied', 'deny', 'denied'],
  ['approve', 'Expired', 'deny', 'expired'],
  ['approve', 'Voided', 'deny', 'voided'],
  ['approve', 'Unavailable', 'deny', 'unavailable'],
])('what was judged %s and became %s is drawn as %s, %s', (verdict, state, look, word) => {
  expect(standingOf({ verdict }, state === undefined ? undefined : { state })).toEqual({ look, word });
});

test.each<[number, string | undefined, boolean]>([
  [0, 'UPDATE 1', false],
  [2, 'SELECT 2', true],
  [2, 'UPDATE 2', true],
  [0, undefined, true],
])('%d rows of %s are told: %s', (rows, tag, told) => {
  expect(hasRows({ rows, ...(tag !== undefined && { tag }) })).toBe(told);
});

test('pages become a list in which every action has its end, and a gap its place', () => {
  const outline = pages.reduce(withPage, NOTHING);
  expect(outline.entries.map(({ kind, seq }) => [kind, seq])).toEqual([
    ['action', 1],
    ['action', 2],
    ['gap', 5],
    ['action', 9],
  ]);
  expect(outline.entries[0]).toMatchObject({ done: { seq: 4 } });
  expect([outline.end, outline.more]).toEqual([10, false]);
  expect(outline.entries.filter(stands).map(({ seq }) => seq)).toEqual([2, 5]);
  expect(outline.entries.filter(VIEWS.masked).map(({ seq }) => seq)).toEqual([1]);
  expect([0, 1, 4, 7, 9, 100].map((seq) => entryAt(outline.entries, seq))).toEqual([-1, 0, 1, 2, 3, 3]);
});

const use = (seq: number, number: number, text: string, verb: string, object: string): SessionRecord => ({
  ...(action(seq, number) as Extract<SessionRecord, { type: 'action' }>),
  text,
  effects: [{ verb, object, via: 'direct', verdict: 'allow' }],
});
const file = (seq: number, operation: 'read' | 'delete', outcome: string): SessionRecord => ({
  type: 'file',
  seq,
  at: seq,
  mono: seq,
  action: 0,
  operation,
  path: '/a',
  bytes: 1,
  outcome,
});

test('an operation on a file ends with the record of its file, and a command that moved it by itself does not', () => {
  const read = (seq: number, number: number): SessionRecord => use(seq, number, 'read "/a"', 'read', '/a');
  const rsync = use(1, 1, 'rsync --server --sender . /a', 'read', '/a');
  const { entries } = [
    { items: [use(0, 0, 'sftp', 'subsystem', 'sftp'), rsync], next: 2, end: 2 },
    { items: [read(2, 2), read(3, 3), use(4, 4, 'delete "/a"', 'delete', '/a')], next: 5, end: 5 },
    { items: [file(5, 'delete', 'failed'), file(6, 'read', 'denied'), file(7, 'read', 'ok')], next: 8, end: 8 },
    { items: [file(8, 'read', 'cut off'), file(9, 'read', 'too many')], end: 10 },
  ].reduce(withPage, NOTHING);
  expect(entries.flatMap((entry) => (entry.kind === 'action' ? [entry.file?.outcome] : []))).toEqual([
    undefined,
    undefined,
    'ok',
    'cut off',
    'failed',
  ]);
});

const isPlayed = (verb: string, protocol: string): boolean => {
  const record: SessionRecord = {
    ...(action(1, 0) as Extract<SessionRecord, { type: 'action' }>),
    effects: [{ verb, object: 'x', via: 'direct', verdict: 'allow' }],
  };
  return runsProgram(protocol, { kind: 'action', seq: 1, mono: 1, record });
};
test('what ran in a session is played: every command of SSH, and of the Kubernetes API what opened a pod', () => {
  expect([isPlayed('exec', 'ssh'), isPlayed('read', 'ssh'), isPlayed('select', 'postgres')]).toEqual([true, true, false]);
  expect(['exec', 'attach', 'get'].map((verb) => isPlayed(verb, 'kubernetes'))).toEqual([true, true, false]);
});
