import { createHash, hash, type Hash } from 'node:crypto';
import type { RecordBody } from '@chaperone/evidence';
import type { CopyMasker } from '../masking/index.ts';
import { mapColumns, rowEnd } from '../wire/index.ts';
import type { Quota } from './limits.ts';
import { Settled } from './settled.ts';
import type { Portal } from './steps.ts';
import type { Refusal } from './texts.ts';

/** Rows of one record; more rows make more records. */
const ROWS_PER_RECORD = 200;
const BYTES_PER_RECORD = 128 * 1024;

/** How a run ended: what the server said, or the error that took its place. */
export interface RunResult {
  readonly tag?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

type Done = { -readonly [K in keyof Extract<RecordBody, { type: 'done' }>]: Extract<RecordBody, { type: 'done' }>[K] };

export type RunEnd = 'complete' | 'suspended' | 'copy-in' | 'failed';

export interface RunOptions {
  readonly action: number;
  readonly portal: Portal;
  /** What of its rows evidence keeps. */
  readonly keep: { readonly rows: number; readonly bytes: number };
  readonly quota: Quota;
  /** When it was sent, on the monotonic clock. */
  readonly since: number;
}

/** One execution of one statement: counts, digest and the rows that evidence keeps. */
export class Run {
  readonly action: number;
  readonly portal: Portal;
  readonly since: number;
  readonly settled = new Settled<RunEnd>();
  #copied: Settled<RunEnd> | undefined;
  /** Told what is recorded of its end: once it is committed, outside a transaction. */
  onEnd: ((end: RunResult) => void) | undefined;
  /** Set once more came than the policy allows, or what cannot be masked; no further row is delivered. */
  stopped: Refusal | undefined;
  /** The last statement of a Query: it is done only once its commit is. */
  committing = false;
  copying: 'no' | 'in' | 'out' = 'no';
  /** Masks what COPY TO gives; undefined: it passes as it is. */
  masker: CopyMasker | undefined;
  rows = 0;
  bytes = 0;
  maskedValues = 0;
  truncated = false;
  #hash: Hash | undefined;
  #columnsTold = false;
  #span: Buffer | undefined;
  /** Delivered rows that were not looked into. */
  #unread: Buffer[] = NO_ROWS;
  #kept: (string | null)[][] = [];
  #keptBytes = 0;
  #roomRows: number;
  #roomBytes: number;

  readonly #quota: Quota;

  constructor({ action, portal, keep, quota, since }: RunOptions) {
    this.action = action;
    this.portal = portal;
    this.since = since;
    this.#roomRows = keep.rows;
    this.#roomBytes = keep.bytes;
    this.#quota = quota;
  }

  /** Ends after COPY FROM STDIN, when `settled` said copy-in. */
  get copied(): Settled<RunEnd> {
    this.#copied ??= new Settled();
    return this.#copied;
  }

  /** It is over, a copy within it too. */
  end(as: RunEnd): void {
    this.settled.resolve(as);
    if (this.copying === 'in') this.copied.resolve(as);
  }

  /** Bytes of rows that are kept for its next record. */
  get keptBytes(): number {
    let bytes = this.#keptBytes;
    for (const rows of this.#unread) bytes += rows.length;
    return bytes;
  }

  /** Whether the policy bounds its rows. */
  get limited(): boolean {
    return this.#quota.limited;
  }

  /** Whether a row of this many bytes is not to be delivered. */
  exceeds(bytes: number): boolean {
    return this.stopped !== undefined || this.#quota.beyond(bytes) !== undefined;
  }

  /** How many bytes of `rows`, whole messages one behind the other, may be delivered, and how many rows that are. */
  allow(rows: Buffer, count: number): { readonly bytes: number; readonly count: number } {
    if (this.stopped !== undefined) return { bytes: 0, count: 0 };
    if (!this.limited) {
      // The policy may bound them by the next statement.
      this.#quota.count(rows.length, count);
      return { bytes: rows.length, count };
    }
    let allowed = 0;
    let at = 0;
    while (allowed < count) {
      const end = rowEnd(rows, at);
      if (this.reachesLimit(end - at)) break;
      at = end;
      allowed++;
    }
    return { bytes: at, count: allowed };
  }

  /** True for every row beyond the policy's limit: it is not delivered. */
  reachesLimit(bytes: number): boolean {
    if (this.stopped !== undefined) return true;
    const reason = this.#quota.beyond(bytes);
    if (reason === undefined) {
      this.#quota.count(bytes);
      return false;
    }
    this.stopped = { code: 'LimitReached', reason };
    return true;
  }

  /** Rows to ask the server for. 0: all. */
  ask(wanted: number): number {
    return this.#quota.ask(wanted);
  }

  /** Takes note of `count` DataRow messages as they were delivered; `settle` looks into them. */
  delivered(rows: Buffer, count: number): void {
    this.rows += count;
    this.digest(rows);
    if (this.truncated) return;
    if (this.#unread.length === 0) this.#unread = [rows];
    else this.#unread.push(rows);
  }

  /**
   * Works through what was delivered of one read of the server, once it is on its way to the agent. Must be called before the
   * read buffer behind it is reused. Returns records where enough rows came together.
   */
  settle(): readonly RecordBody[] {
    if (this.#span !== undefined) this.#update(this.#span);
    this.#span = undefined;
    return this.#keepUnread();
  }

  #keepUnread(): readonly RecordBody[] {
    const unread = this.#unread;
    if (unread.length === 0) return NO_RECORDS;
    this.#unread = NO_ROWS;
    let records = NO_RECORDS;
    for (const rows of unread) {
      for (let at = 0; at < rows.length; ) {
        const end = rowEnd(rows, at);
        if (!this.#keep(at === 0 && end === rows.length ? rows : rows.subarray(at, end))) return records;
        if (this.#kept.length >= ROWS_PER_RECORD || this.#keptBytes >= BYTES_PER_RECORD)
          records = [...records, ...this.#takeRows()];
        at = end;
      }
    }
    return records;
  }

  /** False once the room for rows is used up. */
  #keep(row: Buffer): boolean {
    if (this.#roomRows <= 0 || this.#roomBytes < row.length) {
      this.truncated = true;
      return false;
    }
    this.#roomRows--;
    this.#roomBytes -= row.length;
    this.#keptBytes += row.length;
    this.#kept.push(textOf(row, this.portal.formats));
    return true;
  }

  /** Adds delivered bytes to the digest; neighbouring slices of one buffer are hashed at once. */
  digest(bytes: Buffer): void {
    this.bytes += bytes.length;
    const span = this.#span;
    if (span !== undefined && span.buffer === bytes.buffer && span.byteOffset + span.length === bytes.byteOffset) {
      this.#span = Buffer.from(span.buffer, span.byteOffset, span.length + bytes.length);
      return;
    }
    if (span !== undefined) this.#update(span);
    this.#span = bytes;
  }

  #update(bytes: Buffer): void {
    this.#hash ??= createHash('sha256');
    this.#hash.update(bytes);
  }

  /** SHA-256 of all that was delivered; what lies in one piece, as most results do, is hashed in one call. */
  #digest(): string {
    const span = this.#span ?? NOTHING;
    this.#span = undefined;
    return this.#hash === undefined ? hash('sha256', span, 'hex') : this.#hash.update(span).digest('hex');
  }

  #takeRows(): readonly RecordBody[] {
    const rows: RecordBody = { type: 'rows', action: this.action, rows: this.#kept };
    const records: readonly RecordBody[] = this.#columnsTold
      ? [rows]
      : [{ type: 'columns', action: this.action, ...this.#columns() }, rows];
    this.#columnsTold = true;
    this.#kept = [];
    this.#keptBytes = 0;
    return records;
  }

  #columns(): Pick<Extract<RecordBody, { type: 'columns' }>, 'columns' | 'masked'> {
    const { prepared, judgement } = this.portal;
    return {
      columns: prepared.fields.map(({ name, typeOid }) => ({ name, type: typeOid })),
      // Written out before anybody could change them.
      masked: (judgement.plan?.notes ?? []) as Extract<RecordBody, { type: 'columns' }>['masked'],
    };
  }

  /** What is left to record once it ended. */
  done(end: RunResult, durationMs: number): readonly RecordBody[] {
    const before = this.#keepUnread();
    const last = this.#columnsTold && this.#kept.length > 0 ? this.#takeRows() : NO_RECORDS;
    const done: Done = {
      type: 'done',
      action: this.action,
      rows: this.rows,
      bytes: this.bytes,
      digest: this.#digest(),
      truncated: this.truncated,
      maskedValues: this.maskedValues,
      durationMs: Math.round(durationMs * 1000) / 1000,
    };
    if (end.tag !== undefined) done.tag = end.tag;
    if (end.error !== undefined) done.error = end.error;
    if (!this.#columnsTold && this.portal.prepared.fields.length > 0) done.result = { ...this.#columns(), rows: this.#kept };
    return before.length === 0 && last.length === 0 ? [done] : [...before, ...last, done];
  }
}

const NO_RECORDS: readonly RecordBody[] = [];
/** Nothing is pushed to it. */
const NO_ROWS: Buffer[] = [];
const NOTHING = Buffer.alloc(0);

function textOf(row: Buffer, formats: readonly number[]): (string | null)[] {
  return mapColumns(row, (bytes, from, to, column) => {
    const format = formats.length === 0 ? 0 : formats.length === 1 ? formats[0] : formats[column];
    return format === 1 ? `b:${bytes.toString('base64', from, to)}` : `t:${bytes.toString('utf8', from, to)}`;
  });
}
