import type { Statement } from './statement.ts';

/** A rough size of what one entry holds beside its text and the texts of its statements. */
const ENTRY_BYTES = 400;

/** Least recently used classes by the exact text, bounded by entries and bytes. */
export class StatementCache {
  private readonly entries = new Map<string, readonly Statement[]>();
  private readonly maxEntries: number;
  private readonly maxBytes: number;
  private bytes = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.maxEntries = maxEntries;
    this.maxBytes = maxBytes;
  }

  get(sql: string): readonly Statement[] | undefined {
    const found = this.entries.get(sql);
    if (found) {
      this.entries.delete(sql);
      this.entries.set(sql, found);
    }
    return found;
  }

  set(sql: string, statements: readonly Statement[]): void {
    if (this.entries.has(sql) || cost(sql, statements) > this.maxBytes) return;
    this.entries.set(sql, statements);
    this.bytes += cost(sql, statements);
    for (const [oldest, held] of this.entries) {
      if (this.entries.size <= this.maxEntries && this.bytes <= this.maxBytes) break;
      this.entries.delete(oldest);
      this.bytes -= cost(oldest, held);
    }
  }

  get size(): { entries: number; bytes: number } {
    return { entries: this.entries.size, bytes: this.bytes };
  }
}

/** Two bytes a character, once for the key and once for the statements, which hold parts of it (and inner queries again). */
function cost(sql: string, statements: readonly Statement[]): number {
  return sql.length * 6 + ENTRY_BYTES * (1 + statements.length);
}
