import { CREDENTIAL_KEYS } from '@chaperone/policy';
import type { Problem } from '@chaperone/policy/conditions';

/** A credential as it was last seen, whatever keeps it. It exists in memory only and never prints its values. */
export interface CredentialView {
  /** Another one for other content. */
  readonly version: string;
  /** The value of a key; undefined: there is none, or it is no text. */
  text(key: string): string | undefined;
}

/** What a source knows of the credential that a resource names. */
export interface FoundCredential {
  readonly view: CredentialView | undefined;
  /** Why there is no view. */
  readonly absent: Problem | undefined;
  /** Why what is there may not be sent to the upstream of the resource. */
  readonly unbound: Problem | undefined;
}

/** Whether two views sign in as the same user by the same password, key and certificate. */
export function isSameLogin(a: CredentialView, b: CredentialView): boolean {
  return CREDENTIAL_KEYS.every((key) => a.text(key) === b.text(key));
}
