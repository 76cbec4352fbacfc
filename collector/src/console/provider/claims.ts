import { ClaimError, type Claims, type ClaimSettings as Names, namesOf, ownClaim } from '@chaperone/api/claims';
import type { Identity } from '../../access.ts';
import { SignInError } from './sign-in-error.ts';

/** A group of everybody whom the API server knows; it adds it to those it verified, and no token may. */
const AUTHENTICATED = 'system:authenticated';

export interface ClaimSettings extends Names {
  /** Claims that a token must have, with these values. */
  readonly requiredClaims: Readonly<Record<string, string>>;
}

/**
 * Whom the claims of a verified ID token name, in the groups that RBAC sees.
 * @throws SignInError ClaimMissing, ClaimUnreadable, NameReserved
 */
export function identityOf(claims: Claims, settings: ClaimSettings): Identity {
  for (const [name, value] of Object.entries(settings.requiredClaims))
    if (ownClaim(claims, name) !== value)
      throw new SignInError('ClaimMissing', 'a required claim is missing, or has another value');
  try {
    const { user, groups } = namesOf(claims, settings);
    return { user, groups: [...groups, AUTHENTICATED] };
  } catch (error) {
    throw error instanceof ClaimError ? new SignInError(error.code, error.message) : error;
  }
}
