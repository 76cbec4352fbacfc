import { createHmac, createPublicKey, type KeyObject } from 'node:crypto';
import type { TokenDemand } from '@chaperone/policy';
import { CompactEncrypt, type JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../capture/guard.ts';
import { systemClock } from '../platform.ts';
import { IssuerKeys, type KeySource, TokenError, verifyToken } from './index.ts';
import { anOutside, aSigner, compact, sign, type Signer, startIssuer, type TestIssuer } from './issuer.test-support.ts';
import { ALGORITHMS } from './token.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
let issuer: TestIssuer;
let signer: Signer;
let keys: KeySource;
const signers = new Map<string, Signer>();

beforeAll(async () => {
  issuer = await startIssuer();
  for (const alg of ALGORITHMS) signers.set(alg, await aSigner(alg));
  signer = of('RS256');
  issuer.keys = [...signers.values()].map(({ publicKey }) => publicKey);
  keys = new IssuerKeys({ guard, clock: systemClock, logger: anOutside().logger });
});
afterAll(() => issuer[Symbol.asyncDispose]());

function of(alg: string): Signer {
  const found = signers.get(alg);
  if (found === undefined) throw new Error(alg);
  return found;
}
const demand = (mods: Partial<TokenDemand> = {}): TokenDemand => ({
  issuer: issuer.issuer,
  audiences: ['chaperone'],
  requiredClaims: [],
  groupsClaim: 'groups',
  userClaim: 'sub',
  ...mods,
});
const now = (): number => Math.floor(Date.now() / 1000);
const good = (): object => ({
  iss: issuer.issuer,
  aud: 'chaperone',
  sub: 'mira@corp',
  groups: ['support'],
  exp: now() + 300,
  iat: now(),
});

async function codeOf(token: string, demands: readonly TokenDemand[] = [demand()]): Promise<string> {
  try {
    await verifyToken(token, demands, { keys, nowMs: Date.now() });
    return 'ok';
  } catch (error) {
    return error instanceof TokenError ? error.code : String(error);
  }
}

/** What an HMAC would be keyed by if a verifier took the public key for a secret. */
function forged(alg: string, kid: string | undefined, secret: string | Buffer, header: object = {}): string {
  const text = compact({ alg, ...(kid === undefined ? {} : { kid }), typ: 'JWT', ...header }, good()).slice(0, -1);
  return `${text}.${createHmac(`sha${alg.slice(2)}`, secret)
    .update(text)
    .digest('base64url')}`;
}
const keyOf = (jwk: JWK): KeyObject => createPublicKey({ key: jwk, format: 'jwk' });

describe('a token is accepted', () => {
  it.each(ALGORITHMS)('signed with %s', async (alg) => {
    const verified = await verifyToken(await sign(of(alg), good()), [demand()], { keys, nowMs: Date.now() });
    expect(verified.caller).toEqual({ issuer: issuer.issuer, user: 'mira@corp', groups: ['support'] });
    expect(verified.untilMs).toBeGreaterThan(Date.now() + 300_000);
  });

  it('that meets every demand, and only such', async () => {
    const claims = { ...good(), team: 'a', level: ['2'] };
    const team = demand({ requiredClaims: [{ claim: 'team', values: ['a'] }] });
    const level = demand({ requiredClaims: [{ claim: 'level', values: ['3'] }] });
    const token = await sign(signer, claims);
    expect([
      await codeOf(token, [demand(), team]),
      await codeOf(token, [team, level]),
      await codeOf(token, [level, team]),
    ]).toEqual(['ok', 'ClaimMissing', 'ClaimMissing']);
  });

  it('never where nothing is demanded of it', async () => {
    expect(await codeOf(await sign(signer, good()), [])).toContain('TypeError');
  });
});

describe('a signature', () => {
  it.each<[string, () => Promise<string> | string, string]>([
    ['none', () => compact({ alg: 'none' }, good()), 'AlgorithmRefused'],
    ['none, with another’s signature', async () => withHeader(await sign(signer, good()), { alg: 'none' }), 'AlgorithmRefused'],
    ['cut off', async () => (await sign(signer, good())).replace(/[^.]*$/, ''), 'SignatureInvalid'],
    ['with one bit changed', async () => flipped(await sign(signer, good())), 'SignatureInvalid'],
    ['of other claims', async () => withPayload(await sign(signer, good()), { ...good(), sub: 'root' }), 'SignatureInvalid'],
    [
      'of another header',
      async () => withHeader(await sign(signer, good()), { alg: 'RS256', kid: 'RS256-1', x: 1 }),
      'SignatureInvalid',
    ],
    ['by a stranger who knows the kid', async () => sign({ ...(await aSigner()), kid: 'RS256-1' }, good()), 'SignatureInvalid'],
    ['HS256, keyed by the public key as PEM', () => forged('HS256', 'RS256-1', pem(signer, 'spki')), 'AlgorithmRefused'],
    ['HS256, keyed by the public key as PKCS#1', () => forged('HS256', 'RS256-1', pem(signer, 'pkcs1')), 'AlgorithmRefused'],
    [
      'HS512, keyed by the public key as JWK',
      () => forged('HS512', 'RS256-1', JSON.stringify(signer.publicKey)),
      'AlgorithmRefused',
    ],
    ['HMAC that says RS256', () => forged('HS256', 'RS256-1', pem(signer, 'spki'), { alg: 'RS256' }), 'SignatureInvalid'],
    ['HMAC that says ES256', () => forged('HS256', 'ES256-1', pem(of('ES256'), 'spki'), { alg: 'ES256' }), 'SignatureInvalid'],
    ['ES256, naming an RSA key', () => sign(of('ES256'), good(), { kid: 'RS256-1' }), 'KeyUnknown'],
    ['PS256, naming a key for RS256', () => sign(of('PS256'), good(), { kid: 'RS256-1' }), 'KeyUnknown'],
    [
      'ES256 of zeros (r = s = 0)',
      () => compact({ alg: 'ES256', kid: 'ES256-1' }, good(), Buffer.alloc(64).toString('base64url')),
      'SignatureInvalid',
    ],
    [
      'EdDSA of zeros',
      () => compact({ alg: 'EdDSA', kid: 'EdDSA-1' }, good(), Buffer.alloc(64).toString('base64url')),
      'SignatureInvalid',
    ],
  ])('%s', async (_, make, expected) => expect(await codeOf(await make())).toBe(expected));
});

describe('a key that the token brings or names', () => {
  it.each(['jwk', 'jku', 'x5u', 'x5c'])('%s is not looked at, though the signature is good by it', async (name) => {
    await using evil = await startIssuer();
    const own = await aSigner('RS256', 'RS256-1');
    evil.keys = [own.publicKey];
    const value = { jwk: own.publicKey, jku: `${evil.issuer}/jwks`, x5u: `${evil.issuer}/jwks`, x5c: ['MIIB'] }[name];
    expect(await codeOf(await sign(own, good(), { [name]: value }))).toBe('HeaderRefused');
    expect(evil.asked).toEqual([]);
  });

  it.each<[string, string | undefined, string]>([
    ['a path', '../../../../dev/null', 'KeyUnknown'],
    ['a file', '/proc/sys/kernel/randomize_va_space', 'KeyUnknown'],
    ['SQL', "x' UNION SELECT 'secret' --", 'KeyUnknown'],
    ['a URL', 'https://evil.example/key', 'KeyUnknown'],
    ['a name that objects inherit', '__proto__', 'KeyUnknown'],
    ['other letters', 'rs256-1', 'KeyUnknown'],
    ['unknown', 'RS256-2', 'KeyUnknown'],
    ['absent, where one key fits', undefined, 'ok'],
  ])('kid: %s', async (_, kid, expected) => expect(await codeOf(await sign(signer, good(), { kid }))).toBe(expected));

  it('kid: a path, with the secret that is there', async () => {
    expect(await codeOf(forged('HS256', '../../../../dev/null', ''))).toBe('AlgorithmRefused');
  });

  it('kid absent, where two keys fit', async () => {
    await using two = await startIssuer();
    const [one, other] = [await aSigner('ES256', 'a'), await aSigner('ES256', 'b')];
    two.keys = [one.publicKey, other.publicKey];
    const claims = { ...good(), iss: two.issuer };
    const demands = [demand({ issuer: two.issuer })];
    expect(await codeOf(await sign(one, claims, { kid: undefined }), demands)).toBe('KeyUnknown');
    expect(await codeOf(await sign(other, claims), demands)).toBe('ok');
  });
});

describe('claims of a good signature', () => {
  it.each<[string, object, string]>([
    ['another audience', { aud: 'console' }, 'AudienceWrong'],
    ['several audiences without azp', { aud: ['chaperone', 'console'] }, 'AudienceWrong'],
    ['expired', { exp: now() - 3600 }, 'TokenExpired'],
    ['not yet valid', { nbf: now() + 3600 }, 'TokenNotYetValid'],
    ['from the future', { iat: now() + 3600 }, 'TokenNotYetValid'],
    ['for ever', { exp: undefined }, 'ClaimMissing'],
    ['another issuer', { iss: 'https://evil.example' }, 'IssuerWrong'],
    ['no issuer', { iss: undefined }, 'IssuerWrong'],
  ])('%s', async (_, claims, expected) => expect(await codeOf(await sign(signer, { ...good(), ...claims }))).toBe(expected));

  it('another issuer is not asked for its keys', async () => {
    await using evil = await startIssuer();
    const own = await aSigner();
    evil.keys = [own.publicKey];
    expect(await codeOf(await sign(own, { ...good(), iss: evil.issuer }))).toBe('IssuerWrong');
    expect(evil.asked).toEqual([]);
  });
});

it('an encrypted token (JWE) is refused', async () => {
  const token = await new CompactEncrypt(new TextEncoder().encode('{}'))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
    .encrypt(keyOf({ ...signer.publicKey, alg: 'RSA-OAEP-256' }));
  expect(await codeOf(token)).toBe('TokenMalformed');
});

describe('keys that an issuer publishes and that are not used', () => {
  it.each<[string, (key: JWK) => object, string]>([
    ['for encryption', (key) => ({ ...key, use: 'enc' }), 'KeyUnknown'],
    ['for signing alone', (key) => ({ ...key, use: undefined, key_ops: ['sign'] }), 'KeyUnknown'],
    ['for another algorithm', (key) => ({ ...key, alg: 'RS512' }), 'KeyUnknown'],
    ['of another type', (key) => ({ ...key, kty: 'oct', k: 'c2VjcmV0' }), 'KeyUnknown'],
    ['without a modulus', (key) => ({ ...key, n: undefined }), 'SignatureInvalid'],
    ['that are no objects', () => [], 'KeyUnknown'],
    ['without use and alg, which are', (key) => ({ ...key, use: undefined, alg: undefined }), 'ok'],
  ])('%s', async (_, change, expected) => {
    await using other = await startIssuer();
    const own = await aSigner();
    other.keys = [change(own.publicKey)];
    const token = await sign(own, { ...good(), iss: other.issuer });
    expect(await codeOf(token, [demand({ issuer: other.issuer })])).toBe(expected);
  });

  it('an RSA key of 1024 bits', async () => {
    await using other = await startIssuer();
    const { generateKeyPairSync, sign: signature } = await import('node:crypto');
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    other.keys = [{ ...(publicKey.export({ format: 'jwk' }) as JWK), kid: 'small' }];
    const text = compact({ alg: 'RS256', kid: 'small' }, { ...good(), iss: other.issuer }).slice(0, -1);
    const token = `${text}.${signature('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
    expect(await codeOf(token, [demand({ issuer: other.issuer })])).toBe('SignatureInvalid');
  });
});

function withHeader(token: string, header: object): string {
  return [Buffer.from(JSON.stringify(header)).toString('base64url'), ...token.split('.').slice(1)].join('.');
}
function withPayload(token: string, payload: object): string {
  const [head = '', , signature = ''] = token.split('.');
  return [head, Buffer.from(JSON.stringify(payload)).toString('base64url'), signature].join('.');
}
function flipped(token: string): string {
  const [head = '', body = '', signature = ''] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[7] = (bytes[7] ?? 0) ^ 1;
  return [head, body, bytes.toString('base64url')].join('.');
}
function pem({ publicKey }: Signer, type: 'spki' | 'pkcs1'): string {
  return keyOf(publicKey).export({ type, format: 'pem' });
}
