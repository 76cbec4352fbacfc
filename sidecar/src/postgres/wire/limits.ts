import { BACKEND, FRONTEND, HEADER_BYTES } from './protocol.ts';

/*
 * All sizes are those of a whole message in bytes: type byte, length word and content.
 */

/** A startup packet without its length word; the server's own MAX_STARTUP_PACKET_LENGTH. */
export const MAX_STARTUP_BYTES = 10_000;

/** The server's bound for any message: its PQ_LARGE_MESSAGE_LIMIT, 1 GiB − 2, is that of the length word. */
export const MAX_MESSAGE_BYTES = 0x3ffffffe + 1;

/** Query and Parse: parsing grows with the text, and no hand writes a longer statement. Larger: StatementTooLarge. */
export const MAX_STATEMENT_BYTES = 1024 * 1024;

/** Bind: large objects travel as parameters, and one is held whole while its statement is judged. */
export const MAX_BIND_BYTES = 64 * 1024 * 1024;

/** Everything else an agent says consists of names and numbers. Also the server's bound for passwords (65,535). */
export const MAX_SMALL_BYTES = 64 * 1024;

/** A DataRow or CopyData above this is handed on in pieces. */
export const MAX_WHOLE_ROW_BYTES = 1024 * 1024;

/** Other backend messages; a printed query tree, the largest known, stays below 2 MiB. */
export const MAX_BACKEND_BYTES = 16 * 1024 * 1024;

/** Name of a prepared statement or portal: the server compares no more of it. */
export const MAX_NAME_BYTES = 63;

/** Columns of a result: MaxTupleAttributeNumber of the server. */
export const MAX_COLUMNS = 1664;

/** Secret of a cancel key: 4 bytes up to protocol 3.0, at most 256 since 3.2. */
export const MIN_SECRET_BYTES = 4;
export const MAX_SECRET_BYTES = 256;

/**
 * whole: held until complete · stream: handed on in pieces · skip: read over, then reported · refuse: ProtocolError, code
 * Refused.
 */
export type Decision = 'whole' | 'stream' | 'skip' | 'refuse';

/** Decides on a message of `length` bytes, header included. Called once per message, before any of its content is held. */
export type Decide = (type: number, length: number) => Decision;

interface Limit {
  /** Held whole up to this many bytes. */
  readonly whole: number;
  readonly beyond: Decision;
}
const EMPTY_MESSAGE: Limit = { whole: HEADER_BYTES, beyond: 'refuse' };
const SMALL_MESSAGE: Limit = { whole: MAX_SMALL_BYTES, beyond: 'refuse' };
const FRONTEND_LIMITS: ReadonlyMap<number, Limit> = new Map<number, Limit>([
  [FRONTEND.Query, { whole: MAX_STATEMENT_BYTES, beyond: 'skip' }],
  [FRONTEND.Parse, { whole: MAX_STATEMENT_BYTES, beyond: 'skip' }],
  [FRONTEND.Bind, { whole: MAX_BIND_BYTES, beyond: 'skip' }],
  [FRONTEND.FunctionCall, { whole: MAX_SMALL_BYTES, beyond: 'skip' }],
  [FRONTEND.CopyData, { whole: MAX_WHOLE_ROW_BYTES, beyond: 'stream' }],
  [FRONTEND.Sync, EMPTY_MESSAGE],
  [FRONTEND.Flush, EMPTY_MESSAGE],
  [FRONTEND.CopyDone, EMPTY_MESSAGE],
  [FRONTEND.Terminate, EMPTY_MESSAGE],
  [FRONTEND.Describe, SMALL_MESSAGE],
  [FRONTEND.Execute, SMALL_MESSAGE],
  [FRONTEND.Close, SMALL_MESSAGE],
  [FRONTEND.CopyFail, SMALL_MESSAGE],
  [FRONTEND.Password, SMALL_MESSAGE],
]);

/**
 * What a session takes from an agent. A statement or Bind that is too large is skipped, so that it can be answered with an error
 * and the session goes on; anything else beyond its limit, content where none belongs, and every unknown type are refused.
 */
export function decideFrontend(type: number, length: number): Decision {
  const limit = FRONTEND_LIMITS.get(type);
  if (limit === undefined) return 'refuse';
  return length <= limit.whole ? 'whole' : limit.beyond;
}

const BACKEND_TYPES: ReadonlySet<number> = new Set(Object.values(BACKEND));

/** What a session takes from a server. Large rows are streamed; a caller that must mask them decides otherwise. */
export function decideBackend(type: number, length: number): Decision {
  if (type === BACKEND.DataRow || type === BACKEND.CopyData) return length <= MAX_WHOLE_ROW_BYTES ? 'whole' : 'stream';
  return length <= MAX_BACKEND_BYTES && BACKEND_TYPES.has(type) ? 'whole' : 'refuse';
}
