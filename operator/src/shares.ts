/** What each one has under way at once, at most so much: nobody's share is all that there is. */
export class Shares {
  readonly #max: number;
  readonly #taken = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** A place, until it is disposed of; undefined where this one has all of its share. */
  take(who: string): Disposable | undefined {
    const taken = this.#taken.get(who) ?? 0;
    if (taken >= this.#max) return undefined;
    this.#taken.set(who, taken + 1);
    return { [Symbol.dispose]: () => this.#leave(who) };
  }

  #leave(who: string): void {
    const left = (this.#taken.get(who) ?? 0) - 1;
    if (left > 0) this.#taken.set(who, left);
    else this.#taken.delete(who);
  }
}
