import { z } from 'zod';
import type { Terms } from '@chaperone/policy/attest';

const file = z.string().min(1).max(512);
const claim = z.string().min(1).max(128);
/** No prefix makes a name of the system. */
const prefix = z
  .string()
  .max(128)
  .refine((text) => !text.startsWith('system:'), 'no person has a name of the system');

/** Without TLS only on this machine, for tests. */
function isSafe(text: string): boolean {
  const { protocol, hostname, username, password, search, hash } = new URL(text);
  const isLocal = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
  return (
    (protocol === 'https:' || (protocol === 'http:' && isLocal)) &&
    [username, password, search, hash].every((part) => part === '')
  );
}
const url = z
  .url({ protocol: /^https?$/ })
  .max(2048)
  .refine(isSafe, 'write an https URL without user, query and fragment');

/** The page where people decide with a signature. Secrets are files. */
export const DecideConfig = z.strictObject({
  /** Its origin, as people open it. Example: https://decide.corp */
  url: url
    .refine((text) => new URL(text).pathname === '/', 'write a URL without a path')
    .transform((text) => new URL(text).origin),
  oidc: z.strictObject({
    issuer: url,
    clientId: z.string().min(1).max(256),
    clientSecretFile: file.optional(),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/))
      .max(16)
      .default(['openid', 'email', 'profile']),
    usernameClaim: claim.default('sub'),
    usernamePrefix: prefix.optional(),
    groupsClaim: claim.default('groups'),
    groupsPrefix: prefix.default(''),
  }),
  /** Certificate and key that browsers trust. Absent: the operator's own, for a proxy that trusts Chaperone's CA. */
  tls: z.strictObject({ certFile: file, keyFile: file }).optional(),
});
export type DecideConfig = z.infer<typeof DecideConfig>;

/** What tokens and passkeys have to be for this page. */
export function termsOf({ url: origin, oidc }: DecideConfig): Terms {
  const { issuer, clientId, usernameClaim, usernamePrefix, groupsClaim, groupsPrefix } = oidc;
  return {
    issuerUrl: issuer,
    clientId,
    usernameClaim,
    usernamePrefix,
    groupsClaim,
    groupsPrefix,
    site: { origin, rpId: new URL(origin).hostname },
  };
}

/** Where one request is decided. */
export function pageOf(origin: string, { namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${origin}/decide/${namespace}/${name}`;
}
