import { AttestError } from './errors.ts';

/** How claims become names, as the API server has it (--oidc-username-claim and its kin). A prefix may be empty. */
export interface ClaimMapping {
  readonly usernameClaim: string;
  readonly usernamePrefix: string;
  readonly groupsClaim: string;
  readonly groupsPrefix: string;
}
/** A person by the names that the API server has for them. */
export interface Person {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Room of `spec.by` and `spec.groups`. */
const MAX_NAME = 256;
const MAX_GROUPS = 256;
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * Whom the claims of a token name. Names of the system are nobody's to claim, whatever the prefix.
 * @throws AttestError PersonRefused
 */
export function personOf(claims: Readonly<Record<string, unknown>>, mapping: ClaimMapping): Person {
  const own = (name: string): unknown => (Object.hasOwn(claims, name) ? claims[name] : undefined);
  const user = own(mapping.usernameClaim);
  if (typeof user !== 'string' || user === '') throw refused(`your sign-in names nobody in the claim ${mapping.usernameClaim}`);
  const verified = own('email_verified');
  if (mapping.usernameClaim === 'email' && verified !== undefined && verified !== true)
    throw refused('your issuer has not verified your e-mail address');
  return {
    user: named(mapping.usernamePrefix + user),
    groups: [
      ...new Set(groupsOf(claims, own, mapping.groupsClaim).map((group) => named(mapping.groupsPrefix + group))),
    ].toSorted(),
  };
}

function groupsOf(claims: Readonly<Record<string, unknown>>, own: (name: string) => unknown, claim: string): readonly string[] {
  // OpenID Connect Core §5.6.2: the value is elsewhere.
  const elsewhere = own('_claim_names');
  if (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, claim))
    throw refused('your groups are too many for your sign-in to name them');
  const value = Object.hasOwn(claims, claim) ? claims[claim] : [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  if (groups.length > MAX_GROUPS || !groups.every((group) => typeof group === 'string' && group !== ''))
    throw refused('the groups that your sign-in names cannot be read');
  return groups as string[];
}

function named(name: string): string {
  if (name.startsWith('system:')) throw refused('your sign-in claims a name of the system');
  if (name.length > MAX_NAME || UNPRINTABLE.test(name)) throw refused('a name in your sign-in cannot be read');
  return name;
}

function refused(message: string): AttestError {
  return new AttestError('PersonRefused', message);
}
