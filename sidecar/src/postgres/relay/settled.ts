/**
 * What becomes of one step, told once. There are several for each statement, and nobody waits for most of them: a promise is made
 * only for who does.
 */
export class Settled<T> {
  #value: T | undefined;
  #known = false;
  #promise: Promise<T> | undefined;
  #resolve: ((value: T) => void) | undefined;

  /** Only the first call counts. */
  resolve(value: T): void {
    if (this.#known) return;
    this.#known = true;
    this.#value = value;
    this.#resolve?.(value);
  }

  get promise(): Promise<T> {
    this.#promise ??= this.#known
      ? Promise.resolve(this.#value as T)
      : new Promise((resolve) => {
          this.#resolve = resolve;
        });
    return this.#promise;
  }
}
