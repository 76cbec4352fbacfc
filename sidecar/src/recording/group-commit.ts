/**
 * Rounds in which everything written so far becomes durable at once. `soon` promises that a round begins within `delayMs`, `now` that
 * one begins at once; while a round runs, who asks for one at once joins the next.
 */
export class GroupCommit {
  readonly #delayMs: number;
  /** Never rejects: it tells those who wait by itself. */
  readonly #sync: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** Somebody waits for a round that has not begun. */
  #asked = false;

  constructor(delayMs: number, sync: () => Promise<void>) {
    this.#delayMs = delayMs;
    this.#sync = sync;
  }

  soon(): void {
    this.#timer ??= setTimeout(() => this.now(), this.#delayMs);
  }

  now(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = true;
    this.#running ??= this.#rounds();
  }

  /** Resolves when what was asked for by now is over. */
  async idle(): Promise<void> {
    if (this.#timer !== undefined) this.now();
    await this.#running;
  }

  async #rounds(): Promise<void> {
    while (this.#asked) {
      this.#asked = false;
      await this.#sync();
    }
    this.#running = undefined;
  }
}
