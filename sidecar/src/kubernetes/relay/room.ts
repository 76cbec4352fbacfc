import type { Memory } from '../../session/memory.ts';

/** What one request holds of the room that all sessions share. */
export class Room {
  readonly #memory: Memory;
  #taken = 0;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Holds so many bytes from now on. False: there is no room for them. */
  hold(bytes: number): boolean {
    if (bytes <= this.#taken) {
      this.#memory.free(this.#taken - bytes);
      this.#taken = bytes;
      return true;
    }
    if (!this.#memory.take(bytes - this.#taken)) return false;
    this.#taken = bytes;
    return true;
  }
}
