/**
 * Whose work waits for whose: what is of one key is done in the order in which it came, what is of different keys side by side, so much of
 * it at most, and what is to be alone when all that came before is over and before all that comes later.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  /** The last of each key that is not over; none of what came before the last that is alone. */
  readonly #last = new Map<string, Promise<void>>();
  #alone: Promise<void> = Promise.resolve();
  #free: number;

  /** @param most - works of different keys at once */
  constructor(most: number) {
    this.#free = most;
  }

  of<T>(key: string, work: () => Promise<T>): Promise<T> {
    const next = (this.#last.get(key) ?? this.#alone).then(() => this.#oneOfMany(work));
    const over = settled(next);
    this.#last.set(key, over);
    // Never rejects.
    void over.then(() => this.#forget(key, over));
    return next;
  }

  #forget(key: string, over: Promise<void>): void {
    if (this.#last.get(key) === over) this.#last.delete(key);
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const next = Promise.all([this.#alone, ...this.#last.values()]).then(work);
    this.#last.clear();
    this.#alone = settled(next);
    return next;
  }

  async #oneOfMany<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((begin) => this.#waiting.push(begin));
    try {
      return await work();
    } finally {
      // Whose turn is next takes this one's place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

function settled(work: Promise<unknown>): Promise<void> {
  return work.then(
    () => undefined,
    () => undefined,
  );
}
