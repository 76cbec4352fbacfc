import type { TokenDemand } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { CLOCK_SKEW_MS, judgeClaims } from './claims.ts';
import { TokenError } from './errors.ts';

const NOW = Date.UTC(2026, 10, 28, 12);
const SECONDS = NOW / 1000;
const SKEW = CLOCK_SKEW_MS / 1000;
const DEMAND: TokenDemand = {
  issuer: 'https://login.corp',
  audiences: ['chaperone', 'orders'],
  requiredClaims: [],
  groupsClaim: 'groups',
  userClaim: 'sub',
};
const GOOD = { iss: 'https://login.corp', aud: 'chaperone', sub: 'mira@corp', exp: SECONDS + 300, iat: SECONDS - 10 };

function codeOf(claims: object, demand: Partial<TokenDemand> = {}): string {
  try {
    judgeClaims({ ...GOOD, ...claims }, { ...DEMAND, ...demand }, NOW);
    return 'ok';
  } catch (error) {
    return error instanceof TokenError ? error.code : String(error);
  }
}

const required = (...requiredClaims: TokenDemand['requiredClaims']): Partial<TokenDemand> => ({ requiredClaims });
const groupsOf = (claims: object): string[] => judgeClaims({ ...GOOD, ...claims }, DEMAND, NOW).caller.groups;

describe('the issuer', () => {
  it.each<[unknown, string]>([
    ['https://login.corp', 'ok'],
    ['https://login.corp/', 'IssuerWrong'],
    ['https://LOGIN.corp', 'IssuerWrong'],
    ['https://login.corp.evil.example', 'IssuerWrong'],
    [['https://login.corp'], 'IssuerWrong'],
    [undefined, 'IssuerWrong'],
  ])('%j: %s', (iss, expected) => expect(codeOf({ iss })).toBe(expected));
});

describe('the audience', () => {
  it.each<[string, object, string]>([
    ['a string', { aud: 'orders' }, 'ok'],
    ['a list of one', { aud: ['chaperone'] }, 'ok'],
    ['another', { aud: 'console' }, 'AudienceWrong'],
    ['a list of others', { aud: ['console', 'x'] }, 'AudienceWrong'],
    ['an empty list', { aud: [] }, 'AudienceWrong'],
    ['absent', { aud: undefined }, 'AudienceWrong'],
    ['a prefix', { aud: 'chap' }, 'AudienceWrong'],
    ['an object', { aud: { chaperone: true } }, 'AudienceWrong'],
    ['a list with what is no string', { aud: ['chaperone', 1] }, 'AudienceWrong'],
    ['several and no azp', { aud: ['chaperone', 'console'] }, 'AudienceWrong'],
    ['several and an azp that the policy names', { aud: ['chaperone', 'console'], azp: 'chaperone' }, 'ok'],
    ['several and another azp', { aud: ['chaperone', 'console'], azp: 'console' }, 'AudienceWrong'],
    ['several and an azp that is a list', { aud: ['chaperone', 'console'], azp: ['chaperone'] }, 'AudienceWrong'],
    ['the same one twice', { aud: ['chaperone', 'chaperone'] }, 'ok'],
    ['one, and the azp of a client', { aud: 'chaperone', azp: 'notebook' }, 'ok'],
  ])('%s', (_, claims, expected) => expect(codeOf(claims)).toBe(expected));
});

describe('the times, with a minute between the clocks', () => {
  it.each<[string, object, string]>([
    ['no exp', { exp: undefined }, 'ClaimMissing'],
    ['exp just past', { exp: SECONDS - 1 }, 'ok'],
    ['exp at the end of the minute', { exp: SECONDS - SKEW + 0.001 }, 'ok'],
    ['exp a minute ago', { exp: SECONDS - SKEW }, 'TokenExpired'],
    ['exp long ago', { exp: 1 }, 'TokenExpired'],
    ['exp as text', { exp: String(SECONDS + 300) }, 'ClaimUnreadable'],
    ['exp null', { exp: null }, 'ClaimUnreadable'],
    ['exp below zero', { exp: -1 }, 'ClaimUnreadable'],
    ['exp beyond numbers', { exp: 1e308 }, 'ClaimUnreadable'],
    ['nbf in a minute', { nbf: SECONDS + SKEW }, 'ok'],
    ['nbf in more than a minute', { nbf: SECONDS + SKEW + 1 }, 'TokenNotYetValid'],
    ['nbf past', { nbf: SECONDS - 1000 }, 'ok'],
    ['nbf as text', { nbf: '0' }, 'ClaimUnreadable'],
    ['iat in a minute', { iat: SECONDS + SKEW }, 'ok'],
    ['iat in more than a minute', { iat: SECONDS + SKEW + 1 }, 'TokenNotYetValid'],
    ['no iat', { iat: undefined }, 'ok'],
    ['iat true', { iat: true }, 'ClaimUnreadable'],
  ])('%s', (_, claims, expected) => expect(codeOf(claims)).toBe(expected));

  it('the session may last until exp and a minute', () => {
    expect(judgeClaims(GOOD, DEMAND, NOW).untilMs).toBe(NOW + 300_000 + CLOCK_SKEW_MS);
  });
});

describe('required claims', () => {
  it.each<[string, object, Partial<TokenDemand>, string]>([
    ['the value', { team: 'a' }, required({ claim: 'team', values: ['a'] }), 'ok'],
    ['one of the values', { team: 'b' }, required({ claim: 'team', values: ['a', 'b'] }), 'ok'],
    ['a list that holds one', { team: ['x', 'b'] }, required({ claim: 'team', values: ['a', 'b'] }), 'ok'],
    ['another value', { team: 'c' }, required({ claim: 'team', values: ['a', 'b'] }), 'ClaimMissing'],
    ['other letters', { team: 'A' }, required({ claim: 'team', values: ['a'] }), 'ClaimMissing'],
    ['absent', {}, required({ claim: 'team', values: ['a'] }), 'ClaimMissing'],
    ['a list without one', { team: ['x'] }, required({ claim: 'team', values: ['a'] }), 'ClaimMissing'],
    ['a list with what is no string', { team: ['a', null] }, required({ claim: 'team', values: ['a'] }), 'ClaimMissing'],
    ['an object', { team: { a: 1 } }, required({ claim: 'team', values: ['a'] }), 'ClaimMissing'],
    ['a number', { level: 1 }, required({ claim: 'level', values: ['1'] }), 'ClaimMissing'],
    ['one of two', { team: 'a' }, required({ claim: 'team', values: ['a'] }, { claim: 'area', values: ['x'] }), 'ClaimMissing'],
    ['what every object inherits', {}, required({ claim: 'constructor', values: ['a'] }), 'ClaimMissing'],
  ])('%s', (_, claims, demand, expected) => expect(codeOf(claims, demand)).toBe(expected));
});

describe('the user', () => {
  it.each<[string, object, string, string]>([
    ['sub', {}, 'sub', 'ok'],
    ['another claim', { upn: 'mira' }, 'upn', 'ok'],
    ['a claim that is not there', {}, 'upn', 'ClaimMissing'],
    ['a claim that every object inherits', {}, 'toString', 'ClaimMissing'],
    ['email, verified', { email: 'mira@corp', email_verified: true }, 'email', 'ok'],
    ['email, not verified', { email: 'mira@corp', email_verified: false }, 'email', 'ClaimMissing'],
    ['email, and nothing said of it', { email: 'mira@corp' }, 'email', 'ClaimMissing'],
    ['email, verified as text', { email: 'mira@corp', email_verified: 'true' }, 'email', 'ClaimMissing'],
    ['a number', { sub: 7 }, 'sub', 'ClaimUnreadable'],
    ['a list', { sub: ['mira@corp'] }, 'sub', 'ClaimUnreadable'],
    ['nothing', { sub: '' }, 'sub', 'ClaimUnreadable'],
    ['256 characters', { sub: 'm'.repeat(256) }, 'sub', 'ok'],
    ['257 characters', { sub: 'm'.repeat(257) }, 'sub', 'ClaimUnreadable'],
    ['an escape sequence', { sub: 'mira\u001b[31m' }, 'sub', 'ClaimUnreadable'],
    ['a line break', { sub: 'mira\njane' }, 'sub', 'ClaimUnreadable'],
    ['half a character', { sub: 'mira\ud800' }, 'sub', 'ClaimUnreadable'],
  ])('%s', (_, claims, userClaim, expected) => expect(codeOf(claims, { userClaim })).toBe(expected));
});

describe('the groups', () => {
  it('are sorted, each once', () => expect(groupsOf({ groups: ['b', 'a', 'b'] })).toEqual(['a', 'b']));
  it('may be one', () => expect(groupsOf({ groups: 'a' })).toEqual(['a']));
  it('may be none', () => expect([groupsOf({}), groupsOf({ groups: [] })]).toEqual([[], []]));

  const many = Array.from({ length: 257 }, (_, index) => `g${index}`);
  it.each<[string, object, string]>([
    ['256', { groups: many.slice(1) }, 'ok'],
    ['257', { groups: many }, 'ClaimUnreadable'],
    ['one of 256 characters', { groups: ['g'.repeat(256)] }, 'ok'],
    ['one of 257 characters', { groups: ['g'.repeat(257)] }, 'ClaimUnreadable'],
    ['one without a name', { groups: [''] }, 'ClaimUnreadable'],
    ['a number among them', { groups: ['a', 1] }, 'ClaimUnreadable'],
    ['an object', { groups: { a: true } }, 'ClaimUnreadable'],
    ['null', { groups: null }, 'ClaimUnreadable'],
    ['an escape sequence', { groups: ['a\u009b'] }, 'ClaimUnreadable'],
    ['elsewhere, as too many', { _claim_names: { groups: 'src1' } }, 'ClaimUnreadable'],
    ['another claim elsewhere', { _claim_names: { address: 'src1' } }, 'ok'],
  ])('%s', (_, claims, expected) => expect(codeOf(claims)).toBe(expected));
});

it('a token that is bound to a key is not taken as a bearer’s', () => {
  expect(codeOf({ cnf: { jkt: 'x' } })).toBe('ClaimUnreadable');
});
