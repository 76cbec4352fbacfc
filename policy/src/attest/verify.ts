import { createPublicKey, verify } from 'node:crypto';
import { type ApprovalDecision, type Attestation, SigningKey } from '@chaperone/api';
import { AttestError } from './errors.ts';
import { type IssuerKeys, judgeSigning, readIdToken, type SignedIn, type TokenTerms } from './id-token.ts';
import { type Answer, bytesOf, commitmentOf, decisionMessage } from './message.ts';
import { type PasskeySite, verifyAssertion } from './passkey.ts';

export type Proof = Pick<Attestation, 'idToken' | 'key' | 'opening' | 'signature'>;
/** What an auditor has to know beside the decision itself. */
export interface Terms extends TokenTerms {
  readonly site: PasskeySite;
}

/**
 * Who signed these bytes: the ID token is the issuer's and for this client, its nonce is bound to the key, and the key signed soon after.
 * Needs no network and no operator.
 * @param at - when it was signed, ms since 1970
 * @throws AttestError SignInFailed, PersonRefused, SignInNeeded, SignatureRefused
 */
export async function verifySigned(
  message: Buffer,
  proof: Proof,
  at: number,
  terms: TokenTerms,
  keys: IssuerKeys,
): Promise<SignedIn> {
  const signedIn = await readIdToken(proof.idToken, terms, keys);
  judgeSigning(signedIn, at);
  const key = SigningKey.safeParse(proof.key).data;
  if (key === undefined || bytesOf(key.x, 32) === undefined || bytesOf(key.y, 32) === undefined)
    throw refused('the key cannot be read');
  if (bytesOf(proof.opening, 32) === undefined || signedIn.nonce !== commitmentOf(key, proof.opening))
    throw refused('the key is not the one of the sign-in');
  const signature = bytesOf(proof.signature, 64);
  if (signature === undefined || !isSigned(message, key, signature)) throw refused('the signature is not of this answer');
  return signedIn;
}

/** Whose answer this is, by {@link verifySigned}. */
export async function verifyAnswer(
  answer: Answer,
  proof: Proof,
  at: number,
  terms: TokenTerms,
  keys: IssuerKeys,
): Promise<SignedIn> {
  return await verifySigned(decisionMessage(answer), proof, at, terms, keys);
}

function isSigned(message: Buffer, { kty, crv, x, y }: SigningKey, signature: Buffer): boolean {
  try {
    const key = createPublicKey({ format: 'jwk', key: { kty, crv, x, y } });
    return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    // The point is not on the curve.
    return false;
  }
}

/**
 * Checks an attested decision as it lies in the cluster, or in a copy of it, with what an auditor has: the terms and the issuer's keys.
 * That the person was permitted, and what they were shown, is not in it.
 * @returns Whose it is.
 * @throws AttestError
 */
export async function verifyDecision(
  { metadata, spec }: Pick<ApprovalDecision, 'metadata' | 'spec'>,
  terms: Terms,
  keys: IssuerKeys,
): Promise<SignedIn> {
  const { attestation } = spec;
  if (attestation === undefined) throw refused('the decision has no proof');
  const { request: name, requestUid: uid, digest, decision, reason = '', grantFor } = spec;
  const { challenge, shown, assurance, assertion } = attestation;
  const answer = { namespace: metadata.namespace ?? '', name, uid, digest, decision, reason, grantFor, challenge, shown };
  const signedIn = await verifyAnswer(answer, attestation, Date.parse(attestation.signedAt), terms, keys);
  const { person } = signedIn;
  if (spec.by !== person.user || !spec.groups.every((group) => person.groups.includes(group)))
    throw refused('the decision names another person than its proof');
  if (assurance === 'passkey' || assertion !== undefined) await verifyAssertion(decisionMessage(answer), assertion, terms.site);
  return signedIn;
}

function refused(message: string): AttestError {
  return new AttestError('SignatureRefused', message);
}
