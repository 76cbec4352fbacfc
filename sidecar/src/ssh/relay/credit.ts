/**
 * Gives a sender its window back as far as what it sent has gone on: it may be owed as much as still waits of what its bytes led to,
 * which may be more or fewer.
 */
export class Credit {
  readonly #give: (bytes: number) => void;
  readonly #mayGive: () => boolean;
  #owed = 0;
  #waiting = 0;

  /** @param mayGive - while it is false, nothing is given back; whoever changes that calls {@link settle} */
  constructor(give: (bytes: number) => void, mayGive: () => boolean = () => true) {
    this.#give = give;
    this.#mayGive = mayGive;
  }

  /** So many bytes came, and are done with but for what {@link waits}, of which was to be told before. */
  came(bytes: number): void {
    this.#owed += bytes;
    this.settle();
  }

  /** So many bytes are about to go on. */
  waits(bytes: number): void {
    this.#waiting += bytes;
  }

  /** So many of them have. */
  readonly went = (bytes: number): void => {
    this.#waiting -= bytes;
    this.settle();
  };

  settle(): void {
    const bytes = this.#owed - this.#waiting;
    if (bytes <= 0 || !this.#mayGive()) return;
    this.#owed -= bytes;
    this.#give(bytes);
  }
}
