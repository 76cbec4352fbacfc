/** What stands under a name. */
export interface StoredObject {
  readonly bytes: Buffer;
  /** When the bytes came, ms since 1970: as it was said when they were stored. */
  readonly at: number;
  /** Opaque; another one for other bytes. */
  readonly version: string;
}

/**
 * Objects by name, the truth that the collector keeps. Whatever resolves as written survives a power loss. Names are relative
 * paths (`seg/ab/abcd…`) of a-z, 0-9, `.`, `_` and `-`.
 * @throws StoreError wherever the store cannot do what it should; then nothing was promised.
 */
export interface ObjectStore {
  /** Stores bytes where nothing stands yet; of several who try at once one wins. What stands is left as it is. */
  create(name: string, bytes: Buffer, at: number): Promise<'created' | 'exists'>;
  /**
   * Stores bytes in place of `version`, or, where that is undefined, of nothing; `changed` where something else stands there, which may
   * be what a try before stored whose answer was lost: look.
   */
  replace(
    name: string,
    bytes: Buffer,
    at: number,
    version: string | undefined,
  ): Promise<{ readonly version: string } | 'changed'>;
  get(name: string): Promise<StoredObject | undefined>;
  /** What stood there before and is kept, the newest first: where a store keeps versions, nobody's overwriting or deleting hides them. */
  earlier(name: string): AsyncIterable<StoredObject>;
  /**
   * Destroys what stands there, and all that stood there before, for good: a store that keeps versions loses each. For what was replaced,
   * never created, since that may be locked. Resolves where there is nothing; rejects with StoreError where something stays.
   */
  destroy(name: string): Promise<void>;
  /** All names with a prefix that ends in `/`, in the order of their bytes. */
  list(prefix: string): AsyncIterable<string>;
  close(): void;
}

/** unavailable: may work later · unsuitable: it ignores what is asked of it, and would never be safe. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: 'StoreUnavailable' | 'StoreUnsuitable';
  constructor(code: 'StoreUnavailable' | 'StoreUnsuitable', message: string, options?: ErrorOptions) {
    super(`${message} (${code})`, options);
    this.code = code;
  }
}

const NAME = /^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*$/;
/** More than the longest name of a tile or a segment; what file systems and S3 take is longer. */
const MAX_NAME = 255;
/** A segment of 1 MiB is the largest thing that is stored. */
export const MAX_OBJECT_BYTES = 8 * 1024 * 1024;

/** Names come from digests and numbers: another one is a mistake of ours, and could leave the store. */
export function checkName(name: string): void {
  if (!NAME.test(name) || name.length > MAX_NAME) throw new TypeError(`not a name of an object: ${JSON.stringify(name)}`);
}
