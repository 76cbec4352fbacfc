import type { Approvers, Attestation, DecisionSpec } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Asked, type GivenDecision, tally } from './tally.ts';
import { anAskingRule, aRequest, AT, decisionOn } from './request.test-support.ts';

const asked = (rule: Partial<Approvers> = {}, ...more: Partial<Approvers>[]): Asked =>
  aRequest({ rules: [rule, ...more].map(anAskingRule) });
const by = (name: string, mods: Partial<DecisionSpec> = {}, at = AT): GivenDecision =>
  decisionOn(aRequest(), { by: name, groups: ['dba'], ...mods }, at);
/** Of a decision that was given on the operator's page; what it holds is for whoever checks it later. */
const proof = (assurance: Attestation['assurance']): Partial<DecisionSpec> => ({
  attestation: {
    assurance,
    idToken: 'a.b.c',
    key: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' },
    opening: 'o',
    challenge: 'c',
    shown: 'a'.repeat(64),
    signature: 's',
    signedAt: AT,
  },
});
const signedFor = (grantFor: number): GivenDecision => by('jane', { ...proof('signed'), grantFor });
const outcome = (request: Asked, ...decisions: GivenDecision[]): string => {
  const { outcome: found, votes } = tally(request, decisions);
  return `${found} ${votes}`;
};
const why = (request: Asked, decision: GivenDecision): string | undefined => tally(request, [decision]).decisions[0]?.why;

it('a signature covers for how long the same may run again: within what the rule lets it counts, beyond it does not', () => {
  const rule = { rules: [anAskingRule({ grant: 600, assurance: 'signed' })], template: 'b'.repeat(64) };
  expect(tally(aRequest(rule), [signedFor(600)])).toMatchObject({
    outcome: 'Approved',
    decisions: [{ counted: true, grantFor: 600 }],
  });
  expect(why(aRequest(rule), signedFor(601))).toBe('the same can be approved for 600 s at most');
});

describe('a request is', () => {
  it.each<[string, string, Asked, GivenDecision[]]>([
    ['pending while nobody has decided', 'Pending 0/1', asked(), []],
    ['approved by one of its group', 'Approved 1/1', asked(), [by('jane')]],
    [
      'approved by a user whom the rule names',
      'Approved 1/1',
      asked({ groups: [], users: ['jane'] }),
      [by('jane', { groups: [] })],
    ],
    ['pending while fewer have approved than it wants', 'Pending 1/2', asked({ minimum: 2 }), [by('jane')]],
    ['pending where one person approves twice', 'Pending 1/2', asked({ minimum: 2 }), [by('jane'), by('jane')]],
    ['approved by as many as it wants', 'Approved 2/2', asked({ minimum: 2 }), [by('jane'), by('bob')]],
    ['denied by one, whatever others approved', 'Denied 2/1', asked(), [by('jane'), by('bob'), by('eve', { decision: 'Deny' })]],
    ['denied by who approved it before', 'Denied 1/1', asked(), [by('jane'), by('jane', { decision: 'Deny' })]],
    ['pending while one of several groups is missing', 'Pending 1/1', asked({ groups: [], all: ['dba', 'sec'] }), [by('jane')]],
    [
      'approved once each of several groups approved',
      'Approved 2/1',
      asked({ groups: [], all: ['dba', 'sec'] }),
      [by('jane'), by('bob', { groups: ['sec'] })],
    ],
    ['pending while one of two rules asks others', 'Pending 1/1', asked({}, { rule: 'second', groups: ['sec'] }), [by('jane')]],
    [
      'approved once both rules are satisfied',
      'Approved 2/1',
      asked({}, { rule: 'second', groups: ['sec'] }),
      [by('jane'), by('bob', { groups: ['sec'] })],
    ],
    [
      'pending before it escalates',
      'Pending 0/1',
      asked({ escalation: { at: '2026-01-01T00:02:00Z', groups: ['boss'], users: [] } }),
      [by('ada', { groups: ['boss'] }, '2026-01-01T00:01:59Z')],
    ],
    [
      'approved by others once it escalated',
      'Approved 1/1',
      asked({ escalation: { at: '2026-01-01T00:02:00Z', groups: ['boss'], users: [] } }),
      [by('ada', { groups: ['boss'] }, '2026-01-01T00:02:00Z')],
    ],
    [
      'approved by a signature, where one is wanted',
      'Approved 1/1',
      asked({ assurance: 'signed' }),
      [by('jane', proof('signed'))],
    ],
    [
      'approved by a passkey, where a signature is wanted',
      'Approved 1/1',
      asked({ assurance: 'signed' }),
      [by('jane', proof('passkey'))],
    ],
    ['approved by a signature, where none is wanted', 'Approved 1/1', asked(), [by('jane', proof('signed'))]],
    [
      'pending by a signature, where a passkey is wanted',
      'Pending 0/1',
      asked({ assurance: 'passkey' }),
      [by('jane', proof('signed'))],
    ],
    [
      'approved by who says it again with a passkey',
      'Approved 1/1',
      asked({ assurance: 'passkey' }),
      [by('jane'), by('jane', proof('passkey'))],
    ],
    [
      'pending while the rule that wants a signature has none',
      'Pending 1/1',
      asked({}, { rule: 'second', assurance: 'signed' }),
      [by('jane')],
    ],
    ['denied without a signature', 'Denied 0/1', asked({ assurance: 'passkey' }), [by('jane', { decision: 'Deny' })]],
  ])('%s', (_, wanted, request, decisions) => expect(outcome(request, ...decisions)).toBe(wanted));
});

it('another person whose name ends as the caller’s decides', () => {
  expect(outcome(asked(), by('casimira@corp'))).toBe('Approved 1/1');
});

describe('a decision does not count', () => {
  it.each<[string, Asked, GivenDecision]>([
    ['it is about another request of this name', asked(), by('jane', { requestUid: 'another' })],
    ['it names another digest than what was asked for', asked(), by('jane', { digest: 'f'.repeat(64) })],
    [
      'nobody decides on a request of their own',
      asked({ users: ['system:serviceaccount:agents:bot'] }),
      by('system:serviceaccount:agents:bot'),
    ],
    ['nobody decides on a request of their own', asked(), by('mira@corp')],
    ['nobody decides on a request of their own', asked(), by('Mira@Corp')],
    ['nobody decides on a request of their own', asked(), by('oidc:mira@corp')],
    ['nobody decides on a request of their own', asked(), by('https://login.corp#mira@corp')],
    ['no workload of the agent’s namespace decides', asked(), by('system:serviceaccount:agents:helper')],
    ['it came too late', asked(), by('jane', {}, '2026-01-01T00:05:01Z')],
    ['the rule does not ask this person', asked(), by('jane', { groups: ['dev'] })],
    ['the rule wants a reason', asked({ reason: true }), by('jane')],
    ['the rule wants an approval that is signed; decide on the page of the operator', asked({ assurance: 'signed' }), by('jane')],
    [
      'the rule wants an approval that is by passkey; decide on the page of the operator',
      asked({ assurance: 'passkey' }),
      by('jane', proof('signed')),
    ],
  ])('%s', (wanted, request, decision) => expect(why(request, decision)).toBe(wanted));
  it.each<[string, GivenDecision, string]>([
    ['the API server’s word', by('jane'), 'kubernetes'],
    ['a signature', by('jane', proof('signed')), 'signed'],
    ['a passkey', by('jane', proof('passkey')), 'passkey'],
  ])('nobody is told less than how it is known: by %s', (_, decision, wanted) => {
    expect(tally(asked(), [decision]).decisions[0]?.assurance).toBe(wanted);
  });
  it('of a workload of another namespace does, where the rule asks it', () => {
    expect(outcome(asked(), by('system:serviceaccount:ci:gate'))).toBe('Approved 1/1');
  });
});

const person = fc.constantFrom('jane', 'bob', 'eve', 'mira@corp', 'system:serviceaccount:agents:bot');
const anyDecision = fc
  .record({
    by: person,
    groups: fc.subarray(['dba', 'sec', 'boss', 'dev']),
    decision: fc.constantFrom('Approve' as const, 'Deny' as const),
    digest: fc.constantFrom(aRequest().spec.digest, 'f'.repeat(64)),
    second: fc.nat({ max: 400 }),
    name: fc.string({ minLength: 1, maxLength: 4 }),
  })
  .map(({ second, name, ...spec }) => ({
    ...decisionOn(aRequest(), spec, new Date(Date.parse('2026-01-01T00:00:00Z') + second * 1000).toISOString()),
    name,
  }));
const anyAsked = fc
  .record({
    groups: fc.subarray(['dba', 'sec']),
    users: fc.subarray(['jane', 'mira@corp']),
    all: fc.subarray(['boss']),
    minimum: fc.integer({ min: 1, max: 3 }),
  })
  .map((rule) => asked(rule));

describe('for any decisions', () => {
  it('their order makes no difference', () => {
    fc.assert(
      fc.property(anyAsked, fc.uniqueArray(anyDecision, { selector: ({ name }) => name, maxLength: 6 }), (request, decisions) => {
        expect(tally(request, decisions.toReversed())).toEqual(tally(request, decisions));
      }),
    );
  });
  it('one more approval never takes an approval back, one more denial never gives one', () => {
    fc.assert(
      fc.property(anyAsked, fc.array(anyDecision, { maxLength: 6 }), anyDecision, (request, decisions, more) => {
        const before = tally(request, decisions).outcome;
        const after = tally(request, [...decisions, more]).outcome;
        if (more.spec.decision === 'Approve' && before === 'Approved') expect(after).toBe('Approved');
        if (more.spec.decision === 'Deny' && before !== 'Approved') expect(after).not.toBe('Approved');
      }),
    );
  });
  it('the one who asked and what names another digest make no difference', () => {
    fc.assert(
      fc.property(anyAsked, fc.array(anyDecision, { maxLength: 6 }), (request, decisions) => {
        const own = ({ spec }: GivenDecision): boolean =>
          spec.by === 'mira@corp' || spec.by.startsWith('system:') || spec.digest !== request.spec.digest;
        expect(tally(request, decisions).outcome).toBe(
          tally(
            request,
            decisions.filter((decision) => !own(decision)),
          ).outcome,
        );
      }),
    );
  });
});
