/**
 * Room that all sessions of a sidecar share for what an agent can make it hold. Pure: it counts what it is told, so whoever takes
 * has to free as much.
 */
export class Memory {
  readonly #limitBytes: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Bytes taken and not freed. */
  get used(): number {
    return this.#used;
  }

  /** False: there is no room, and nothing was taken. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limitBytes) return false;
    this.#used += bytes;
    return true;
  }

  /** Gives back what was taken. */
  free(bytes: number): void {
    this.#used -= bytes;
  }
}
