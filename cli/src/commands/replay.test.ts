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
