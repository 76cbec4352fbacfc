/** Numbers that a generator draws: from a seed, or a list that was drawn before. The list is what a failure is shrunk by. */
export class Choices {
  readonly drawn: number[] = [];
  readonly #given: readonly number[] | undefined;
  #state: number;

  constructor(from: number | readonly number[]) {
    this.#given = typeof from === 'number' ? undefined : from;
    this.#state = typeof from === 'number' ? from >>> 0 : 0;
  }

  /** A number below `bound`; 0 once a given list is at its end. */
  below(bound: number): number {
    const value = this.#given === undefined ? this.#random(bound) : Math.min(this.#given[this.drawn.length] ?? 0, bound - 1);
    this.drawn.push(value);
    return value;
  }

  /** One of the items; the first one is the simplest. */
  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  /** True about once in `n` times; false where a list is at its end. */
  oneIn(n: number): boolean {
    return this.below(n) === n - 1;
  }

  /** mulberry32 */
  #random(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * bound);
  }
}

/** Most lists that are tried to make a failure smaller. */
const MAX_TRIES = 400;

/** A shorter list of choices that still fails: pieces are cut out, then numbers lowered. */
export async function shrink(
  failing: readonly number[],
  fails: (choices: readonly number[]) => Promise<boolean>,
): Promise<readonly number[]> {
  let best = [...failing];
  let tries = 0;
  const accept = async (candidate: number[]): Promise<boolean> => {
    if (++tries > MAX_TRIES || !(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length; ) if (!(await accept(best.toSpliced(at, size)))) at += size;
  }
  for (let at = 0; at < best.length; at++) {
    if ((best[at] ?? 0) > 0) await accept(best.with(at, 0));
  }
  return best;
}
