import type { Access } from '@chaperone/policy';
import { decideBackend, type Decision, MAX_BACKEND_BYTES } from '../wire/index.ts';

/**
 * What is taken from a server: a row that must be looked into has to be held whole, one that passes unchanged may be streamed,
 * and a large one that goes beyond a limit is not held at all.
 */
export function decideServer(type: number, length: number, row = { passes: false, beyond: false }): Decision {
  const decision = decideBackend(type, length);
  if (decision !== 'stream') return decision;
  if (row.beyond) return 'skip';
  if (row.passes) return decision;
  return length <= MAX_BACKEND_BYTES ? 'whole' : 'refuse';
}

/** What one session took so far, against limits that bound the whole of it. */
export interface Taken {
  rows: number;
}

/** A portal's share, against limits of one statement: it may be handed out by several Executes. */
export interface Handed {
  rows: number;
  bytes: number;
}

/** Whether a statement may be stopped in the middle of its rows. */
export function boundsRows({ rowsPerStatement, bytesPerStatement, rows }: Access['limits']): boolean {
  return rowsPerStatement !== undefined || bytesPerStatement !== undefined || rows !== undefined;
}

/** What `limits` leave of rows and bytes for one statement. Undefined limits bound nothing. */
export class Quota {
  readonly #limits: Access['limits'];
  readonly #taken: Taken;
  readonly #handed: Handed;

  constructor(limits: Access['limits'], taken: Taken, handed: Handed) {
    this.#limits = limits;
    this.#taken = taken;
    this.#handed = handed;
  }

  get limited(): boolean {
    return boundsRows(this.#limits);
  }

  /** Why a row of this size, its header included, is one too many; undefined: it is not. */
  beyond(bytes: number): string | undefined {
    const { rowsPerStatement, bytesPerStatement, rows } = this.#limits;
    if (rowsPerStatement !== undefined && this.#handed.rows >= rowsPerStatement)
      return `the statement gave more than ${rowsPerStatement} rows`;
    if (bytesPerStatement !== undefined && this.#handed.bytes + bytes > bytesPerStatement)
      return `the rows of the statement have more than ${bytesPerStatement} bytes`;
    if (rows !== undefined && this.#taken.rows >= rows) return `the session was given the ${rows} rows that it may have`;
    return undefined;
  }

  count(bytes: number, rows = 1): void {
    this.#taken.rows += rows;
    this.#handed.rows += rows;
    this.#handed.bytes += bytes;
  }

  /** Rows to ask the server for: one more than may be delivered tells that there were more. 0: all. */
  ask(wanted: number): number {
    const { rowsPerStatement = Infinity, rows = Infinity } = this.#limits;
    const left = Math.min(rowsPerStatement - this.#handed.rows, rows - this.#taken.rows);
    if (left === Infinity) return wanted;
    const room = Math.max(0, left) + 1;
    return wanted === 0 ? room : Math.min(wanted, room);
  }
}
