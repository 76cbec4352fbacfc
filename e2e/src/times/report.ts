/** One round of hold, decision and answer, in ms. */
export interface Round {
  /** From the agent's sending until a client that watches shows it as waiting. */
  readonly visible: number;
  /** From a person's sending of the approval to the agent's result. */
  readonly answered: number;
  /** The same, from the API server's answer to the person. */
  readonly answeredOnceStored: number;
}
export interface Measured {
  readonly others: number;
  readonly rounds: readonly Round[];
  /** Load of the machine in the last minute, at each round. */
  readonly loads: readonly number[];
}

/** What people are promised, ms at p99. */
const AIMS = { visible: 150, answered: 500 } as const;
export const HEAD = ['date', 'commit', 'load', 'others', 'rounds', 'visible', 'answered', 'once stored', 'aims'];

/** The least of the values that `share` of all do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** A line of the table of docs/testing/approvals.md. */
export function row({ others, rounds, loads }: Measured, date: string, commit: string): string[] {
  const of = (key: keyof Round): number[] => rounds.map((round) => round[key]);
  const shown = (key: keyof Round): string => [0.5, 0.99, 1].map((share) => percentile(of(key), share).toFixed(0)).join(' / ');
  const reached = percentile(of('visible'), 0.99) <= AIMS.visible && percentile(of('answered'), 0.99) <= AIMS.answered;
  const load = [Math.min(...loads), Math.max(...loads)].map((each) => each.toFixed(1)).join('–');
  const cells = [date, commit, load, String(others), String(rounds.length)];
  return [...cells, shown('visible'), shown('answered'), shown('answeredOnceStored'), reached ? 'reached' : 'not reached'];
}
