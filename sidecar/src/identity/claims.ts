import type { Caller, TokenDemand } from '@chaperone/policy';
import { TokenError } from './errors.ts';

/** By how much the issuer's clock and ours may differ. */
export const CLOCK_SKEW_MS = 60_000;
const MAX_GROUPS = 256;
/** Characters of a name of a user or group. */
const MAX_NAME = 256;
/** These end up in records that people read in terminals. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

type Claims = Readonly<Record<string, unknown>>;

/**
 * Judges the claims of a token whose signature is good.
 * @returns Whom it names, and until when it may be used (wall clock, milliseconds; the skew is in it).
 * @throws TokenError IssuerWrong, AudienceWrong, TokenExpired, TokenNotYetValid, ClaimMissing, ClaimUnreadable
 */
export function judgeClaims(claims: Claims, demand: TokenDemand, nowMs: number): { caller: Caller; untilMs: number } {
  if (own(claims, 'iss') !== demand.issuer)
    throw new TokenError('IssuerWrong', 'it is not from the issuer that the policy names');
  judgeAudience(claims, demand.audiences);
  const untilMs = judgeTimes(claims, nowMs);
  if (own(claims, 'cnf') !== undefined)
    throw new TokenError('ClaimUnreadable', 'it is bound to a key (claim cnf), which cannot be shown here');
  for (const { claim, values } of demand.requiredClaims) {
    if (!stringsOf(own(claims, claim)).some((value) => values.includes(value)))
      throw new TokenError('ClaimMissing', 'it lacks a claim that the policy requires, or has another value of it');
  }
  return { caller: { issuer: demand.issuer, user: userOf(claims, demand.userClaim), groups: groupsOf(claims, demand) }, untilMs };
}

function judgeAudience(claims: Claims, wanted: readonly string[]): void {
  const audiences = stringsOf(own(claims, 'aud'));
  if (!audiences.some((audience) => wanted.includes(audience)))
    throw new TokenError('AudienceWrong', 'it is meant for another audience');
  // OpenID Connect Core §3.1.3.7: with several audiences, azp says to which of them it was issued.
  const azp = own(claims, 'azp');
  if (new Set(audiences).size > 1 && !(typeof azp === 'string' && wanted.includes(azp)))
    throw new TokenError('AudienceWrong', 'it has several audiences and was issued to none that the policy names (claim azp)');
}

function judgeTimes(claims: Claims, nowMs: number): number {
  const exp = timeOf(claims, 'exp');
  if (exp === undefined) throw new TokenError('ClaimMissing', 'it never expires');
  const untilMs = exp + CLOCK_SKEW_MS;
  if (nowMs >= untilMs) throw new TokenError('TokenExpired', 'it has expired');
  for (const name of ['nbf', 'iat'] as const) {
    const from = timeOf(claims, name);
    if (from !== undefined && nowMs < from - CLOCK_SKEW_MS) throw new TokenError('TokenNotYetValid', 'it is not valid yet');
  }
  return untilMs;
}

/** Seconds since 1970, with a fraction where it has one (RFC 7519 §2, NumericDate), as milliseconds. */
function timeOf(claims: Claims, name: string): number | undefined {
  const seconds = own(claims, name);
  if (seconds === undefined) return undefined;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds * 1000) || seconds < 0)
    throw new TokenError('ClaimUnreadable', `its claim ${name} is not a time`);
  return seconds * 1000;
}

function userOf(claims: Claims, claim: string): string {
  const user = own(claims, claim);
  if (user === undefined) throw new TokenError('ClaimMissing', 'it does not name a user in the claim that the policy reads');
  if (typeof user !== 'string' || !isName(user)) throw new TokenError('ClaimUnreadable', 'the user that it names cannot be read');
  if (claim === 'email' && own(claims, 'email_verified') !== true)
    throw new TokenError('ClaimMissing', 'the issuer has not verified the e-mail address in it (claim email_verified)');
  return user;
}

/** Sorted, each once. */
function groupsOf(claims: Claims, { groupsClaim }: TokenDemand): string[] {
  // OpenID Connect Core §5.6.2: the value is elsewhere. "No groups" would be a lie, and let a Deny for one of them pass.
  const elsewhere = own(claims, '_claim_names');
  if (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, groupsClaim))
    throw new TokenError('ClaimUnreadable', 'it refers to its groups elsewhere, since they are too many');
  const value = own(claims, groupsClaim);
  if (value === undefined) return [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  const names = groups.filter((group) => typeof group === 'string' && isName(group)) as string[];
  if (groups.length > MAX_GROUPS || names.length !== groups.length)
    throw new TokenError('ClaimUnreadable', 'the groups that it names cannot be read, or are more than 256');
  return [...new Set(names)].toSorted();
}

function isName(text: string): boolean {
  return text !== '' && text.length <= MAX_NAME && !UNPRINTABLE.test(text);
}

function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

/** A string, or a list of nothing but strings; anything else has none. */
function stringsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : [];
}
