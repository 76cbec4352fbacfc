import { z } from 'zod';
import { SIGNED_IN_MS } from '../browser-sessions.ts';

/** How claims become names: each as the API server's flag --oidc-… of the same name, so that RBAC knows who signs in. */
export interface ClaimSettings {
  readonly issuerUrl: string;
  readonly usernameClaim: string;
  /** Absent: the issuer and "#", but for e-mail addresses nothing. "-": nothing. */
  readonly usernamePrefix?: string;
  /** Absent: nobody has groups. */
  readonly groupsClaim?: string;
  readonly groupsPrefix: string;
  readonly requiredClaims: Readonly<Record<string, string>>;
}

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
const MAX_MINUTES = SIGNED_IN_MS / 60_000;
const words = (separator: string) => z.string().transform((text) => text.split(separator).filter((word) => word !== ''));
const text = z.string().min(1).max(1024);

const httpsUrl = z
  .url({ protocol: /^https$/ })
  .max(2048)
  .refine((url) => !/[?#@]/.test(url));
/** An origin as browsers write it, so that it can be compared. */
const origin = httpsUrl.refine((url) => new URL(url).origin === url);

/** The environment of a collector that people sign in to. Lists: scopes by spaces, algorithms by commas; required claims as JSON. */
export const OidcEnvironment = z.object({
  CHAPERONE_CONSOLE_ORIGIN: origin,
  CHAPERONE_OIDC_ISSUER_URL: httpsUrl,
  CHAPERONE_OIDC_CLIENT_ID: text,
  CHAPERONE_OIDC_CLIENT_SECRET_FILE: text.optional(),
  CHAPERONE_OIDC_CA_FILE: text.optional(),
  CHAPERONE_OIDC_SCOPES: words(' ')
    .refine((scopes) => scopes.includes('openid'))
    .default(['openid']),
  CHAPERONE_OIDC_USERNAME_CLAIM: text.default('sub'),
  CHAPERONE_OIDC_USERNAME_PREFIX: text.refine(notReserved).optional(),
  CHAPERONE_OIDC_GROUPS_CLAIM: text.optional(),
  CHAPERONE_OIDC_GROUPS_PREFIX: text.refine(notReserved).default(''),
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
    .pipe(z.record(text, z.string().max(1024)))
    .default({}),
  CHAPERONE_OIDC_SIGNING_ALGS: words(',').pipe(z.array(SigningAlg).min(1)).default(['RS256']),
  CHAPERONE_OIDC_SESSION_MINUTES: z.coerce.number().int().min(5).max(MAX_MINUTES).default(MAX_MINUTES),
});

function notReserved(prefix: string): boolean {
  return !prefix.startsWith('system:');
}

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

function given<K extends string>(name: K, value: string | undefined): { readonly [N in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [N in K]: string });
}
