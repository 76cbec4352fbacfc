import type { Clock } from '../../platform.ts';
import type { RefusedRequest } from './exchange.ts';

/** kubectl asks again at once. */
const REMEMBERED_MS = 10_000;
const MAX_REMEMBERED = 64;

/**
 * What was just refused to a client that asked by a WebSocket: kubectl takes any answer for a server without WebSockets, asks again by
 * SPDY, and shows the answer to that. Both are one request, and are decided and recorded once. One for all sessions of a sidecar.
 */
export class Refusals {
  readonly #clock: Clock;
  readonly #known = new Map<string, { readonly at: number; readonly refused: RefusedRequest }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param key - of all that decided */
  remember(key: string, refused: RefusedRequest): void {
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size >= MAX_REMEMBERED) this.#known.delete(oldest);
    this.#known.set(key, { at: this.#clock.monotonic(), refused });
  }

  /** The refusal, once. */
  take(key: string): RefusedRequest | undefined {
    const known = this.#known.get(key);
    this.#known.delete(key);
    return known !== undefined && this.#clock.monotonic() - known.at <= REMEMBERED_MS ? known.refused : undefined;
  }
}
