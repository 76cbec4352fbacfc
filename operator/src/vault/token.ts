import type { Grant } from './answers.ts';
import type { VaultClient } from './client.ts';
import { VaultError } from './errors.ts';

/** What the operator is to Vault for a while. What Vault lends to it ends with it at the latest. */
export interface VaultToken {
  readonly value: string;
  readonly endsAt: number;
}
/** Parts of its time after which a token is renewed, and below which one that was renewed is near its longest time. */
const RENEW_AFTER = 1 / 2;
const NEAR_ITS_END = 1 / 2;

/** A token is asked after at most this often. */
const DOUBT_MS = 30_000;

type Held = { value: string; endsAt: number; checkedAt: number; renewAt: number; fullMs: number; renewable: boolean };

export interface TokensOptions {
  readonly client: Pick<VaultClient, 'login' | 'renewSelf'>;
  /** Monotonic, in ms: no change of the clock makes anything last longer. */
  readonly now: () => number;
  /** Ms to wait after so many failures in a row. */
  readonly backoff: (failures: number) => number;
  /** Another token than before is in force. */
  readonly onAnother: () => void;
}

/** The operator's token: signed in for when it is first needed, renewed while Vault renews it, and replaced before it ends. */
export class Tokens {
  readonly #options: TokensOptions;
  #held: Held | undefined;
  #asking: Promise<VaultToken> | undefined;
  #failures = 0;
  #failed: { readonly error: VaultError; readonly until: number } | undefined;

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** The token in force. One sign-in is under way at a time, and after a failure none for a while. Throws VaultError. */
  async get(signal: AbortSignal): Promise<VaultToken> {
    const now = this.#options.now();
    if (this.#held !== undefined && now < this.#held.renewAt) return this.#held;
    if (this.#failed !== undefined && now < this.#failed.until) return this.#stillGood(this.#failed.error);
    this.#asking ??= this.#ask(signal).finally(() => {
      this.#asking = undefined;
    });
    return await this.#asking;
  }

  /** When {@link get} has something to do, at the earliest. */
  get dueAt(): number {
    return Math.max(this.#held?.renewAt ?? 0, this.#failed?.until ?? 0);
  }

  /**
   * Vault does not permit something to this token: it is renewed before it is used again, which shows whether Vault still knows it. One
   * that cannot be renewed is used to half of its time; a new one would take away what is lent to the old one, for a policy that says no.
   */
  doubt(token: VaultToken): void {
    const held = this.#held;
    const now = this.#options.now();
    if (held === token && held.renewable && now - held.checkedAt > DOUBT_MS) held.renewAt = now;
  }

  async #ask(signal: AbortSignal): Promise<VaultToken> {
    try {
      const token = (await this.#renewed(signal)) ?? (await this.#signIn(signal));
      this.#failures = 0;
      this.#failed = undefined;
      return token;
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      this.#failures += 1;
      this.#failed = { error, until: this.#options.now() + this.#options.backoff(this.#failures) };
      return this.#stillGood(error);
    }
  }

  /** Undefined: Vault does not renew it, or not for long. */
  async #renewed(signal: AbortSignal): Promise<VaultToken | undefined> {
    const held = this.#held;
    const asked = this.#options.now();
    if (held === undefined || !held.renewable || asked >= held.endsAt) return undefined;
    let grant: Grant;
    try {
      grant = await this.#options.client.renewSelf(held.value, signal);
    } catch (error) {
      if (error instanceof VaultError && error.code === 'VaultRefused') return undefined;
      throw error;
    }
    held.endsAt = asked + grant.durationMs;
    held.checkedAt = asked;
    if (grant.durationMs < held.fullMs * NEAR_ITS_END) return undefined;
    held.renewAt = asked + grant.durationMs * RENEW_AFTER;
    held.renewable = grant.renewable;
    return held;
  }

  async #signIn(signal: AbortSignal): Promise<VaultToken> {
    const asked = this.#options.now();
    const { token, durationMs, renewable } = await this.#options.client.login(signal).catch((error: unknown) => {
      if (!(error instanceof VaultError)) throw error;
      throw new VaultError(error.code, `the operator cannot sign in there: ${error.message}`, error.status);
    });
    const renewAt = asked + durationMs * RENEW_AFTER;
    this.#held = { value: token, endsAt: asked + durationMs, checkedAt: asked, renewAt, fullMs: durationMs, renewable };
    this.#options.onAnother();
    return this.#held;
  }

  #stillGood(error: VaultError): VaultToken {
    if (this.#held === undefined || this.#options.now() >= this.#held.endsAt) throw error;
    return this.#held;
  }
}
