import type { AccessRequest, Approvers, RequestStatus } from '@chaperone/api';
import type { Viewer } from '@chaperone/api/requests';
import { describe, expect, test } from 'vitest';
import { gather, leftText, ordered, sectionOf } from './order.ts';

const NOW = Date.parse('2026-01-01T12:04:07Z');
const jane: Viewer = { user: 'jane@corp', groups: ['dba'] };
const local: Viewer = { user: 'local:me', groups: 'whoever is asked' };

function aRule(mods: Partial<Approvers> = {}): Approvers {
  return {
    policy: { namespace: 'agents', name: 'p' },
    generation: 1,
    rule: 'fix',
    groups: ['dba'],
    users: [],
    minimum: 1,
    all: [],
    reason: false,
    ...mods,
  };
}

interface Asked {
  readonly name?: string;
  readonly rule?: Partial<Approvers>;
  readonly status?: RequestStatus;
  readonly expiresAt?: string;
  readonly onBehalfOf?: string;
}

function asked({ name = 'a', rule, status = { state: 'Pending' }, expiresAt = '2026-01-01T12:08:19Z', onBehalfOf }: Asked = {}) {
  return {
    metadata: { name, namespace: 'agents', uid: `uid-${name}` },
    spec: {
      rules: [aRule(rule)],
      expiresAt,
      agent: { serviceAccount: 'bot', ...(onBehalfOf === undefined ? {} : { onBehalfOf: { issuer: 'i', user: onBehalfOf } }) },
    },
    status,
  } as unknown as AccessRequest;
}

const approvedBy = (by: string, counted = true): RequestStatus => ({
  state: 'Pending',
  decisions: [{ name: 'd', decision: 'Approve', by, at: '2026-01-01T12:04:00Z', counted }],
});
const LATER = { at: '2026-01-01T12:05:00Z', groups: ['dba'], users: [] };

describe('whose turn it is', () => {
  test.each<[string, Asked, Viewer, number, string]>([
    ['of a group that is asked', {}, jane, NOW, 'you'],
    ['named as a user', { rule: { groups: [], users: ['jane@corp'] } }, jane, NOW, 'you'],
    ['of a group of which one is wanted', { rule: { groups: ['x'], all: ['dba'] } }, jane, NOW, 'you'],
    ['of no group that is asked', { rule: { groups: ['sec'] } }, jane, NOW, 'others'],
    ['asked later, before that', { rule: { groups: ['sec'], escalation: LATER } }, jane, NOW, 'others'],
    ['asked later, from then on', { rule: { groups: ['sec'], escalation: LATER } }, jane, NOW + 53_000, 'you'],
    ['for whom the agent acts', { onBehalfOf: 'jane@corp' }, jane, NOW, 'others'],
    ['who approved already', { status: approvedBy('jane@corp') }, jane, NOW, 'others'],
    ['whose approval did not count', { status: approvedBy('jane@corp', false) }, jane, NOW, 'you'],
    ['while another approved', { status: approvedBy('bob') }, jane, NOW, 'you'],
    ['who stands for whoever is asked', { rule: { groups: ['sec'] } }, local, NOW, 'you'],
    ['who stands for groups, where a user alone is asked', { rule: { groups: [], users: ['bob'] } }, local, NOW, 'others'],
    ['when it is approved', { status: { state: 'Approved' } }, jane, NOW, 'decided'],
    ['when it is over', { status: { state: 'Expired' } }, jane, NOW, 'decided'],
    ['when nothing is said of it yet', { status: {} }, jane, NOW, 'you'],
  ])('to somebody %s', (_, mods, viewer, now, section) => {
    expect(sectionOf(asked(mods), viewer, now)).toBe(section);
  });
});

const names = (requests: readonly AccessRequest[]): string[] => requests.map(({ metadata }) => metadata.name);

describe('the order', () => {
  test('of what waits is by time left, then by name; of what is decided the newest first', () => {
    const soon = asked({ name: 'soon', expiresAt: '2026-01-01T12:05:00Z' });
    const [b, a] = [asked({ name: 'b' }), asked({ name: 'a' })];
    expect(names(ordered([b, a, soon], 'you'))).toEqual(['soon', 'a', 'b']);
    const over = ['12:01', '12:03', '12:02'].map((at) =>
      asked({ name: at, status: { state: 'Ran', decidedAt: `2026-01-01T${at}:00Z` } }),
    );
    expect(names(ordered([...over, asked({ name: 'unknown' })], 'decided'))).toEqual(['12:03', '12:02', '12:01', 'unknown']);
  });

  test('is kept while somebody is busy in the list: what is drawn stays, what is new is counted', () => {
    const [old, gone, fresh] = [asked({ name: 'old' }), asked({ name: 'gone' }), asked({ name: 'fresh' })];
    const belongs = (request: AccessRequest): boolean => request !== gone;
    const drawn = new Set(['uid-old', 'uid-gone']);
    const all = [fresh, old, gone];
    const busy = gather(all, 'you', belongs, drawn, true);
    expect([names(busy.rows), busy.fresh]).toEqual([['gone', 'old'], 1]);
    const calm = gather(all, 'you', belongs, drawn, false);
    expect([names(calm.rows), calm.fresh]).toEqual([['fresh', 'gone', 'old'], 0]);
    expect(names(gather(all, 'you', belongs, undefined, true).rows), 'at first all is drawn').toEqual(['fresh', 'old']);
  });
});

test.each<[number, string]>([
  [-5_000, '0:00'],
  [0, '0:00'],
  [1, '0:01'],
  [41_000, '0:41'],
  [299_000, '4:59'],
  [299_001, '5 min'],
  [3_599_000, '59 min'],
  [3_600_000, '1 h 00 min'],
  [7_500_000, '2 h 05 min'],
  [Number.NaN, 'unknown time'],
])('%d ms are %s', (ms, text) => {
  expect(leftText(ms)).toBe(text);
});
