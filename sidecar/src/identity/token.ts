import { TokenError } from './errors.ts';

/** Tokens of real issuers have 1 to 8 KiB; those with many groups have more. */
export const MAX_TOKEN_BYTES = 16 * 1024;

/** Signatures by a key pair. What is not here (none, HS256, …) is refused before any key is looked at. */
export const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** A token taken apart; nothing of it is proven yet. */
export interface ParsedToken {
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Keys that the token itself brings or names prove nothing; `crit`, `b64` and `zip` would change what the bytes mean. */
const REFUSED_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc', 'cty'] as const;
/** JWTs for other uses (logout tokens, DPoP proofs, security events) are signed by the same keys. */
const TYPES = ['jwt', 'at+jwt'];
const PART = /^[A-Za-z0-9_-]*$/;
const MAX_KID = 256;

/**
 * Takes a signed JWT in compact form (RFC 7519, RFC 7515 §3.1) apart.
 * @throws TokenError TokenMalformed, AlgorithmRefused, HeaderRefused, TypeRefused
 */
export function parseToken(token: string): ParsedToken {
  if (token.length > MAX_TOKEN_BYTES) throw new TokenError('TokenMalformed', 'it is longer than 16 KiB');
  const parts = token.split('.');
  if (parts.length === 5) throw new TokenError('TokenMalformed', 'it is encrypted (JWE); a signed one is wanted');
  const [head, body] = parts;
  if (parts.length !== 3 || head === undefined || body === undefined || !parts.every((part) => PART.test(part)))
    throw new TokenError('TokenMalformed', 'it is not a JWT');
  const header = objectOf(head);
  const { alg, kid, typ } = header;
  if (!isAlgorithm(alg)) throw new TokenError('AlgorithmRefused', 'its signature is of a kind that is not accepted');
  const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw new TokenError('HeaderRefused', `its header has ${refused}, which is not accepted`);
  if (kid !== undefined && (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID))
    throw new TokenError('HeaderRefused', 'its header has a kid that cannot be read');
  if (typ !== undefined && !isType(typ)) throw new TokenError('TypeRefused', 'it is a JWT for another use');
  return { alg, kid, claims: objectOf(body) };
}

function isAlgorithm(alg: unknown): alg is Algorithm {
  return ALGORITHMS.some((each) => each === alg);
}

function isType(typ: unknown): boolean {
  return typeof typ === 'string' && TYPES.includes(typ.toLowerCase().replace(/^application\//, ''));
}

function objectOf(part: string): Record<string, unknown> {
  const bytes = Buffer.from(part, 'base64url');
  if (part === '' || bytes.toString('base64url') !== part) throw new TokenError('TokenMalformed', 'it is not a JWT');
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    // The cause would quote the token.
    throw new TokenError('TokenMalformed', 'it is not a JWT');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TokenError('TokenMalformed', 'it is not a JWT');
  if (repeatsName(text)) throw new TokenError('TokenMalformed', 'it says something twice');
  return value as Record<string, unknown>;
}

/** A string, with the colon after it where it is a name, or a brace. Only for text that is JSON. */
const NAMES_AND_BRACES = /("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g;

/**
 * Whether an object of this JSON text, at any depth, has a name twice: readers differ in which one they take (RFC 8259 §4), and
 * RFC 7519 §4 has us refuse it.
 */
export function repeatsName(json: string): boolean {
  const open: Set<unknown>[] = [];
  for (const [token, text = '', colon] of json.matchAll(NAMES_AND_BRACES)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (colon !== undefined) {
      const names = open.at(-1);
      const name: unknown = JSON.parse(text);
      if (names?.has(name) === true) return true;
      names?.add(name);
    }
  }
  return false;
}
