import { type DataKey, type KeyHolder, parseWrappedKey, unwrapKey, type WrappedKey } from '../data-key.ts';
import { EvidenceError, orUndefined } from '../errors.ts';
import type { Member } from './archive.ts';
import { placeOf } from './layout.ts';

/** A wrapped key of a file to who may hold its recipient's key: unwrapped, or what is wrong with it. */
export type Unwrapped = DataKey | EvidenceError;

/**
 * What a member with a wrapped key is to who holds keys; undefined for other members, and where it was not wrapped to them. Rejects with
 * EvidenceError MalformedBundle for a member that should have one and has none.
 */
export async function unwrapped({ name, bytes }: Member, holders: readonly KeyHolder[]): Promise<Unwrapped | undefined> {
  const place = placeOf(name);
  if (place?.kind !== 'wrapped') return undefined;
  const key = wrappedOf(place.session, bytes);
  if (!holders.some((holder) => key.to.some(({ recipient }) => recipient === holder.name))) return undefined;
  try {
    return await unwrapKey(key, holders);
  } catch (error) {
    if (error instanceof EvidenceError && error.code === 'KeyUnusable') return error;
    throw error;
  }
}

function wrappedOf(session: string, bytes: Buffer): WrappedKey {
  const key = orUndefined(() => parseWrappedKey(bytes));
  if (key?.session === session) return key;
  throw new EvidenceError('MalformedBundle', 'what should be the wrapped key of this session is none');
}
