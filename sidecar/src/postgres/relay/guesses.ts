import { createHash } from 'node:crypto';
import type { Judgement } from './judgement.ts';
import type { Refusal } from './texts.ts';

/** Distinct values that an agent may compare masked columns with (`inference: limit`). */
const BUDGET = 60;
const WINDOW_MS = 3_600_000;

/**
 * Counts distinct comparisons with masked columns. A statement and its bound values are one guess: more than one value may hide
 * in its text, so a statement counts once for each comparison it has.
 */
export class GuessBudget {
  readonly #seen = new Map<string, { at: number; weight: number }>();

  /** `settings`: what the same text may mean another constant under. */
  spend(
    judgement: Judgement,
    parameters: readonly (Buffer | null)[],
    now: number,
    settings: () => string = () => '',
  ): Refusal | undefined {
    if (judgement.guesses === 0) return undefined;
    const hash = createHash('sha256').update(JSON.stringify([judgement.statement.text, judgement.basis.tree, settings()]));
    for (const value of parameters) hash.update(value === null ? 'n' : `v${value.length}:`).update(value ?? '');
    const key = hash.digest('base64');
    let used = 0;
    for (const [other, guess] of this.#seen) {
      if (now - guess.at > WINDOW_MS) this.#seen.delete(other);
      else used += guess.weight;
    }
    if (this.#seen.has(key)) return undefined;
    if (used + judgement.guesses > BUDGET) {
      return {
        code: 'InferenceLimited',
        reason: `masked columns may be compared with at most ${BUDGET} different values an hour`,
      };
    }
    this.#seen.set(key, { at: now, weight: judgement.guesses });
    return undefined;
  }
}
