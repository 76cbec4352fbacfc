import { generateSigner, type NoteSigner, noteSigner } from '@chaperone/evidence';
import type { ObjectStore, StoredObject } from '../objects/index.ts';

/** What a store answers, without a disk; only what was written before a failure is there. */
export class CrashingStore implements ObjectStore {
  readonly objects = new Map<string, StoredObject>();
  /** Writes until the process dies: the last one has its effect or not, and nobody hears of it. */
  left = Number.POSITIVE_INFINITY;
  effect = true;
  #versions = 0;

  #write(name: string, bytes: Buffer, at: number): void {
    if (this.left <= 0) throw new Error('crashed');
    if (--this.left === 0) {
      if (this.effect) this.objects.set(name, { bytes, at, version: `v${++this.#versions}` });
      throw new Error('crashed');
    }
    this.objects.set(name, { bytes, at, version: `v${++this.#versions}` });
  }

  async create(name: string, bytes: Buffer, at: number): Promise<'created' | 'exists'> {
    await Promise.resolve();
    if (this.objects.has(name)) return 'exists';
    this.#write(name, bytes, at);
    return 'created';
  }

  async replace(name: string, bytes: Buffer, at: number, version: string | undefined): Promise<{ version: string } | 'changed'> {
    await Promise.resolve();
    if (this.objects.get(name)?.version !== version) return 'changed';
    this.#write(name, bytes, at);
    return { version: this.objects.get(name)?.version ?? '' };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    await Promise.resolve();
    return this.objects.get(name);
  }

  async *earlier(): AsyncGenerator<StoredObject> {
    // Keeps none.
  }

  async destroy(name: string): Promise<void> {
    await Promise.resolve();
    this.objects.delete(name);
  }

  async *list(prefix: string): AsyncGenerator<string> {
    await Promise.resolve();
    for (const name of [...this.objects.keys()].filter((each) => each.startsWith(prefix)).toSorted()) yield name;
  }

  close(): void {
    // Nothing is open.
  }
}

export const aLogSigner = (name = 'log.test/1'): NoteSigner => noteSigner(name, generateSigner());
