import type { FieldDescription, NegotiateProtocolVersion, ServerMessageFields, TransactionStatus } from './backend.ts';
import { ERROR_FIELDS } from './backend.ts';
import { MAX_COLUMNS } from './limits.ts';
import { BACKEND, PROTOCOL_3_0 } from './protocol.ts';
import type { CancelKey } from './startup.ts';
import { MessageWriter } from './writer.ts';

/*
 * What we say to an agent in a server's place. Every encoder returns a fresh Buffer and throws ProtocolError NotEncodable for
 * what the format cannot carry.
 */

export function encodeAuthenticationOk(): Buffer {
  return new MessageWriter(BACKEND.Authentication).int32(0).finish();
}

export function encodeAuthenticationCleartextPassword(): Buffer {
  return new MessageWriter(BACKEND.Authentication).int32(3).finish();
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return new MessageWriter(BACKEND.ParameterStatus).string(name).string(value).finish();
}

export function encodeBackendKeyData(key: CancelKey): Buffer {
  return new MessageWriter(BACKEND.BackendKeyData).uint32(key.processId).bytes(key.secret).finish();
}

export function encodeReadyForQuery(status: TransactionStatus): Buffer {
  return new MessageWriter(BACKEND.ReadyForQuery).uint8(status.charCodeAt(0)).finish();
}

export function encodeErrorResponse(fields: ServerMessageFields): Buffer {
  return encodeFields(BACKEND.ErrorResponse, fields);
}

export function encodeNoticeResponse(fields: ServerMessageFields): Buffer {
  return encodeFields(BACKEND.NoticeResponse, fields);
}

/** An ErrorResponse that ends the connection. The message must hold nothing secret. */
export function encodeFatal(sqlstate: string, message: string): Buffer {
  return encodeErrorResponse({ S: 'FATAL', V: 'FATAL', C: sqlstate, M: message });
}

export function encodeRowDescription(fields: readonly FieldDescription[]): Buffer {
  const writer = new MessageWriter(BACKEND.RowDescription, 40 * fields.length + 2).count(fields.length, MAX_COLUMNS);
  for (const field of fields) {
    writer.string(field.name).uint32(field.tableOid).int16(field.attributeNumber).uint32(field.typeOid);
    writer.int16(field.typeSize).int32(field.typeModifier).int16(field.format);
  }
  return writer.finish();
}

export function encodeParameterDescription(types: readonly number[]): Buffer {
  const writer = new MessageWriter(BACKEND.ParameterDescription, 4 * types.length + 2).count(types.length);
  for (const type of types) writer.uint32(type);
  return writer.finish();
}

export function encodeDataRow(cells: readonly (Uint8Array | null)[]): Buffer {
  const writer = new MessageWriter(BACKEND.DataRow, 32 * cells.length + 2).count(cells.length, MAX_COLUMNS);
  for (const cell of cells) writer.value(cell);
  return writer.finish();
}

export function encodeCommandComplete(tag: string): Buffer {
  return new MessageWriter(BACKEND.CommandComplete).string(tag).finish();
}

export function encodeEmptyQueryResponse(): Buffer {
  return new MessageWriter(BACKEND.EmptyQueryResponse, 0).finish();
}

export function encodeParseComplete(): Buffer {
  return new MessageWriter(BACKEND.ParseComplete, 0).finish();
}

export function encodeBindComplete(): Buffer {
  return new MessageWriter(BACKEND.BindComplete, 0).finish();
}

export function encodeCloseComplete(): Buffer {
  return new MessageWriter(BACKEND.CloseComplete, 0).finish();
}

export function encodeNoData(): Buffer {
  return new MessageWriter(BACKEND.NoData, 0).finish();
}

export function encodePortalSuspended(): Buffer {
  return new MessageWriter(BACKEND.PortalSuspended, 0).finish();
}

/** libpq compares the whole version, so the whole one is sent. */
export function encodeNegotiateProtocolVersion(message: NegotiateProtocolVersion): Buffer {
  const writer = new MessageWriter(BACKEND.NegotiateProtocolVersion).uint32(PROTOCOL_3_0 | message.minor);
  writer.uint32(message.options.length);
  for (const option of message.options) writer.string(option);
  return writer.finish();
}

function encodeFields(type: number, fields: ServerMessageFields): Buffer {
  const writer = new MessageWriter(type, 256);
  for (const name of ERROR_FIELDS) {
    const text = fields[name];
    if (text !== undefined) writer.uint8(name.charCodeAt(0)).string(text);
  }
  return writer.uint8(0).finish();
}
