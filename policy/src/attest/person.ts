import { ClaimError, type Claims, type ClaimSettings, namesOf } from '@chaperone/api/claims';
import { AttestError } from './errors.ts';

/** A person by the names that the API server has for them. */
export interface Person {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Whom the claims of a token name. @throws AttestError PersonRefused */
export function personOf(claims: Claims, settings: ClaimSettings): Person {
  try {
    return namesOf(claims, settings);
  } catch (error) {
    throw error instanceof ClaimError ? new AttestError('PersonRefused', `your sign-in names nobody: ${error.message}`) : error;
  }
}
