import { z } from 'zod';
import { sentence, text } from './fields.ts';

/**
 * How a decision is known to be the person's, the least first. kubernetes: the API server took it from them. signed: they signed it with
 * a key to which their sign-in is bound. passkey: an authenticator of theirs signed it too, after it had made sure of them.
 */
export const ASSURANCES = ['kubernetes', 'signed', 'passkey'] as const;
export type Assurance = (typeof ASSURANCES)[number];

/** Whether `given` is as much as `wanted`, or more. */
export function isAssured(given: Assurance, wanted: Assurance): boolean {
  return ASSURANCES.indexOf(given) >= ASSURANCES.indexOf(wanted);
}

/** ID tokens have 1 to 4 KiB; the object that holds one stays far below what etcd takes. */
export const MAX_ID_TOKEN = 8 * 1024;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const base64url = (max: number) => text(max, BASE64URL, 'write base64url without padding');
/** 32 bytes. */
const HASH_LENGTH = 43;

/** The public key of a browser: ECDSA on P-256, as WebCrypto makes it everywhere. */
export const SigningKey = z.object({
  kty: z.literal('EC').describe('Kind of the key.'),
  crv: z.literal('P-256').describe('Its curve.'),
  x: base64url(HASH_LENGTH).describe('Its point.'),
  y: base64url(HASH_LENGTH).describe('Its point.'),
});
export type SigningKey = z.infer<typeof SigningKey>;

/** What a passkey said of a decision (WebAuthn Level 3 §5.2.2); everything in base64url. */
export const Assertion = z.object({
  credential: base64url(1400).describe('Name of the passkey.'),
  publicKey: base64url(1024).describe('Its public key as it was registered, COSE.'),
  authenticatorData: base64url(1400).describe('What the authenticator says of itself.'),
  clientData: base64url(2048).describe('What the browser says of the page; its challenge is the digest of the signed message.'),
  signature: base64url(1024).describe('Signature by the passkey.'),
});
export type Assertion = z.infer<typeof Assertion>;

export const Attestation = z.object({
  assurance: z.enum(['signed', 'passkey']).describe('What the operator has checked: a signature, or a passkey’s beside it.'),
  idToken: text(MAX_ID_TOKEN, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/, 'write a signed JWT').describe(
    'The person’s ID token; its nonce is bound to the key.',
  ),
  key: SigningKey.describe('Key that their browser made for this sign-in.'),
  opening: base64url(HASH_LENGTH).describe('Random value that the nonce is made of, beside the key.'),
  challenge: base64url(HASH_LENGTH).describe('Random value that the operator gave for this one answer.'),
  shown: text(64, /^[0-9a-f]{64}$/, 'write a SHA-256 digest').describe('SHA-256 of what the page drew.'),
  signature: base64url(86).describe('Signature over the answer by the key, ECDSA with SHA-256, r and s.'),
  signedAt: sentence(64).describe('When the operator checked it, RFC 3339.'),
  assertion: Assertion.optional().describe('What the passkey signed, for assurance passkey.'),
});
export type Attestation = z.infer<typeof Attestation>;
