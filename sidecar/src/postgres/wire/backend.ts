import { Cursor } from './cursor.ts';
import { MAX_COLUMNS } from './limits.ts';
import { BACKEND } from './protocol.ts';
import { type CancelKey, decodeKey } from './startup.ts';

/*
 * Messages that a server sends. As in frontend.ts every decoder takes one whole message and is strict. Only error and notice
 * texts may be other than UTF-8: before the session's encoding is set up a server speaks its own.
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 */

export interface FieldDescription {
  readonly name: string;
  /** 0: not a column of a relation. */
  readonly tableOid: number;
  /** attnum; 0: not a column of a relation. */
  readonly attributeNumber: number;
  readonly typeOid: number;
  /** pg_type.typlen; negative for types of variable size. */
  readonly typeSize: number;
  readonly typeModifier: number;
  /** 0 text, 1 binary; always 0 in the answer to Describe of a statement. */
  readonly format: 0 | 1;
}

export type TransactionStatus = 'I' | 'T' | 'E';

/** https://www.postgresql.org/docs/18/protocol-error-fields.html */
export const ERROR_FIELDS = ['S', 'V', 'C', 'M', 'D', 'H', 'P', 'p', 'q', 'W', 's', 't', 'c', 'd', 'n', 'F', 'L', 'R'] as const;
export type ErrorField = (typeof ERROR_FIELDS)[number];

/** Fields of ErrorResponse and NoticeResponse by their letter. None is certain to be there. */
export type ServerMessageFields = { readonly [field in ErrorField]?: string };

export type AuthenticationMessage =
  | { readonly kind: 'ok' }
  | { readonly kind: 'cleartext' }
  | { readonly kind: 'md5'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'saslContinue' | 'saslFinal'; readonly data: Buffer }
  /** Kerberos, GSS, SSPI or newer. */
  | { readonly kind: 'other'; readonly method: number };

export function decodeRowDescription(bytes: Buffer): FieldDescription[] {
  const cursor = Cursor.open(bytes, BACKEND.RowDescription);
  const count = cursor.uint16();
  if (count > MAX_COLUMNS) throw cursor.malformed('has more columns than a result can have');
  const fields = cursor.list(
    19,
    () => ({
      name: cursor.string(),
      tableOid: cursor.uint32(),
      attributeNumber: cursor.int16(),
      typeOid: cursor.uint32(),
      typeSize: cursor.int16(),
      typeModifier: cursor.int32(),
      format: cursor.format(),
    }),
    count,
  );
  cursor.end();
  return fields;
}

/** Type OIDs of a statement's parameters. */
export function decodeParameterDescription(bytes: Buffer): number[] {
  const cursor = Cursor.open(bytes, BACKEND.ParameterDescription);
  const types = cursor.list(4, () => cursor.uint32());
  cursor.end();
  return types;
}

/** ErrorResponse and NoticeResponse. Fields of unknown letters are left out, as the protocol asks. */
export function decodeErrorResponse(bytes: Buffer): ServerMessageFields {
  const cursor = Cursor.open(bytes, BACKEND.ErrorResponse, BACKEND.NoticeResponse);
  const fields: { [field in ErrorField]?: string } = {};
  for (let letter = cursor.uint8(); letter !== 0; letter = cursor.uint8()) {
    const name = String.fromCharCode(letter) as ErrorField;
    const text = cursor.rawString().toString('utf8');
    if (!ERROR_FIELDS.includes(name)) continue;
    if (fields[name] !== undefined) throw cursor.malformed('has a field twice');
    fields[name] = text;
  }
  cursor.end();
  return fields;
}

export function decodeParameterStatus(bytes: Buffer): { name: string; value: string } {
  const cursor = Cursor.open(bytes, BACKEND.ParameterStatus);
  const parameter = { name: cursor.string(), value: cursor.string() };
  cursor.end();
  return parameter;
}

export function decodeBackendKeyData(bytes: Buffer): CancelKey {
  return decodeKey(Cursor.open(bytes, BACKEND.BackendKeyData));
}

export function decodeAuthentication(bytes: Buffer): AuthenticationMessage {
  const cursor = Cursor.open(bytes, BACKEND.Authentication);
  const method = cursor.int32();
  switch (method) {
    case 0:
      cursor.end();
      return { kind: 'ok' };
    case 3:
      cursor.end();
      return { kind: 'cleartext' };
    case 5: {
      const salt = cursor.bytes(4);
      cursor.end();
      return { kind: 'md5', salt };
    }
    case 10: {
      const mechanisms: string[] = [];
      for (let name = cursor.string(); name !== ''; name = cursor.string()) mechanisms.push(name);
      cursor.end();
      return { kind: 'sasl', mechanisms };
    }
    case 11:
      return { kind: 'saslContinue', data: cursor.rest() };
    case 12:
      return { kind: 'saslFinal', data: cursor.rest() };
    default:
      return { kind: 'other', method };
  }
}

export function decodeReadyForQuery(bytes: Buffer): TransactionStatus {
  const cursor = Cursor.open(bytes, BACKEND.ReadyForQuery);
  const status = String.fromCharCode(cursor.uint8());
  cursor.end();
  if (status !== 'I' && status !== 'T' && status !== 'E') throw cursor.malformed('has an unknown transaction status');
  return status;
}

/** The command tag, `SELECT 3` say. */
export function decodeCommandComplete(bytes: Buffer): string {
  const cursor = Cursor.open(bytes, BACKEND.CommandComplete);
  const tag = cursor.string();
  cursor.end();
  return tag;
}

export interface CopyResponse {
  readonly format: 0 | 1;
  readonly columnFormats: readonly (0 | 1)[];
}

/** CopyInResponse and CopyOutResponse. */
export function decodeCopyResponse(bytes: Buffer): CopyResponse {
  const cursor = Cursor.open(bytes, BACKEND.CopyInResponse, BACKEND.CopyOutResponse);
  const format = cursor.uint8();
  if (format !== 0 && format !== 1) throw cursor.malformed('has an unknown format code');
  const columnFormats = cursor.list(2, () => cursor.format());
  cursor.end();
  return { format, columnFormats };
}

export interface NegotiateProtocolVersion {
  /** Newest minor version of 3 that the server speaks. */
  readonly minor: number;
  /** Protocol options (`_pq_.…`) that the server does not know. */
  readonly options: readonly string[];
}

export function decodeNegotiateProtocolVersion(bytes: Buffer): NegotiateProtocolVersion {
  const cursor = Cursor.open(bytes, BACKEND.NegotiateProtocolVersion);
  // The documentation says "minor version", servers send the whole version; they differ in the upper half only.
  const minor = cursor.uint32() & 0xffff;
  const count = cursor.uint32();
  const options = cursor.list(1, () => cursor.string(), count);
  cursor.end();
  return { minor, options };
}
