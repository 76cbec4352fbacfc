import { createHash } from 'node:crypto';
import type { RecordBody } from '@chaperone/evidence';
import { type Deferred, deferred } from '../../platform.ts';
import { dataRowCells } from '../wire/index.ts';
import type { Quota } from './limits.ts';
import type { Portal } from './steps.ts';

/** Rows of one record; more rows make more records. */
const ROWS_PER_RECORD = 200;
const BYTES_PER_RECORD = 128 * 1024;

export type RunEnd = 'complete' | 'suspended' | 'copy-in' | 'failed';

/** One execution of one statement: counts, digest and the rows that evidence keeps. */
export class Run {
  readonly action: number;
  readonly portal: Portal;
  readonly settled: Deferred<RunEnd> = deferred();
  /** Ends after COPY FROM STDIN, when `settled` said copy-in. */
  readonly copied: Deferred<RunEnd> = deferred();
  /** Set once more came than the policy allows; no further row is delivered. */
  limitReached = false;
  limitReason = '';
  /** The last statement of a Query: it is done only once its commit is. */
  committing = false;
  copying: 'no' | 'in' | 'out' = 'no';
  rows = 0;
  bytes = 0;
  maskedValues = 0;
  truncated = false;
  readonly #hash = createHash('sha256');
  #span: Buffer | undefined;
  #kept: (string | null)[][] = [];
  #keptBytes = 0;
  #room: { rows: number; bytes: number };

  readonly #quota: Quota;

  constructor(action: number, portal: Portal, keep: { rows: number; bytes: number }, quota: Quota) {
    this.action = action;
    this.portal = portal;
    this.#room = { ...keep };
    this.#quota = quota;
  }

  /** Whether the policy bounds its rows. */
  get limited(): boolean {
    return this.#quota.limited;
  }

  /** Whether a row of this many bytes is not to be delivered. */
  exceeds(bytes: number): boolean {
    return this.limitReached || this.#quota.beyond(bytes) !== undefined;
  }

  /** True for every row beyond the policy's limit: it is not delivered. */
  reachesLimit(bytes: number): boolean {
    if (this.limitReached) return true;
    const reason = this.#quota.beyond(bytes);
    if (reason === undefined) {
      this.#quota.count(bytes);
      return false;
    }
    this.limitReached = true;
    this.limitReason = reason;
    return true;
  }

  /** Rows to ask the server for. 0: all. */
  ask(wanted: number): number {
    return this.#quota.ask(wanted);
  }

  /** Takes note of one DataRow as it was delivered. Returns a record when enough rows came together. */
  delivered(row: Buffer): RecordBody | undefined {
    this.rows++;
    this.digest(row);
    if (this.#room.rows <= 0 || this.#room.bytes < row.length) {
      this.truncated = true;
      return undefined;
    }
    this.#room.rows--;
    this.#room.bytes -= row.length;
    this.#keptBytes += row.length;
    this.#kept.push(textOf(row, this.portal.formats));
    return this.#kept.length >= ROWS_PER_RECORD || this.#keptBytes >= BYTES_PER_RECORD ? this.takeRows() : undefined;
  }

  /** Adds delivered bytes to the digest; neighbouring slices of one buffer are hashed at once. */
  digest(bytes: Buffer): void {
    this.bytes += bytes.length;
    const span = this.#span;
    if (span !== undefined && span.buffer === bytes.buffer && span.byteOffset + span.length === bytes.byteOffset) {
      this.#span = Buffer.from(span.buffer, span.byteOffset, span.length + bytes.length);
      return;
    }
    if (span !== undefined) this.#hash.update(span);
    this.#span = bytes;
  }

  /** Must be called before the read buffer behind delivered slices is reused. */
  settleDigest(): void {
    if (this.#span !== undefined) this.#hash.update(this.#span);
    this.#span = undefined;
  }

  takeRows(): RecordBody | undefined {
    if (this.#kept.length === 0) return undefined;
    const rows = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    return { type: 'rows', action: this.action, rows };
  }

  done(end: { tag?: string; error?: { code: string; message: string } }, durationMs: number): RecordBody {
    this.settleDigest();
    return {
      type: 'done',
      action: this.action,
      ...end,
      rows: this.rows,
      bytes: this.bytes,
      digest: this.#hash.digest('hex'),
      truncated: this.truncated,
      maskedValues: this.maskedValues,
      durationMs: Math.round(durationMs * 1000) / 1000,
    };
  }
}

function textOf(row: Buffer, formats: readonly number[]): (string | null)[] {
  const cells: (string | null)[] = [];
  let column = 0;
  for (const cell of dataRowCells(row)) {
    const format = formats.length === 0 ? 0 : formats.length === 1 ? formats[0] : formats[column];
    cells.push(cell === null ? null : format === 1 ? `b:${cell.toString('base64')}` : `t:${cell.toString('utf8')}`);
    column++;
  }
  return cells;
}
