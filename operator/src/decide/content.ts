import type { RequestContent } from '@chaperone/policy';
import { type Drawn, drawn } from '@chaperone/policy/attest';

/** Of a text that changes its script with each letter, so that no browser is kept busy by it. */
const MAX_PIECES = 20_000;

/** What is known of an action beside its request, as the page draws it. No signature is about it. */
export interface ContentSheet {
  readonly columns: readonly Drawn[];
  /** null is NULL. */
  readonly rows: readonly (readonly (Drawn | null)[])[];
  /** What it changes, line by line. */
  readonly change?: Drawn;
  /** All of its text, where the request has only the beginning. */
  readonly text?: Drawn;
}

export function contentSheet({ columns = [], rows = [], change, text }: RequestContent): ContentSheet {
  return {
    columns: columns.map((name) => drawn(name, { names: true })),
    rows: rows.map((row) => row.map((cell) => (cell === null ? null : drawn(cell, {})))),
    ...(change !== undefined && { change: bounded(drawn(change.join('\n'), { lines: true })) }),
    ...(text !== undefined && { text: bounded(drawn(text, { lines: true })) }),
  };
}

function bounded(pieces: Drawn): Drawn {
  if (pieces.length <= MAX_PIECES) return pieces;
  return [...pieces.slice(0, MAX_PIECES), ['escape', '⟨the rest is left out⟩']];
}
