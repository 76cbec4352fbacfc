import { ApiError } from '@chaperone/kube';

export interface QueueOptions {
  readonly name: string;
  /** Works on one key; a returned number asks for another visit after that many milliseconds. A throw is retried, not before an API server says. */
  readonly work: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  readonly workers?: number;
  readonly minBackoffMs?: number;
  readonly maxBackoffMs?: number;
  readonly onError?: (key: string, error: unknown) => void;
  readonly metrics?: QueueMetrics;
}
export interface QueueMetrics {
  added(queue: string): void;
  retried(queue: string): void;
  depth(queue: string, depth: number): void;
  done(
    queue: string,
    result: 'success' | 'error',
    seconds: number,
    work: { readonly key: string; readonly error?: unknown },
  ): void;
}

/**
 * A queue of keys. A key waits at most once, is never worked on twice at the same time, and is worked on again if it was added
 * meanwhile. Failures back off per key, doubling.
 */
export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #dirty = new Set<string>();
  readonly #processing = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { timer: NodeJS.Timeout; at: number }>();
  readonly #stop = new AbortController();

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#stop.signal.aborted || this.#dirty.has(key)) return;
    this.#dirty.add(key);
    this.#options.metrics?.added(this.#options.name);
    queueMicrotask(() => this.#pump());
  }

  /** Adds the key after `ms`; of two delays the earlier holds. */
  addAfter(key: string, ms: number): void {
    if (this.#stop.signal.aborted) return;
    const at = performance.now() + ms;
    const waiting = this.#timers.get(key);
    if (waiting !== undefined && waiting.at <= at) return;
    clearTimeout(waiting?.timer);
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, ms);
    this.#timers.set(key, { timer, at });
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#dirty.size;
  }

  /** Aborts what runs, forgets what waits, returns when the workers are done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#dirty.clear();
    await Promise.all(this.#processing.values());
  }

  #pump(): void {
    this.#options.metrics?.depth(this.#options.name, this.#dirty.size);
    for (const key of this.#dirty) {
      if (this.#processing.size >= (this.#options.workers ?? 2)) return;
      if (this.#processing.has(key)) continue;
      this.#dirty.delete(key);
      this.#processing.set(key, this.#run(key));
    }
  }

  async #run(key: string): Promise<void> {
    const started = performance.now();
    // Work begins in a later turn, so that the entry in #processing is there before it can end.
    await Promise.resolve();
    try {
      const again = await this.#options.work(key, this.#stop.signal);
      this.#failures.delete(key);
      if (again !== undefined) this.addAfter(key, again);
      this.#options.metrics?.done(this.#options.name, 'success', (performance.now() - started) / 1000, { key });
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failed(key, error, started);
    } finally {
      this.#processing.delete(key);
      if (!this.#stop.signal.aborted) this.#pump();
    }
  }

  #failed(key: string, error: unknown, started: number): void {
    const { minBackoffMs = 200, maxBackoffMs = 60_000, metrics, name } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    metrics?.retried(name);
    metrics?.done(name, 'error', (performance.now() - started) / 1000, { key, error });
    const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
    this.addAfter(key, Math.max(asked, Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(failures, 20))));
    this.#options.onError?.(key, error);
  }
}
