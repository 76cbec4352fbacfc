import { readFileSync } from 'node:fs';
import {
  AuthorizationResponseError,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  type IDToken,
  None,
  randomNonce,
  randomPKCECodeVerifier,
  ResponseBodyError,
  type ServerMetadata,
  WWWAuthenticateChallengeError,
} from 'openid-client';
import type { Identity } from '../../access.ts';
import { identityOf } from '../provider/claims.ts';
import type { IdentityProvider } from '../provider/identity-provider.ts';
import { OIDC_CALLBACK_PATH } from '../provider/routes.ts';
import { SignInError } from '../provider/sign-in-error.ts';
import { createProviderFetch } from './provider-fetch.ts';
import type { OidcSettings } from './settings.ts';

/** What the provider says of itself is asked for anew after this long; a failure is, after the shorter time. */
const KNOWN_MS = 10 * 60_000;
const FAILED_MS = 2_000;

interface Asked {
  readonly at: number;
  readonly ms: number;
  readonly metadata: Promise<ServerMetadata>;
}

export interface OidcSecrets {
  /** Ties the ID token to this sign-in. */
  readonly nonce: string;
  /** Ties the code to it: who sees the code alone cannot use it (RFC 7636). */
  readonly verifier: string;
}

/** The provider, as openid-client speaks with it. Asked when somebody signs in, so that one that is down stops nothing else. */
export class OidcProvider implements IdentityProvider<OidcSecrets> {
  readonly way = 'oidc';
  readonly host: string;
  readonly #settings: OidcSettings;
  readonly #now: () => number;
  readonly #fetch: ReturnType<typeof createProviderFetch>;
  #asked: Asked | undefined;

  constructor(settings: OidcSettings, now: () => number) {
    this.host = new URL(settings.issuerUrl).host;
    this.#settings = settings;
    this.#now = now;
    this.#fetch = createProviderFetch(settings.caFile);
  }

  newSecrets(): OidcSecrets {
    return { nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
  }

  /** @throws SignInError ProviderUnavailable */
  async signInUrl({ state, nonce, verifier }: OidcSecrets & { state: string }): Promise<URL> {
    const configuration = await this.#configuration();
    const challenge = await calculatePKCECodeChallenge(verifier);
    return buildAuthorizationUrl(configuration, {
      redirect_uri: this.#callback().href,
      scope: this.#settings.scopes.join(' '),
      state,
      nonce,
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
  }

  /** @throws SignInError every code but SignInUnknown */
  async identity(answer: URLSearchParams, underWay: OidcSecrets & { state: string }): Promise<Identity> {
    return identityOf(await this.#claims(answer, underWay), this.#settings);
  }

  /** Exchanges what a browser brought for the claims of an ID token: its signature, iss, aud, azp, nonce, exp and algorithm are right. */
  async #claims(answer: URLSearchParams, expected: OidcSecrets & { state: string }): Promise<IDToken> {
    const url = this.#callback();
    url.search = answer.toString();
    try {
      const configuration = await this.#configuration();
      const tokens = await authorizationCodeGrant(configuration, url, {
        expectedState: expected.state,
        expectedNonce: expected.nonce,
        pkceCodeVerifier: expected.verifier,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (claims === undefined) throw new SignInError('SignInRejected', 'the provider sent no ID token');
      // OpenID Connect Core §3.1.3.7: the library looks at it only where there are several audiences.
      if (claims.azp !== undefined && claims.azp !== this.#settings.clientId)
        throw new SignInError('SignInRejected', 'the ID token was issued to another client (claim azp)');
      return claims;
    } catch (error) {
      throw asSignInError(error);
    }
  }

  #callback(): URL {
    return new URL(OIDC_CALLBACK_PATH, this.#settings.consoleOrigin);
  }

  /** A new one for each use: the keys of the provider are kept with it, and withdrawn ones must not count. */
  async #configuration(): Promise<Configuration> {
    const metadata = await this.#metadata();
    const configuration = new Configuration(
      { ...metadata, id_token_signing_alg_values_supported: [...this.#settings.signingAlgs] },
      this.#settings.clientId,
      undefined,
      this.#clientAuth(metadata),
    );
    configuration[customFetch] = this.#fetch;
    // Without this the token's signature is not looked at: it came over TLS from the provider.
    enableNonRepudiationChecks(configuration);
    return configuration;
  }

  #metadata(): Promise<ServerMetadata> {
    const known = this.#asked;
    if (known !== undefined && this.#now() - known.at < known.ms) return known.metadata;
    const metadata = this.#discover();
    const asked = { at: this.#now(), metadata };
    this.#asked = { ...asked, ms: KNOWN_MS };
    metadata.catch(() => (this.#asked = { ...asked, at: this.#now(), ms: FAILED_MS }));
    return metadata;
  }

  async #discover(): Promise<ServerMetadata> {
    const { issuerUrl, clientId } = this.#settings;
    try {
      const found = await discovery(new URL(issuerUrl), clientId, undefined, None(), { [customFetch]: this.#fetch });
      const metadata = found.serverMetadata();
      // To the letter, as the API server has it. The library forgives a slash, and issuers of many tenants.
      if (metadata.issuer !== issuerUrl) throw new Error('it says that it is another issuer');
      if (!URL.canParse(metadata.authorization_endpoint ?? '') || !metadata.authorization_endpoint?.startsWith('https:'))
        throw new Error('it has no page to sign in at over https');
      return metadata;
    } catch (error) {
      throw error instanceof SignInError
        ? error
        : new SignInError('ProviderUnavailable', 'what the provider says of itself cannot be used', { cause: error });
    }
  }

  #clientAuth({ token_endpoint_auth_methods_supported: methods }: ServerMetadata): ClientAuth {
    const { clientSecretFile } = this.#settings;
    if (clientSecretFile === undefined) return None();
    const secret = readSecret(clientSecretFile);
    // OpenID Connect Discovery §3: where a provider does not say, it is this one.
    return (methods ?? ['client_secret_basic']).includes('client_secret_basic')
      ? ClientSecretBasic(secret)
      : ClientSecretPost(secret);
  }
}

function readSecret(file: string): string {
  try {
    const secret = readFileSync(file, 'utf8').trim();
    if (secret !== '') return secret;
  } catch (cause) {
    throw new SignInError('ProviderUnavailable', 'the client secret cannot be read', { cause });
  }
  throw new SignInError('ProviderUnavailable', 'the client secret is empty');
}

function asSignInError(error: unknown): SignInError {
  if (error instanceof SignInError) return error;
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof SignInError) return cause;
  if (error instanceof AuthorizationResponseError && error.error === 'access_denied')
    return new SignInError('SignInDenied', 'the provider let nobody in: access_denied', { cause: error });
  if (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError)
    return new SignInError('ProviderRefused', 'the provider refused', { cause: error });
  if (error instanceof WWWAuthenticateChallengeError)
    return new SignInError('ProviderRefused', 'the provider does not take the client id or secret', { cause: error });
  const words = [cause, error].find(isLibraryError)?.message ?? 'it is malformed';
  return new SignInError('SignInRejected', `what the provider sent is not accepted: ${words}`, { cause: error });
}

/** What the library says holds names of claims and parameters, and none of their values. */
function isLibraryError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('OAUTH_');
}
