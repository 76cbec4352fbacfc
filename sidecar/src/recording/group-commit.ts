/** Something whose written bytes can be made durable. `sync` never rejects: it settles those who wait for it itself. */
export interface Syncable {
  sync(): Promise<void>;
}

/**
 * Makes files durable together. `soon` promises that a round of fdatasync begins within `delayMs`, `now` that one begins at once;
 * while a round runs, what asks for one at once joins the next.
 */
export class GroupCommit {
  readonly #delayMs: number;
  readonly #dirty = new Set<Syncable>();
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  /** Somebody waits for a round that has not begun. */
  #asked = false;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  soon(file: Syncable): void {
    this.#dirty.add(file);
    this.#timer ??= setTimeout(() => this.#start(), this.#delayMs);
  }

  now(file: Syncable): void {
    this.#dirty.add(file);
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = true;
    if (this.#running) return;
    this.#running = true;
    void this.#rounds();
  }

  async #rounds(): Promise<void> {
    while (this.#asked) {
      this.#asked = false;
      const round = [...this.#dirty];
      this.#dirty.clear();
      await Promise.all(round.map((file) => file.sync()));
    }
    this.#running = false;
  }
}
