import { hash } from 'node:crypto';
import type { ObjectStore } from './store.ts';

/** seg: what is accepted · conflict: what contradicts it and is kept to be looked at. */
export type ObjectKind = 'seg' | 'conflict';

/** Objects that are named by the SHA-256 of their bytes, KIND/AA/DIGEST, in any store. */
export class Objects {
  readonly #store: ObjectStore;
  readonly #now: () => number;

  constructor(store: ObjectStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Stores bytes under their digest and resolves with the time they are there since (ms). Bytes that are there already stay
   * untouched; what stands there and no longer has these bytes is replaced by them, with its time.
   */
  async put(kind: ObjectKind, digest: string, bytes: Buffer): Promise<number> {
    const name = nameOf(kind, digest);
    const now = this.#now();
    for (;;) {
      if ((await this.#store.create(name, bytes, now)) === 'created') return now;
      const found = await this.#store.get(name);
      if (found?.bytes.equals(bytes)) return found.at;
      const at = found?.at ?? now;
      if ((await this.#store.replace(name, bytes, at, found?.version)) !== 'changed') return at;
    }
  }

  /** The bytes under a name and their time; where they are not what they were, and the store keeps versions, those that were. */
  async find(kind: ObjectKind, digest: string): Promise<{ readonly bytes: Buffer; readonly at: number } | undefined> {
    const name = nameOf(kind, digest);
    const found = await this.#store.get(name);
    if (found !== undefined && sha256(found.bytes) === digest) return found;
    for await (const version of this.#store.earlier(name)) if (sha256(version.bytes) === digest) return version;
    return found;
  }

  /** The bytes under a name, whatever they are; undefined where there are none. */
  async get(kind: ObjectKind, digest: string): Promise<Buffer | undefined> {
    return (await this.find(kind, digest))?.bytes;
  }

  /** Names of all objects of a kind, in the order of their digests. */
  async *list(kind: ObjectKind): AsyncGenerator<string> {
    for await (const name of this.#store.list(`${kind}/`)) {
      const digest = name.slice(name.lastIndexOf('/') + 1);
      if (/^[0-9a-f]{64}$/.test(digest)) yield digest;
    }
  }
}

function nameOf(kind: ObjectKind, digest: string): string {
  return `${kind}/${digest.slice(0, 2)}/${digest}`;
}

export function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}
