/**
 * Places that callers share. Half of them are for callers that have none; of the rest a caller has at most as many as stay free, so that
 * one alone gets a quarter of all, and each greedy one half of what the one before it left. Whoever comes finds a place while no more than
 * half as many callers as there are places have any. What was given is kept until it is disposed of.
 */
export class Shares {
  readonly #places: number;
  readonly #taken = new Map<string, number>();
  #free: number;

  constructor(places: number) {
    this.#places = places;
    this.#free = places;
  }

  /** A place, until it is disposed of; undefined where this one has all of its share. */
  take(who: string): Disposable | undefined {
    const taken = this.#taken.get(who) ?? 0;
    const spare = this.#free - Math.ceil(this.#places / 2);
    if (this.#free === 0 || (taken > 0 && taken >= spare)) return undefined;
    this.#free -= 1;
    this.#taken.set(who, taken + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#leave(who);
        held = false;
      },
    };
  }

  #leave(who: string): void {
    this.#free += 1;
    const left = (this.#taken.get(who) ?? 0) - 1;
    if (left > 0) this.#taken.set(who, left);
    else this.#taken.delete(who);
  }
}
