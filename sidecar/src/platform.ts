import { setTimeout } from 'node:timers/promises';

/** What the outside world gives to every room; tests give their own. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number;
  /** Monotonic milliseconds; only differences mean something. */
  monotonic(): number;
  /** Resolves after that many milliseconds; keeps no process alive. */
  after(ms: number): Promise<void>;
}

/** Structured log. `fields` never hold wire bytes, SQL literals, tokens or keys. */
export interface Logger {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms) => setTimeout(ms, undefined, { ref: false }),
};

/** A promise and the two functions that end it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: Error): void;
}

export function deferred<T>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Whoever waits sees the rejection; nobody waiting must not end the process.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
