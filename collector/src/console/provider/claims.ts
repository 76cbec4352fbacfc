import type { Identity } from '../../access.ts';
import { SignInError } from './sign-in-error.ts';

const MAX_GROUPS = 256;
/** Characters of a name of a user or group. */
const MAX_NAME = 256;
/** Names are shown, and go into the API server's audit log. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;
/** What the cluster calls its own: no provider may say that somebody is one of these. */
const RESERVED = 'system:';
/** A group of everybody whom the API server knows; it adds it to those it verified, and no token may. */
const AUTHENTICATED = 'system:authenticated';

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

type Claims = Readonly<Record<string, unknown>>;

/**
 * Whom the claims of a verified ID token name, as the API server would with the same settings
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens). Stricter than it in this: reserved
 * names are refused, and groups that are too many for the token (`_claim_names`) are not fetched from elsewhere.
 * @throws SignInError ClaimMissing, ClaimUnreadable, NameReserved
 */
export function identityOf(claims: Claims, settings: ClaimSettings): Identity {
  for (const [name, value] of Object.entries(settings.requiredClaims))
    if (own(claims, name) !== value) throw new SignInError('ClaimMissing', 'a required claim is missing, or has another value');
  return { user: userOf(claims, settings), groups: [...groupsOf(claims, settings), AUTHENTICATED] };
}

function userOf(claims: Claims, { usernameClaim, usernamePrefix, issuerUrl }: ClaimSettings): string {
  const user = own(claims, usernameClaim);
  if (user === undefined) throw new SignInError('ClaimMissing', 'the claim that names the user is missing');
  if (typeof user !== 'string') throw new SignInError('ClaimUnreadable', 'the claim that names the user is no text');
  const verified = own(claims, 'email_verified');
  if (usernameClaim === 'email' && verified !== undefined && verified !== true)
    throw new SignInError('ClaimMissing', 'the provider has not verified the e-mail address');
  const prefix = usernamePrefix ?? (usernameClaim === 'email' ? '-' : `${issuerUrl}#`);
  return nameOf(prefix === '-' ? '' : prefix, user);
}

/** Sorted, each once. */
function groupsOf(claims: Claims, { groupsClaim, groupsPrefix }: ClaimSettings): string[] {
  if (groupsClaim === undefined) return [];
  // OpenID Connect Core §5.6.2: the value is elsewhere.
  const elsewhere = own(claims, '_claim_names');
  if (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, groupsClaim))
    throw new SignInError('ClaimUnreadable', 'the token refers to its groups elsewhere, since they are too many');
  const value = own(claims, groupsClaim) ?? [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  if (groups.length > MAX_GROUPS) throw new SignInError('ClaimUnreadable', `there are more than ${MAX_GROUPS} groups`);
  const names = groups.map((group) => {
    if (typeof group !== 'string') throw new SignInError('ClaimUnreadable', 'a group is no text');
    return nameOf(groupsPrefix, group);
  });
  return [...new Set(names)].toSorted();
}

function nameOf(prefix: string, claimed: string): string {
  const name = `${prefix}${claimed}`;
  if (claimed === '' || claimed.length > MAX_NAME || UNPRINTABLE.test(claimed))
    throw new SignInError('ClaimUnreadable', 'a name is empty, too long, or holds what cannot be printed');
  // Before the prefix too: one that is taken away later must not make a claim into a right.
  if (claimed.startsWith(RESERVED) || name.startsWith(RESERVED))
    throw new SignInError('NameReserved', 'a user or group begins with system:');
  return name;
}

function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
