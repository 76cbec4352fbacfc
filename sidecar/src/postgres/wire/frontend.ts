import { Cursor } from './cursor.ts';
import { FRONTEND } from './protocol.ts';

/*
 * Messages that an agent sends. Every decoder takes one whole message, header included, and is strict: what does not fill its
 * frame as documented is Malformed, text that is not UTF-8 is InvalidText. Values are slices of the message.
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 */

export interface ParseMessage {
  /** Empty: the unnamed statement. */
  readonly name: string;
  readonly query: string;
  /** Type OIDs; 0: left to the server. */
  readonly parameterTypes: readonly number[];
}

export interface BindMessage {
  /** Empty: the unnamed portal. */
  readonly portal: string;
  readonly statement: string;
  /** None: all text; one: for all; else one each. 0 text, 1 binary. */
  readonly parameterFormats: readonly (0 | 1)[];
  readonly parameters: readonly (Buffer | null)[];
  /** As parameterFormats, for the columns of the result. */
  readonly resultFormats: readonly (0 | 1)[];
}

export interface ExecuteMessage {
  readonly portal: string;
  /** 0: all. A negative number means the same to the server and is given as 0. */
  readonly maxRows: number;
}

/** Names a statement or a portal, for Describe and Close. */
export interface TargetMessage {
  readonly kind: 'statement' | 'portal';
  readonly name: string;
}

export function decodeQuery(bytes: Buffer): string {
  const cursor = Cursor.open(bytes, FRONTEND.Query);
  const text = cursor.string();
  cursor.end();
  return text;
}

export function decodeParse(bytes: Buffer): ParseMessage {
  const cursor = Cursor.open(bytes, FRONTEND.Parse);
  const name = cursor.name();
  const query = cursor.string();
  const parameterTypes = cursor.list(4, () => cursor.uint32());
  cursor.end();
  return { name, query, parameterTypes };
}

export function decodeBind(bytes: Buffer): BindMessage {
  const cursor = Cursor.open(bytes, FRONTEND.Bind);
  const portal = cursor.name();
  const statement = cursor.name();
  const parameterFormats = cursor.list(2, () => cursor.format());
  const parameters = cursor.list(4, () => cursor.value());
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) {
    throw cursor.malformed('has another number of formats than of parameters');
  }
  const resultFormats = cursor.list(2, () => cursor.format());
  cursor.end();
  return { portal, statement, parameterFormats, parameters, resultFormats };
}

export function decodeDescribe(bytes: Buffer): TargetMessage {
  return decodeTarget(bytes, FRONTEND.Describe);
}

export function decodeClose(bytes: Buffer): TargetMessage {
  return decodeTarget(bytes, FRONTEND.Close);
}

export function decodeExecute(bytes: Buffer): ExecuteMessage {
  const cursor = Cursor.open(bytes, FRONTEND.Execute);
  const portal = cursor.name();
  const maxRows = Math.max(0, cursor.int32());
  cursor.end();
  return { portal, maxRows };
}

/** Why the client gives up its COPY: the client's own text. */
export function decodeCopyFail(bytes: Buffer): string {
  const cursor = Cursor.open(bytes, FRONTEND.CopyFail);
  const reason = cursor.string();
  cursor.end();
  return reason;
}

/** PasswordMessage. SASL and GSS answers share its type byte; on this leg a password is all that is ever asked for. */
export function decodePassword(bytes: Buffer): string {
  const cursor = Cursor.open(bytes, FRONTEND.Password);
  const password = cursor.string();
  cursor.end();
  return password;
}

export interface SASLInitialResponseMessage {
  readonly mechanism: string;
  /** Null: none was sent. */
  readonly response: Buffer | null;
}

export function decodeSASLInitialResponse(bytes: Buffer): SASLInitialResponseMessage {
  const cursor = Cursor.open(bytes, FRONTEND.Password);
  const mechanism = cursor.string();
  const response = cursor.value();
  cursor.end();
  return { mechanism, response };
}

export function decodeSASLResponse(bytes: Buffer): Buffer {
  return Cursor.open(bytes, FRONTEND.Password).rest();
}

function decodeTarget(bytes: Buffer, type: number): TargetMessage {
  const cursor = Cursor.open(bytes, type);
  const target = cursor.uint8();
  if (target !== STATEMENT && target !== PORTAL) throw cursor.malformed('names neither a statement nor a portal');
  const name = cursor.name();
  cursor.end();
  return { kind: target === STATEMENT ? 'statement' : 'portal', name };
}

const STATEMENT = 0x53; // S
const PORTAL = 0x50; // P
