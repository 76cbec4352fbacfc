import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenError } from './errors.ts';
import { compact } from './issuer.test-support.ts';
import { ALGORITHMS, MAX_TOKEN_BYTES, parseToken, repeatsName } from './token.ts';

function codeOf(token: string): string {
  try {
    parseToken(token);
    return 'ok';
  } catch (error) {
    return error instanceof TokenError ? error.code : String(error);
  }
}

const HEADER = { alg: 'RS256', kid: 'k', typ: 'JWT' };
const token = (header: unknown, payload: unknown = { sub: 'a' }): string => compact(header, payload, 'AAAA');

describe('a token is taken apart', () => {
  it('into what its header and its payload say', () => {
    expect(parseToken(token(HEADER))).toEqual({ alg: 'RS256', kid: 'k', claims: { sub: 'a' } });
    expect(parseToken(token({ alg: 'ES256' }))).toEqual({ alg: 'ES256', kid: undefined, claims: { sub: 'a' } });
  });

  it.each(ALGORITHMS)('with alg %s', (alg) => expect(codeOf(token({ ...HEADER, alg }))).toBe('ok'));

  it.each<[string, unknown]>([
    ['none', 'none'],
    ['None', 'None'],
    ['NONE', 'NONE'],
    ['HS256', 'HS256'],
    ['HS384', 'HS384'],
    ['HS512', 'HS512'],
    ['rs256 in small letters', 'rs256'],
    ['RS256 with a space', 'RS256 '],
    ['RS1', 'RS1'],
    ['ES256K', 'ES256K'],
    ['RSA-OAEP', 'RSA-OAEP'],
    ['dir', 'dir'],
    ['toString', 'toString'],
    ['nothing', undefined],
    ['null', null],
    ['a list', ['RS256']],
    ['an object', { RS256: true }],
  ])('but not with alg %s', (_, alg) => expect(codeOf(token({ ...HEADER, alg }))).toBe('AlgorithmRefused'));

  it.each<[string, object]>([
    ['jwk', { jwk: { kty: 'RSA', n: 'x', e: 'AQAB' } }],
    ['jku', { jku: 'https://evil.example/jwks' }],
    ['x5u', { x5u: 'https://evil.example/cert' }],
    ['x5c', { x5c: ['MIIB'] }],
    ['crit', { crit: ['exp'] }],
    ['an empty crit', { crit: [] }],
    ['b64', { b64: false }],
    ['zip', { zip: 'DEF' }],
    ['enc', { enc: 'A256GCM' }],
    ['cty, a token in a token', { cty: 'JWT' }],
    ['jku null', { jku: null }],
    ['a kid that is a number', { kid: 1 }],
    ['a kid that is a list', { kid: ['k'] }],
    ['an empty kid', { kid: '' }],
    ['a huge kid', { kid: 'k'.repeat(257) }],
  ])('and its header may not have %s', (_, more) => expect(codeOf(token({ ...HEADER, ...more }))).toBe('HeaderRefused'));

  it.each<[unknown, string]>([
    ['JWT', 'ok'],
    ['jwt', 'ok'],
    ['at+jwt', 'ok'],
    ['application/at+JWT', 'ok'],
    [undefined, 'ok'],
    ['logout+jwt', 'TypeRefused'],
    ['dpop+jwt', 'TypeRefused'],
    ['secevent+jwt', 'TypeRefused'],
    ['', 'TypeRefused'],
    [7, 'TypeRefused'],
  ])('typ %j: %s', (typ, expected) => expect(codeOf(token({ ...HEADER, typ }))).toBe(expected));
});

describe('what is no signed JWT', () => {
  const good = token(HEADER);
  it.each<[string, string]>([
    ['nothing', ''],
    ['a password', 'hunter2'],
    ['one dot', 'a.b'],
    ['three dots', `${good}.AAAA`],
    ['dots alone', '..'],
    ['an encrypted token (JWE)', `${good}.AAAA.AAAA`],
    ['white space around it', ` ${good}`],
    ['a line break after it', `${good}\n`],
    ['padding', good.replace('.', '=.')],
    ['the alphabet of base64', good.replace(/.$/, '+')],
    ['bits left over in the last character', `${good.split('.')[0]}.eyJzdWIiOiJhIn1.AAAA`],
    ['a header that is a list', token([HEADER])],
    ['a header that is null', token(null)],
    ['a header that is no JSON', token('{alg:RS256}')],
    ['JSON with something after it', token(`${JSON.stringify(HEADER)}x`)],
    ['a payload that is text', token(HEADER, '"x"')],
    ['a byte order mark', token(HEADER, '\uFEFF{}')],
    ['a payload that is not UTF-8', `${good.split('.')[0]}.${Buffer.from('{"a":"\xff"}', 'latin1').toString('base64url')}.AAAA`],
    ['a claim twice', token(HEADER, '{"sub":"a","sub":"b"}')],
    ['a claim twice, once with escapes', token(HEADER, '{"sub":"a","s\\u0075b":"b"}')],
    ['an inner name twice', token(HEADER, '{"a":{"b":1,"b":2}}')],
    ['alg twice', token('{"alg":"RS256","alg":"none"}')],
    ['one byte more than 16 KiB', good + 'A'.repeat(MAX_TOKEN_BYTES + 1 - good.length)],
  ])('%s', (_, text) => expect(codeOf(text)).toBe('TokenMalformed'));

  it('16 KiB are read', () => {
    const rest = MAX_TOKEN_BYTES - good.length;
    expect(codeOf(good + 'A'.repeat(rest))).toBe('ok');
  });

  it('is told without a piece of it', () => {
    const secret = 'c2VjcmV0LXNlY3JldA';
    for (const text of [secret, `${secret}.${secret}.${secret}`, token(`{"alg":"${secret}"}`), token(HEADER, `{"${secret}":1`)]) {
      let message = '';
      try {
        parseToken(text);
      } catch (error) {
        const { stack = '', cause } = error as Error;
        message = stack + String(cause);
      }
      expect(message).toContain('TokenError');
      expect(message).not.toContain(secret);
      expect(message).not.toContain('secret-secret');
    }
  });
});

describe('a name that an object has twice', () => {
  it.each<[string, boolean]>([
    ['{}', false],
    ['{"a":1,"b":2}', false],
    ['{"a":1,"a":2}', true],
    ['{"a" : 1 , "a" : 2}', true],
    ['{"a":{"a":1}}', false],
    ['{"a":{"b":1},"b":2}', false],
    ['{"a":{"b":1},"a":2}', true],
    ['{"x":[{"a":1},{"a":2}]}', false],
    ['{"x":[{"a":1,"a":2}]}', true],
    ['{"a":"a","b":"a"}', false],
    ['{"a":"\\"a\\":1,{","b":"}"}', false],
    ['{"\\u0061":1,"a":2}', true],
    ['{"__proto__":1,"a":2}', false],
    ['{"__proto__":1,"__proto__":2}', true],
  ])('%s: %s', (json, expected) => expect(repeatsName(json)).toBe(expected));

  it('no text that JSON.stringify writes has one', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => !repeatsName(JSON.stringify(value))),
      { seed: 20_261_128 },
    );
  });

  it('is found wherever a member is written again', () => {
    const members = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 });
    fc.assert(
      fc.property(members, (value) => {
        const text = JSON.stringify(value);
        const [name = ''] = Object.keys(value);
        expect(repeatsName(`${text.slice(0, -1)},${JSON.stringify(name)}:0}`)).toBe(true);
      }),
      { seed: 20_261_128 },
    );
  });
});
