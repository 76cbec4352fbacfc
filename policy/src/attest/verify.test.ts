import { Attestation, type DecisionSpec } from '@chaperone/api';
import type { ClaimSettings } from '@chaperone/api/claims';
import * as fc from 'fast-check';
import { generateSecret, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { AttestError } from './errors.ts';
import { ANSWER, aBrowser, anIssuer, aProof, AT, attestationOf, TERMS, type TestIssuer } from './answer.test-support.ts';
import { judgeSignIn, readIdToken } from './id-token.ts';
import { type Answer, commitmentOf, decisionMessage } from './message.ts';
import { type Proof, verifyAnswer, verifyDecision } from './verify.ts';

let issuer: TestIssuer;
let proof: Proof;
beforeAll(async () => {
  issuer = await anIssuer();
  proof = await aProof(issuer);
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (!(error instanceof AttestError)) throw error;
    return error.code;
  }
}
const check = (answer: Partial<Answer> = {}, mods: Partial<Proof> = {}, at = AT): Promise<string> =>
  codeOf(verifyAnswer({ ...ANSWER, ...answer }, { ...proof, ...mods }, at, TERMS, issuer.keys));

it('an answer is whose browser signed it', async () => {
  const { person } = await verifyAnswer(ANSWER, proof, AT, TERMS, issuer.keys);
  expect(person).toEqual({ user: 'jane@corp', groups: ['dba', 'dev'] });
});

describe('another answer than the one that was signed is refused:', () => {
  it.each<[string, Partial<Answer>]>([
    ['the other decision', { decision: 'Deny' }],
    ['another digest', { digest: '0'.repeat(64) }],
    ['another request of the name', { uid: 'another' }],
    ['another name', { name: `ar-${'b'.repeat(16)}` }],
    ['another namespace', { namespace: 'agents2' }],
    ['another reason', { reason: 'ticket 4413' }],
    ['no reason', { reason: '' }],
    ['a time for which the same may run again', { grantFor: 1_800 }],
    ['another challenge', { challenge: Buffer.alloc(32, 2).toString('base64url') }],
    ['something else was shown', { shown: 'c'.repeat(64) }],
  ])('%s', async (_, answer) => expect(await check(answer)).toBe('SignatureRefused'));

  it('no two answers are signed by the same bytes', () => {
    const text = fc.string({ maxLength: 12, unit: 'binary' });
    const answers = fc.record({
      namespace: text,
      name: text,
      uid: text,
      digest: text,
      decision: fc.constantFrom('Approve' as const, 'Deny' as const),
      reason: text,
      grantFor: fc.option(fc.integer({ min: 60, max: 43_200 }), { nil: undefined }),
      challenge: text,
      shown: text,
    });
    fc.assert(
      fc.property(answers, answers, (one, other) => {
        const isSame = JSON.stringify(one) === JSON.stringify(other);
        // UTF-8 has no lone surrogates; both would be written as the same replacement.
        fc.pre(JSON.stringify(one).isWellFormed() && JSON.stringify(other).isWellFormed());
        expect(decisionMessage(one).equals(decisionMessage(other))).toBe(isSame);
      }),
    );
  });

  it('what is signed reads so, forever', () => {
    expect(decisionMessage(ANSWER).toString()).toBe(
      `chaperone.dev/decision/v1\n{"challenge":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","decision":"Approve","digest":"9c1f44ab${'0'.repeat(56)}","name":"ar-${'a'.repeat(16)}","namespace":"agents","reason":"ticket 4412","shown":"${'b'.repeat(64)}","uid":"0d6f1c3e-0000-4000-8000-000000000001"}`,
    );
    expect(decisionMessage({ ...ANSWER, grantFor: 1_800 }).toString()).toContain(`,"grantFor":1800,"name":`);
  });
});

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const changed = (text: string, at: number): string => {
  const letter = text[at] === 'A' ? 'B' : 'A';
  return text.slice(0, at) + letter + text.slice(at + 1);
};
const rewritten = (text: string): string => {
  return text.slice(0, -1) + (ALPHABET[ALPHABET.indexOf(text.at(-1) ?? '') + 1] ?? 'A');
};
const swapped = async (): Promise<Partial<Proof>> => {
  const other = await aBrowser();
  return { key: other.key, opening: other.opening, signature: await other.sign(ANSWER) };
};

describe('another proof is refused:', () => {
  it.each<[string, () => Promise<Partial<Proof>>]>([
    ['a key that somebody else brought, with its own signature', swapped],
    ['that key under the opening of the sign-in', async () => ({ ...(await swapped()), opening: proof.opening })],
    ['the token of another sign-in', async () => ({ idToken: await issuer.sign('n') })],
    ['the signature of the commitment itself', async () => ({ signature: proof.opening })],
    [
      'a point that is not on the curve',
      async () => {
        const key = { ...proof.key, x: Buffer.alloc(32, 7).toString('base64url') };
        return { key, idToken: await issuer.sign(commitmentOf(key, proof.opening)) };
      },
    ],
    ['a short opening', async () => ({ opening: 'AAAA', idToken: await issuer.sign(commitmentOf(proof.key, 'AAAA')) })],
    ['a key with something beside', async () => ({ key: { ...proof.key, crv: 'P-384' } as never })],
  ])('%s', async (_, mods) => expect(await check({}, await mods())).toBe('SignatureRefused'));

  it('whatever character of it is another one', async () => {
    const parts: [keyof Proof | 'x' | 'y', string][] = [
      ['signature', proof.signature],
      ['opening', proof.opening],
      ['x', proof.key.x],
      ['y', proof.key.y],
      ['idToken', proof.idToken],
    ];
    for (const [part, text] of parts)
      for (let at = 0; at < text.length; at++) {
        const other = changed(text, at);
        const mods = part === 'x' || part === 'y' ? { key: { ...proof.key, [part]: other } } : { [part]: other };
        expect([part, at, await check({}, mods)]).not.toEqual([part, at, 'ok']);
      }
  });

  it('the last character written in another way for the same bytes', async () => {
    for (const mods of [
      { signature: rewritten(proof.signature) },
      { opening: rewritten(proof.opening) },
      { idToken: rewritten(proof.idToken) },
    ])
      expect(await check({}, mods)).not.toBe('ok');
  });
});

const read = (claims: object, header: object = {}, mapping: Partial<ClaimSettings> = {}): Promise<string> =>
  codeOf(
    issuer.sign('n', { ...claims }, { ...header }).then((token) => readIdToken(token, { ...TERMS, ...mapping }, issuer.keys)),
  );

describe('an ID token', () => {
  const { iat, exp } = { iat: AT / 1000 - 60, exp: AT / 1000 + 240 };
  it.each<[string, object, string]>([
    ['as it should be', {}, 'ok'],
    ['of another issuer', { iss: 'https://login.corp/' }, 'SignInFailed'],
    ['for another client', { aud: 'kubernetes' }, 'SignInFailed'],
    ['for this client among others', { aud: ['chaperone-decide', 'kubernetes'] }, 'SignInFailed'],
    ['for several, issued to this one', { aud: ['chaperone-decide', 'x'], azp: 'chaperone-decide' }, 'ok'],
    ['issued to another', { azp: 'kubernetes' }, 'SignInFailed'],
    ['without an audience', { aud: undefined }, 'SignInFailed'],
    ['without a nonce', { nonce: undefined }, 'SignInFailed'],
    ['with a nonce that is no text', { nonce: ['n'] }, 'SignInFailed'],
    ['that never expires', { exp: undefined }, 'SignInFailed'],
    ['that was never issued', { iat: undefined }, 'SignInFailed'],
    ['that expired before it was issued', { exp: iat - 1 }, 'SignInFailed'],
    ['with times as text', { iat: String(iat), exp: String(exp) }, 'SignInFailed'],
    ['that is not valid before long', { nbf: iat + 61 }, 'SignInFailed'],
    ['that is valid at once', { nbf: iat }, 'ok'],
    ['of nobody', { sub: undefined }, 'SignInFailed'],
    ['without the user', { email: undefined }, 'PersonRefused'],
    ['of an address that nobody verified', { email_verified: false }, 'PersonRefused'],
    ['of an address that the issuer verified', { email_verified: true }, 'ok'],
    ['of a name of the system', { email: 'system:admin' }, 'PersonRefused'],
    ['with a group of the system', { groups: ['dba', 'system:masters'] }, 'PersonRefused'],
    ['with groups that are elsewhere', { groups: undefined, _claim_names: { groups: 'src1' } }, 'PersonRefused'],
    ['with a group that is no text', { groups: ['dba', 1] }, 'PersonRefused'],
    ['with 257 groups', { groups: Array.from({ length: 257 }, (_, at) => `g${at}`) }, 'PersonRefused'],
    ['with a name that ends a line', { email: 'jane@corp\nbob' }, 'PersonRefused'],
    ['with a name of 257 characters', { email: 'j'.repeat(257) }, 'PersonRefused'],
    ['without groups', { groups: undefined }, 'ok'],
  ])('%s', async (_, claims, expected) => expect(await read(claims)).toBe(expected));

  it.each<[string, object, string]>([
    ['with a key of its own', { jwk: { kty: 'oct', k: 'AA' } }, 'ok'],
    ['with a header that would change what it means', { crit: ['x'], x: 1 }, 'SignInFailed'],
    ['by a key that the issuer does not have', { kid: 'k2' }, 'SignInFailed'],
  ])('%s', async (_, header, expected) => expect(await read({}, header).catch(() => 'SignInFailed')).toBe(expected));

  it.each(['none', 'HS256'])('is not taken with %s', async (alg) => {
    const [, body = ''] = (await issuer.sign('n')).split('.');
    const head = Buffer.from(JSON.stringify({ alg })).toString('base64url');
    const secret = await generateSecret('HS256', { extractable: true });
    const token =
      alg === 'none' ? `${head}.${body}.AA` : await new SignJWT({ nonce: 'n' }).setProtectedHeader({ alg }).sign(secret);
    expect(await codeOf(readIdToken(token, TERMS, issuer.keys))).toBe('SignInFailed');
  });

  it('is not longer than 8 KiB', async () => {
    expect(await read({ pad: 'x'.repeat(8192) })).toBe('SignInFailed');
  });

  it('names people as the API server would, with its prefixes', async () => {
    const token = await issuer.sign('n', { groups: 'dba' });
    const terms = { ...TERMS, usernameClaim: 'sub', usernamePrefix: 'oidc:', groupsPrefix: 'oidc:' };
    expect((await readIdToken(token, terms, issuer.keys)).person).toEqual({ user: 'oidc:u1', groups: ['oidc:dba'] });
    expect(await read({}, {}, { usernameClaim: 'sub', usernamePrefix: 'system:' })).toBe('PersonRefused');
  });

  it.each<[string, number, string]>([
    ['is good as it is issued', -60_000, 'ok'],
    ['is good for a minute after its end', 240_000 + 59_999, 'ok'],
    ['is good no longer', 240_000 + 60_000, 'SignInFailed'],
    ['is good a minute before it is issued', -120_000, 'ok'],
    ['is not good before', -120_001, 'SignInFailed'],
  ])('of a sign-in %s', async (_, after, expected) => {
    const signedIn = await readIdToken(proof.idToken, TERMS, issuer.keys);
    expect(await codeOf((async () => judgeSignIn(signedIn, AT + after))())).toBe(expected);
  });

  it.each<[string, number, string]>([
    ['at once', -60_000, 'ok'],
    ['15 minutes later', 14 * 60_000, 'ok'],
    ['later', 14 * 60_000 + 1, 'SignInNeeded'],
    ['long before', -120_001, 'SignInNeeded'],
    ['never', Number.NaN, 'SignInNeeded'],
  ])('lets its key sign %s', async (_, after, expected) => expect(await check({}, {}, AT + after)).toBe(expected));

  it.each(['RS256', 'PS256', 'ES384', 'EdDSA'])('may be signed by %s', async (alg) => {
    const other = await anIssuer(alg);
    expect(await codeOf(readIdToken(await other.sign('n'), TERMS, other.keys))).toBe('ok');
    expect(await codeOf(readIdToken(await other.sign('n'), TERMS, issuer.keys))).toBe('SignInFailed');
  });
});

const decision = (mods: Partial<DecisionSpec> = {}, proven: Partial<Attestation> = {}) => {
  const { name, uid, digest, reason, namespace } = ANSWER;
  const attestation = Attestation.parse({ ...attestationOf(proof), ...proven });
  const spec = {
    request: name,
    requestUid: uid,
    digest,
    decision: 'Approve' as const,
    by: 'jane@corp',
    groups: ['dba'],
    reason,
  };
  return JSON.parse(
    JSON.stringify({ metadata: { namespace, name: 'd' }, spec: { ...spec, attestation, ...mods } }),
  ) as Parameters<typeof verifyDecision>[0];
};
const audit = (object: Parameters<typeof verifyDecision>[0]): Promise<string> =>
  codeOf(verifyDecision(object, TERMS, issuer.keys));

describe('a decision as it lies in the cluster', () => {
  it('can be checked by anybody, years later, with the issuer’s keys alone', async () => {
    const { person } = await verifyDecision(decision(), TERMS, issuer.keys);
    expect(person).toEqual({ user: 'jane@corp', groups: ['dba', 'dev'] });
  });

  it.each<[string, Partial<DecisionSpec>, Partial<Attestation>, string]>([
    ['of which somebody else is said to be the author', { by: 'bob@corp' }, {}, 'SignatureRefused'],
    ['with a group that the person is not in', { groups: ['dba', 'boss'] }, {}, 'SignatureRefused'],
    ['with the other answer', { decision: 'Deny' }, {}, 'SignatureRefused'],
    ['that grants more than was signed', { grantFor: 1800 }, {}, 'SignatureRefused'],
    ['with another reason', { reason: 'x' }, {}, 'SignatureRefused'],
    ['of another time', {}, { signedAt: '2026-01-01T13:00:00Z' }, 'SignInNeeded'],
    ['of no time', {}, { signedAt: 'soon' }, 'SignInNeeded'],
    ['that says to be by a passkey and is not', {}, { assurance: 'passkey' }, 'PasskeyRefused'],
    ['without a proof', { attestation: undefined }, {}, 'SignatureRefused'],
  ])('is not one %s', async (_, spec, proven, expected) => expect(await audit(decision(spec, proven))).toBe(expected));

  it('in another namespace is not one', async () => {
    const object = decision();
    expect(await audit({ ...object, metadata: { ...object.metadata, namespace: 'other' } })).toBe('SignatureRefused');
  });
});
