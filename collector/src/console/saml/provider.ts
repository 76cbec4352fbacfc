import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type CacheProvider, type Profile, SAML, SamlStatusError, ValidateInResponseTo } from '@node-saml/node-saml';
import type { Identity } from '../../access.ts';
import { identityOf } from '../provider/claims.ts';
import type { IdentityProvider } from '../provider/identity-provider.ts';
import { PENDING_MS } from '../provider/pending.ts';
import { SAML_CALLBACK_PATH } from '../provider/routes.ts';
import { SignInError } from '../provider/sign-in-error.ts';
import { isPlainXml } from './plain-xml.ts';
import type { SamlSettings } from './settings.ts';

/** By how much the provider's clock and ours may differ. */
const SKEW_MS = 30_000;
/** Two texts of one such hash can be made. https://www.w3.org/TR/xmldsig-core1/#sec-AlgID */
const WEAK_HASH = /\sAlgorithm\s*=\s*["'][^"']*[#-](?:sha1|md5)["']/i;
/** What the library says that holds nothing of an answer. */
const KNOWN =
  /^(?:Invalid signature|InResponseTo|SubjectInResponseTo is not valid|No valid subject confirmation|SAML assertion (?:expired|not yet valid|audience mismatch|has no AudienceRestriction))/;

export interface SamlSecrets {
  /** ID of the request: the answer to it names it, under the provider's signature. */
  readonly requestId: string;
}

/** A SAML 2.0 provider: the request by HTTP-Redirect, the answer by HTTP-POST with a signed assertion (SAML profiles §4.1). */
export class SamlProvider implements IdentityProvider<SamlSecrets> {
  readonly way = 'saml';
  readonly host: string;
  readonly #settings: SamlSettings;
  readonly #callback: string;

  constructor(settings: SamlSettings) {
    this.#settings = settings;
    this.host = new URL(settings.entryPoint).host;
    this.#callback = `${settings.consoleOrigin}${SAML_CALLBACK_PATH}`;
  }

  newSecrets(): SamlSecrets {
    // An ID begins with no digit.
    return { requestId: `_${randomBytes(20).toString('hex')}` };
  }

  async signInUrl({ requestId, state }: SamlSecrets & { state: string }): Promise<URL> {
    return new URL(await this.#saml(requestId).getAuthorizeUrlAsync(state, undefined, {}));
  }

  async identity(answer: URLSearchParams, { requestId }: SamlSecrets): Promise<Identity> {
    const [response, ...others] = answer.getAll('SAMLResponse');
    if (response === undefined || others.length > 0) throw new SignInError('SignInRejected', 'there is not one SAMLResponse');
    // DTDs and comments, which parsers and signatures see differently, do not belong into an answer, nor does what keeps a parser busy.
    const xml = Buffer.from(response, 'base64').toString('utf8');
    if (!isPlainXml(xml)) throw new SignInError('SignInRejected', 'the answer is no plain XML');
    if (WEAK_HASH.test(xml)) throw new SignInError('SignInRejected', 'the answer is signed by way of SHA-1 or MD5');
    try {
      const { profile } = await this.#saml(requestId).validatePostResponseAsync({ SAMLResponse: response });
      if (profile === null) throw new SignInError('SignInRejected', 'the answer names nobody');
      this.#judge(profile, requestId);
      const { attributes = {} } = profile as { attributes?: Record<string, unknown> };
      return identityOf({ ...attributes, NameID: profile.nameID }, this.#settings);
    } catch (error) {
      throw asSignInError(error);
    }
  }

  /** What the library leaves open, in the assertion that was signed. */
  #judge(profile: Profile, requestId: string): void {
    if (profile.issuer !== this.#settings.issuerUrl)
      throw new SignInError('SignInRejected', 'the assertion is of another issuer');
    const { Assertion: assertion } = (profile.getAssertion?.() ?? {}) as { Assertion?: SignedAssertion };
    const confirmations = assertion?.Subject?.[0]?.SubjectConfirmation ?? [];
    const ours = confirmations.some(({ $, SubjectConfirmationData: [data] = [] }) => {
      const { InResponseTo, Recipient, NotOnOrAfter } = data?.$ ?? {};
      const bearer = $?.Method === 'urn:oasis:names:tc:SAML:2.0:cm:bearer';
      return bearer && InResponseTo === requestId && Recipient === this.#callback && NotOnOrAfter !== undefined;
    });
    if (confirmations.length !== 1 || !ours)
      throw new SignInError(
        'SignInRejected',
        'the assertion is not for the bearer of an answer to this request, here and for a time',
      );
  }

  #saml(requestId: string): SAML {
    const { entryPoint, entityId, certificateFile } = this.#settings;
    return new SAML({
      entryPoint,
      issuer: entityId,
      audience: entityId,
      callbackUrl: this.#callback,
      idpCert: readCertificates(certificateFile),
      // The assertion itself: of an answer whose frame alone is signed, parts could be another one's.
      wantAssertionsSigned: true,
      wantAuthnResponseSigned: false,
      acceptedClockSkewMs: SKEW_MS,
      maxAssertionAgeMs: PENDING_MS,
      // How somebody proves who they are is the provider's to say.
      disableRequestedAuthnContext: true,
      identifierFormat: null,
      generateUniqueId: () => requestId,
      validateInResponseTo: ValidateInResponseTo.always,
      requestIdExpirationPeriodMs: PENDING_MS,
      cacheProvider: only(requestId),
    });
  }
}

/** Knows one request: which ones wait is known elsewhere. */
function only(requestId: string): CacheProvider {
  const at = new Date().toISOString();
  return {
    saveAsync: (_, value) => Promise.resolve({ value, createdAt: Date.now() }),
    getAsync: (key) => Promise.resolve(key === requestId ? at : null),
    removeAsync: (key) => Promise.resolve(key),
  };
}

interface SignedAssertion {
  readonly Subject?: readonly {
    readonly SubjectConfirmation?: readonly {
      readonly $?: { readonly Method?: string };
      readonly SubjectConfirmationData?: readonly { readonly $?: Readonly<Record<string, string>> }[];
    }[];
  }[];
}

function readCertificates(file: string): string[] {
  try {
    const found = readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
    if (found !== null) return found;
  } catch (cause) {
    throw new SignInError('ProviderUnavailable', 'the certificate of the provider cannot be read', { cause });
  }
  throw new SignInError('ProviderUnavailable', 'the file of the provider’s certificate has none');
}

function asSignInError(error: unknown): SignInError {
  if (error instanceof SignInError) return error;
  if (error instanceof SamlStatusError) return new SignInError('ProviderRefused', 'the provider refused', { cause: error });
  const known = error instanceof Error ? KNOWN.exec(error.message)?.[0] : undefined;
  return new SignInError('SignInRejected', `what the provider sent is not accepted: ${known ?? 'it is malformed'}`, {
    cause: error,
  });
}
