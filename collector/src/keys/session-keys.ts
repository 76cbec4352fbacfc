import {
  type DataKey,
  EvidenceError,
  type KeyHolder,
  orUndefined,
  parseWrappedKey,
  unwrapKey,
  type WrappedKey,
} from '@chaperone/evidence';
import { type ObjectStore, StoreError } from '../objects/index.ts';

/** Unwrapped keys that are kept in memory, those of the sessions that were looked at last. */
const MAX_KEPT = 512;
/** Times that a key is stored where others store at its place too. */
const TRIES = 5;

/**
 * The data keys of sessions, wrapped as they came: `keys/SESSION`, never locked and never replaced by another key, since destroying them is
 * what erases a session.
 */
export class SessionKeys {
  readonly #store: ObjectStore;
  readonly #holders: readonly KeyHolder[];
  readonly #now: () => number;
  readonly #kept = new Map<string, DataKey>();

  /** @param holders - who unwraps; keys that none of them unwraps are not taken */
  constructor(store: ObjectStore, holders: readonly KeyHolder[], now: () => number = Date.now) {
    this.#store = store;
    this.#holders = holders;
    this.#now = now;
  }

  /** The key in what came with a segment. Rejects with EvidenceError KeyUnusable where it is not the one that the segment was sealed under. */
  async unwrap(wrapped: WrappedKey, of: KeyName): Promise<DataKey> {
    const { session, key } = of;
    if (wrapped.session !== session || wrapped.id !== key.id)
      throw new EvidenceError('KeyUnusable', 'the key that came with the segment is of another one');
    const kept = this.#kept.get(session);
    return kept?.id === key.id ? kept : unwrapKey(wrapped, this.#holders);
  }

  /** Stores a wrapped key that was unwrapped; it survives a power loss when this resolves. */
  async keep(wrapped: WrappedKey, key: DataKey): Promise<void> {
    if (this.#kept.get(key.session) === key) return;
    const name = nameOf(key.session);
    // Not created but replaced: what is created may be locked.
    let version: string | undefined;
    for (let tries = 1; ; tries++) {
      const bytes = Buffer.from(JSON.stringify(wrapped));
      if ((await this.#store.replace(name, bytes, this.#now(), version)) !== 'changed') break;
      const found = await this.#store.get(name);
      if (found !== undefined && (await this.#read(found.bytes, key.session, key.id)) !== undefined) break;
      if (tries === TRIES) throw new StoreError('StoreUnavailable', `${name} cannot be stored: something else stands there`);
      version = found?.version;
    }
    this.#remember(key);
  }

  /** The key that sealed a segment; undefined where it is not here any more, or nobody here unwraps it. */
  async of({ session, key: { id } }: KeyName): Promise<DataKey | undefined> {
    const kept = this.#kept.get(session);
    if (kept?.id === id) return kept;
    const found = await this.#find(session, id);
    if (found !== undefined) this.#remember(found);
    return found;
  }

  async #find(session: string, id: string): Promise<DataKey | undefined> {
    const name = nameOf(session);
    const there = await this.#store.get(name);
    const key = there && (await this.#read(there.bytes, session, id));
    if (key !== undefined) return key;
    // Somebody may have written another thing over it.
    for await (const { bytes } of this.#store.earlier(name)) {
      const before = await this.#read(bytes, session, id);
      if (before !== undefined) return before;
    }
    return undefined;
  }

  async #read(bytes: Buffer, session: string, id: string): Promise<DataKey | undefined> {
    try {
      const wrapped = wrappedIn(bytes, session, id);
      return wrapped === undefined ? undefined : await unwrapKey(wrapped, this.#holders);
    } catch {
      // Whatever stands there, it is not this key.
      return undefined;
    }
  }

  /** The key as it was wrapped, for all its recipients; undefined where it is not here any more. */
  async wrapped({ session, key: { id } }: KeyName): Promise<WrappedKey | undefined> {
    const name = nameOf(session);
    const there = await this.#store.get(name);
    const found = there && wrappedIn(there.bytes, session, id);
    if (found !== undefined) return found;
    for await (const { bytes } of this.#store.earlier(name)) {
      const before = wrappedIn(bytes, session, id);
      if (before !== undefined) return before;
    }
    return undefined;
  }

  /** Whether anything stands where the key does. */
  async isThere(session: string): Promise<boolean> {
    return (await this.#store.get(nameOf(session))) !== undefined;
  }

  /** Destroys a session's key, in every version that the store has. What was sealed under it is then nobody's to read. */
  async destroy(session: string): Promise<void> {
    this.#kept.delete(session);
    await this.#store.destroy(nameOf(session));
  }

  #remember(key: DataKey): void {
    this.#kept.delete(key.session);
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '');
    this.#kept.set(key.session, key);
  }
}

/** What of a segment's header says which key it is. */
export interface KeyName {
  readonly session: string;
  readonly key: { readonly id: string };
}

/** Undefined where it is another one, or none. */
function wrappedIn(bytes: Buffer, session: string, id: string): WrappedKey | undefined {
  const wrapped = orUndefined(() => parseWrappedKey(bytes));
  return wrapped?.session === session && wrapped.id === id ? wrapped : undefined;
}

function nameOf(session: string): string {
  return `keys/${session}`;
}
