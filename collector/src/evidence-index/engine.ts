import type { Kysely, RawBuilder, Transaction } from 'kysely';
import type { CommandRow, IndexTables } from './schema.ts';

/** The index can be neither opened nor made anew, or is another collector's. */
export class IndexError extends Error {
  override readonly name = 'IndexError';
  readonly code = 'IndexUnreadable';
}

/** A place among the commands that were found. */
export interface CommandMatch {
  readonly id: number;
  readonly session: string;
  readonly seq: number;
}

/** What differs between the databases that can hold an index; all else is one query layer. */
export interface IndexEngine {
  readonly db: Kysely<IndexTables>;
  /** True where the tables were not there, or of another version: they have to be filled from the objects. */
  readonly empty: boolean;
  /** Makes all tables anew. The version is written by `complete`, so that a crash in between is seen at the next start. */
  clear(): Promise<void>;
  complete(): Promise<void>;
  /** All of it or nothing; `work` may run more than once. */
  transaction<T>(work: (tx: Transaction<IndexTables>) => Promise<T>): Promise<T>;
  insertCommands(tx: Transaction<IndexTables>, rows: readonly CommandRow[]): Promise<void>;
  /** After rows were deleted: sees that the database's own files, as far as a client can, do not hold what they said. */
  forget(): Promise<void>;
  /** The newest commands in these namespaces with every one of the words, or a word that begins with it. */
  matches(words: readonly string[], namespaces: readonly string[], limit: number): RawBuilder<CommandMatch>;
  /** The values as what stands right of `in`, however many. */
  anyOf(values: readonly string[]): RawBuilder<string>;
  close(): Promise<void>;
}
