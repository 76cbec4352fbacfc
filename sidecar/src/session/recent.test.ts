import type { RecordBody } from '@chaperone/evidence';
import { expect, test } from 'vitest';
import { systemClock } from '../platform.ts';
import type { SessionRecorder } from '../recording/recorder.ts';
import { Recent } from './recent.ts';

const HERE = 's-aaaaaaaaaaaaaaaa';

function aRecent(): { recent: Recent; pass: (ms: number) => void; record: (record: RecordBody, session?: string) => void } {
  let now = Date.parse('2026-01-01T12:00:00Z');
  const recent = new Recent({ ...systemClock, now: () => now });
  const recorders = new Map<string, SessionRecorder>();
  const of = (session: string): SessionRecorder => {
    const known = recorders.get(session);
    if (known !== undefined) return known;
    const recorder = recent.watched({ session, append: () => Promise.resolve(), close: () => Promise.resolve() });
    recorders.set(session, recorder);
    return recorder;
  };
  return { recent, pass: (ms) => (now += ms), record: (record, session = HERE) => void of(session).append(record, 'soon') };
}
function anAction(action: number, mods: Partial<Extract<RecordBody, { type: 'action' }>> = {}): RecordBody {
  const effects = [{ verb: 'select', object: `public.t${action}`, via: 'direct', verdict: 'allow' }] as const;
  return { type: 'action', action, bytes: 1, verdict: 'allow', code: 'Allowed', reason: '', effects: [...effects], ...mods };
}
const aDone = (action: number, mods: object = {}): RecordBody => ({
  type: 'done',
  action,
  rows: 0,
  bytes: 0,
  digest: '',
  truncated: false,
  maskedValues: 0,
  durationMs: 1,
  ...mods,
});

test('the last eight actions are told, oldest first, without the one that asks', () => {
  const { recent, record } = aRecent();
  for (let action = 0; action < 40; action++) record(anAction(action));
  const sentences = recent.before(HERE, 39).map(({ sentence }) => sentence);
  expect(sentences).toEqual([31, 32, 33, 34, 35, 36, 37, 38].map((n) => `SELECT on public.t${n}`));
  expect(recent.before('s-bbbbbbbbbbbbbbbb', 39).at(-1)?.sentence, 'another session’s action of that number').toBe(
    'SELECT on public.t39',
  );
});

test('questions which kinds an API server has are not among them, unless they were refused', () => {
  const { recent, record } = aRecent();
  record(anAction(0));
  for (let action = 1; action < 40; action++) record(anAction(action, { effects: [], text: 'GET /apis?timeout=32s' }));
  record(anAction(40, { effects: [], text: 'GET /metrics', verdict: 'deny' }));
  record(anAction(41, { effects: [], text: 'begin' }));
  expect(recent.before(HERE, 42).map(({ sentence }) => sentence)).toEqual(['SELECT on public.t0', 'GET', 'BEGIN']);
});

test('how each ended is told of that session’s own', () => {
  const { recent, record } = aRecent();
  record(anAction(0), HERE);
  record(anAction(0), 's-bbbbbbbbbbbbbbbb');
  record(aDone(0, { tag: 'SELECT 1' }), 's-bbbbbbbbbbbbbbbb');
  record(anAction(1));
  record(aDone(1, { tag: 'SELECT 0', error: { code: '42P01', message: 'secret' } }));
  record(anAction(2, { verdict: 'approve' }));
  record({ type: 'approval', action: 2, digest: '', state: 'Expired', waitedMs: 1, decisions: [] });
  expect(recent.before(HERE, 9).map(({ result }) => result)).toEqual([undefined, 'SELECT 1', '42P01', 'Expired']);
});

test('what is older than five minutes is not', () => {
  const { recent, record, pass } = aRecent();
  record(anAction(0));
  pass(5 * 60_000 + 1);
  record(anAction(1));
  expect(recent.before(HERE, 9)).toEqual([{ at: '2026-01-01T12:05:00.001Z', sentence: 'SELECT on public.t1', verdict: 'allow' }]);
});

test.each([
  ['begin', 'BEGIN'],
  [' Select 1', 'SELECT'],
  ['/* x */ select 1', 'a statement'],
  ['x.y', 'a statement'],
  [`${'a'.repeat(21)} 1`, 'a statement'],
  ['', 'a statement'],
])('what touches nothing, %j, is called %s', (text, sentence) => {
  const { recent, record } = aRecent();
  record(anAction(0, { effects: [], text }));
  expect(recent.before(HERE, 9).map((each) => each.sentence)).toEqual([sentence]);
});

test('names are written out and bounded, whoever chose them', () => {
  const { recent, record } = aRecent();
  const object = `public.${'\u202e'.repeat(200)}`;
  record(anAction(0, { effects: [{ verb: 'select', object, via: 'direct', verdict: 'allow' }] }));
  record(anAction(1, { effects: [] }));
  const [first, second] = recent.before(HERE, 9);
  expect(first?.sentence).not.toContain('\u202e');
  expect(first?.sentence.length).toBeLessThanOrEqual(160);
  expect(second?.sentence).toBe('a statement');
});
