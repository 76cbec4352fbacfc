import type { Leaf } from '../log/leaf.ts';
import type { FileVerdict } from '../file/verify-file.ts';
import type { Registration, Trust } from '../keys.ts';
import type { OpenRecord, SessionRecord } from '../record.ts';
import type { TrustPolicy } from '../log/policy.ts';
import type { z } from 'zod';
import type { VerifiedSegment } from '../verify.ts';
import { timeOf } from '../time.ts';

/** A value of a report; null: there is none, or nobody may read it. Times are ISO 8601 in UTC. */
export type Cell = string | number | null;
export type Row = readonly Cell[];

/** More rows than this are no report that somebody reads; a shorter time or one agent has fewer. */
export const MAX_REPORT_ROWS = 200_000;

/** Whose session it is, and what its opening record said where that could be read. */
export interface Context {
  readonly agent: Registration['agent'];
  readonly opening?: z.infer<typeof OpenRecord> | undefined;
}

/** A sound segment of the range. */
export interface Seen extends Context {
  readonly session: string;
  readonly segment: VerifiedSegment;
  /** None where its key is not in the file. */
  readonly records: readonly SessionRecord[];
}

export interface Found {
  readonly file: FileVerdict;
  readonly policy: TrustPolicy;
  readonly trust: Trust;
  /** Of a session that the report is about; undefined where the filter leaves it out, or nothing says whose it is. */
  readonly contexts: ReadonlyMap<string, Context>;
  readonly isAbout: (session: string) => boolean;
}

/** Makes rows of what a file holds. It is given entries first, then the segments that the filter lets through, session by session. */
export interface Reporter {
  readonly columns: readonly string[];
  entry?(leaf: Leaf, index: number): void;
  segment?(seen: Seen): void;
  rows(found: Found): Iterable<Row>;
}

/** Rows up to the bound. */
export class Rows {
  readonly all: Row[] = [];

  add(row: Row): void {
    if (this.all.length === MAX_REPORT_ROWS) throw tooMany();
    this.all.push(row);
  }
}

/** Counts by key, with the times of the first and the last. */
export class Groups<Sums extends Record<string, number>> {
  readonly #groups = new Map<string, { key: Row; sums: Sums; first: number; last: number }>();
  readonly #zero: Sums;

  constructor(zero: Sums) {
    this.#zero = zero;
  }

  add(key: Row, at: number, more: Partial<Sums>): void {
    const name = JSON.stringify(key);
    const found = this.#groups.get(name) ?? { key, sums: { ...this.#zero }, first: at, last: at };
    for (const [sum, value] of Object.entries(more) as [keyof Sums, number][])
      found.sums[sum] = ((found.sums[sum] as number) + value) as Sums[keyof Sums];
    found.first = Math.min(found.first, at);
    found.last = Math.max(found.last, at);
    this.#groups.set(name, found);
    if (this.#groups.size > MAX_REPORT_ROWS) throw tooMany();
  }

  /** Sorted by key: the key, the sums in the order of `zero`, first and last. */
  *rows(): Generator<Row> {
    for (const [, { key, sums, first, last }] of [...this.#groups].toSorted(([a], [b]) => compared(a, b)))
      yield [...key, ...Object.values(sums), timeOf(first), timeOf(last)];
  }
}

/** By code units, whatever the language of this machine. */
export function compared(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function resourceOf({ opening }: Context): string | null {
  return opening === undefined ? null : `${opening.resource.namespace}/${opening.resource.name}`;
}

export function personOf({ opening }: Context): string | null {
  return opening?.onBehalfOf?.user ?? null;
}

/** altered: the evidence is not believed · unfit: no report can be made of it, and the message says what to ask for. */
export class ReportRefused extends Error {
  override readonly name = 'ReportRefused';
  readonly kind: 'altered' | 'unfit';
  constructor(kind: ReportRefused['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Not an EvidenceError: nothing is wrong with the evidence. */
export function tooMany(): ReportRefused {
  return new ReportRefused('unfit', `the report has more than ${MAX_REPORT_ROWS} rows; ask for less time, or for one agent`);
}
