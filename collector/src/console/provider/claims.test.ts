import { describe, expect, test } from 'vitest';
import { type ClaimSettings, identityOf } from './claims.ts';
import { SignInError } from './sign-in-error.ts';

const SETTINGS: ClaimSettings = {
  issuerUrl: 'https://login.corp',
  usernameClaim: 'sub',
  groupsClaim: 'groups',
  groupsPrefix: '',
  requiredClaims: {},
};
const GOOD = { sub: 'mira' };

function judged(claims: object, settings: Partial<ClaimSettings> = {}): string {
  try {
    const { user, groups } = identityOf({ ...GOOD, ...claims }, { ...SETTINGS, ...settings });
    return [user, ...groups].join(' ');
  } catch (error) {
    return error instanceof SignInError ? error.code : String(error);
  }
}

describe('a user', () => {
  test.each<[string, object, Partial<ClaimSettings>, string]>([
    ['is the issuer’s where no prefix is set', {}, {}, 'https://login.corp#mira'],
    ['has the prefix', {}, { usernamePrefix: 'oidc:' }, 'oidc:mira'],
    ['has none for "-"', {}, { usernamePrefix: '-' }, 'mira'],
    ['has none as an e-mail address', { email: 'm@corp' }, { usernameClaim: 'email' }, 'm@corp'],
    [
      'has the prefix as an e-mail address',
      { email: 'm@corp' },
      { usernameClaim: 'email', usernamePrefix: 'oidc:' },
      'oidc:m@corp',
    ],
    ['may have a verified address', { email: 'm@corp', email_verified: true }, { usernameClaim: 'email' }, 'm@corp'],
    [
      'has no address that is not verified',
      { email: 'm@corp', email_verified: false },
      { usernameClaim: 'email' },
      'ClaimMissing',
    ],
    ['nor one verified in words', { email: 'm@corp', email_verified: 'true' }, { usernameClaim: 'email' }, 'ClaimMissing'],
    ['is named by another claim', { upn: 'm' }, { usernameClaim: 'upn', usernamePrefix: '-' }, 'm'],
    ['is nobody without the claim', {}, { usernameClaim: 'upn' }, 'ClaimMissing'],
    ['is nobody by what every object has', {}, { usernameClaim: 'toString' }, 'ClaimMissing'],
    ['is no number', { sub: 7 }, {}, 'ClaimUnreadable'],
    ['is no list', { sub: ['mira'] }, {}, 'ClaimUnreadable'],
    ['is not empty, prefix or not', { sub: '' }, {}, 'ClaimUnreadable'],
    ['has 256 characters at most', { sub: 'm'.repeat(257) }, {}, 'ClaimUnreadable'],
    ['has no line break', { sub: 'mira\nroot' }, {}, 'ClaimUnreadable'],
    ['is none of the cluster’s', { sub: 'system:admin' }, { usernamePrefix: '-' }, 'NameReserved'],
    ['is no ServiceAccount', { sub: 'system:serviceaccount:kube-system:x' }, { usernamePrefix: '-' }, 'NameReserved'],
    ['is none of the cluster’s behind a prefix either', { sub: 'system:admin' }, { usernamePrefix: 'oidc:' }, 'NameReserved'],
    ['nor by a prefix that makes one', { sub: 'tem:admin' }, { usernamePrefix: 'sys' }, 'NameReserved'],
  ])('%s', (_what, claims, settings, expected) => {
    expect(judged(claims, { ...settings }).split(' ')[0]).toBe(expected);
  });
});

describe('groups', () => {
  const many = Array.from({ length: 256 }, (_, at) => `g${at}`);
  test.each<[string, object, Partial<ClaimSettings>, string]>([
    ['are the token’s and that of everybody', { groups: ['b', 'a', 'b'] }, {}, 'mira a b system:authenticated'],
    ['may be one', { groups: 'a' }, {}, 'mira a system:authenticated'],
    ['have the prefix', { groups: ['a'] }, { groupsPrefix: 'oidc:' }, 'mira oidc:a system:authenticated'],
    ['are none without the claim', {}, {}, 'mira system:authenticated'],
    ['are read from no claim that nobody named', { groups: ['a'] }, { groupsClaim: 'roles' }, 'mira system:authenticated'],
    ['are none where one is empty', { groups: ['a', ''] }, {}, 'ClaimUnreadable'],
    ['are none where one is a number', { groups: ['a', 1] }, {}, 'ClaimUnreadable'],
    ['are no object', { groups: { a: true } }, {}, 'ClaimUnreadable'],
    ['are 256 at most', { groups: [...many, 'x'] }, {}, 'ClaimUnreadable'],
    ['have no escape sequences', { groups: ['a\u001b[2J'] }, {}, 'ClaimUnreadable'],
    ['are not fetched from elsewhere', { _claim_names: { groups: 'src1' } }, {}, 'ClaimUnreadable'],
    ['are not system:masters', { groups: ['a', 'system:masters'] }, {}, 'NameReserved'],
    ['are not system:masters as a text', { groups: 'system:masters' }, {}, 'NameReserved'],
    ['are not even what is added to everybody', { groups: ['system:authenticated'] }, {}, 'NameReserved'],
    ['are not the cluster’s behind a prefix', { groups: ['system:masters'] }, { groupsPrefix: 'oidc:' }, 'NameReserved'],
    ['are not the cluster’s by a prefix', { groups: ['masters'] }, { groupsPrefix: 'system:' }, 'NameReserved'],
    ['may end in it', { groups: ['ecosystem:masters'] }, {}, 'mira ecosystem:masters system:authenticated'],
  ])('%s', (_what, claims, settings, expected) => expect(judged(claims, { usernamePrefix: '-', ...settings })).toBe(expected));

  test('are not read where no claim is named', () => {
    const { groupsClaim: _, ...settings } = SETTINGS;
    expect(identityOf({ sub: 'mira', groups: ['a'] }, settings).groups).toEqual(['system:authenticated']);
  });
});

test.each<[string, object, Record<string, string>, string]>([
  ['the value', { team: 'a' }, { team: 'a' }, 'ok'],
  ['another value', { team: 'b' }, { team: 'a' }, 'ClaimMissing'],
  ['other letters', { team: 'A' }, { team: 'a' }, 'ClaimMissing'],
  ['a list that holds it', { team: ['a'] }, { team: 'a' }, 'ClaimMissing'],
  ['nothing', {}, { team: 'a' }, 'ClaimMissing'],
  ['one of two', { team: 'a' }, { team: 'a', area: 'x' }, 'ClaimMissing'],
  ['a number for a text', { level: 1 }, { level: '1' }, 'ClaimMissing'],
  ['what every object inherits', {}, { constructor: 'a' }, 'ClaimMissing'],
])('a claim is required, and the token has %s', (_what, claims, requiredClaims, expected) => {
  expect(judged(claims, { requiredClaims }).replace(/^https:.*/, 'ok')).toBe(expected);
});
