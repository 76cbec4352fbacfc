import type { SessionRecord } from '@chaperone/evidence';
import { expect, it } from 'vitest';
import { Replay } from './replay.ts';

type Decisions = Extract<SessionRecord, { type: 'approval' }>['decisions'];

it.each<[string, Partial<Decisions[number]>, string]>([
  ['is signed with a passkey', { assurance: 'passkey', via: 'page' }, 'approve by jane@corp, signed with a passkey: "ok"'],
  ['is signed', { assurance: 'signed', via: 'page' }, 'approve by jane@corp, signed: "ok"'],
  ['was written with kubectl', { assurance: 'kubernetes' }, 'approve by jane@corp, by the API server’s word: "ok"'],
  [
    'was given in Slack',
    { assurance: 'kubernetes', via: 'slack', decision: 'Deny' },
    'deny by jane@corp, given in Slack, by the operator’s word: "ok"',
  ],
  ['was recorded before this was', {}, 'approve by jane@corp: "ok"'],
  ['has a word that is new', { assurance: 'notarized' }, 'approve by jane@corp: "ok"'],
])('a replay says of a decision that it %s', (_, mods, said) => {
  const decision = { by: 'jane@corp', decision: 'Approve' as const, reason: 'ok', at: '2026-01-01T12:00:00Z', ...mods };
  const lines = new Replay({ all: false }).lines({
    seq: 3,
    at: 0,
    mono: 0,
    type: 'approval',
    action: 0,
    request: 'ar-1',
    digest: '',
    state: 'Released',
    waitedMs: 1_000,
    decisions: [decision],
  });
  expect(lines.map((line) => line.trim()).at(-1)).toBe(said);
});

const base = { at: 0, mono: 0, seq: 1 } as const;
const written = (text: string): SessionRecord => ({
  ...base,
  type: 'output',
  action: 0,
  stream: 'terminal',
  data: `t:${text}`,
});
/** What was on the screen, a piece a line. */
const screenOf = (replay: Replay, ...records: SessionRecord[]): string[] =>
  [...records.flatMap((record) => replay.lines(record)), ...replay.end()].map((line) => line.replace(/^.*?screen /, ''));

it.each<[string, string[], string[]]>([
  ['in which nothing is cut', ['a\u001b[1mb', 'c'], ['a\\u{1b}[1mb', 'c']],
  ['that cut a sequence of a terminal', ['a\u001b', '[?20', '04hb'], ['a', '\\u{1b}[?2004hb']],
  ['that leave one open at the end', ['a\u001b[', ''], ['a', '\\u{1b}[']],
  ['with an endless one', [`\u001b[${'1'.repeat(40)}`, 'm'], [`\\u{1b}[${'1'.repeat(40)}`, 'm']],
])('a replay shows pieces %s', (_, pieces, shown) => {
  expect(screenOf(new Replay({ all: true }), ...pieces.map(written))).toEqual(shown);
});

it.each([
  ['a line break', '\r\n'],
  ['an invisible character', '\u{e0001}'],
  ['a letter', 'ab'],
])('a replay cuts a long piece through no half of %s', (_, last) => {
  for (let before = 180; before < 200; before++) {
    const [line = ''] = screenOf(new Replay({ all: false }), written(`${'x'.repeat(before)}${last.repeat(20)}`));
    expect(line).toMatch(/^x+(\\[rn]|\\u\{e0001\}|[ab])*…$/);
  }
});
