import { z } from 'zod';
import { encodeBytes, isEncodedBytes, MAX_OUTPUT_BYTES, pieces } from './encoded-bytes.ts';

/**
 * One event of a session. `seq` counts from 0 without holes; `at` is wall clock (ms since 1970), `mono` the session's own
 * monotonic milliseconds. Statement records of one action share `action`.
 */
const base = { seq: z.int(), at: z.number(), mono: z.number() };

export const EffectNote = z.object({
  verb: z.string(),
  object: z.string(),
  via: z.enum(['direct', 'view', 'function', 'nested']),
  verdict: z.enum(['allow', 'deny', 'approve']),
  rule: z.string().optional(),
});
export const MaskNote = z.object({
  column: z.int(),
  name: z.string(),
  labels: z.array(z.string()),
  strategy: z.enum(['redact', 'partial', 'hash', 'null']),
});

export const OpenRecord = z.object({
  ...base,
  type: z.literal('session.open'),
  session: z.string(),
  agent: z.object({
    namespace: z.string(),
    serviceAccount: z.string(),
    pod: z.string().optional(),
    podUid: z.string().optional(),
  }),
  resource: z.object({ namespace: z.string(), name: z.string(), protocol: z.string() }),
  purpose: z.string(),
  /** Whom the agent acts for, as a token that was verified says; absent: no policy demanded one. */
  onBehalfOf: z.object({ issuer: z.string(), user: z.string(), groups: z.array(z.string()) }).optional(),
  policies: z.array(z.object({ namespace: z.string(), name: z.string(), generation: z.int() })),
  mode: z.enum(['Enforce', 'Audit']),
  /** The class that says how long it is kept; absent: default. */
  retention: z.string().max(64).optional(),
  client: z.object({ address: z.string(), tls: z.boolean(), application: z.string().optional() }),
});
/** What a request to the Kubernetes API is about, as the API server's audit events have it; '' is none. */
export const KubernetesCall = z.object({
  verb: z.string(),
  /** '' is the core group. */
  group: z.string(),
  version: z.string(),
  resource: z.string(),
  subresource: z.string(),
  namespace: z.string(),
  name: z.string(),
  dryRun: z.boolean(),
  /** What its client says of itself, which may be anything: its program, its command, and what it calls one run of that. */
  userAgent: z.string().optional(),
  command: z.string().optional(),
  run: z.string().optional(),
});
export type KubernetesCall = z.infer<typeof KubernetesCall>;
/** The verdict on one action, written before anything of it goes upstream. Text and parameters are masked already. */
export const ActionRecord = z.object({
  ...base,
  type: z.literal('action'),
  action: z.int(),
  text: z.string().optional(),
  /** Bytes of the request as it came, where `text` is shortened or left out. */
  bytes: z.int(),
  parameters: z.array(z.string().nullable()).optional(),
  verdict: z.enum(['allow', 'deny', 'approve']),
  code: z.string(),
  rule: z.string().optional(),
  reason: z.string(),
  effects: z.array(EffectNote),
  wouldDeny: z.object({ code: z.string(), rule: z.string().optional(), reason: z.string() }).optional(),
  kubernetes: KubernetesCall.optional(),
});
/** What people said of an action that a rule held; it ran only where `state` is Released. */
export const ApprovalRecord = z.object({
  ...base,
  type: z.literal('approval'),
  action: z.int(),
  /** Name of the AccessRequest; absent: nobody could be asked. */
  request: z.string().optional(),
  /** Seals the action that was asked for. */
  digest: z.string(),
  /** Name of the AccessRequest with whose approval people granted this one: the decisions are those on it. */
  grantedBy: z.string().optional(),
  state: z.string(),
  /** How long it was held, ms. */
  waitedMs: z.number(),
  /** What it would have changed when people were asked, as they saw it: lines that begin with `- `, `+ ` or two blanks. */
  change: z.array(z.string()).optional(),
  decisions: z.array(
    z.object({
      by: z.string(),
      decision: z.enum(['Approve', 'Deny']),
      reason: z.string().optional(),
      at: z.string(),
      /** How it is known to be theirs: kubernetes, signed, passkey; local at chaperone up. Absent: nobody said. */
      assurance: z.string().optional(),
      /** The way by which it came to the operator: page or slack. Absent: they wrote it themselves. */
      via: z.string().optional(),
    }),
  ),
});
/** Whether what a rule held did not run and will not: what its agent is to repeat is still open. */
export function isRefused({ state }: Pick<z.infer<typeof ApprovalRecord>, 'state'>): boolean {
  return state !== 'Released' && state !== 'Pending';
}
const columns = {
  columns: z.array(z.object({ name: z.string(), type: z.int() })),
  masked: z.array(MaskNote),
};
/** Rows as they were delivered (after masking). Binary values are base64 with the prefix "b:"; text has the prefix "t:". */
type Rows = (string | null)[][];
/** Looked at where they are: what is read of evidence is mostly rows, and nobody changes them. */
const rows = z.custom<Rows>(
  (value) =>
    Array.isArray(value) &&
    value.every((row) => Array.isArray(row) && row.every((cell) => cell === null || typeof cell === 'string')),
  'is a list of rows, each a list of texts or null',
);
export const ColumnsRecord = z.object({ ...base, type: z.literal('columns'), action: z.int(), ...columns });
export const RowsRecord = z.object({ ...base, type: z.literal('rows'), action: z.int(), rows });
export const DoneRecord = z.object({
  ...base,
  type: z.literal('done'),
  action: z.int(),
  /** The server's command tag; of a program how it ended: `exit 0`, or `signal TERM` without "SIG" (RFC 4254 §6.10). */
  tag: z.string().optional(),
  /** SQLSTATE or our own code where the action failed. */
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  rows: z.int(),
  /** Delivered to the agent, recorded or not; all that `digest` is of. */
  bytes: z.int(),
  /**
   * SHA-256 (hex) of all that was delivered, recorded or not: every row message in order, or the bytes of stdout and stderr (or of the
   * terminal) in the order in which they went out. Absent of a program's where the policy keeps metadata only: it would tell whoever guesses
   * a short output that they are right.
   */
  digest: z.string().optional(),
  /** Whether more was delivered than records hold. */
  truncated: z.boolean(),
  maskedValues: z.int(),
  durationMs: z.number(),
  /** What a small result was; a larger one has records of its own for columns and rows before this one. */
  result: z.object({ ...columns, rows }).optional(),
});
const EncodedData = z.string().refine(isEncodedBytes, `is t: and text or b: and base64, of at most ${MAX_OUTPUT_BYTES} bytes`);
/** Whence bytes came: what the agent sent is stdin, also to a terminal; `terminal` is what a program with a terminal shows. */
export const STREAMS = ['stdin', 'stdout', 'stderr', 'terminal'] as const;
export type Stream = (typeof STREAMS)[number];
/**
 * A piece of a program's stream as it was delivered, after masking: see {@link encodeBytes} for `data`. Its time is the record's. An
 * action has `terminal` or stdout and stderr, never both; `outputRecords` makes these records from chunks of any size.
 */
export const OutputRecord = z.object({
  ...base,
  type: z.literal('output'),
  action: z.int(),
  stream: z.enum(STREAMS),
  data: EncodedData,
});
/** In characters, as they go over the wire (RFC 4254 §6.2): 0 is not known, and who draws it bounds it. */
const cells = z.int().min(0).max(0xffff_ffff);
/** The size of an action's terminal; the first one is that with which it opened. */
export const ResizeRecord = z.object({ ...base, type: z.literal('resize'), action: z.int(), columns: cells, rows: cells });
/** Characters of a line. */
export const MAX_LINE = 1_024;
/**
 * A line that an agent seems to have entered at a terminal: what stood on the cursor's line when it was ended, its prompt included. Best
 * effort, since programs draw as they like: it helps people to find a place, and nothing is decided by it.
 */
export const LineRecord = z.object({ ...base, type: z.literal('line'), action: z.int(), text: z.string().max(MAX_LINE) });
/** What was done to a file; `link` is a hard link and `symlink` a symbolic one, with their target in `to`. */
export const FILE_RECORD_OPERATIONS = [
  'read',
  'write',
  'list',
  'stat',
  'delete',
  'rename',
  'copy',
  'link',
  'symlink',
  'mkdir',
  'rmdir',
  'attributes',
] as const;
/** One file that was moved or changed through sftp, scp, rsync or git. */
export const FileRecord = z.object({
  ...base,
  type: z.literal('file'),
  action: z.int(),
  operation: z.enum(FILE_RECORD_OPERATIONS),
  path: z.string(),
  /** The other path of an operation that has two. */
  to: z.string().optional(),
  /** Of its content that went by; 0 where none does. */
  bytes: z.int().min(0),
  /** SHA-256 (hex) of its content; absent where not all of it was seen, in order. */
  digest: z.hash('sha256').optional(),
  /** `ok`, or what the server or we said against it. */
  outcome: z.string(),
  /** Its content is in the records `content` with this number; absent: none was kept. */
  file: z.int().optional(),
  /** More of its content went by than those hold. */
  truncated: z.boolean().optional(),
});
/**
 * A piece of a file's content, where the policy keeps it, in the order in which it went by: `bytes` of it, from `offset` in the file. `data`
 * is what is kept of these after masking; see {@link encodeBytes}. `file` counts the files of a session whose content was kept.
 */
export const ContentRecord = z.object({
  ...base,
  type: z.literal('content'),
  action: z.int(),
  file: z.int().min(0),
  offset: z.int().min(0),
  bytes: z.int().min(0),
  data: EncodedData,
});
/** Bytes of an opaque connection (protocol tcp). */
export const BytesRecord = z.object({
  ...base,
  type: z.literal('bytes'),
  host: z.string(),
  sent: z.int(),
  received: z.int(),
});
export const NoteRecord = z.object({ ...base, type: z.literal('note'), code: z.string(), message: z.string() });
export const CloseRecord = z.object({
  ...base,
  type: z.literal('session.close'),
  code: z.string(),
  reason: z.string(),
  /** Who ended it, where that was a person; its agent is not told. */
  by: z.string().optional(),
  actions: z.int(),
  denied: z.int(),
  maskedValues: z.int(),
});

export const SessionRecord = z.discriminatedUnion('type', [
  OpenRecord,
  ActionRecord,
  ApprovalRecord,
  ColumnsRecord,
  RowsRecord,
  DoneRecord,
  OutputRecord,
  ResizeRecord,
  LineRecord,
  FileRecord,
  ContentRecord,
  BytesRecord,
  NoteRecord,
  CloseRecord,
]);
export type SessionRecord = z.infer<typeof SessionRecord>;
type Stamp = 'seq' | 'at' | 'mono';
/** Bytes stay bytes until somebody reads them. */
type Unstamped<T> = T extends { data: string }
  ? Omit<T, Stamp | 'data'> & { data: Buffer }
  : T extends SessionRecord
    ? Omit<T, Stamp>
    : never;
/** A record before the recorder gave it its number and times. */
export type RecordBody = Unstamped<SessionRecord>;
export type StampedRecord = RecordBody & Pick<SessionRecord, Stamp>;

/** Between the JSON text of a record and the bytes that it is about; JSON has none of its own. */
const END = '\0';

/** A record as evidence has it, its `text` before its `data`: JSON, and of one with `data` a NUL and these bytes as they are. */
export function encodeRecord(record: StampedRecord): { readonly text: string; readonly data: Buffer | undefined } {
  if (!('data' in record)) return { text: JSON.stringify(record), data: undefined };
  const { data, ...rest } = record;
  return { text: JSON.stringify(rest) + END, data };
}

/** The inverse of {@link encodeRecord}, with `data` as {@link encodeBytes} has it. Throws where it is no record. */
export function decodeRecord(bytes: Buffer): SessionRecord {
  const end = bytes.indexOf(0);
  const said: unknown = JSON.parse(bytes.toString('utf8', 0, end < 0 ? bytes.length : end));
  if (typeof said !== 'object' || said === null || 'data' in said) throw new TypeError('the record has another form');
  const record = SessionRecord.parse(end < 0 ? said : { ...said, data: encodeBytes(bytes.subarray(end + 1)) });
  if (end >= 0 && !('data' in record)) throw new TypeError('the record has bytes that its kind has no room for');
  return record;
}

/**
 * The records of one chunk of a stream, of any size; none of an empty one. They are to be appended together, before the chunk changes.
 */
export function outputRecords(action: number, stream: Stream, chunk: Buffer): (RecordBody & { type: 'output' })[] {
  return pieces(chunk).map((piece) => ({ type: 'output', action, stream, data: piece }));
}

type ContentBody = RecordBody & { type: 'content' };

/** The records of a piece of a file, `content` being what is kept of it, of any size. As {@link outputRecords}. */
export function contentRecords(of: Pick<ContentBody, 'action' | 'file' | 'offset' | 'bytes'>, content: Buffer): ContentBody[] {
  const { action, file } = of;
  let { offset, bytes } = of;
  // Where it was masked nobody knows which bytes are which: all are of its first record.
  const isWhole = content.length === bytes;
  return (content.length === 0 ? [content] : pieces(content)).map((piece) => {
    const own = isWhole ? piece.length : bytes;
    const record = { type: 'content', action, file, offset, bytes: own, data: piece } as const;
    offset += own;
    bytes -= own;
    return record;
  });
}
