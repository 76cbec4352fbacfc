export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, least and greatest; undefined of nothing. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? min) + (sorted[Math.ceil(middle)] ?? min)) / 2;
  return { median, min, max };
}

/**
 * How `ours` compares with `theirs`, round by round: what slows the machine for a while slows both halves of a round, so the
 * quotient of a round says more than the quotient of two medians.
 */
export function ratio(ours: readonly number[], theirs: readonly number[]): Spread | undefined {
  const quotients: number[] = [];
  for (const [round, value] of ours.entries()) {
    const other = theirs[round];
    if (other !== undefined && other > 0) quotients.push(value / other);
  }
  return spread(quotients);
}

/** A spread for a table. */
export function shown(of: Spread | undefined): string {
  return of === undefined ? '' : `${of.median.toFixed(2)} [${of.min.toFixed(2)}–${of.max.toFixed(2)}]`;
}
