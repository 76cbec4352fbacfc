import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new directory that `await using` removes again. */
export async function temporaryDirectory(prefix = 'chaperone-'): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/**
 * @returns A function that gives the processor's time, in milliseconds, that this thread took since. Other programs have no part
 * in it: what is said to take time by length alone is measured by this.
 */
export function processorTime(): () => number {
  const since = process.threadCpuUsage();
  return () => {
    const { user, system } = process.threadCpuUsage(since);
    return (user + system) / 1000;
  };
}

/** A TCP port of 127.0.0.1 that was free a moment ago, for servers that cannot be asked for port 0. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

const SHORTEST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 500;

/**
 * Waits until `probe` gives something other than undefined; its last error is the cause when time runs out. Between tries it rests as
 * long as a try took, so that what is waited for has at least half of the machine.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    const began = Date.now();
    try {
      const found = await probe();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    const now = Date.now();
    if (now > end) throw new Error(`gave up after ${timeoutMs} ms waiting for ${what}`, { cause: last });
    const pauseMs = Math.min(Math.max(now - began, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS);
    await new Promise((next) => setTimeout(next, pauseMs));
  }
}
