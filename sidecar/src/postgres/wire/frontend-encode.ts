import type { BindMessage, ExecuteMessage, ParseMessage, TargetMessage } from './frontend.ts';
import { FRONTEND } from './protocol.ts';
import { kept } from '../../lent.ts';
import { MessageWriter } from './writer.ts';

/*
 * What we say to a server. Every encoder returns a Buffer that nobody writes into any more, and throws ProtocolError NotEncodable
 * for what the format cannot carry (a NUL inside a string, too many items, more than 1 GiB).
 */

/** Said for every statement, and always the same. */
const SYNC = kept(new MessageWriter(FRONTEND.Sync, 0).finish());
const FLUSH = kept(new MessageWriter(FRONTEND.Flush, 0).finish());
const EXECUTE_ALL = kept(new MessageWriter(FRONTEND.Execute).string('').int32(0).finish());

export function encodeQuery(query: string): Buffer {
  return new MessageWriter(FRONTEND.Query, query.length + 1).string(query).finish();
}

export function encodeParse(message: ParseMessage): Buffer {
  const writer = new MessageWriter(FRONTEND.Parse, message.query.length + 64);
  writer.string(message.name).string(message.query).count(message.parameterTypes.length);
  for (const type of message.parameterTypes) writer.uint32(type);
  return writer.finish();
}

export function encodeBind(message: BindMessage): Buffer {
  const { portal, statement, parameters, parameterFormats, resultFormats } = message;
  let room = portal.length + statement.length + 8 + 2 * (parameterFormats.length + resultFormats.length);
  for (const value of parameters) room += 4 + (value?.length ?? 0);
  const writer = new MessageWriter(FRONTEND.Bind, room).string(portal).string(statement);
  writeFormats(writer, parameterFormats);
  writer.count(parameters.length);
  for (const value of parameters) writer.value(value);
  writeFormats(writer, resultFormats);
  return writer.finish();
}

export function encodeDescribe(target: TargetMessage): Buffer {
  return encodeTarget(FRONTEND.Describe, target);
}

export function encodeClose(target: TargetMessage): Buffer {
  return encodeTarget(FRONTEND.Close, target);
}

export function encodeExecute(message: ExecuteMessage): Buffer {
  if (message.portal === '' && message.maxRows === 0) return EXECUTE_ALL;
  return new MessageWriter(FRONTEND.Execute).string(message.portal).int32(message.maxRows).finish();
}

export function encodeSync(): Buffer {
  return SYNC;
}

export function encodeFlush(): Buffer {
  return FLUSH;
}

export function encodeTerminate(): Buffer {
  return new MessageWriter(FRONTEND.Terminate, 0).finish();
}

export function encodeCopyDone(): Buffer {
  return new MessageWriter(FRONTEND.CopyDone, 0).finish();
}

export function encodeCopyFail(reason: string): Buffer {
  return new MessageWriter(FRONTEND.CopyFail).string(reason).finish();
}

/** The password itself, or the hash of it that AuthenticationMD5Password asks for. */
export function encodePassword(password: string): Buffer {
  return new MessageWriter(FRONTEND.Password).string(password).finish();
}

export function encodeSASLInitialResponse(mechanism: string, response: Buffer): Buffer {
  return new MessageWriter(FRONTEND.Password).string(mechanism).value(response).finish();
}

export function encodeSASLResponse(response: Buffer): Buffer {
  return new MessageWriter(FRONTEND.Password, response.length).bytes(response).finish();
}

function encodeTarget(type: number, target: TargetMessage): Buffer {
  return new MessageWriter(type)
    .uint8((target.kind === 'statement' ? 'S' : 'P').charCodeAt(0))
    .string(target.name)
    .finish();
}

function writeFormats(writer: MessageWriter, formats: readonly (0 | 1)[]): void {
  writer.count(formats.length);
  for (const format of formats) writer.int16(format);
}
