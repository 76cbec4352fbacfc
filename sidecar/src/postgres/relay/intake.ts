import { decideFrontend, type Decision } from '../wire/index.ts';
import type { Memory } from '../../session/memory.ts';

/** Messages up to this many bytes are held without asking: a session holds one at a time. */
const SMALL_BYTES = 1024 * 1024;

/**
 * What one session takes from its agent: as {@link decideFrontend}, but a large message is held whole only where there is room for
 * all of it, as its header announces. The reader decides on a message only after the one before it was given out.
 */
export class Intake {
  readonly #memory: Memory;
  #heldBytes = 0;
  #crowded = false;
  #over = false;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** The message that was decided on last is skipped because there was no room for it. */
  get crowded(): boolean {
    return this.#crowded;
  }

  /** Room is taken for a message. */
  get holds(): boolean {
    return this.#heldBytes > 0;
  }

  decide(type: number, length: number): Decision {
    const decision = decideFrontend(type, length);
    this.#crowded = false;
    if (decision !== 'whole' || length <= SMALL_BYTES) return decision;
    this.#crowded = this.#over || !this.#memory.take(length);
    if (this.#crowded) return 'skip';
    this.#heldBytes += length;
    return decision;
  }

  /** Nothing of the messages so far is held any more. */
  release(): void {
    this.#memory.free(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** The session ended: what still arrives takes no room. */
  end(): void {
    this.#over = true;
    this.release();
  }
}
