import { describe, expect, test } from 'vitest';
import { type Judged, judge, type Phase, type Window } from './judge.ts';
import type { Seen } from './model.ts';

const answers = { masked: '= ***', counted: '= 3', denied: 'refused DeniedByRule' };
const said = (what: string, [from, to] = [10, 11], name = 'bot'): Seen => ({ source: 'agent', name, what, from, to });
const killed: Window = { kind: 'sidecar-killed', subject: 'pod-1', from: 100, to: 200 };
const found = (seen: Seen | readonly Seen[], windows: readonly Window[] = [], phases: readonly Phase[] = []) => {
  const judged: Judged = { seen: [seen].flat(), windows, phases, answers, secrets: /123-45/ };
  const { right, explained, unexplained } = judge(judged);
  return [right, [...explained].map(([kind, counts]) => [kind, [...counts.values()]]), unexplained.length];
};
const RIGHT = [1, [], 0];
const UNEXPLAINED = [0, [], 1];

describe('an answer', () => {
  test.each([
    ['that is as it should be', 'masked = ***', RIGHT],
    ['that is a refusal as it should be', 'denied refused DeniedByRule', RIGHT],
    ['with another value', 'masked = 1', UNEXPLAINED],
    ['with more than the value', 'counted = 31', UNEXPLAINED],
    ['where a refusal should be', 'denied = 3', UNEXPLAINED],
    ['by another code', 'denied refused NoRuleAllows', UNEXPLAINED],
    ['to what nobody asks', 'other = 3', UNEXPLAINED],
    ['that is a lost session', 'masked lost UpstreamLost', UNEXPLAINED],
    ['that is none', 'unopened RecordingBlocked', UNEXPLAINED],
  ])('%s', (_what, what, expected) => {
    expect(found(said(what))).toEqual(expected);
  });

  test('with what nobody may see is explained by nothing', () => {
    const anything: Window = { kind: 'begun', subject: 'bot', from: 0, to: 1_000 };
    expect(found(said('unopened 123-45'), [anything])).toEqual(UNEXPLAINED);
    expect(found(said('unopened other'), [anything])).toEqual([0, [['begun', [1]]], 0]);
  });
});

describe('while a change is in force', () => {
  const phase: Phase = { from: 100, to: 200, answers: { ...answers, counted: 'refused NoRuleAllows' } };

  test.each<[string, string, [number, number], unknown]>([
    ['what it brings is right', 'counted refused NoRuleAllows', [100, 200], RIGHT],
    ['what was right before is not', 'counted = 3', [120, 121], UNEXPLAINED],
    ['what it does not touch is right as ever', 'masked = ***', [120, 121], RIGHT],
    ['what began before it may be as before', 'counted = 3', [99, 120], RIGHT],
    ['what ended after it may be as after', 'counted = 3', [199, 201], RIGHT],
    ['what it brings is wrong before', 'counted refused NoRuleAllows', [50, 60], UNEXPLAINED],
  ])('%s', (_what, what, when, expected) => {
    expect(found(said(what, when), [], [phase])).toEqual(expected);
  });
});

describe('a step explains', () => {
  const lost = (when: [number, number], name = 'pod-1'): Seen => said('masked lost server closed the connection', when, name);

  test.each<[string, Seen, boolean]>([
    ['what happens in its time', lost([150, 151]), true],
    ['what began before its end', lost([200, 300]), true],
    ['what ended after its beginning', lost([50, 100]), true],
    ['nothing before', lost([50, 99]), false],
    ['nothing after', lost([201, 300]), false],
    ['nothing of another pod', lost([150, 151], 'pod-2'), false],
    ['nothing of a pod whose name goes on', lost([150, 151], 'pod-12'), false],
    ['what happens to a pod of its workload', lost([150, 151], 'pod-1-x7q'), true],
    ['no wrong answer', said('masked = 1', [150, 151], 'pod-1'), false],
    ['that the container ended', { ...lost([150, 151]), source: 'ended', what: 'chaperone-sidecar: Error 137' }, true],
    [
      'not that it took too much memory',
      { ...lost([150, 151]), source: 'ended', what: 'chaperone-sidecar: OOMKilled 137' },
      false,
    ],
  ])('%s', (_what, seen, isExplained) => {
    expect(found(seen, [killed])).toEqual(isExplained ? [0, [['sidecar-killed', [1]]], 0] : UNEXPLAINED);
  });

  test.each([
    ['a collector', 'collector-killed'],
    ['a broker', 'broker-deleted'],
    ['a follower', 'follower-killed'],
    ['a CA', 'ca-rotated'],
    ['an API server', 'api-server-killed'],
  ] as const)('no lost session by %s', (_what, kind) => {
    expect(found(lost([150, 151]), [{ ...killed, kind, subject: '' }])).toEqual(UNEXPLAINED);
  });

  test('the latest of several is the one that is counted, and names do not tell what was seen apart', () => {
    const later: Window = { ...killed, from: 140 };
    const policy: Window = { kind: 'policy-refused', subject: '', from: 150, to: 160 };
    const seen = [lost([150, 151], 'pod-1-a1'), lost([152, 153], 'pod-1-b2')];
    expect(found(seen, [killed, later, policy])).toEqual([0, [['sidecar-killed', [2]]], 0]);
  });
});
