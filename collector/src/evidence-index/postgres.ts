import { Kysely, PostgresDialect, type RawBuilder, sql, type Transaction } from 'kysely';
import { Client, type ClientConfig, Pool, types } from 'pg';
import { inGroups, scopeOf, wordsOf } from './commands.ts';
import { type CommandMatch, type IndexEngine, IndexError } from './engine.ts';
import { type CommandRow, INDEX_VERSION, type IndexTables, TABLES } from './schema.ts';

/** Order and beginnings of names are those of bytes, as SQLite has them. */
const CREATE_TABLES = `
CREATE TABLE sessions (
  session TEXT COLLATE "C" PRIMARY KEY, key_id TEXT NOT NULL, nkey TEXT NOT NULL, namespace TEXT COLLATE "C" NOT NULL, service_account TEXT COLLATE "C" NOT NULL,
  pod TEXT, pod_uid TEXT, resource_namespace TEXT COLLATE "C", resource_name TEXT COLLATE "C", protocol TEXT COLLATE "C", purpose TEXT,
  mode TEXT, caller_issuer TEXT, caller_user TEXT COLLATE "C", retention TEXT COLLATE "C",
  erased INTEGER NOT NULL, received_at DOUBLE PRECISION NOT NULL, started_at DOUBLE PRECISION NOT NULL, last_at DOUBLE PRECISION NOT NULL,
  actions BIGINT NOT NULL, denied BIGINT NOT NULL, held BIGINT NOT NULL, masked BIGINT NOT NULL, dropped BIGINT NOT NULL,
  segments BIGINT NOT NULL, records BIGINT NOT NULL, bytes BIGINT NOT NULL,
  last_number BIGINT NOT NULL, high_water BIGINT NOT NULL, closed INTEGER NOT NULL, torn INTEGER NOT NULL
);
CREATE INDEX sessions_by_time ON sessions (namespace, started_at DESC);
CREATE INDEX sessions_by_retention ON sessions (retention, received_at);
CREATE TABLE segments (
  session TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, digest TEXT NOT NULL, link TEXT NOT NULL, prev TEXT, epoch BIGINT NOT NULL,
  first_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL, bytes BIGINT NOT NULL, closes INTEGER NOT NULL, received_at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (session, number)
);
CREATE TABLE findings (
  session TEXT COLLATE "C" NOT NULL, digest TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, nkey TEXT NOT NULL, code TEXT NOT NULL,
  message TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, PRIMARY KEY (session, digest)
);
CREATE TABLE leaves (
  leaf BIGINT PRIMARY KEY, kind TEXT NOT NULL, session TEXT COLLATE "C", number BIGINT, digest TEXT, at DOUBLE PRECISION
);
CREATE INDEX leaves_by_segment ON leaves (session, number) WHERE kind = 'segment';
CREATE INDEX leaves_by_order ON leaves (session, leaf) WHERE digest IS NOT NULL;
CREATE INDEX leaves_by_read ON leaves (leaf) WHERE kind = 'read';
CREATE INDEX leaves_by_reader ON leaves (session, leaf) WHERE kind = 'read';
CREATE TABLE commands (
  rowid BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL,
  at DOUBLE PRECISION NOT NULL, verdict TEXT NOT NULL, scope TEXT COLLATE "C" NOT NULL, text TEXT NOT NULL, plain TEXT NOT NULL,
  words TSVECTOR NOT NULL
);
CREATE INDEX commands_by_word ON commands USING GIN (words);
`;

/** Any number that only we lock by: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS */
export const WRITER_LOCK = 0x6368_6170;
/** A collector that is gone may hold its lock until the server notices. */
const LOCK_WAIT_MS = 60_000;
const CONNECT_MS = 10_000;
/** Serialization failure, deadlock, and a row that another transaction stored meanwhile. */
const AGAIN: ReadonlySet<string> = new Set(['40001', '40P01', '23505']);
const TRIES = 5;

export type PostgresSettings = Pick<ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database' | 'ssl'>;

/**
 * An index in a PostgreSQL database of its own, of which one collector at a time is the writer.
 * @throws IndexError where it cannot be reached, or another collector keeps it for a minute
 */
export async function openPostgres(settings: PostgresSettings, lockWaitMs = LOCK_WAIT_MS): Promise<IndexEngine> {
  const config = { ...settings, connectionTimeoutMillis: CONNECT_MS, keepAlive: true, application_name: 'chaperone-collector' };
  const lock = new WriterLock(config);
  try {
    await lock.take(lockWaitMs);
    const pool = new Pool({ ...config, types: { getTypeParser } });
    // A connection that breaks while nobody uses it is replaced by the next that is asked for.
    pool.on('error', () => undefined);
    const db = new Kysely<IndexTables>({ dialect: new PostgresDialect({ pool }) });
    const { rows } = await pool.query<{ version: string | null }>(
      `SELECT obj_description(to_regclass('commands'), 'pg_class') AS version`,
    );
    const engine = new PostgresEngine(db, lock, rows[0]?.version !== versionText);
    if (engine.empty) await engine.clear();
    return engine;
  } catch (error) {
    await lock.release();
    if (error instanceof IndexError) throw error;
    throw new IndexError(`the index in PostgreSQL cannot be opened: ${reasonOf(error)} (IndexUnreadable)`, { cause: error });
  }
}

/** Kept as the comment of a table, which goes with the tables when they are dropped. */
const versionText = `evidence index ${INDEX_VERSION}`;

class PostgresEngine implements IndexEngine {
  readonly db: Kysely<IndexTables>;
  readonly empty: boolean;
  readonly #lock: WriterLock;

  constructor(db: Kysely<IndexTables>, lock: WriterLock, empty: boolean) {
    this.db = db;
    this.#lock = lock;
    this.empty = empty;
  }

  async clear(): Promise<void> {
    await this.#lock.take(0);
    await this.db.transaction().execute(async (tx) => {
      for (const table of TABLES) await sql`DROP TABLE IF EXISTS ${sql.table(table)}`.execute(tx);
      for (const statement of CREATE_TABLES.split(';').filter((text) => text.trim() !== '')) await sql.raw(statement).execute(tx);
    });
  }

  async complete(): Promise<void> {
    await sql`COMMENT ON TABLE commands IS ${sql.lit(versionText)}`.execute(this.db);
  }

  async transaction<T>(work: (tx: Transaction<IndexTables>) => Promise<T>): Promise<T> {
    await this.#lock.take(0);
    for (let tries = 1; ; tries++)
      try {
        return await this.db.transaction().setIsolationLevel('serializable').execute(work);
      } catch (error) {
        if (tries === TRIES || !AGAIN.has(codeOf(error))) throw error;
      }
  }

  async insertCommands(tx: Transaction<IndexTables>, rows: readonly CommandRow[]): Promise<void> {
    for (const group of inGroups(rows)) {
      const column = (name: keyof CommandRow): (string | number)[] => group.map((row) => row[name]);
      // No word has a blank in it.
      const words = group.map(({ text, plain }) => wordsOf(`${text} ${plain}`).join(' '));
      await sql`
        INSERT INTO commands (session, seq, at, verdict, scope, text, plain, words)
        SELECT session, seq, at, verdict, scope, text, plain, array_to_tsvector(string_to_array(words, ' '))
        FROM unnest(
          ${column('session')}::text[], ${column('seq')}::bigint[], ${column('at')}::double precision[], ${column('verdict')}::text[],
          ${column('scope')}::text[], ${column('text')}::text[], ${column('plain')}::text[], ${words}::text[]
        ) AS command (session, seq, at, verdict, scope, text, plain, words)`.execute(tx);
    }
  }

  async forget(): Promise<void> {
    for (const table of ['commands', 'sessions']) await sql`VACUUM ${sql.table(table)}`.execute(this.db);
  }

  matches(words: readonly string[], namespaces: readonly string[], limit: number): RawBuilder<CommandMatch> {
    const wanted = words.flatMap(wordsOf).map((word) => `'${word}':*`);
    return sql`
      SELECT rowid AS id, session, seq FROM commands
      WHERE words @@ ${wanted.join(' & ')}::tsquery AND scope = ANY(${namespaces.map(scopeOf)}::text[])
      ORDER BY rowid DESC LIMIT ${limit}`;
  }

  anyOf(values: readonly string[]): RawBuilder<string> {
    return sql`(SELECT unnest(${[...values]}::text[]))`;
  }

  async close(): Promise<void> {
    await this.db.destroy();
    await this.#lock.release();
  }
}

/** Says who writes: a lock that the server takes back when its connection ends, whatever the reason. */
class WriterLock {
  readonly #config: ClientConfig;
  #holder: Client | undefined;
  #taking: Promise<void> | undefined;

  constructor(config: ClientConfig) {
    this.#config = config;
  }

  /** Resolves when the lock is held, at once where it is already. Throws IndexError where another holds it for longer than `waitMs`. */
  async take(waitMs: number): Promise<void> {
    if (this.#holder !== undefined) return;
    // Two of ours at once would take each other for another collector.
    this.#taking ??= this.#take(waitMs).finally(() => {
      this.#taking = undefined;
    });
    await this.#taking;
  }

  async #take(waitMs: number): Promise<void> {
    for (const end = Date.now() + waitMs; this.#holder === undefined; ) {
      const client = new Client(this.#config);
      client.on('error', () => undefined);
      client.once('end', () => {
        if (this.#holder === client) this.#holder = undefined;
      });
      await client.connect();
      const { rows } = await client.query<{ held: boolean }>(`SELECT pg_try_advisory_lock(${WRITER_LOCK}) AS held`);
      if (rows[0]?.held === true) {
        this.#holder = client;
        return;
      }
      await client.end();
      if (Date.now() >= end) throw new IndexError('the index in PostgreSQL is written by another collector (IndexUnreadable)');
      await new Promise((next) => setTimeout(next, Math.min(1_000, waitMs)));
    }
  }

  async release(): Promise<void> {
    const holder = this.#holder;
    this.#holder = undefined;
    await holder?.end();
  }
}

/** 64-bit numbers are counts and sizes here, well within what a number holds. */
const INT8 = 20;
const getTypeParser: typeof types.getTypeParser = (oid: number, format?: unknown) =>
  oid === INT8 ? Number : (types.getTypeParser as (oid: number, format?: unknown) => (text: string) => unknown)(oid, format);

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** Where, and never with what password: the driver's messages name neither. */
function reasonOf(error: unknown): string {
  const found = error instanceof AggregateError ? error.errors[0] : error;
  return found instanceof Error ? found.message : 'unknown fault';
}
