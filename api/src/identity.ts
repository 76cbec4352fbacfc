import { z } from 'zod';
import { distinct, sentence, text } from './fields.ts';
import { withRules } from './rules.ts';

/** Bounds of lists, as in policy.ts: the cost of every CEL rule stays far below the API server's limit. */
const MAX = { audiences: 16, claims: 16, values: 16, users: 64, groups: 64 } as const;

const HOST_AND_PATH = '(:[0-9]{1,5})?(/[-A-Za-z0-9._~%!$&()*+,;=:@/]*)?';
const ISSUER = new RegExp(
  `^(https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|http://(localhost|127[.]0[.]0[.]1|\\[::1\\]))${HOST_AND_PATH}$`,
);
const CLAIM = /^[-A-Za-z0-9_.:/]+$/;
const CA_BUNDLE = /^[ \t\r\n]*-----BEGIN CERTIFICATE-----[-A-Za-z0-9+/= \t\r\n]*-----END CERTIFICATE-----[ \t\r\n]*$/;

const claimName = text(128, CLAIM, 'write the name of a claim, for example groups');

/** An OIDC token that a caller must show, and what must be in it. */
export const OidcIdentity = z.object({
  issuer: text(
    512,
    ISSUER,
    'write the issuer as its tokens do, https://host/path; http only for localhost, 127.0.0.1 and [::1]',
  ).describe(
    'Issuer of the tokens, letter for letter as in their claim iss; its keys are found by OpenID discovery. Example: https://login.corp/realms/people',
  ),
  audiences: distinct(sentence(256), MAX.audiences).describe(
    'A token must be meant for one of these (claim aud). Example: [chaperone]',
  ),
  requiredClaims: z
    .record(claimName, distinct(sentence(256), MAX.values))
    .refine((claims) => Object.keys(claims).length <= MAX.claims, `must have at most ${MAX.claims} claims`)
    .meta({ maxProperties: MAX.claims })
    .optional()
    .describe(
      'Claims that a token must have, all of them, each with one of the values. A claim that is a list must hold one of them. Default: none. Example: {department: [support, sales]}',
    ),
  groupsClaim: claimName.default('groups').describe('Claim that lists the groups of the user. Default: groups'),
  userClaim: claimName
    .default('sub')
    .describe(
      'Claim that names the user, as rules and records do; email only counts while email_verified is true. Default: sub. Example: email',
    ),
  caBundle: text(16_384, CA_BUNDLE, 'write certificates in PEM, each from -----BEGIN CERTIFICATE----- to its END')
    .optional()
    .describe(
      'Certificates (PEM) of the authorities that the issuer’s own TLS is checked against. Default: those that the sidecar’s image trusts',
    ),
});
export type OidcIdentity = z.infer<typeof OidcIdentity>;

export const Identity = z.object({
  oidc: OidcIdentity.describe('An OIDC token, given as the password of a PostgreSQL connection within TLS.'),
});

/** Whom a rule speaks of; exact names. */
export const OnBehalfOf = withRules(
  z.object({
    users: distinct(sentence(256), MAX.users).optional().describe('Users as userClaim names them, exactly. Example: [mira@corp]'),
    groups: distinct(sentence(256), MAX.groups)
      .optional()
      .describe('Groups of the user, exactly; one is enough. Example: [support]'),
  }),
  {
    cel: 'has(self.users) || has(self.groups)',
    message: 'say on whose behalf: users, groups or both; a user needs to be in one of the lists',
    check: (self) => self.users !== undefined || self.groups !== undefined,
  },
);
export type OnBehalfOf = z.infer<typeof OnBehalfOf>;
