import { ProtocolError } from './error.ts';
import { MAX_COLUMNS } from './limits.ts';
import { BACKEND, HEADER_BYTES } from './protocol.ts';

/** Where columns lie in a row: start and length by turns, length −1 for SQL NULL. One serves all rows of a session. */
export function columnOffsets(): Int32Array {
  return new Int32Array(2 * MAX_COLUMNS);
}

/**
 * Finds the columns of a DataRow and returns their number. Allocates nothing: `offsets[2 * i]` is where column i begins in `row`,
 * `offsets[2 * i + 1]` its length.
 *
 * ```text
 *  D | length | columns (16 bit) | length (32 bit, −1: NULL) content | …
 * ```
 * @throws ProtocolError Malformed where the columns do not fill the frame exactly
 */
export function readColumnOffsets(row: Buffer, offsets: Int32Array): number {
  if (row.length < HEADER_BYTES + 2 || row[0] !== BACKEND.DataRow) throw malformed();
  const count = row.readUInt16BE(HEADER_BYTES);
  if (2 * count > offsets.length) throw malformed();
  let at = HEADER_BYTES + 2;
  for (let column = 0; column < count; column++) {
    if (at + 4 > row.length) throw malformed();
    const length = row.readInt32BE(at);
    at += 4;
    if (length < -1 || length > row.length - at) throw malformed();
    offsets[2 * column] = at;
    offsets[2 * column + 1] = length;
    if (length > 0) at += length;
  }
  if (at !== row.length) throw malformed();
  return count;
}

/** The columns of a DataRow as slices; null for SQL NULL. For the few rows that are looked into. @throws ProtocolError Malformed */
export function dataRowCells(row: Buffer): (Buffer | null)[] {
  return mapColumns(row, (bytes, from, to) => bytes.subarray(from, to));
}

/** What `read` makes of each column of a DataRow; null for SQL NULL. @throws ProtocolError Malformed */
export function mapColumns<T>(row: Buffer, read: (row: Buffer, from: number, to: number, column: number) => T): (T | null)[] {
  if (row.length < HEADER_BYTES + 2 || row[0] !== BACKEND.DataRow) throw malformed();
  const count = row.readUInt16BE(HEADER_BYTES);
  if (count > MAX_COLUMNS) throw malformed();
  const found: (T | null)[] = [];
  let at = HEADER_BYTES + 2;
  for (let column = 0; column < count; column++) {
    if (at + 4 > row.length) throw malformed();
    const length = row.readInt32BE(at);
    at += 4;
    if (length < -1 || length > row.length - at) throw malformed();
    found.push(length === -1 ? null : read(row, at, at + length, column));
    if (length > 0) at += length;
  }
  if (at !== row.length) throw malformed();
  return found;
}

/** Where the message that starts at `at` ends, in messages that lie one behind the other. */
export function rowEnd(rows: Buffer, at: number): number {
  return at + 1 + rows.readUInt32BE(at + 1);
}

function malformed(): ProtocolError {
  return new ProtocolError('Malformed', "message 'D' does not hold the columns that it announces");
}
