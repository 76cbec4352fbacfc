import { hash } from 'node:crypto';

/** Identical refusals count as repeated within this time. */
const WINDOW_MS = 60_000;
/** Refusals that are remembered; the one that was said longest ago is forgotten first. */
const MAX_KEPT = 256;
/** Milliseconds that the answer to the third identical refusal is held, to the fourth, and so on; the last one stays. */
const DELAYS_MS = [500, 1000, 2000, 4000, 5000] as const;

/**
 * Counts how often an agent had the same statement refused for the same reason, over all its sessions on a resource: what repeats
 * a refusal in a loop opens a connection each time as readily as it does not.
 */
export class Repeats {
  readonly #seen = new Map<string, { at: number; count: number }>();

  /** @returns How many times in a row it was refused, this time included. */
  count(code: string, reason: string, statement: string, now: number): number {
    const key = hash('sha256', JSON.stringify([code, reason, statement]), 'base64');
    const last = this.#seen.get(key);
    const count = last !== undefined && now - last.at < WINDOW_MS ? last.count + 1 : 1;
    this.#seen.delete(key);
    this.#seen.set(key, { at: now, count });
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= MAX_KEPT) break;
      this.#seen.delete(oldest);
    }
    return count;
  }
}

/** Milliseconds to hold the answer to a refusal that is said for the `count`-th time. */
export function delayOf(count: number): number {
  return count < 3 ? 0 : (DELAYS_MS[Math.min(count, DELAYS_MS.length + 2) - 3] ?? 0);
}
