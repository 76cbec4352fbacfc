/** Connections on which nobody is let in yet: they hold a place each, and strangers may open any number. */
export class Logins {
  readonly #most: number;
  /** In the order in which they came. */
  readonly #under = new Set<() => void>();

  /** @param most - at once */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Takes a place. Where there is none the connection that has waited longest for somebody gives way: who means it is in at once.
   * @param drop - ends the connection. @returns what gives the place back: somebody is let in, or it is over
   */
  begin(drop: () => void): () => void {
    const [oldest] = this.#under;
    if (oldest !== undefined && this.#under.size >= this.#most) {
      this.#under.delete(oldest);
      oldest();
    }
    const own = (): void => drop();
    this.#under.add(own);
    return () => void this.#under.delete(own);
  }
}
