import { SshError } from './error.ts';

/** Answers still owed to the other side, on one channel or for a connection. More are asked for by nobody who waits for them. */
const MAX_OWED = 64;

/**
 * Gives answers in the order of their requests, whenever each is known: they bear no numbers (RFC 4254, sections 4 and 5.4).
 */
export class Replies<Answer> {
  readonly #owed: { answer?: Answer }[] = [];
  readonly #give: (answer: Answer) => void;

  constructor(give: (answer: Answer) => void) {
    this.#give = give;
  }

  /** @returns what takes the answer to one more request, once. @throws SshError where too many are owed */
  owe(): (answer: Answer) => void {
    if (this.#owed.length === MAX_OWED) throw new SshError('more requests than may wait for an answer');
    const slot: { answer?: Answer } = {};
    this.#owed.push(slot);
    return (answer) => {
      slot.answer ??= answer;
      for (let first = this.#owed[0]; first?.answer !== undefined; first = this.#owed[0]) {
        this.#owed.shift();
        this.#give(first.answer);
      }
    };
  }
}
