import { createHash, generateKeyPairSync, randomBytes, sign as signWith } from 'node:crypto';
import type { Assertion, Attestation, SigningKey } from '@chaperone/api';
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { IssuerKeys } from './id-token.ts';
import { type Answer, commitmentOf, decisionMessage } from './message.ts';
import { assertionChallenge } from './passkey.ts';
import type { Proof, Terms } from './verify.ts';

export const AT = Date.parse('2026-01-01T12:00:00Z');
export const TERMS: Terms = {
  issuerUrl: 'https://login.corp',
  clientId: 'chaperone-decide',
  usernameClaim: 'email',
  groupsClaim: 'groups',
  groupsPrefix: '',
  site: { origin: 'https://decide.corp', rpId: 'decide.corp' },
};
export const ANSWER: Answer = {
  namespace: 'agents',
  name: `ar-${'a'.repeat(16)}`,
  uid: '0d6f1c3e-0000-4000-8000-000000000001',
  digest: `9c1f44ab${'0'.repeat(56)}`,
  decision: 'Approve',
  reason: 'ticket 4412',
  challenge: Buffer.alloc(32, 1).toString('base64url'),
  shown: 'b'.repeat(64),
};
const random = (): string => randomBytes(32).toString('base64url');

/** An issuer's key, and the tokens that it signs. */
export async function anIssuer(alg = 'ES256') {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg };
  const keys: IssuerKeys = createLocalJWKSet({ keys: [jwk] });
  const sign = (nonce: string, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> =>
    new SignJWT({
      iss: TERMS.issuerUrl,
      aud: TERMS.clientId,
      sub: 'u1',
      iat: AT / 1000 - 60,
      exp: AT / 1000 + 240,
      nonce,
      email: 'jane@corp',
      groups: ['dba', 'dev'],
      ...claims,
    })
      .setProtectedHeader({ alg, kid: 'k1', ...header })
      .sign(privateKey);
  return { keys, jwk, sign };
}
export type TestIssuer = Awaited<ReturnType<typeof anIssuer>>;

/** What a browser has: a key, and the opening of its commitment. It signs as the page does, by WebCrypto. */
export async function aBrowser() {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
  const { x = '', y = '' } = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const key: SigningKey = { kty: 'EC', crv: 'P-256', x, y };
  const opening = random();
  const signBytes = async (bytes: Buffer): Promise<string> => {
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, new Uint8Array(bytes));
    return Buffer.from(signature).toString('base64url');
  };
  return {
    key,
    opening,
    nonce: commitmentOf(key, opening),
    signBytes,
    sign: (answer: Answer) => signBytes(decisionMessage(answer)),
  };
}

/** A passkey, and what its authenticator signs of an answer on a page (WebAuthn Level 3 §6.1). */
export function aPasskey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const point = [x, y].map((each) => Buffer.from(each, 'base64url').toString('hex'));
  const cose = Buffer.from(`a5010203262001215820${point[0] ?? ''}225820${point[1] ?? ''}`, 'hex').toString('base64url');
  const credential = random();
  const assert = (answer: Answer, { origin, rpId } = TERMS.site): Assertion => {
    const challenge = assertionChallenge(decisionMessage(answer));
    const clientData = Buffer.from(JSON.stringify({ type: 'webauthn.get', challenge, origin, crossOrigin: false }));
    // Somebody was there and was made sure of; it counts nothing.
    const authenticatorData = Buffer.concat([createHash('sha256').update(rpId).digest(), Buffer.from('0500000000', 'hex')]);
    const signed = Buffer.concat([authenticatorData, createHash('sha256').update(clientData).digest()]);
    return {
      credential,
      publicKey: cose,
      authenticatorData: authenticatorData.toString('base64url'),
      clientData: clientData.toString('base64url'),
      signature: signWith('sha256', signed, privateKey).toString('base64url'),
    };
  };
  return { assert };
}

/** An answer that is good, with the parts of its proof. */
export async function aProof(issuer: TestIssuer, claims: Record<string, unknown> = {}, answer = ANSWER): Promise<Proof> {
  const browser = await aBrowser();
  return {
    idToken: await issuer.sign(browser.nonce, claims),
    key: browser.key,
    opening: browser.opening,
    signature: await browser.sign(answer),
  };
}

export function attestationOf(proof: Proof, answer: Answer = ANSWER): Attestation {
  return {
    assurance: 'signed',
    ...proof,
    challenge: answer.challenge,
    shown: answer.shown,
    signedAt: new Date(AT).toISOString(),
  };
}
