import type { Caller, TokenDemand } from '@chaperone/policy';
import { compactVerify, importJWK, type JWK } from 'jose';
import { judgeClaims } from './claims.ts';
import { TokenError } from './errors.ts';
import type { KeySource } from './issuer-keys.ts';
import { type ParsedToken, parseToken } from './token.ts';

export interface Verified {
  readonly caller: Caller;
  /** When the token ends, skew included: wall clock, milliseconds since 1970. */
  readonly untilMs: number;
}

/**
 * Verifies one OIDC token (an ID token or a JWT access token) against all demands of an access. Knows no protocol: how the token
 * came here is its caller's affair.
 * @param demands - at least one; they name one issuer and one claim each for user and groups.
 * @throws TokenError. No error holds anything of the token.
 */
export async function verifyToken(
  token: string,
  demands: readonly TokenDemand[],
  { keys, nowMs }: { readonly keys: KeySource; readonly nowMs: number },
): Promise<Verified> {
  const parsed = parseToken(token);
  const verified: Verified[] = [];
  for (const demand of demands) {
    // Before its issuer is asked for keys, so that no token makes us ask another.
    if (parsed.claims['iss'] !== demand.issuer)
      throw new TokenError('IssuerWrong', 'it is not from the issuer that the policy names');
    await verifySignature(token, parsed, await keys.key(demand, parsed.alg, parsed.kid));
    verified.push(judgeClaims(parsed.claims, demand, nowMs));
  }
  const [first] = verified;
  if (first === undefined) throw new TypeError('nothing is demanded of the token');
  return first;
}

async function verifySignature(token: string, { alg }: ParsedToken, key: JWK): Promise<void> {
  try {
    await compactVerify(token, await importJWK(key, alg), { algorithms: [alg] });
  } catch {
    // Errors of the library may quote what they read.
    throw new TokenError('SignatureInvalid', 'its signature is not valid');
  }
}
