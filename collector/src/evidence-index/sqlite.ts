import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, type RawBuilder, type SqliteDatabase, SqliteDialect, sql, type Transaction } from 'kysely';
import { scopeOf } from './commands.ts';
import type { CommandMatch, IndexEngine } from './engine.ts';
import { type CommandRow, INDEX_VERSION, type IndexTables, TABLES } from './schema.ts';

const CREATE_TABLES = `
CREATE TABLE sessions (
  session TEXT PRIMARY KEY, key_id TEXT NOT NULL, nkey TEXT NOT NULL, namespace TEXT NOT NULL, service_account TEXT NOT NULL, pod TEXT, pod_uid TEXT,
  resource_namespace TEXT, resource_name TEXT, protocol TEXT, purpose TEXT, mode TEXT, caller_issuer TEXT, caller_user TEXT,
  retention TEXT, erased INTEGER NOT NULL, received_at REAL NOT NULL,  started_at REAL NOT NULL, last_at REAL NOT NULL,
  actions INTEGER NOT NULL, denied INTEGER NOT NULL, held INTEGER NOT NULL, masked INTEGER NOT NULL, dropped INTEGER NOT NULL,
  segments INTEGER NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
  last_number INTEGER NOT NULL, high_water INTEGER NOT NULL, closed INTEGER NOT NULL, torn INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_time ON sessions (namespace, started_at DESC);
CREATE INDEX sessions_by_retention ON sessions (retention, received_at);
CREATE TABLE segments (
  session TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, link TEXT NOT NULL, prev TEXT, epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, bytes INTEGER NOT NULL, closes INTEGER NOT NULL, received_at REAL NOT NULL,
  PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE findings (
  session TEXT NOT NULL, digest TEXT NOT NULL, number INTEGER NOT NULL, nkey TEXT NOT NULL, code TEXT NOT NULL,
  message TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (session, digest)
) STRICT;
CREATE TABLE leaves (
  leaf INTEGER PRIMARY KEY, kind TEXT NOT NULL, session TEXT, number INTEGER, digest TEXT, at REAL
) STRICT;
CREATE INDEX leaves_by_segment ON leaves (session, number) WHERE kind = 'segment';
CREATE INDEX leaves_by_order ON leaves (session, leaf) WHERE digest IS NOT NULL;
CREATE INDEX leaves_by_read ON leaves (leaf) WHERE kind = 'read';
CREATE INDEX leaves_by_reader ON leaves (session, leaf) WHERE kind = 'read';
CREATE VIRTUAL TABLE commands USING fts5(
  session UNINDEXED, seq UNINDEXED, at UNINDEXED, verdict UNINDEXED, scope, text, plain,
  tokenize = "unicode61 remove_diacritics 0 tokenchars '_'"
);
INSERT INTO commands (commands, rank) VALUES ('secure-delete', 1);
`;

/** Statements that stay prepared: there are fewer texts that are used often. */
const MAX_PREPARED = 256;
const INSERT_COMMAND = 'INSERT INTO commands (session, seq, at, verdict, scope, text, plain) VALUES (?, ?, ?, ?, ?, ?, ?)';

/**
 * An index in a file. It is locked for this process alone until it is closed, so two collectors can never write one index; commits are
 * synced to disk. Throws what SQLite says where the file cannot be opened or is damaged.
 */
export function openSqlite(path: string): IndexEngine {
  const database = new DatabaseSync(path);
  try {
    database.exec(
      'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON',
    );
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    const empty = version !== INDEX_VERSION;
    if (empty) clear(database);
    // Damage that the head of the file does not show.
    else for (const table of TABLES) database.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get();
    return new SqliteEngine(database, empty);
  } catch (error) {
    database.close();
    throw error;
  }
}

class SqliteEngine implements IndexEngine {
  readonly db: Kysely<IndexTables>;
  readonly empty: boolean;
  readonly #database: DatabaseSync;
  readonly #prepared: Prepared;

  constructor(database: DatabaseSync, empty: boolean) {
    this.#database = database;
    this.empty = empty;
    this.#prepared = new Prepared(database);
    this.db = new Kysely<IndexTables>({ dialect: new SqliteDialect({ database: adapter(database, this.#prepared) }) });
  }

  clear(): Promise<void> {
    clear(this.#database);
    return Promise.resolve();
  }

  complete(): Promise<void> {
    this.#database.exec(`PRAGMA user_version = ${INDEX_VERSION}`);
    return Promise.resolve();
  }

  transaction<T>(work: (tx: Transaction<IndexTables>) => Promise<T>): Promise<T> {
    return this.db.transaction().execute(work);
  }

  /** Each by the same statement, on the one connection that there is: the transaction's. */
  insertCommands(_: Transaction<IndexTables>, rows: readonly CommandRow[]): Promise<void> {
    const { statement } = this.#prepared.of(INSERT_COMMAND);
    for (const { session, seq, at, verdict, scope, text, plain } of rows)
      statement.run(session, seq, at, verdict, scope, text, plain);
    return Promise.resolve();
  }

  forget(): Promise<void> {
    // What was deleted is overwritten in the file; the log that is written ahead still has it.
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return Promise.resolve();
  }

  // The namespaces are part of the question, so that what nobody may see takes no place among what is looked at. Each word is quoted, so
  // that none is an operator: https://sqlite.org/fts5.html#full_text_query_syntax
  matches(words: readonly string[], namespaces: readonly string[], limit: number): RawBuilder<CommandMatch> {
    const wanted = words.map((word) => `"${word}"*`).join(' ');
    const question = `scope : (${namespaces.map(scopeOf).join(' OR ')}) AND {text plain} : (${wanted})`;
    return sql`SELECT rowid AS id, session, seq FROM commands WHERE commands MATCH ${question} ORDER BY rowid DESC LIMIT ${limit}`;
  }

  anyOf(values: readonly string[]): RawBuilder<string> {
    return sql`(SELECT value FROM json_each(${JSON.stringify(values)}))`;
  }

  async close(): Promise<void> {
    await this.db.destroy();
    // Where nothing was asked, kysely has not opened what it would close.
    if (this.#database.isOpen) this.#database.close();
  }
}

function clear(database: DatabaseSync): void {
  database.exec('PRAGMA user_version = 0');
  for (const table of TABLES) database.exec(`DROP TABLE IF EXISTS ${table}`);
  database.exec(CREATE_TABLES);
}

interface PreparedStatement {
  readonly statement: StatementSync;
  /** Whether it answers with rows. */
  readonly reader: boolean;
}

/** Statements by their texts, those that were used last. */
class Prepared {
  readonly #database: DatabaseSync;
  readonly #kept = new Map<string, PreparedStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  of(text: string): PreparedStatement {
    const known = this.#kept.get(text);
    this.#kept.delete(text);
    const statement = known?.statement ?? this.#database.prepare(text);
    const prepared = known ?? { statement, reader: statement.columns().length > 0 };
    if (this.#kept.size >= MAX_PREPARED) this.#kept.delete(this.#kept.keys().next().value ?? '');
    this.#kept.set(text, prepared);
    return prepared;
  }
}

function adapter(database: DatabaseSync, prepared: Prepared): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare: (text) => {
      const { statement, reader } = prepared.of(text);
      return {
        reader,
        all: (parameters) => statement.all(...inputs(parameters)),
        run: (parameters) => statement.run(...inputs(parameters)),
        // Read piece by piece, with others in between that may have the same text.
        iterate: (parameters) => database.prepare(text).iterate(...inputs(parameters)) as IterableIterator<unknown>,
      };
    },
  };
}

function inputs(parameters: readonly unknown[]): SQLInputValue[] {
  return [...parameters] as SQLInputValue[];
}
