import type { OnBehalfOf, PolicyRule } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Access, type Caller } from './access.ts';
import { aPolicy, aResource, aRule, anAccess, anAgent, anEffect } from './builders.ts';
import { accessOnBehalfOf } from './caller.ts';
import { compileAccess } from './compile.ts';
import { allowedHere } from './hint.ts';
import { judge } from './judge.ts';

const OIDC = { issuer: 'https://login.corp', audiences: ['chaperone'], groupsClaim: 'groups', userClaim: 'sub' };
const identity = (mods: object = {}): object => ({ oidc: { ...OIDC, ...mods } });
const MIRA: Caller = { issuer: 'https://login.corp', user: 'mira@corp', groups: ['support', 'eu'] };

/** Rules of one policy that demands a token, under a grant of every statement. */
function demanding(...rules: Partial<PolicyRule>[]): Access {
  const resource = aResource({ grantedTo: [{ namespace: 'agents', statements: ['*'] }] });
  const policies = [aPolicy({ identity: identity(), rules: rules.map(aRule) })];
  const result = compileAccess({ agent: anAgent(), policies, resource });
  if (!result.ok) throw new Error(result.message);
  return result.access;
}

function compiled(...specs: object[]): ReturnType<typeof compileAccess> {
  const policies = specs.map((spec, index) => aPolicy(spec, { name: `p${index}` }));
  return compileAccess({ agent: anAgent(), policies, resource: aResource() });
}

function demandsOf(...specs: object[]): Access['identity'] {
  const result = compiled(...specs);
  if (!result.ok) throw new Error(result.message);
  return result.access.identity;
}

function digestOf(...specs: object[]): string {
  const result = compiled(...specs);
  return result.ok ? result.access.digest : result.code;
}

const named = (rules: readonly Partial<PolicyRule>[], prefix: string): Partial<PolicyRule>[] =>
  rules.map((each, index) => ({ ...each, name: `${prefix}${index}` }));

const SELECT = { effects: [anEffect('select', 'public.tickets')] };

describe('what a rule with onBehalfOf says of a caller', () => {
  const cases: [string, OnBehalfOf, Caller | undefined, boolean][] = [
    ['its user', { users: ['mira@corp'] }, MIRA, true],
    ['one of several users', { users: ['jane@corp', 'mira@corp'] }, MIRA, true],
    ['one of its groups', { groups: ['eu'] }, MIRA, true],
    ['another user in one of its groups', { users: ['jane@corp'], groups: ['support'] }, MIRA, true],
    ['its user in another group', { users: ['mira@corp'], groups: ['dba'] }, MIRA, true],
    ['another user', { users: ['jane@corp'] }, MIRA, false],
    ['another group', { groups: ['dba'] }, MIRA, false],
    ['a user whose name is a group', { users: ['support'] }, MIRA, false],
    ['a group whose name is the user', { groups: ['mira@corp'] }, MIRA, false],
    ['its user in other letters', { users: ['Mira@corp'] }, MIRA, false],
    ['what looks like a glob', { users: ['*'], groups: ['**', 's*'] }, MIRA, false],
    ['a user without groups', { groups: ['support'] }, { ...MIRA, groups: [] }, false],
    ['nobody', { users: ['mira@corp'], groups: ['support'] }, undefined, false],
  ];

  it.each(cases)('an Allow on behalf of %s', (_, onBehalfOf, caller, speaks) => {
    expect(judge(demanding({ onBehalfOf }), SELECT, caller).code).toBe(speaks ? 'Allowed' : 'NoRuleAllows');
  });

  it.each(cases)('a Deny on behalf of %s', (_, onBehalfOf, caller, speaks) => {
    const access = demanding({}, { name: 'not-they', effect: 'Deny', onBehalfOf });
    expect(judge(access, SELECT, caller).code).toBe(speaks ? 'DeniedByRule' : 'Allowed');
  });

  it.each(cases)('a RequireApproval on behalf of %s', (_, onBehalfOf, caller, speaks) => {
    const approval = {
      approvers: { groups: ['dba'] },
      minimum: 1,
      timeout: '5m',
      mode: 'hold' as const,
      reason: 'optional' as const,
    };
    const access = demanding({}, { name: 'ask', effect: 'RequireApproval', approval, onBehalfOf });
    expect(judge(access, SELECT, caller).code).toBe(speaks ? 'ApprovalPending' : 'Allowed');
  });

  it('gives no right to what touches nothing', () => {
    const access = demanding({ onBehalfOf: { users: ['mira@corp'] } });
    expect(judge(access, { effects: [] }, MIRA).verdict).toBe('allow');
    expect(judge(access, { effects: [] }).verdict).toBe('deny');
    expect(judge(access, { effects: [] }, { ...MIRA, user: 'jane@corp', groups: [] }).verdict).toBe('deny');
  });

  it('a hint names what this caller may do', () => {
    const access = demanding({ onBehalfOf: { users: ['mira@corp'] } });
    expect(allowedHere(accessOnBehalfOf(access, MIRA))).toEqual(['SELECT on public.tickets']);
    expect(allowedHere(accessOnBehalfOf(access, undefined))).toEqual([]);
  });
});

describe('the access of one caller', () => {
  const access = demanding({}, { name: 'more', onBehalfOf: { groups: ['support'] } });

  it('needs no caller any more', () => {
    const mine = accessOnBehalfOf(access, MIRA);
    expect(mine.rules.map(({ name, onBehalfOf }) => [name, onBehalfOf])).toEqual([
      ['more', undefined],
      ['read', undefined],
    ]);
    expect(judge(mine, SELECT)).toEqual(judge(access, SELECT, MIRA));
    expect(Access.parse(mine)).toEqual(mine);
  });

  it('has a digest of its own, and one for callers of equal rules', () => {
    const digests = [MIRA, { ...MIRA, user: 'jane@corp' }, undefined].map((caller) => accessOnBehalfOf(access, caller).digest);
    expect(digests[0]).toBe(digests[1]);
    expect(new Set([access.digest, ...digests]).size).toBe(3);
  });

  it('is the same object where no rule asks', () => {
    const plain = anAccess([{}]);
    expect(accessOnBehalfOf(plain, MIRA)).toBe(plain);
  });
});

describe('properties', () => {
  const name: fc.Arbitrary<string> = fc.constantFrom('a', 'b', 'c');
  const names = fc.uniqueArray(name, { minLength: 1, maxLength: 2 });
  const onBehalfOf: fc.Arbitrary<OnBehalfOf> = fc.oneof(fc.record({ users: names }), fc.record({ groups: names }));
  const caller = fc.record({ issuer: fc.constant('https://login.corp'), user: name, groups: fc.uniqueArray(name) });
  const rule = fc.record({
    effect: fc.constantFrom('Allow' as const, 'Deny' as const),
    sql: fc.record({
      statements: fc.uniqueArray(fc.constantFrom('select' as const, 'update' as const), { minLength: 1 }),
      relations: fc.uniqueArray(fc.constantFrom('public.x', 'public.y'), { minLength: 1 }),
    }),
  });
  const about = fc.record({ effect: rule.map(({ effect }) => effect), sql: rule.map(({ sql }) => sql), onBehalfOf });
  const action = fc
    .array(fc.tuple(fc.constantFrom('select', 'update'), fc.constantFrom('public.x', 'public.y')), { minLength: 1, maxLength: 3 })
    .map((pairs) => ({ effects: pairs.map(([verb, object]) => anEffect(verb, object)) }));

  it('a caller never widens rules without onBehalfOf', () => {
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), caller, action, (rules, who, what) => {
        const access = demanding(...named(rules, 'r'));
        expect(judge(access, what, who)).toEqual(judge(access, what));
      }),
      { numRuns: 300, seed: 20_261_128 },
    );
  });

  it('rules with onBehalfOf that are about others are as if they were not there', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 3 }),
        fc.array(about, { minLength: 1, maxLength: 3 }),
        fc.option(caller, { nil: undefined }),
        action,
        (plain, theirs, who, what) => {
          const mine = (each: { onBehalfOf: OnBehalfOf }): boolean =>
            who !== undefined &&
            ((each.onBehalfOf.users ?? []).some((user) => user === who.user) ||
              (each.onBehalfOf.groups ?? []).some((group) => who.groups.includes(group)));
          const all = [...named(plain, 'r'), ...named(theirs, 't')];
          const left = all.filter(({ onBehalfOf: whose }) => whose === undefined || mine({ onBehalfOf: whose }));
          const open = left.map((each) => ({ ...each, onBehalfOf: undefined }));
          expect(judge(demanding(...all), what, who)).toEqual(judge(demanding(...open), what));
        },
      ),
      { numRuns: 300, seed: 20_261_128 },
    );
  });
});

describe('what policies demand together', () => {
  it('is nothing where none demands', () => {
    expect(demandsOf({}, {})).toBeUndefined();
  });

  it('is every demand once, in one order, whatever the order of policies and lists', () => {
    const a = { identity: identity({ audiences: ['x', 'y'], requiredClaims: { team: ['b', 'a'], area: ['c'] } }) };
    const b = { identity: identity({ requiredClaims: { level: ['1'] } }) };
    const again = { identity: identity({ audiences: ['y', 'x'], requiredClaims: { area: ['c'], team: ['a', 'b'] } }) };
    const demands = demandsOf({}, a, b, again);
    expect(demands).toHaveLength(2);
    expect(demandsOf(b, {}, again)).toEqual(demands);
    expect(demands?.map(({ requiredClaims }) => requiredClaims)).toContainEqual([
      { claim: 'area', values: ['c'] },
      { claim: 'team', values: ['a', 'b'] },
    ]);
  });

  it('holds for rules of policies that demand nothing', () => {
    expect(demandsOf({}, { identity: identity() })).toHaveLength(1);
  });

  it('is in the digest', () => {
    const digests = [
      digestOf({}),
      digestOf({ identity: identity() }),
      digestOf({ identity: identity({ audiences: ['else'] }) }),
      digestOf({ identity: identity({ requiredClaims: { team: ['a'] } }) }),
      digestOf({ identity: identity({ caBundle: 'PEM' }) }),
    ];
    expect(new Set(digests).size).toBe(digests.length);
  });

  it.each(['issuer', 'userClaim', 'groupsClaim'])('is refused where they disagree on %s', (field) => {
    const other = { identity: identity({ [field]: field === 'issuer' ? 'https://else' : 'other' }) };
    expect(compiled({ identity: identity() }, other)).toMatchObject({
      ok: false,
      code: 'PolicyInvalid',
      message: `policies p0 and p1 demand tokens of another ${field}, and one token cannot have both`,
    });
  });
});

describe('what the schema refuses and an older operator may still hold', () => {
  it.each<[string, object]>([
    ['onBehalfOf without a demand', { rules: [aRule({ onBehalfOf: { users: ['mira@corp'] } })] }],
    ['onBehalfOf of nobody', { identity: identity(), rules: [aRule({ onBehalfOf: {} })] }],
    ['an empty list of users', { identity: identity(), rules: [aRule({ onBehalfOf: { users: [], groups: ['a'] } })] }],
  ])('%s', (_, spec) => {
    expect(compiled(spec)).toMatchObject({ ok: false, code: 'PolicyInvalid' });
  });

  it('another policy’s demand does not make up for its own', () => {
    const without = { rules: [aRule({ onBehalfOf: { users: ['mira@corp'] } })] };
    expect(compiled({ identity: identity() }, without)).toMatchObject({ ok: false, code: 'PolicyInvalid' });
  });
});
