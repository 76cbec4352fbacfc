import type { RequestSpec, RequestStatus } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isGranting } from '@chaperone/api/requests';
import { grantOf, isSameTemplate, lapsed, revoked } from './grant.ts';
import { counted, ended, lapseOf } from './request.ts';
import { anAskingRule, aRequest, decisionOn } from './request.test-support.ts';
import { type Asked, type GivenDecision, tally } from './tally.ts';

const TEMPLATE = 'b'.repeat(64);
const NAME = `ar-${'a'.repeat(16)}`;
const NOW = Date.parse('2026-01-01T00:01:30Z');
const MINUTE = 60_000;
const granting = (...rules: Parameters<typeof anAskingRule>[0][]): Asked =>
  aRequest({ template: TEMPLATE, rules: (rules.length === 0 ? [{ grant: 1800 }] : rules).map((rule) => anAskingRule(rule)) });
const approve = (asked: Asked, grantFor: number | undefined, by = 'jane'): GivenDecision =>
  decisionOn(asked, { by, groups: ['dba'], ...(grantFor !== undefined && { grantFor }) });
const decided = (asked: Asked, ...given: GivenDecision[]): RequestStatus => counted(asked, {}, given, NOW);
const minutes = ({ grantedUntil }: RequestStatus): number | undefined =>
  grantedUntil === undefined ? undefined : (Date.parse(grantedUntil) - NOW) / MINUTE;

describe('an approval grants', () => {
  it.each<[string, number | undefined, Asked, (number | undefined)[]]>([
    ['nothing that nobody said', undefined, granting(), [undefined]],
    ['what was said', 30, granting(), [1800]],
    ['the shortest of what two people said', 10, granting({ grant: 1800, minimum: 2 }), [600, 1800]],
    ['nothing where one of two approves once only', undefined, granting({ grant: 1800, minimum: 2 }), [600, undefined]],
    ['nothing while somebody is missing', undefined, granting({ grant: 1800, minimum: 3 }), [600, 600]],
  ])('%s', (_, wanted, asked, wishes) => {
    const given = wishes.map((grantFor, at) => approve(asked, grantFor, `person-${at}`));
    expect(minutes(decided(asked, ...given))).toBe(wanted);
  });

  it('nothing any more once another one approves for this once, before it runs', () => {
    const asked = granting({ grant: 1800 });
    const jane = approve(asked, 1800);
    const first = decided(asked, jane);
    expect(minutes(first)).toBe(30);
    expect(minutes(counted(asked, first, [jane, approve(asked, undefined, 'bob')], NOW))).toBeUndefined();
  });

  it.each<[string, Asked, string]>([
    ['a rule says nothing of it', granting({}), 'it can be approved for one execution only'],
    [
      'one of two rules says nothing of it',
      granting({ grant: 1800 }, { rule: 'second' }),
      'it can be approved for one execution only',
    ],
    [
      'its values may say what it does',
      aRequest({ rules: [anAskingRule({ grant: 1800 })] }),
      'it can be approved for one execution only: its values may say what it does',
    ],
    [
      'running it again does more, as the one who asks says',
      aRequest({ rules: [anAskingRule({ grant: 1800 })], once: 'it calls a function that waits' }),
      'it can be approved for one execution only: it calls a function that waits',
    ],
    ['it is more than a rule lets', granting({ grant: 600 }), 'the same can be approved for 600 s at most'],
  ])('nothing, and is none, where %s', (_, asked, why) => {
    expect(tally(asked, [approve(asked, 1800)])).toMatchObject({ outcome: 'Pending', decisions: [{ counted: false, why }] });
  });
});

describe('a grant', () => {
  const asked = granting();
  const given = [approve(asked, 1800)];
  const approved = decided(asked, ...given);
  const ran = ended(asked, { ...approved, state: 'Released' }, { state: 'Ran' }, NOW) ?? {};

  it('names the request and the people', () => {
    expect(grantOf(NAME, asked, ran, given, NOW)).toMatchObject({
      request: NAME,
      until: NOW + 30 * MINUTE,
      decisions: [{ by: 'jane', decision: 'Approve', grantFor: 1800 }],
    });
  });
  it.each<[string, RequestStatus, readonly GivenDecision[], number]>([
    ['after its time', ran, given, NOW + 30 * MINUTE],
    ['of a request that was voided', { ...ran, state: 'Voided' }, given, NOW],
    ['of a request that was denied', { ...ran, state: 'Denied' }, given, NOW],
    ['that somebody ended', { ...ran, revokedBy: 'bob' }, given, NOW],
    ['that reaches nothing any more', lapsed(ran, 'its policy changed', NOW) ?? {}, given, NOW],
    [
      'that somebody ended, of which nobody has taken notice yet',
      ran,
      [...given, decisionOn(asked, { by: 'bob', groups: ['dba'], decision: 'Deny' }, '2026-01-01T00:20:00Z')],
      NOW,
    ],
    ['of an approval for once', decided(asked, approve(asked, undefined)), given, NOW],
  ])('does not stand %s', (_, status, decisions, now) => {
    expect(grantOf(NAME, asked, status, decisions, now)).toBeUndefined();
  });

  it.each<[string, GivenDecision, boolean]>([
    [
      'whom the rule asks, long after',
      decisionOn(asked, { by: 'bob', groups: ['dba'], decision: 'Deny' }, '2026-01-01T00:20:00Z'),
      true,
    ],
    ['whom the rule does not ask', decisionOn(asked, { by: 'bob', groups: ['dev'], decision: 'Deny' }), false],
    ['who means another request', decisionOn(asked, { by: 'bob', groups: ['dba'], decision: 'Deny', requestUid: 'x' }), false],
    ['who approves once more', approve(asked, 1800, 'bob'), false],
  ])('is ended, or not, by somebody %s', (_, decision, isEnded) => {
    const status = revoked(asked, ran, [...given, decision], NOW + MINUTE);
    expect(status?.revokedBy).toBe(isEnded ? 'bob' : undefined);
    if (status !== undefined) expect(isGranting(status, NOW + MINUTE)).toBe(false);
    if (status !== undefined) expect(status.state).toBe('Ran');
  });

  it.each<[string, number | undefined, string | undefined, string | undefined]>([
    ['while all is as it was', 1, 'a', undefined],
    ['while nobody knows what the agent may do', 1, undefined, undefined],
    ['once its policy is another', 2, 'a', 'its policy changed'],
    ['once its policy is gone', undefined, 'a', 'its policy changed'],
    ['once another policy, or the resource, is another', 1, 'b', 'the resource, or another policy on it, changed'],
    ['once the resource is out of reach', 1, 'none', 'the agent may not use the resource any more'],
  ])('reaches something or not, %s', (_, generation, access, why) => {
    const sealed = { spec: { ...asked.spec, access: 'a' } };
    expect(lapseOf(sealed, () => generation, access)).toBe(why);
    expect(
      lapseOf(asked, () => 1, 'b'),
      'of a request that does not say',
    ).toBeUndefined();
  });

  it('that reaches nothing any more ends then, once, and says why', () => {
    const over = lapsed(ran, 'its policy changed', NOW);
    expect(over).toEqual({ ...ran, grantEnded: { at: '2026-01-01T00:01:30.000Z', why: 'its policy changed' } });
    expect(lapsed(over ?? {}, 'its pod is gone', NOW), 'it is over').toBeUndefined();
    expect(
      revoked(asked, over ?? {}, [decisionOn(asked, { by: 'bob', groups: ['dba'], decision: 'Deny' })], NOW),
    ).toBeUndefined();
  });

  it.each(['Voided', 'Withdrawn'] as const)('ends with a request that is %s before it ran', (state) => {
    const why = `the request that it was given with was ${state.toLowerCase()}`;
    expect(ended(asked, approved, { state }, NOW + MINUTE)?.grantEnded).toEqual({ at: '2026-01-01T00:02:30.000Z', why });
  });
  it('ends with a request that expires before it ran', () => {
    const late = counted(asked, approved, given, NOW + 10 * MINUTE);
    expect(late).toMatchObject({ state: 'Expired', grantEnded: { at: '2026-01-01T00:11:30.000Z' } });
  });

  it('approves another request, which names the people, until somebody denies that', () => {
    const grant = grantOf(NAME, asked, ran, given, NOW);
    const again = { ...granting(), uid: 'uid-2' };
    const status = counted(again, {}, [], NOW + MINUTE, grant);
    expect(status).toMatchObject({ state: 'Approved', decisions: [{ by: 'jane', counted: true }] });
    expect(status.grantedUntil, 'it grants nothing itself').toBeUndefined();
    expect(counted(again, {}, [], NOW + 40 * MINUTE, grant).state).toBe('Expired');
    const denial = decisionOn(again, { by: 'bob', groups: ['dba'], decision: 'Deny' });
    expect(counted(again, status, [denial], NOW + MINUTE, grant).state).toBe('Denied');
    expect(counted(again, status, [], NOW + MINUTE, undefined).state, 'ended before it ran').toBe('Pending');
  });
});

describe('the same again is', () => {
  it.each<[string, Partial<RequestSpec>, boolean]>([
    ['the same template of the same agent', {}, true],
    [
      'with other values, another sentence and another session',
      { text: 'x', digest: 'c'.repeat(64), session: `s-${'b'.repeat(16)}` },
      true,
    ],
    ['not another template', { template: 'c'.repeat(64) }, false],
    ['not what has none', { template: undefined }, false],
    ['not another resource', { resource: { namespace: 'data', name: 'hr-db' } }, false],
    ['not another protocol', { protocol: 'mysql' }, false],
    ['not by another pod', { agent: { ...aRequest().spec.agent, podUid: 'pod-2' } }, false],
    ['not by another agent', { agent: { ...aRequest().spec.agent, serviceAccount: 'other' } }, false],
    ['not for another person', { agent: { ...aRequest().spec.agent, onBehalfOf: { issuer: 'i', user: 'bob@corp' } } }, false],
    ['not under another generation of the policy', { rules: [anAskingRule({ grant: 1800, generation: 2 })] }, false],
    ['not by another rule', { rules: [anAskingRule({ grant: 1800, rule: 'other' })] }, false],
    ['not by one rule more', { rules: [anAskingRule({ grant: 1800 }), anAskingRule({ grant: 1800, rule: 'other' })] }, false],
    ['not where the rule lets nobody grant any more', { rules: [anAskingRule()] }, false],
  ])('%s', (_, mods, isSame) => {
    const one = granting();
    expect(isSameTemplate(one, { ...one, spec: { ...one.spec, ...mods } })).toBe(isSame);
  });
  it('not in another namespace', () => {
    expect(isSameTemplate(granting(), { ...granting(), namespace: 'others' })).toBe(false);
  });
});

it('whatever is decided, nothing is granted for longer than anybody said or any rule lets', () => {
  const wish = fc.option(fc.integer({ min: 60, max: 43_200 }), { nil: undefined });
  fc.assert(
    fc.property(
      fc.array(wish, { maxLength: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 43_200 }),
      (wishes, minimum, grant) => {
        const asked = granting({ grant, minimum });
        const { state, grantedUntil } = decided(asked, ...wishes.map((grantFor, at) => approve(asked, grantFor, `person-${at}`)));
        if (grantedUntil === undefined) return;
        expect(state).toBe('Approved');
        const counting = wishes.filter((each) => (each ?? 0) <= grant);
        expect(counting).not.toContain(undefined);
        expect(Date.parse(grantedUntil) - NOW).toBe(Math.min(...counting.map((each) => each ?? 0)) * 1000);
      },
    ),
  );
});
