/**
 * Lets those who look do so together, and whoever changes do so alone, in the order in which they came: between the question where
 * a path leads and what is done there, nobody changes where it leads. One for all sessions that an agent has with a server.
 */
export class Turns {
  readonly #waiting: { readonly changes: boolean; readonly start: () => void }[] = [];
  #looking = 0;
  #changing = false;

  /** @returns what ends the turn; it may be called more than once */
  take(changes: boolean): Promise<() => void> {
    return new Promise((resolve) => {
      const start = (): void => {
        if (changes) this.#changing = true;
        else this.#looking++;
        let isOver = false;
        resolve(() => {
          if (isOver) return;
          isOver = true;
          if (changes) this.#changing = false;
          else this.#looking--;
          this.#next();
        });
      };
      this.#waiting.push({ changes, start });
      this.#next();
    });
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#changing || (first.changes && this.#looking > 0)) return;
      this.#waiting.shift();
      first.start();
    }
  }
}
