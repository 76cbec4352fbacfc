import { readFile } from 'node:fs/promises';
import { AttestError, type IssuerKeys } from '@chaperone/policy/attest';
import { createRemoteJWKSet, customFetch as joseFetch, errors } from 'jose';
import * as oidc from 'openid-client';
import type { DecideConfig } from './config.ts';

/** For each answer of the issuer. */
const TIMEOUT_MS = 5_000;
/** Key sets have 2 to 20 KiB, tokens 8. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Everybody may begin sign-ins that come to nothing: one fault a minute tells as much as all of them. */
const REPORT_MS = 60_000;
const KEYS_LAST_MS = 10 * 60_000;
/** How often an unknown key makes us ask again. */
const KEYS_COOLDOWN_MS = 30_000;

/** What one sign-in is made of; the browser's commitment is its nonce. */
export interface SignInTerms {
  readonly state: string;
  readonly verifier: string;
  readonly nonce: string;
  /** The person has to prove who they are again. */
  readonly fresh: boolean;
}

/** The issuer of people's ID tokens: found when it is first needed, asked within 5 s, 256 KiB at most. */
export class Issuer {
  readonly #config: DecideConfig;
  readonly #onError: (error: unknown) => void;
  readonly #now: () => number;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #found: Promise<oidc.Configuration> | undefined;
  #keys: IssuerKeys | undefined;

  constructor(config: DecideConfig, onError: (error: unknown) => void, now: () => number) {
    this.#config = config;
    this.#onError = onError;
    this.#now = now;
  }

  /** Where the person is sent. @throws AttestError PageUnavailable */
  async authorizationUrl({ state, verifier, nonce, fresh }: SignInTerms): Promise<string> {
    const found = await this.#find();
    const url = oidc.buildAuthorizationUrl(found, {
      redirect_uri: callbackOf(this.#config),
      scope: [...new Set(['openid', ...this.#config.oidc.scopes])].join(' '),
      state,
      nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...(fresh && { max_age: '0', prompt: 'login' }),
    });
    return url.href;
  }

  /** The ID token for what came back. @throws AttestError PageUnavailable, SignInFailed */
  async redeem(search: string, { state, verifier, nonce }: SignInTerms): Promise<string> {
    const found = await this.#find();
    const back = new URL(callbackOf(this.#config));
    back.search = search;
    try {
      const tokens = await oidc.authorizationCodeGrant(found, back, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      if (tokens.id_token !== undefined) return tokens.id_token;
    } catch (error) {
      // What the issuer answered may hold what was typed there.
      this.#report(new AttestError('SignInFailed', `the issuer did not complete a sign-in (${codeOf(error)})`));
    }
    throw new AttestError('SignInFailed', 'the issuer did not complete your sign-in');
  }

  /** Its keys as they are now. */
  readonly keys: IssuerKeys = async (header, token) => {
    const keys = (this.#keys ??= await this.#remoteKeys());
    try {
      return await keys(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      throw this.#unavailable(error);
    }
  };

  async #remoteKeys(): Promise<IssuerKeys> {
    const { jwks_uri: at } = (await this.#find()).serverMetadata();
    if (at === undefined || new URL(at).protocol !== new URL(this.#config.oidc.issuer).protocol)
      throw this.#unavailable(new Error('the issuer publishes no keys'));
    return createRemoteJWKSet(new URL(at), {
      timeoutDuration: TIMEOUT_MS,
      cacheMaxAge: KEYS_LAST_MS,
      cooldownDuration: KEYS_COOLDOWN_MS,
      [joseFetch]: boundedFetch,
    });
  }

  async #find(): Promise<oidc.Configuration> {
    this.#found ??= this.#discover();
    try {
      return await this.#found;
    } catch (error) {
      this.#found = undefined;
      throw this.#unavailable(error);
    }
  }

  async #discover(): Promise<oidc.Configuration> {
    const { issuer, clientId, clientSecretFile } = this.#config.oidc;
    const secret = clientSecretFile === undefined ? undefined : (await readFile(clientSecretFile, 'utf8')).trim();
    const isLocal = new URL(issuer).protocol === 'http:';
    return await oidc.discovery(
      new URL(issuer),
      clientId,
      {},
      secret === undefined ? oidc.None() : oidc.ClientSecretBasic(secret),
      {
        timeout: TIMEOUT_MS / 1000,
        [oidc.customFetch]: boundedFetch,
        // DecideConfig lets no other issuer than one on this machine be without TLS.
        ...(isLocal && { execute: [oidc.allowInsecureRequests] }),
      },
    );
  }

  #report(error: AttestError): void {
    if (this.#now() < this.#reportedAt + REPORT_MS) return;
    this.#reportedAt = this.#now();
    this.#onError(error);
  }

  #unavailable(error: unknown): AttestError {
    if (error instanceof AttestError) return error;
    this.#report(new AttestError('PageUnavailable', `the issuer cannot be used (${codeOf(error)})`));
    return new AttestError('PageUnavailable', 'the issuer does not answer; try again in a moment');
  }
}

export const CALLBACK_PATH = '/decide/callback';

function callbackOf({ url }: DecideConfig): string {
  return `${url}${CALLBACK_PATH}`;
}

/** A word of the library's own, never what the issuer said. */
function codeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : String(name);
}

/** Follows no redirect and reads no endless answer. */
async function boundedFetch(url: string, options: object): Promise<Response> {
  const response = await fetch(url, { ...options, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    parts.push(part);
  }
  const bodiless = response.status === 204 || response.status === 304;
  return new Response(bodiless ? null : Buffer.concat(parts), { status: response.status, headers: response.headers });
}
