const MAX_GROUPS = 256;
/** Characters of a name of a user or group. */
const MAX_NAME = 256;
/** Names are shown, and go into the API server's audit log. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;
/** What the cluster calls its own: no provider may say that somebody is one of these. */
const RESERVED = 'system:';

/** How claims become names: each as the API server's flag --oidc-… of the same name, so that RBAC knows who it is. */
export interface ClaimSettings {
  readonly issuerUrl: string;
  readonly usernameClaim: string;
  /** Absent or empty: the issuer and "#", but for e-mail addresses nothing. "-": nothing. */
  readonly usernamePrefix?: string | undefined;
  /** Absent: nobody has groups. */
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix: string;
}

export type Claims = Readonly<Record<string, unknown>>;

/** Why claims name nobody; the message holds nothing of them. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';
  readonly code: 'ClaimMissing' | 'ClaimUnreadable' | 'NameReserved';
  constructor(code: ClaimError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Whom the claims of a verified token name, as the API server would with the same settings
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens). Stricter than it in this: reserved
 * names are refused, and groups that are too many for the token (`_claim_names`) are not fetched from elsewhere. Groups are sorted,
 * each once. @throws ClaimError
 */
export function namesOf(claims: Claims, settings: ClaimSettings): { readonly user: string; readonly groups: readonly string[] } {
  return { user: userOf(claims, settings), groups: groupsOf(claims, settings) };
}

/** A claim of the token itself. */
export function ownClaim(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function userOf(claims: Claims, { usernameClaim, usernamePrefix = '', issuerUrl }: ClaimSettings): string {
  const user = ownClaim(claims, usernameClaim);
  if (user === undefined) throw new ClaimError('ClaimMissing', 'the claim that names the user is missing');
  if (typeof user !== 'string') throw new ClaimError('ClaimUnreadable', 'the claim that names the user is no text');
  const verified = ownClaim(claims, 'email_verified');
  if (usernameClaim === 'email' && verified !== undefined && verified !== true)
    throw new ClaimError('ClaimMissing', 'the provider has not verified the e-mail address');
  const prefix = usernamePrefix === '' ? (usernameClaim === 'email' ? '-' : `${issuerUrl}#`) : usernamePrefix;
  return nameOf(prefix === '-' ? '' : prefix, user);
}

function groupsOf(claims: Claims, { groupsClaim, groupsPrefix }: ClaimSettings): string[] {
  if (groupsClaim === undefined) return [];
  // OpenID Connect Core §5.6.2: the value is elsewhere.
  const elsewhere = ownClaim(claims, '_claim_names');
  if (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, groupsClaim))
    throw new ClaimError('ClaimUnreadable', 'the token refers to its groups elsewhere, since they are too many');
  const value = ownClaim(claims, groupsClaim) ?? [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  if (groups.length > MAX_GROUPS) throw new ClaimError('ClaimUnreadable', `there are more than ${MAX_GROUPS} groups`);
  const names = groups.map((group) => {
    if (typeof group !== 'string') throw new ClaimError('ClaimUnreadable', 'a group is no text');
    return nameOf(groupsPrefix, group);
  });
  return [...new Set(names)].toSorted();
}

function nameOf(prefix: string, claimed: string): string {
  const name = `${prefix}${claimed}`;
  if (claimed === '' || claimed.length > MAX_NAME || UNPRINTABLE.test(claimed))
    throw new ClaimError('ClaimUnreadable', 'a name is empty, too long, or holds what cannot be printed');
  // Before the prefix too: one that is taken away later must not make a claim into a right.
  if (claimed.startsWith(RESERVED) || name.startsWith(RESERVED))
    throw new ClaimError('NameReserved', 'a user or group begins with system:');
  return name;
}
