import type { ApiError } from './errors.ts';
import { listWatch, type Selection, type Timings } from './listwatch.ts';
import { type KubeObject, keyOf } from './objects.ts';
import type { Kube } from './transport.ts';

/** What became of an object: `before` is absent for a new one, `after` for one that is gone. */
export interface Change<T> {
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}
export interface InformerOptions<T> extends Selection {
  readonly kube: Kube;
  /** Turns a raw object into what is kept; undefined leaves it out. Runs on every object, must not throw on foreign input. */
  readonly parse: (object: KubeObject) => T | undefined;
  readonly onError?: (error: unknown) => void;
  readonly timings?: Timings;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** A live copy of the objects of one kind. Handlers that throw are reported and do not disturb the copy or each other. */
export class Informer<T> {
  readonly #options: InformerOptions<T>;
  readonly #objects = new Map<string, { version: string | undefined; value: T }>();
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #stop = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #hasSynced = false;
  #lastEventAt = 0;
  #relists = 0;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    // A stopped informer that nobody waits for must not end the process.
    this.#synced.promise.catch(() => undefined);
  }

  /** Resolves after the first list. Rejects if stopped before that. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }
  get hasSynced(): boolean {
    return this.#hasSynced;
  }
  /** ms since 1970; 0 before the first list. */
  get lastEventAt(): number {
    return this.#lastEventAt;
  }
  get relists(): number {
    return this.#relists;
  }

  /** Returns what ends the subscription. */
  onChange(handler: (change: Change<T>) => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }
  get(key: string): T | undefined {
    return this.#objects.get(key)?.value;
  }
  list(): T[] {
    return [...this.#objects.values()].map((entry) => entry.value);
  }
  get size(): number {
    return this.#objects.size;
  }

  start(): this {
    const now = this.#options.now ?? Date.now;
    this.#running ??= listWatch({
      ...this.#options,
      signal: this.#stop.signal,
      onAlive: () => {
        this.#lastEventAt = now();
      },
      onError: (error: ApiError) => this.#options.onError?.(error),
      onList: (items) => this.#replace(items),
      onEvent: (type, object) => this.#set(keyOf(object), type === 'DELETED' ? undefined : object),
    });
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#synced.reject(new Error('the informer was stopped'));
    await this.#running;
  }

  #replace(items: readonly KubeObject[]): void {
    if (this.#hasSynced) this.#relists += 1;
    const present = new Set(items.map(keyOf));
    for (const key of this.#objects.keys()) if (!present.has(key)) this.#set(key, undefined);
    for (const object of items) this.#set(keyOf(object), object);
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #set(key: string, object: KubeObject | undefined): void {
    const held = this.#objects.get(key);
    const version = object?.metadata.resourceVersion;
    if (held !== undefined && object !== undefined && version !== undefined && held.version === version) return;
    const after = object === undefined ? undefined : this.#parse(object);
    if (after === undefined) this.#objects.delete(key);
    else this.#objects.set(key, { version, value: after });
    if (held === undefined && after === undefined) return;
    const change = { key, before: held?.value, after };
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#options.onError?.(error);
      }
    }
  }

  #parse(object: KubeObject): T | undefined {
    try {
      return this.#options.parse(object);
    } catch (error) {
      this.#options.onError?.(error);
      return undefined;
    }
  }
}
