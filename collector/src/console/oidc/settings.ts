import { z } from 'zod';
import type { ClaimSettings } from '../provider/claims.ts';
import { consoleOrigin, given, httpsUrl, prefix, sessionMinutes, shortText } from '../provider/environment.ts';

export interface OidcSettings extends ClaimSettings {
  readonly clientId: string;
  /** Absent: a public client, which proves itself by PKCE alone. Files are read whenever they are used. */
  readonly clientSecretFile?: string;
  /** PEM; absent: the roots that Node brings. */
  readonly caFile?: string;
  /** Where people open the console; the provider sends them back there. */
  readonly consoleOrigin: string;
  readonly scopes: readonly string[];
  readonly signingAlgs: readonly string[];
  readonly sessionMs: number;
}

/** Those of the API server: none of them uses a secret that others know too. */
const SigningAlg = z.enum(['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512']);
const words = (separator: string) => z.string().transform((text) => text.split(separator).filter((word) => word !== ''));

/** The environment of a collector that people sign in to. Lists: scopes by spaces, algorithms by commas; required claims as JSON. */
export const OidcEnvironment = z.object({
  CHAPERONE_CONSOLE_ORIGIN: consoleOrigin,
  CHAPERONE_OIDC_ISSUER_URL: httpsUrl,
  CHAPERONE_OIDC_CLIENT_ID: shortText,
  CHAPERONE_OIDC_CLIENT_SECRET_FILE: shortText.optional(),
  CHAPERONE_OIDC_CA_FILE: shortText.optional(),
  CHAPERONE_OIDC_SCOPES: words(' ')
    .refine((scopes) => scopes.includes('openid'))
    .default(['openid']),
  CHAPERONE_OIDC_USERNAME_CLAIM: shortText.default('sub'),
  CHAPERONE_OIDC_USERNAME_PREFIX: prefix.min(1).optional(),
  CHAPERONE_OIDC_GROUPS_CLAIM: shortText.optional(),
  CHAPERONE_OIDC_GROUPS_PREFIX: prefix.default(''),
  CHAPERONE_OIDC_REQUIRED_CLAIMS: z
    .string()
    .transform((json, context) => {
      try {
        return JSON.parse(json) as unknown;
      } catch {
        context.addIssue('is not JSON');
        return z.NEVER;
      }
    })
    .pipe(z.record(shortText, z.string().max(1024)))
    .default({}),
  CHAPERONE_OIDC_SIGNING_ALGS: words(',').pipe(z.array(SigningAlg).min(1)).default(['RS256']),
  CHAPERONE_OIDC_SESSION_MINUTES: sessionMinutes,
});

export function oidcSettings(found: z.infer<typeof OidcEnvironment>): OidcSettings {
  return {
    issuerUrl: found.CHAPERONE_OIDC_ISSUER_URL,
    clientId: found.CHAPERONE_OIDC_CLIENT_ID,
    consoleOrigin: found.CHAPERONE_CONSOLE_ORIGIN,
    scopes: found.CHAPERONE_OIDC_SCOPES,
    usernameClaim: found.CHAPERONE_OIDC_USERNAME_CLAIM,
    groupsPrefix: found.CHAPERONE_OIDC_GROUPS_PREFIX,
    requiredClaims: found.CHAPERONE_OIDC_REQUIRED_CLAIMS,
    signingAlgs: found.CHAPERONE_OIDC_SIGNING_ALGS,
    sessionMs: found.CHAPERONE_OIDC_SESSION_MINUTES * 60_000,
    ...given('clientSecretFile', found.CHAPERONE_OIDC_CLIENT_SECRET_FILE),
    ...given('caFile', found.CHAPERONE_OIDC_CA_FILE),
    ...given('usernamePrefix', found.CHAPERONE_OIDC_USERNAME_PREFIX),
    ...given('groupsClaim', found.CHAPERONE_OIDC_GROUPS_CLAIM),
  };
}
