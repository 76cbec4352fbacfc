import { z } from 'zod';
import type { ClaimSettings } from '../provider/claims.ts';
import { consoleOrigin, given, httpsUrl, prefix, sessionMinutes, shortText } from '../provider/environment.ts';

/** `issuerUrl` of the claims is the provider's entity ID; claims are attributes, and the subject's NameID under that name. */
export interface SamlSettings extends ClaimSettings {
  readonly consoleOrigin: string;
  /** The provider's address for HTTP-Redirect. */
  readonly entryPoint: string;
  /** PEM, one certificate or, while the provider changes it, several. Read whenever it is used. */
  readonly certificateFile: string;
  /** What the provider knows the console as; assertions are for this audience. */
  readonly entityId: string;
  readonly sessionMs: number;
}

/** The environment of a collector that people sign in to by SAML 2.0. */
export const SamlEnvironment = z.object({
  CHAPERONE_CONSOLE_ORIGIN: consoleOrigin,
  CHAPERONE_SAML_ENTRY_POINT: httpsUrl,
  CHAPERONE_SAML_IDP_ISSUER: shortText,
  CHAPERONE_SAML_IDP_CERTIFICATE_FILE: shortText,
  CHAPERONE_SAML_ENTITY_ID: shortText.optional(),
  CHAPERONE_SAML_USERNAME_ATTRIBUTE: shortText.default('NameID'),
  CHAPERONE_SAML_USERNAME_PREFIX: prefix.min(1).optional(),
  CHAPERONE_SAML_GROUPS_ATTRIBUTE: shortText.optional(),
  CHAPERONE_SAML_GROUPS_PREFIX: prefix.default(''),
  CHAPERONE_SAML_SESSION_MINUTES: sessionMinutes,
});

export function samlSettings(found: z.infer<typeof SamlEnvironment>): SamlSettings {
  return {
    issuerUrl: found.CHAPERONE_SAML_IDP_ISSUER,
    consoleOrigin: found.CHAPERONE_CONSOLE_ORIGIN,
    entryPoint: found.CHAPERONE_SAML_ENTRY_POINT,
    certificateFile: found.CHAPERONE_SAML_IDP_CERTIFICATE_FILE,
    entityId: found.CHAPERONE_SAML_ENTITY_ID ?? found.CHAPERONE_CONSOLE_ORIGIN,
    usernameClaim: found.CHAPERONE_SAML_USERNAME_ATTRIBUTE,
    groupsPrefix: found.CHAPERONE_SAML_GROUPS_PREFIX,
    requiredClaims: {},
    sessionMs: found.CHAPERONE_SAML_SESSION_MINUTES * 60_000,
    ...given('usernamePrefix', found.CHAPERONE_SAML_USERNAME_PREFIX),
    ...given('groupsClaim', found.CHAPERONE_SAML_GROUPS_ATTRIBUTE),
  };
}
