import type { Identity } from '../../access.ts';

/** How one protocol of signing in speaks with its provider. `Secrets` are what ties an answer to one sign-in; they stay here. */
export interface IdentityProvider<Secrets> {
  /** Names the protocol in the page's addresses. */
  readonly way: 'oidc' | 'saml';
  /** Whom people are sent to, as they would recognise it. */
  readonly host: string;
  newSecrets(): Secrets;
  /** Where a browser goes to sign in. @throws SignInError */
  signInUrl(underWay: Secrets & { readonly state: string }): Promise<URL>;
  /** Whom the answer names that a browser came back with. @throws SignInError */
  identity(answer: URLSearchParams, underWay: Secrets & { readonly state: string }): Promise<Identity>;
}
