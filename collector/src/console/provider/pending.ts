import { randomBytes } from 'node:crypto';
import { digest } from '../browser-sessions.ts';

/** How long somebody may take at the provider. */
export const PENDING_MS = 10 * 60_000;
/** Some 600 bytes each. Anybody may begin one, so that the oldest gives way to a new one; who signs in needs seconds. */
const MAX_PENDING = 10_000;
const TOKEN_BYTES = 32;

/** One sign-in from the click to the provider's answer. */
export interface SignInUnderWay<Secrets> {
  readonly secrets: Secrets;
  readonly path: string;
  /** The session that this browser had; it ends when this sign-in succeeds. */
  readonly before: string | undefined;
}

interface Kept<Secrets> extends SignInUnderWay<Secrets> {
  /** Digest of what the browser's cookie holds. */
  readonly browser: string;
  readonly expiresAt: number;
}

/** Sign-ins under way. What is secret in them stays here, but for the state, which is kept as a digest. */
export class PendingSignIns<Secrets> {
  readonly #now: () => number;
  readonly #pending = new Map<string, Kept<Secrets>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns What the provider hands back (`state`), and what only this browser gets (`browser`). */
  begin(underWay: SignInUnderWay<Secrets>): { state: string; browser: string } {
    for (const [key, { expiresAt }] of this.#pending)
      if (expiresAt <= this.#now() || this.#pending.size >= MAX_PENDING) this.#pending.delete(key);
      else break;
    const state = token();
    const browser = token();
    this.#pending.set(digest(state), { ...underWay, browser: digest(browser), expiresAt: this.#now() + PENDING_MS });
    return { state, browser };
  }

  /** The sign-in that a browser comes back from. A state counts once, whoever shows it. */
  take(state: string, browser: string | undefined): SignInUnderWay<Secrets> | undefined {
    const key = digest(state);
    const kept = this.#pending.get(key);
    this.#pending.delete(key);
    if (kept === undefined || browser === undefined) return undefined;
    return kept.expiresAt > this.#now() && kept.browser === digest(browser) ? kept : undefined;
  }
}

function token(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}
