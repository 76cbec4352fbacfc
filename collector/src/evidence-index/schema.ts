/** Rows of the index. All of it can be built again from the objects; nothing an auditor relies on is only here. */
export interface SessionRow {
  session: string;
  /** The id of the data key of the session's first segment to arrive; all have the same. */
  key_id: string;
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
  /** The class that says how long it is kept. */
  retention: string | null;
  /** Whether its key was destroyed and what its records said forgotten. */
  erased: number;
  /** When the segment came that came last, by the collector's clock: a pod's may say anything. */
  received_at: number;
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
 * Each engine adds what it searches by, and a number `rowid` that grows.
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

/**
 * An entry of the log. `session` and `number` say which segment it is, where it is one; `digest` and `at` which order, where it is one:
 * its kind is then erasure, hold or release, or which reading: read.
 */
export interface LeafRow {
  leaf: number;
  kind: string;
  session: string | null;
  number: number | null;
  digest: string | null;
  at: number | null;
}

export interface IndexTables {
  leaves: LeafRow;
  commands: CommandRow;
  sessions: SessionRow;
  segments: SegmentRow;
  findings: FindingRow;
}

export const TABLES = ['sessions', 'segments', 'findings', 'leaves', 'commands'] as const;

/** Raised with every change of the tables: an index of another version is dropped and built again. */
export const INDEX_VERSION = 7;
