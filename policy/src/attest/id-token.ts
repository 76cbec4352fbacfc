import { MAX_ID_TOKEN } from '@chaperone/api';
import type { ClaimSettings } from '@chaperone/api/claims';
import { jwtVerify, type JWTVerifyGetKey } from 'jose';
import { AttestError } from './errors.ts';
import { bytesOf } from './message.ts';
import { type Person, personOf } from './person.ts';

/** By how much the issuer's clock and ours may differ. */
export const CLOCK_SKEW_MS = 60_000;
/** How long after a sign-in its key may sign. */
export const SIGN_IN_LASTS_MS = 15 * 60_000;
/** Signatures by key pairs; none, HS256 and their kin are refused before a key is looked at. */
export const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/** What an ID token has to be. */
export interface TokenTerms extends ClaimSettings {
  /** The operator's own client at the issuer; the one audience. */
  readonly clientId: string;
}
/** Keys of the issuer: of now, or as an auditor has kept them. */
export type IssuerKeys = JWTVerifyGetKey;

export interface SignedIn {
  readonly person: Person;
  /** Who that is to the issuer, whatever they are called. */
  readonly subject: string;
  readonly nonce: string;
  /** When the token was issued and until when it was good, and when the person last proved who they are; ms since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly authenticatedAt: number | undefined;
}

/**
 * Whom an ID token names, if the issuer signed it for this client. Nothing here depends on now: what of its times matters is judged by
 * {@link judgeSignIn} and {@link judgeSigning}, so that it can be checked years later.
 * @throws AttestError SignInFailed, PersonRefused
 */
export async function readIdToken(token: string, terms: TokenTerms, keys: IssuerKeys): Promise<SignedIn> {
  const parts = token.split('.');
  if (token.length > MAX_ID_TOKEN || parts.length !== 3 || parts.some((part) => part === '' || bytesOf(part) === undefined))
    throw failed('the token of the sign-in is not a signed one of 8 KiB at most');
  const claims = await verified(token, terms, keys);
  const { aud, azp, nonce, iat, exp, nbf, sub, auth_time: authTime } = claims;
  const audiences = new Set(Array.isArray(aud) ? aud : [aud]);
  if ((audiences.size > 1 || azp !== undefined) && azp !== terms.clientId)
    throw failed('the token of the sign-in was issued to another client');
  if (typeof sub !== 'string') throw failed('the token of the sign-in is of nobody');
  if (typeof nonce !== 'string') throw failed('the token of the sign-in is bound to no key');
  const issuedAt = timeOf(iat);
  const expiresAt = timeOf(exp);
  if (issuedAt === undefined || expiresAt === undefined || expiresAt <= issuedAt)
    throw failed('the token of the sign-in says no times');
  if (nbf !== undefined && !((timeOf(nbf) ?? Number.POSITIVE_INFINITY) <= issuedAt + CLOCK_SKEW_MS))
    throw failed('the token of the sign-in is not valid yet');
  return { person: personOf(claims, terms), subject: sub, nonce, issuedAt, expiresAt, authenticatedAt: timeOf(authTime) };
}

async function verified(token: string, terms: TokenTerms, keys: IssuerKeys): Promise<Record<string, unknown>> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: terms.issuerUrl,
      audience: terms.clientId,
      algorithms: ALGORITHMS,
      // Times are judged by the caller.
      currentDate: new Date(0),
      clockTolerance: Number.MAX_SAFE_INTEGER,
      requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'nonce'],
    });
    return payload;
  } catch (error) {
    if (error instanceof AttestError) throw error;
    // Errors of the library may quote what they read.
    throw failed('the token of the sign-in is not one that the issuer signed for this page');
  }
}

function timeOf(seconds: unknown): number | undefined {
  return typeof seconds === 'number' && Number.isFinite(seconds * 1000) && seconds > 0 ? seconds * 1000 : undefined;
}

/** Whether a token is good at the moment at which somebody signs in. @throws AttestError SignInFailed */
export function judgeSignIn({ issuedAt, expiresAt }: SignedIn, now: number): void {
  if (now >= expiresAt + CLOCK_SKEW_MS) throw failed('the token of the sign-in has expired');
  if (issuedAt > now + CLOCK_SKEW_MS || issuedAt < now - SIGN_IN_LASTS_MS)
    throw failed('the token of the sign-in is not of now; compare the clocks of issuer and cluster');
}

/** Whether a key may sign at `at`: soon after its sign-in. @throws AttestError SignInNeeded */
export function judgeSigning({ issuedAt }: SignedIn, at: number): void {
  // What is no time is neither.
  if (!(at >= issuedAt - CLOCK_SKEW_MS && at <= issuedAt + SIGN_IN_LASTS_MS))
    throw new AttestError('SignInNeeded', 'your sign-in is older than 15 minutes; sign in again');
}

function failed(message: string): AttestError {
  return new AttestError('SignInFailed', message);
}
