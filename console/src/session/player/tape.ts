import type { RecordPage, SessionRecord } from '@chaperone/evidence';

export type StreamRecord = Extract<SessionRecord, { type: 'output' | 'resize' | 'done' }>;

/** Some of an action's records in order. */
export interface TapePage {
  readonly records: readonly StreamRecord[];
  /** Where the next page begins; absent where nothing further is stored, yet or for good. */
  readonly next?: number;
  /** Where to ask again, of an action that goes on. */
  readonly end: number;
  readonly ended: boolean;
  readonly gap: boolean;
}

/** Characters of pages that are kept, so that going back a little asks nobody. */
const MAX_KEPT = 8 * 1024 * 1024;

/** What one action's program showed and was told, read page by page; of a long recording only the pages used last are kept. */
export class Tape {
  readonly #load: (from: number) => Promise<RecordPage>;
  /** The least used first. */
  readonly #kept = new Map<number, { page: TapePage; size: number }>();
  #size = 0;

  constructor(load: (from: number) => Promise<RecordPage>) {
    this.#load = load;
  }

  /** Characters that are held. */
  get size(): number {
    return this.#size;
  }

  async page(from: number): Promise<TapePage> {
    const kept = this.#kept.get(from);
    if (kept !== undefined) {
      this.#kept.delete(from);
      this.#kept.set(from, kept);
      return kept.page;
    }
    const page = pageOf(from, await this.#load(from));
    // What is not whole yet is asked for again.
    if (page.ended || page.next !== undefined) this.#keep(from, page);
    return page;
  }

  #keep(from: number, page: TapePage): void {
    const size = page.records.reduce((sum, record) => sum + (record.type === 'output' ? record.data.length : 0) + 100, 100);
    this.#kept.set(from, { page, size });
    this.#size += size;
    for (const [key, { size: freed }] of this.#kept) {
      if (this.#size <= MAX_KEPT || key === from) break;
      this.#kept.delete(key);
      this.#size -= freed;
    }
  }
}

function pageOf(from: number, { items, next, end = from, gap }: RecordPage): TapePage {
  const records = items.filter(
    (record): record is StreamRecord => record.type === 'output' || record.type === 'resize' || record.type === 'done',
  );
  const ended = records.at(-1)?.type === 'done';
  return { records, end, ended, gap: gap !== undefined, ...(next === undefined || next === from ? {} : { next }) };
}
