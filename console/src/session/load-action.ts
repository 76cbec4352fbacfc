import type { RecordPage, SessionRecord } from '@chaperone/evidence';
import { get } from '../server.ts';
import type { ActionRecord, ApprovalRecord, DoneRecord } from './entries.ts';

const PAGE = 500;
/** Rows of a result that are loaded without being asked for. */
const FIRST_ROWS = 1_000;

type Columns = Pick<Extract<SessionRecord, { type: 'columns' }>, 'columns' | 'masked'>;

/** One of the results of an action: a statement may have several. */
export interface Result extends Columns {
  readonly rows: readonly (readonly (string | null)[])[];
}

/** An action whole: as it was asked, what came back as far as it is loaded, and how it ended. */
export interface WholeAction {
  readonly record: ActionRecord;
  /** What people said, where a rule held it. */
  readonly approval?: ApprovalRecord;
  readonly results: readonly Result[];
  readonly done?: DoneRecord;
  /** The record to read on from, where more of the result is stored. */
  readonly next?: number;
  /** Records of the result are missing. */
  readonly gap: boolean;
}

/** Reads an action from its record on, or goes on where `before` ended. */
export async function loadAction(session: string, seq: number, signal: AbortSignal, before?: WholeAction): Promise<WholeAction> {
  const reading = new Reading(before);
  const most = reading.count + FIRST_ROWS;
  for (let from: number | undefined = before?.next ?? seq; from !== undefined; ) {
    const page: RecordPage = await get(`/v1/sessions/${session}/records?from=${from}&limit=${PAGE}`, signal);
    if (page.gap !== undefined) reading.gap = true;
    for (const record of page.items) reading.take(record);
    if (reading.done !== undefined) break;
    // Nothing further is stored, yet or for good.
    if (page.next === undefined || page.next === from) break;
    from = page.next;
    if (reading.count >= most) return reading.whole(from);
  }
  return reading.whole();
}

class Reading {
  #record: ActionRecord | undefined;
  #approval: ApprovalRecord | undefined;
  readonly #results: { columns: Columns['columns']; masked: Columns['masked']; rows: (readonly (string | null)[])[] }[];
  done: DoneRecord | undefined;
  gap: boolean;
  count = 0;

  constructor(before: WholeAction | undefined) {
    this.#record = before?.record;
    this.#approval = before?.approval;
    this.#results = (before?.results ?? []).map((result) => ({ ...result, rows: [...result.rows] }));
    this.gap = before?.gap ?? false;
    this.count = this.#results.reduce((sum, { rows }) => sum + rows.length, 0);
  }

  take(record: SessionRecord): void {
    if (this.done !== undefined) return;
    if (record.type === 'action') this.#record ??= record;
    if (!('action' in record) || record.action !== this.#record?.action) return;
    if (record.type === 'approval') this.#approval = record;
    else if (record.type === 'columns') this.#columns(record);
    else if (record.type === 'rows') this.#rows(record.rows);
    else if (record.type === 'done') {
      this.done = record;
      if (record.result === undefined) return;
      this.#columns(record.result);
      this.#rows(record.result.rows);
    }
  }

  whole(next?: number): WholeAction {
    if (this.#record === undefined) throw new Error('this is no action');
    return {
      record: this.#record,
      results: this.#results,
      gap: this.gap,
      ...(this.#approval === undefined ? {} : { approval: this.#approval }),
      ...(this.done === undefined ? {} : { done: this.done }),
      ...(next === undefined ? {} : { next }),
    };
  }

  #columns({ columns, masked }: Columns): void {
    this.#results.push({ columns, masked, rows: [] });
  }

  #rows(rows: readonly (readonly (string | null)[])[]): void {
    if (this.#results.length === 0) this.#results.push({ columns: [], masked: [], rows: [] });
    for (const row of rows) this.#results.at(-1)?.rows.push(row);
    this.count += rows.length;
  }
}
