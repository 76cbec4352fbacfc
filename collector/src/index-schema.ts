/** Rows of the index. All of it can be built again from the objects; nothing an auditor relies on is only here. */
export interface SessionRow {
  session: string;
  /** The pod key of the session's first segment to arrive; no other key may add to it. */
  nkey: string;
  namespace: string;
  service_account: string;
  pod: string | null;
  pod_uid: string | null;
  /** From the opening record: null until segment 0 is here. */
  resource_namespace: string | null;
  resource_name: string | null;
  protocol: string | null;
  purpose: string | null;
  mode: string | null;
  /** Whom a verified token named, and who issued it; both null where none was demanded. */
  caller_issuer: string | null;
  caller_user: string | null;
  started_at: number;
  last_at: number;
  actions: number;
  denied: number;
  /** Actions that were held, less the approvals that say what became of one. */
  held: number;
  masked: number;
  dropped: number;
  segments: number;
  records: number;
  bytes: number;
  last_number: number;
  /** Up to here nothing is missing; -1 while segment 0 is. */
  high_water: number;
  closed: number;
  /** Whether the segment with the highest number is torn. */
  torn: number;
}

export interface SegmentRow {
  session: string;
  number: number;
  digest: string;
  link: string;
  prev: string | null;
  epoch: number;
  first_seq: number;
  last_seq: number;
  bytes: number;
  closes: number;
  received_at: number;
}

/** A segment that contradicts what is stored; its bytes are kept beside, never instead. */
export interface FindingRow {
  session: string;
  digest: string;
  number: number;
  nkey: string;
  code: string;
  message: string;
  at: number;
}

/**
 * Commands for the search. `plain` is the text as a reader means it (compatibility forms, nothing invisible) where that is another.
 * The virtual table adds a column of its own name, which takes what is searched for.
 */
export interface CommandRow {
  session: string;
  seq: number;
  at: number;
  verdict: string;
  /** The agent's namespace, as a word. */
  scope: string;
  text: string;
  plain: string;
}

export interface IndexTables {
  commands: CommandRow;
  sessions: SessionRow;
  segments: SegmentRow;
  findings: FindingRow;
}

/** Raised with every change of the tables: an index of another version is dropped and built again. */
export const INDEX_VERSION = 4;

export const CREATE_TABLES = `
CREATE TABLE sessions (
  session TEXT PRIMARY KEY, nkey TEXT NOT NULL, namespace TEXT NOT NULL, service_account TEXT NOT NULL, pod TEXT, pod_uid TEXT,
  resource_namespace TEXT, resource_name TEXT, protocol TEXT, purpose TEXT, mode TEXT, caller_issuer TEXT, caller_user TEXT,
  started_at REAL NOT NULL, last_at REAL NOT NULL,
  actions INTEGER NOT NULL, denied INTEGER NOT NULL, held INTEGER NOT NULL, masked INTEGER NOT NULL, dropped INTEGER NOT NULL,
  segments INTEGER NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
  last_number INTEGER NOT NULL, high_water INTEGER NOT NULL, closed INTEGER NOT NULL, torn INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_time ON sessions (namespace, started_at DESC);
CREATE TABLE segments (
  session TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, link TEXT NOT NULL, prev TEXT, epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, bytes INTEGER NOT NULL, closes INTEGER NOT NULL, received_at REAL NOT NULL,
  PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE findings (
  session TEXT NOT NULL, digest TEXT NOT NULL, number INTEGER NOT NULL, nkey TEXT NOT NULL, code TEXT NOT NULL,
  message TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (session, digest)
) STRICT;
CREATE VIRTUAL TABLE commands USING fts5(
  session UNINDEXED, seq UNINDEXED, at UNINDEXED, verdict UNINDEXED, scope, text, plain,
  tokenize = "unicode61 remove_diacritics 0 tokenchars '_'"
);
`;
