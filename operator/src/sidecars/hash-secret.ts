import { randomBytes } from 'node:crypto';
import { HASH_SECRET_BYTES } from '@chaperone/policy';
import { createIfAbsent, KINDS, type Kube } from '@chaperone/kube';

/** What all hash masks of the installation are keyed by. */
export const MASKING_KEYS_SECRET = 'chaperone-masking-keys';

const make = (): Promise<object> =>
  Promise.resolve({ type: 'Opaque', data: { hash: randomBytes(HASH_SECRET_BYTES).toString('base64') } });

/**
 * Makes the secret of hash masks once. Run by the leader. Throws if it is damaged: a new one in its place would change every
 * hash without a word.
 */
export async function ensureHashSecret(kube: Kube, namespace: string): Promise<Buffer> {
  const at = { namespace, name: MASKING_KEYS_SECRET };
  const secret = await createIfAbsent(kube, KINDS.secrets, at, make);
  const found = Buffer.from((secret.data as Record<string, string> | undefined)?.hash ?? '', 'base64');
  if (found.length !== HASH_SECRET_BYTES)
    throw new Error(
      `Secret ${MASKING_KEYS_SECRET} has no key "hash" of ${HASH_SECRET_BYTES} bytes; restore it, or delete it to get new hashes`,
    );
  return found;
}
