import { hkdfSync } from 'node:crypto';
import type { Access } from './access.ts';
import { isRevealed, labelsOf, strategyFor } from './mask.ts';

/** Bytes of the secret that all hash keys of one installation come from, and of each key. */
export const HASH_SECRET_BYTES = 32;

/**
 * The keys of the labels that this agent sees by hash: HKDF-SHA-256 (RFC 5869) of the installation's secret, one per resource
 * and label. So equal values of one label of one resource look equal in every session, those of another label or resource do
 * not, and who has the key of one resource can compute no hash of another. Undefined where nothing is shown by hash.
 *
 * @param secret - {@link HASH_SECRET_BYTES} bytes
 */
export function hashKeysOf(secret: Buffer, access: Access): Readonly<Record<string, string>> | undefined {
  if (secret.length !== HASH_SECRET_BYTES) throw new RangeError('the secret of hash keys has another length');
  const { namespace, name, protocol } = access.resource;
  const hashed = labelsOf(protocol, access.sensitive).filter(
    (label) => !isRevealed(access, label) && strategyFor(access, label).hash !== undefined,
  );
  if (hashed.length === 0) return undefined;
  // Names hold no line ends, so no two of these texts are equal.
  const keyOf = (label: string): ArrayBuffer =>
    hkdfSync('sha256', secret, '', `chaperone-hash-v1\n${namespace}/${name}\n${label}`, HASH_SECRET_BYTES);
  return Object.fromEntries(hashed.toSorted().map((label) => [label, Buffer.from(keyOf(label)).toString('base64')]));
}

/** The access with its hash keys, where it has any. */
export function withHashKeys(access: Access, secret: Buffer | undefined): Access {
  const hashKeys = secret && hashKeysOf(secret, access);
  return hashKeys === undefined ? access : { ...access, hashKeys };
}
