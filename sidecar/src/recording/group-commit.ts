/** Something whose written bytes can be made durable. `sync` never rejects: it settles those who wait for it itself. */
export interface Syncable {
  sync(): Promise<void>;
}

/**
 * Makes files durable together: while one round of fdatasync runs, everything else that asks joins the next round. `soon`
 * promises a round within `delayMs`, `now` one at once.
 */
export class GroupCommit {
  readonly #delayMs: number;
  readonly #dirty = new Set<Syncable>();
  #timer: NodeJS.Timeout | undefined;
  #running = false;

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
    if (this.#running) return;
    this.#running = true;
    void this.#rounds();
  }

  async #rounds(): Promise<void> {
    while (this.#dirty.size > 0) {
      const round = [...this.#dirty];
      this.#dirty.clear();
      await Promise.all(round.map((file) => file.sync()));
    }
    this.#running = false;
  }
}
