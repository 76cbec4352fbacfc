import type { BindMessage, ExecuteMessage, ParseMessage, TargetMessage } from './frontend.ts';
import { FRONTEND } from './protocol.ts';
import { MessageWriter } from './writer.ts';

/*
 * What we say to a server. Every encoder returns a fresh Buffer and throws ProtocolError NotEncodable for what the format cannot
 * carry (a NUL inside a string, too many items, more than 1 GiB).
 */

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
  const writer = new MessageWriter(FRONTEND.Bind, 256).string(message.portal).string(message.statement);
  writeFormats(writer, message.parameterFormats);
  writer.count(message.parameters.length);
  for (const value of message.parameters) writer.value(value);
  writeFormats(writer, message.resultFormats);
  return writer.finish();
}

export function encodeDescribe(target: TargetMessage): Buffer {
  return encodeTarget(FRONTEND.Describe, target);
}

export function encodeClose(target: TargetMessage): Buffer {
  return encodeTarget(FRONTEND.Close, target);
}

export function encodeExecute(message: ExecuteMessage): Buffer {
  return new MessageWriter(FRONTEND.Execute).string(message.portal).int32(message.maxRows).finish();
}

export function encodeSync(): Buffer {
  return new MessageWriter(FRONTEND.Sync, 0).finish();
}

export function encodeFlush(): Buffer {
  return new MessageWriter(FRONTEND.Flush, 0).finish();
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
