import type { JWK } from 'jose';
import { z } from 'zod';
import { TokenError } from './errors.ts';
import type { Algorithm } from './token.ts';

/** Issuers publish 1 to 5. */
const MAX_KEYS = 100;
/** base64url of an RSA modulus of 16,384 bits has 2,731 characters. */
const number = z.string().max(2731).optional();

/** The public parts of a JWK (RFC 7517, 7518); whatever else a key has is dropped, private parts included. */
const PublicKey = z.object({
  kty: z.string().max(16),
  kid: z.string().max(256).optional(),
  use: z.string().max(64).optional(),
  key_ops: z.array(z.string().max(64)).max(16).optional(),
  alg: z.string().max(64).optional(),
  crv: z.string().max(64).optional(),
  n: number,
  e: z.string().max(12).optional(),
  x: number,
  y: number,
});
export type PublicKey = z.infer<typeof PublicKey>;

const Keys = z.object({ keys: z.array(z.unknown()).max(MAX_KEYS) });

/**
 * Reads a JWK Set. Keys that cannot be read are left out, as RFC 7517 §5 has it.
 * @throws TokenError IssuerUnavailable where it is none, or has more than 100 keys.
 */
export function readKeySet(value: unknown): PublicKey[] {
  const set = Keys.safeParse(value);
  if (!set.success) throw new TokenError('IssuerUnavailable', 'the keys of the issuer of tokens cannot be read');
  return set.data.keys.flatMap((key) => {
    const read = PublicKey.safeParse(key);
    return read.success ? [read.data] : [];
  });
}

interface Shape {
  readonly kty: string;
  readonly crv?: string;
}
const RSA: Shape = { kty: 'RSA' };
/** A key is only ever used as what it is: no RSA key checks an HMAC, and no other curve's key an ES256 signature. */
const SHAPES: Readonly<Record<Algorithm, Shape>> = {
  RS256: RSA,
  RS384: RSA,
  RS512: RSA,
  PS256: RSA,
  PS384: RSA,
  PS512: RSA,
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
};

/**
 * The one key that a token's header means. A `kid` is compared letter for letter and is nothing but a name; without one, there must
 * be a single key that fits.
 * @returns Undefined where there is none, or more than one.
 */
export function selectKey(keys: readonly PublicKey[], alg: Algorithm, kid: string | undefined): JWK | undefined {
  const { kty, crv } = SHAPES[alg];
  const fitting = keys.filter(
    (key) =>
      key.kty === kty &&
      (crv === undefined || key.crv === crv) &&
      (key.use ?? 'sig') === 'sig' &&
      (key.key_ops?.includes('verify') ?? true) &&
      (key.alg ?? alg) === alg &&
      (kid === undefined || key.kid === kid),
  );
  const [key] = fitting;
  if (key === undefined || fitting.length > 1) return undefined;
  const { n, e, x, y } = key;
  return JSON.parse(JSON.stringify({ kty, crv, n, e, x, y })) as JWK;
}
